//! Whose turn it is: accounts in turn, posts of one account in order, and nobody waits for one that is stuck.

use std::time::Duration;

use toall::{
    clock::Clock,
    post::State,
    sandbox::{Answer, Call, Effect, Fault, Gate, Processing, Subscription},
};

use crate::world::{World, person, sample};

/// A world that does one step at a time by the machine's clock, whose X needs no time for videos.
async fn one_at_a_time() -> World {
    let world = World::with_clock(Clock::system(), |x, config| {
        x.processing = Processing { steps: 0, check_after_secs: 0 };
        x.enforce_rate_limits = false;
        config.worker.concurrency = 1;
    });
    world.await
}

/// Links an account on X that is made for it.
async fn link(world: &World, name: &str, username: &str) {
    world.x.add_user(username, username, Subscription::None);
    let page = world.question(&world.connect_link(name).await, username).await;
    page.submit(0).await;
    // Lest it be taken for the answer to what is asked next.
    world.until_said().await;
}

/// Keeps the worker busy with a first post, while others are asked for.
async fn busy(world: &World, name: &str) -> Gate {
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Initialize, Effect::Hold(gate.clone())));
    world.post(name, "0", &sample()).await;
    world.until_x("the first post", |_| held.fired() == 1).await;
    gate
}

/// Waits in real time until a person's newest post is on X.
async fn posted(world: &World, name: &str) {
    world.until_row(name, "posted", |post| post.state == State::Posted).await;
}

/// The accounts in the order in which X heard from them; several requests of one step count once.
fn turns(world: &World) -> Vec<(String, Call)> {
    let users = world.x.users();
    let name = |id: &String| users.iter().find(|user| user.id == *id).unwrap().username.clone();
    let heard = world.x.exchanges().into_iter();
    heard
        .filter_map(|exchange| Some((name(&exchange.user_id?), exchange.call?)))
        .filter(|(_, call)| matches!(call, Call::Initialize | Call::CreatePost))
        .collect()
}

/// Between two steps of `waiting`, from its first event to its last, no other account does more than three: transfers
/// and calls have slots of their own, so that one of each may go on beside a step of another account.
async fn assert_turns(world: &World, waiting: &str) {
    let events = world.events().await;
    let ours = |(username, ..): &&(String, String, Option<String>)| username == waiting;
    let steps: Vec<_> = events.iter().filter(|(_, kind, _)| kind == "goes_on" || kind == "posted").collect();
    let first = events.iter().position(|event| ours(&event)).unwrap();
    let before = events[..first].iter().filter(|(_, kind, _)| kind == "goes_on" || kind == "posted").count();
    let last = steps.iter().rposition(ours).unwrap();
    for gap in steps[before..=last].split(|step| step.0 == waiting) {
        for (username, ..) in gap {
            let did = gap.iter().filter(|(other, ..)| other == username).count();
            assert!(did <= 3, "an account had {did} turns while {waiting} waited: {gap:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_posts_of_one_account_delay_another_by_one_step() {
    let world = one_at_a_time().await;
    link(&world, "alice", "a_hundred").await;
    link(&world, "bob", "a_single").await;
    let gate = busy(&world, "alice").await;
    for number in 1..100 {
        world.post("alice", &number.to_string(), &sample()).await;
    }
    world.post("bob", "single", &sample()).await;
    gate.open();
    posted(&world, "bob").await;

    assert_turns(&world, "a_single").await;
    // Copy, look, upload, post: while bob does his four, alice's first is posted and her second is begun.
    let turns = turns(&world);
    let turns: Vec<_> = turns.iter().map(|(username, call)| (username.as_str(), *call)).collect();
    let (alice, bob) = ("a_hundred", "a_single");
    assert_eq!(turns[0], (alice, Call::Initialize));
    let until = turns.iter().position(|turn| *turn == (bob, Call::CreatePost)).unwrap();
    assert!(until <= 6, "{turns:?}");

    // The order within the account is kept, as far as it has come.
    let third = |x: &toall::sandbox::Sandbox| x.posts().len() >= 4;
    world.until_x("some more", third).await;
    let texts: Vec<_> =
        world.x.posts().into_iter().map(|post| post.text).filter(|text| text != "single").collect();
    assert_eq!(texts[..3], ["0", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_with_twenty_accounts_starves_nobody() {
    let world = one_at_a_time().await;
    for number in 0..20 {
        link(&world, "alice", &format!("many_{number}")).await;
    }
    link(&world, "bob", "a_single").await;
    let accounts = world.app().store.accounts(&person("alice")).await.unwrap();
    assert_eq!(accounts.len(), 20);
    let gate = busy(&world, "alice").await;
    for account in &accounts {
        world.press_deed("alice", toall::words::Deed::Prefer(account.id.clone())).await;
        for _ in 0..3 {
            world.post("alice", &account.username, &sample()).await;
        }
    }
    world.post("bob", "single", &sample()).await;
    gate.open();
    posted(&world, "bob").await;
    assert_turns(&world, "a_single").await;
    let before = world.x.posts().iter().position(|post| post.text == "single").unwrap();
    assert!(before <= 21, "each of the others posts once at most, and the first that was under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_parked_blocks_nobody() {
    // Spent credits are the whole app's: see `paused`.
    for refusal in [Answer::too_many_requests(), Answer::html(503)] {
        let world = one_at_a_time().await;
        link(&world, "alice", "parked").await;
        link(&world, "bob", "moving").await;
        world.x.order(Fault::on(Call::Initialize, Effect::Refuse(refusal)));
        world.post("alice", "parked", &sample()).await;
        world.until_row("alice", "parked", |post| post.waiting.is_some()).await;
        for number in 0..3 {
            world.post("bob", &number.to_string(), &sample()).await;
        }
        posted(&world, "bob").await;
        let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
        assert_eq!(texts, ["0", "1", "2"]);
        assert!(world.row("alice").await.waiting.is_some(), "still parked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_must_be_linked_again_blocks_nobody() {
    let world = World::with(|_, config| config.worker.concurrency = 1).await.and_linked().await;
    world.link("bob", "bob_films").await;
    world.pass(Duration::from_secs(3 * 3_600));
    world.x.revoke_grant("alice_makes");
    world.post("alice", "resting", &sample()).await;
    world.settle().await;
    assert!(world.last_text("alice").starts_with("X no longer lets me post"));
    world.post("bob", "moving", &sample()).await;
    world.settle().await;
    assert!(world.last_text("bob").starts_with("Posted to @bob_films"));
    assert_eq!(world.x.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_several_at_once_an_account_still_has_one_and_its_order() {
    let world = World::with(|x, _| x.enforce_rate_limits = false).await;
    link(&world, "alice", "in_order").await;
    link(&world, "bob", "beside").await;
    world.settle().await;
    let wanted: Vec<_> = (0..25).map(|number| number.to_string()).collect();
    for number in &wanted {
        world.post("alice", number, &sample()).await;
        world.post("bob", number, &sample()).await;
    }
    world.settle().await;
    for username in ["in_order", "beside"] {
        let posts = world.x.posts().into_iter().filter(|post| post.username == username);
        assert_eq!(posts.map(|post| post.text).collect::<Vec<_>>(), wanted);
        // Never two creations at once.
        let user = world.x.users().into_iter().find(|user| user.username == username).unwrap();
        let mut busy: Vec<_> = world.requests(Call::CreatePost).into_iter().collect();
        busy.retain(|exchange| exchange.user_id.as_ref() == Some(&user.id));
        busy.sort_by_key(|exchange| exchange.started);
        assert!(busy.windows(2).all(|pair| pair[0].finished <= pair[1].started));
    }
    world.assert_at_rest().await;
}

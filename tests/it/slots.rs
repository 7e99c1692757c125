//! Nothing waits behind what is slow or broken: slots by kind of step, lanes that yield, errors judged by time.

use std::time::Duration;

use toall::{
    chat::{
        Ask, ChatError,
        console::{Call::Fetch, Fault as OnConsole},
    },
    clock::Clock,
    post::{Failure, Party, State},
    sandbox::{Answer, Call, Effect, Fault, Gate, Processing, Subscription},
};

use crate::world::{NOON, PATIENCE, World, named, sample};

/// A world by the machine's clock, whose X needs no time for videos.
async fn in_real_time() -> World {
    World::with_clock(Clock::system(), |x, _| {
        x.processing = Processing { steps: 0, check_after_secs: 0 };
        x.enforce_rate_limits = false;
    })
    .await
}

/// Links an account on X that is made for it.
async fn link(world: &World, name: &str, username: &str) {
    world.x.add_user(username, username, Subscription::None);
    let page = world.question(&world.connect_link(name).await, username).await;
    page.submit(0).await;
    world.until_said().await;
}

/// Holds the uploads of this many posts.
fn hold_uploads(world: &World, most: u32) -> (Gate, toall::sandbox::Ordered) {
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())).times(most));
    (gate, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_held_uploads_keep_no_short_step_waiting() {
    let world = in_real_time().await;
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        link(&world, name, &format!("{name}_x")).await;
    }
    let made = Gate::closed();
    let finalizing = world.x.order(Fault::on(Call::Finalize, Effect::Hold(made.clone())));
    world.post("erin", "Uploaded before", &sample()).await;
    world.until_x("erin's video", |_| finalizing.fired() == 1).await;
    let (gate, held) = hold_uploads(&world, 3);
    for name in ["alice", "bob", "carol"] {
        world.post(name, "Slow", &sample()).await;
    }
    world.until_x("three uploads", |_| held.fired() == 3).await;
    // Erin's upload gives its slot to a fourth that is held; her post needs short calls only from now on.
    let (last_gate, last) = hold_uploads(&world, 1);
    world.post("dave", "Slow", &sample()).await;
    made.open();
    world.until_x("erin's post", |x| x.posts().len() == 1).await;
    world.until_x("the fourth upload", |_| last.fired() == 1).await;
    assert_eq!(world.x.posts()[0].text, "Uploaded before");
    gate.open();
    last_gate.open();
    world.until_x("all posts", |x| x.posts().len() == 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_holds_half_of_the_transfer_slots() {
    let world = in_real_time().await;
    for number in 0..4 {
        link(&world, "alice", &format!("alice_{number}")).await;
    }
    link(&world, "bob", "bob_x").await;
    let (gate, held) = hold_uploads(&world, 4);
    for number in 0..4 {
        let mut ask = world.post_of("Many accounts", &sample());
        if let Ask::Post { account, .. } = &mut ask {
            *account = format!("alice_{number}");
        }
        world.ask("alice", ask).await;
    }
    world.until_x("two uploads", |_| held.fired() == 2).await;
    world.x.lift(&held);
    world.post("bob", "One account", &sample()).await;
    world.until_x("bob's post", |x| x.posts().len() == 1).await;
    assert_eq!(world.x.posts()[0].text, "One account", "the other two of alice's wait for her own");
    gate.open();
    world.until_x("all posts", |x| x.posts().len() == 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_post_lets_others_of_its_account_pass() {
    let world = World::linked().await;
    world.link("bob", "alice_makes").await;
    // Bob's video has no such segment.
    world.x.order(Fault::on(Call::Append, Effect::Refuse(Answer::html(503))).segment(3).times(20));
    let film = world.film(5 * 4 * 1024 * 1024);
    world.post("alice", "Broken", &film).await;
    world.until("it has failed three times", |world| world.now() - NOON > 35_000).await;
    let before = world.now();
    world.post("bob", "Whole", &sample()).await;
    world.until("bob's post", |world| world.x.posts().len() == 1).await;
    assert!(world.now() - before < 60_000, "{} s", (world.now() - before) / 1_000);
    assert_eq!(world.row("alice").await.state, State::Uploading);
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_blocks_nobody() {
    let olga = |config: &mut toall::config::Config| config.access.operators = vec![named("olga")];
    let world = World::with(|_, config| olga(config)).await.and_linked().await;
    world.link("bob", "alice_makes").await;
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Initialize, Effect::Hold(gate.clone())));
    world.post("alice", "Spoilt", &sample()).await;
    world.until_x("its upload is begun", |_| held.fired() == 1).await;
    let spoil = "UPDATE posts SET options = '?'";
    world.execute(spoil, spoil).await;
    gate.open();
    world.post("bob", "Whole", &sample()).await;
    world.until("bob's post", |world| world.x.posts().len() == 1).await;
    assert_eq!(world.x.posts()[0].text, "Whole");
    world
        .until("the operator is told", |world| {
            world.told("olga").iter().any(|text| text.contains("cannot be read"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_advances_is_never_given_up() {
    let world = World::linked().await;
    let film = world.film(5 * 4 * 1024 * 1024);
    for segment in 0..5 {
        world.x.order(Fault::on(Call::Append, Effect::Refuse(Answer::html(503))).segment(segment));
    }
    world.post("alice", "One error a segment", &film).await;
    world.settle().await;
    world.assert_posted_once("alice", "One error a segment", &film).await;
    // Each error waits about five seconds when progress was made since the last one.
    assert!(world.now() - NOON < 45_000, "{} s", (world.now() - NOON) / 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_days_ends_with_the_post_on_x() {
    let olga = |config: &mut toall::config::Config| config.access.operators = vec![named("olga")];
    let world = World::with(|_, config| olga(config)).await.and_linked().await;
    let down = world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::html(503))).times(10_000));
    world.post("alice", "Patience", &sample()).await;
    world.until("six days of outage", |world| world.now() - NOON > 6 * 24 * 3_600_000).await;
    // Hourly in the end: an outage is not made worse by those who wait for its end.
    assert!((100..300).contains(&down.fired()), "{} tries", down.fired());
    world.x.lift(&down);
    world.settle().await;
    world.assert_posted_once("alice", "Patience", &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_only_one_post_has_ends_after_a_day() {
    let world = World::linked().await;
    world.link("bob", "bob_films").await;
    for _ in 0..200 {
        world
            .console
            .order(Fetch, OnConsole::Fail(ChatError::Trouble("the file server answers 500".to_owned())));
    }
    world.post("alice", "Broken", &sample()).await;
    world.until("a day of errors", |world| world.now() - NOON > 20 * 3_600_000).await;
    // A program's post needs nothing of the chat.
    let program = world.program("bob").await;
    program.publish(&sample(), "Whole", &world.account_id("bob_films")).await;
    world.until("the word", |world| world.last_text("alice").contains("[Try again]")).await;
    assert_eq!(world.row("alice").await.failure, Some(Failure::GaveUp { on: Party::Chat }));
    let hours = (world.now() - NOON) / 3_600_000;
    assert!((23..27).contains(&hours), "{hours} hours");
}

/// Answers every upload session with the id of the first.
fn the_first_id(answer: &mut serde_json::Value) {
    static FIRST: std::sync::OnceLock<serde_json::Value> = std::sync::OnceLock::new();
    let id = &mut answer["data"]["id"];
    *id = FIRST.get_or_init(|| id.clone()).clone();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_id_given_twice_ends_the_second_post() {
    let olga = |config: &mut toall::config::Config| config.access.operators = vec![named("olga")];
    let world = World::with(|_, config| olga(config)).await.and_linked().await;
    world.x.order(Fault::on(Call::Initialize, Effect::Edit(the_first_id)).times(100));
    world.post("alice", "First", &sample()).await;
    world.until("the end of the first", |world| world.last_text("alice").contains("[")).await;
    world.post("alice", "Second", &sample()).await;
    world.until("the end of the second", |world| world.last_text("alice").contains("was not posted")).await;
    assert_eq!(world.row("alice").await.failure, Some(Failure::Internal));
    assert!(world.requests(Call::Initialize).len() < 10, "{}", world.requests(Call::Initialize).len());
    world
        .until("the operator is told", |world| world.told("olga").iter().any(|text| text.contains("refused")))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_id_given_twice_asks_the_person() {
    let world = World::linked().await;
    let same = Effect::Edit(|answer| answer["data"]["id"] = "1880028106020515841".into());
    world.x.order(Fault::on(Call::CreatePost, same).times(2));
    world.post("alice", "First", &sample()).await;
    world.until("its link", |world| world.last_text("alice").contains("/status/")).await;
    world.post("alice", "Second", &sample()).await;
    world.until("the question", |world| world.last_text("alice").contains("is it there?")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_forgotten_bit_by_bit() {
    let world = World::linked().await;
    world.post("alice", "Remember me", &world.film(5 * 4 * 1024 * 1024)).await;
    world.settle().await;
    let count = async |statement| world.fetch::<(i64,)>(statement).await[0].0;
    assert_eq!(count("SELECT count(*) FROM media_segments").await, 0, "gone with the post's end");
    assert_eq!(count("SELECT count(*) FROM post_media").await, 0);
    assert_eq!(count("SELECT count(*) FROM posts").await, 1);
    world.pass(Duration::from_secs(399 * 24 * 3_600));
    world.post("alice", "Newer", &sample()).await;
    world.until("the second post", |world| world.x.posts().len() == 2).await;
    assert_eq!(count("SELECT count(*) FROM posts").await, 2);
    // Ids are drawn by real time, which is some days ahead of the clock that is turned by hand.
    world.pass(Duration::from_secs(20 * 24 * 3_600));
    let mut changes = world.app().store.changes();
    let left = async {
        while count("SELECT count(*) FROM posts").await != 1 {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("the old post is still there");
    assert_eq!(world.row("alice").await.caption, "Newer");
}

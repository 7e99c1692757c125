//! What only the operator can mend: the queue waits, the operator is told once, and it goes on by itself.

use futures::future::join_all;
use toall::{
    chat::Ask,
    post::{Note, State, Waiting},
    sandbox::{Answer, Call, Effect, Fault, Subscription},
};

use crate::world::{NOON, World, moments, named, read, sample};

const RESUMED: &str = "X lets your app post again. What was waiting goes on now.";

/// alice, bob, and an operator who is told.
async fn world() -> World {
    let world =
        World::with(|_, config| config.access.operators = vec![named("olga")]).await.and_linked().await;
    world.x.add_user("bob_films", "Bob", Subscription::None);
    world.link("bob", "bob_films").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_lacks_pauses_everybody_and_ends_by_itself() {
    let head = "@alice_makes · sample.mp4 · 239 kB · 0:08";
    let enrolled = "X does not let this service post";
    let whoever = "Whoever runs it has to set its app to Pay-per-use and Production at console.x.com.";
    let cases = [
        (
            Answer::credits_depleted(),
            "This service has used up its X credits",
            "Whoever runs it has to buy more at console.x.com.",
            600,
            "Your X app has used up its credits.",
        ),
        (
            Answer::spend_cap_reached(),
            "This service has reached its spending limit at X",
            "Whoever runs it can raise it at console.x.com.",
            3_600,
            "Your X app has reached its spending limit for this billing cycle.",
        ),
        (Answer::client_not_enrolled(), enrolled, whoever, 3_600, "X does not let your app use its API."),
        (
            Answer::legacy(403, 453, "You currently have access to a subset of X API V2 endpoints"),
            enrolled,
            whoever,
            3_600,
            "X does not let your app use its API.",
        ),
        (
            Answer::usage_capped("Monthly"),
            "This bot has made as many posts as its X plan allows this month",
            "The person who runs it has been told.",
            3_600,
            "Your X app has made as many posts as its plan allows this month.",
        ),
    ];
    let calls = [Call::CreatePost, Call::Initialize, Call::CreatePost, Call::Status, Call::CreatePost];
    join_all(cases.into_iter().zip(calls).map(|((answer, what, mend, span, told), call)| async move {
        let world = world().await;
        // Refused once, and again by the one post that tries.
        let refused = world.x.order(Fault::on(call, Effect::Refuse(answer)).times(2));
        world.post("alice", "first", &sample()).await;
        world.until("the refusal", |world| world.last_text("alice").starts_with(what)).await;
        let said = world.last_text("alice");
        let until = moments(&said)[0];
        assert_eq!(
            said,
            format!("{what} · {head}\n{mend} The post is kept; the next try is at <{until}>. [Cancel]")
        );
        assert!((span..span + 30).contains(&until), "{until}");

        let before = world.x.exchanges().len();
        world.post("bob", "second", &sample()).await;
        world.until("bob's wait", |world| world.last_text("bob").starts_with(what)).await;
        let row = world.row("bob").await;
        assert_eq!((row.state, row.intent_at), (State::Uploading, None));
        assert!(row.waiting.is_some_and(|waiting| waiting.is_for_the_app()));
        assert_eq!(world.x.exchanges().len(), before, "nothing goes to X meanwhile");

        world.until("the operator", |world| !world.told("olga").is_empty()).await;
        assert!(world.told("olga")[0].starts_with(told), "{:?}", world.told("olga"));
        world.settle().await;
        assert_eq!(refused.fired(), 2);
        assert_eq!(
            world.requests(call).iter().filter(|sent| sent.status >= Some(402)).count(),
            2,
            "one tries"
        );
        assert_eq!(world.x.posts().len(), 2);
        assert_eq!(world.told("olga").len(), 2, "told once, and of the end: {:?}", world.told("olga"));
        assert_eq!(world.told("olga")[1], RESUMED);
        assert_eq!(world.app().store.paused().await.unwrap(), None);
        // Nobody waited for a second span once it was mended.
        assert!((world.now() - NOON) / 1_000 < 2 * span + 120, "over at {}", (world.now() - NOON) / 1_000);
        world.assert_at_rest().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_outlives_a_restart_and_the_post_that_met_it() {
    let mut world = world().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::credits_depleted())));
    world.post("alice", "first", &sample()).await;
    world
        .until("the refusal", |world| world.last_text("alice").starts_with("This service has used up"))
        .await;
    world.press("alice", &world.last("alice"), "Cancel").await;
    world.until_said().await;
    world.kill().await;
    world.boot().await;

    let before = world.x.exchanges().len();
    world.post("bob", "second", &sample()).await;
    world.until("bob's wait", |world| world.last_text("bob").starts_with("This service has used up")).await;
    assert_eq!(world.x.exchanges().len(), before);
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    assert_eq!(world.told("olga").len(), 2, "{:?}", world.told("olga"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_late_look_met_ends_with_the_next_post() {
    let world = world().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
    world.post("alice", "first", &sample()).await;
    world.until("the question", |world| world.last_text("alice").contains("is it there?")).await;
    world.x.order(Fault::on(Call::Timeline, Effect::Refuse(Answer::credits_depleted())));
    world.until("the pause", |world| !world.told("olga").is_empty()).await;
    assert!(world.last_text("alice").contains("is it there?"), "she is still asked");
    world.post("bob", "second", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    assert_eq!(world.told("olga").len(), 2, "{:?}", world.told("olga"));
    assert_eq!(world.app().store.paused().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_in_doubt_looks_while_everything_is_paused() {
    let world = world().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
    world.x.order(Fault::on(Call::Timeline, Effect::Refuse(Answer::html(503))));
    world.post("alice", "first", &sample()).await;
    world.until("her doubt", |world| world.last_text("alice").starts_with("X did not answer")).await;
    world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::credits_depleted())));
    world.post("bob", "second", &sample()).await;
    world.until_row("bob", "parked", |row| matches!(row.waiting, Some(Waiting::Credits { .. }))).await;

    world.until("her post", |world| world.last_text("alice").starts_with("Posted")).await;
    assert!(world.now() < NOON + 300_000, "found long before the next try");
    assert_eq!(world.x.posts().len(), 1);
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_app_is_told_to_its_operator_once_while_posts_wait() {
    let world = world().await;
    world.pass(std::time::Duration::from_secs(3 * 3_600));
    let refusal = Answer::oauth(401, "unauthorized_client", "Missing valid authorization header");
    world.x.order(Fault::on(Call::Refresh, Effect::Refuse(refusal)).times(3));
    world.post("alice", "first", &sample()).await;
    world.post("bob", "second", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
    let told = world.told("olga");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("X does not accept the client id and secret of your app"), "{told:?}");
    assert_eq!(told[1], "X accepts your app's client id and secret again.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_cap_leaves_a_post_in_doubt_to_its_person_and_is_told_once() {
    let world = world().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop).times(2));
    world.x.order(Fault::on(Call::Timeline, Effect::Refuse(Answer::usage_capped("Monthly"))).times(2));
    for name in ["alice", "bob"] {
        world.post(name, "in doubt", &sample()).await;
        world.until("the question", |world| world.last_text(name).contains("is it there?")).await;
    }
    world.settle().await;
    assert_eq!(world.told("olga").len(), 1, "{:?}", world.told("olga"));
    // It went on looking, and found both.
    for name in ["alice", "bob"] {
        assert!(read(&world.last(name).message).starts_with("Posted"), "{}", world.last_text(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_x_keeps_from_the_app_pauses_nobody() {
    let world = world().await;
    world.pass(std::time::Duration::from_secs(24 * 3_600));
    let closed =
        || Effect::Refuse(Answer::legacy(403, 453, "You currently have access to a subset of endpoints"));
    for (call, times) in [(Call::Metadata, u32::MAX), (Call::Me, u32::MAX), (Call::Timeline, 2)] {
        world.x.order(Fault::on(call, closed()).times(times));
    }
    world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
    let mut described = world.post_of("described", &sample());
    if let Ask::Post { options, .. } = &mut described {
        options.alt_text = Some("A wave".to_owned());
    }
    world.ask("alice", described).await;
    world.settle().await;
    assert!(world.last_text("alice").starts_with("Posted"), "found by a later look");
    assert_eq!(world.row("alice").await.notes, [Note::AltTextNotTaken]);
    world.post("bob", &"a".repeat(400), &sample()).await;
    world.settle().await;
    assert!(world.last_text("bob").starts_with("Posted"), "judged by the subscription that is known");
    assert_eq!(world.x.posts().len(), 2);

    let told = world.told("olga");
    assert_eq!(told.len(), 3, "once for each: {told:?}");
    assert!(told.iter().all(|told| told.starts_with("X does not let your app make the request")), "{told:?}");
}

//! What is found in a video, and what the account may post: said in time, and known afresh where it decides.

use std::time::Duration;

use toall::{
    post::{Failure, Note},
    sandbox::{Answer, Call, Effect, Fault, ProcessingFailure, Subscription},
};

use crate::world::{World, fixture, sample};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[tokio::test(flavor = "multi_thread")]
async fn what_x_may_mind_is_shown_and_said_again_when_x_minds() {
    let warning = "\nThe video is encoded as HEVC (H.265). X asks for H.264 and may refuse it.";
    let world = World::linked().await;
    world.x.fail_processing(ProcessingFailure::invalid_media());
    world.post("alice", "Wave", &fixture("hevc.mp4")).await;
    world.settle().await;
    assert!(world.shown("alice", "X is processing").contains(warning), "{:#?}", world.history("alice"));
    let told = world.last_text("alice");
    assert!(told.contains("was not posted") && told.contains(warning), "{told}");
    assert!(matches!(&world.row("alice").await.notes[..], [Note::Video { .. }]));

    world.press("alice", &world.last("alice"), "Try again").await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    let told = world.last_text("alice");
    assert!(told.starts_with("Posted to") && !told.contains("HEVC"), "{told}");
    assert_eq!(world.row("alice").await.notes.len(), 1, "not twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn premium_that_was_bought_since_counts_from_the_next_day_on() {
    let world = World::linked().await;
    let long = "a".repeat(400);
    world.x.set_subscription("alice_makes", Subscription::Premium);
    world.post("alice", &long, &sample()).await;
    assert!(world.last_text("alice").starts_with("That caption is 400 of 280 characters"));
    let asked = world.requests(Call::Me).len();
    world.pass(DAY);
    for _ in 0..2 {
        world.post("alice", &long, &sample()).await;
        world.settle().await;
    }
    assert_eq!(world.x.posts().len(), 2);
    assert_eq!(world.requests(Call::Me).len(), asked + 1, "X bills each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn premium_that_lapsed_is_noticed_before_the_upload() {
    let world = World::new().await;
    world.x.set_subscription("alice_makes", Subscription::Premium);
    let world = world.and_linked().await;
    world.x.set_subscription("alice_makes", Subscription::None);
    world.pass(DAY);
    world.post("alice", &"a".repeat(400), &sample()).await;
    world.settle().await;
    assert_eq!(
        world.last_text("alice"),
        "sample.mp4 was not posted to @alice_makes.\nThe caption is 400 of 280 characters as X counts them for \
         @alice_makes. Shorten it by 120 and send the video again."
    );
    assert_eq!(world.requests(Call::Initialize).len(), 0);
    world.post("alice", &"a".repeat(400), &sample()).await;
    assert!(world.last_text("alice").starts_with("That caption is 400 of 280"), "and known from then on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_x_does_not_say_is_taken_as_known() {
    let world = World::linked().await;
    world.pass(DAY);
    world.x.order(Fault::on(Call::Me, Effect::Refuse(Answer::html(503))));
    world.post("alice", &"a".repeat(400), &sample()).await;
    world.settle().await;
    assert_eq!(world.row("alice").await.failure, Some(Failure::CaptionTooLong { weighted: 400, limit: 280 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_asking_for_the_subscription_is_kept() {
    let world = World::linked().await;
    world.pass(DAY);
    let asked = world.requests(Call::Me).len();
    world.x.order(Fault::on(Call::Me, Effect::Refuse(Answer::too_many_requests())).times(u32::MAX));
    for _ in 0..2 {
        world.post("alice", &"a".repeat(400), &sample()).await;
        world.settle().await;
        assert!(matches!(world.row("alice").await.failure, Some(Failure::CaptionTooLong { .. })));
    }
    assert_eq!(world.requests(Call::Me).len(), asked + 1, "not asked again before the limit ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_hints_at_the_subscription_has_it_asked_for_again() {
    let world = World::linked().await;
    world.pass(DAY);
    let asked = world.requests(Call::Me).len();
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::not_permitted())));
    world.post("alice", "Wave", &sample()).await;
    world.settle().await;
    assert_eq!(world.requests(Call::Me).len(), asked + 1);
    assert!(world.last_text("alice").contains("was not posted"));
}

//! From `/post` to the link.

use std::time::Duration;

use toall::sandbox::{Call, Effect, Fault, Gate};

use crate::world::{World, sample};

#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_from_chat_to_x() {
    let world = World::linked().await;
    world.post("alice", "First wave of the year", &sample()).await;
    world.settle().await;

    world.assert_posted_once("alice", "First wave of the year", &sample()).await;
    assert_eq!(world.x.posts()[0].username, "alice_makes");
    assert_eq!(world.said("alice").len(), 3, "one message each: the link, linked, and the status");
    let history = world.history("alice");
    // Whoever says it is quicker than the worker, or not.
    let waits = "Waiting for its turn · @alice_makes · sample.mp4 · 239 kB [Cancel]";
    assert!(history[0] == waits || history[0].starts_with("Receiving for @alice_makes"), "{history:#?}");
    let head = "@alice_makes · sample.mp4 · 239 kB · 0:08 [Cancel]";
    assert_eq!(world.shown("alice", "X is processing"), format!("X is processing the video\n{head}"));
    assert!(history.contains(&format!("X is processing the video · 33 %\n{head}")), "{history:#?}");
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_how_far_the_upload_is() {
    let world = World::with(|_, config| config.worker.upload_parallelism = 1).await.and_linked().await;
    let film = world.film(4 * 1024 * 1024 + 100_000);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())).after(1));
    world.post("alice", "Long", &film).await;
    world.until("the last segment", |_| held.fired() == 1).await;
    world
        .until_row("alice", "half-way", |post| {
            post.media.as_ref().is_some_and(|media| media.segments_done == 1)
        })
        .await;
    world.pass(Duration::from_secs(2));
    world.until("the progress", |world| world.last_text("alice").contains(" 97 %")).await;
    assert_eq!(
        world.last_text("alice"),
        "Uploading to @alice_makes · film.mp4 · 4.3 MB · 0:08\n▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░ 97 %  4.2 of 4.3 MB [Cancel]"
    );
    gate.open();
    world.settle().await;
    world.assert_posted_once("alice", "Long", &film).await;
}

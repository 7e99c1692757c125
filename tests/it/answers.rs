//! Answers that are lost on the way, and what cannot be written down: each step is repeated, the post is made once.

use std::time::Duration;

use axum::http::Method;
use futures::future::join_all;
use toall::{
    post::State,
    sandbox::{Answer, Call, Effect, Fault, Gate},
};

use crate::{
    bucket::Bucket,
    world::{World, read, sample},
};

/// What a token that has run out is refreshed after.
const THREE_HOURS: Duration = Duration::from_secs(3 * 3_600);

#[tokio::test(flavor = "multi_thread")]
async fn whichever_answer_of_xs_is_lost_the_post_is_made_once() {
    let calls =
        [Call::Initialize, Call::Append, Call::Finalize, Call::Status, Call::CreatePost, Call::Timeline];
    let effects = || {
        [
            Effect::Drop,
            Effect::ActThenDrop,
            Effect::ActThenAnswer(Answer::html(502)),
            Effect::ActThenAnswer(Answer::empty(408)),
            Effect::Garble,
        ]
    };
    join_all(calls.into_iter().flat_map(|call| effects().map(|effect| (call, effect))).map(
        |(call, effect)| async move {
            let world = World::linked().await;
            if call == Call::Timeline {
                world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
            }
            let not_done = matches!(effect, Effect::Drop);
            let lost = world.x.order(Fault::on(call, effect));
            world.post("alice", "Unheard", &sample()).await;
            let asked = |world: &World| world.last_text("alice") == world.asked();
            world.until("the end or a question", asked).await;
            if call == Call::CreatePost && not_done {
                world.press("alice", &world.last("alice"), "Post it again").await;
            }
            world.settle().await;
            assert_eq!(lost.fired(), 1);
            world.assert_posted_once("alice", "Unheard", &sample()).await;
            assert_eq!(world.said("alice").len(), 3, "the link, linked, and one status");
            let creations = if call == Call::CreatePost && not_done { 2 } else { 1 };
            assert_eq!(world.requests(Call::CreatePost).len(), creations, "{call:?}");
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_answer_of_storages_is_lost_the_post_is_made_once() {
    // The file is stored; looked into and sent; deleted.
    join_all([Method::PUT, Method::GET, Method::DELETE].map(|method| async move {
        let bucket = Bucket::start().await;
        let settings = bucket.settings();
        let world = World::with(|_, config| config.staging = Some(settings)).await.and_linked().await;
        bucket.lose(method);
        world.post("alice", "Unheard", &sample()).await;
        world.settle().await;
        assert!(bucket.lost());
        world.assert_posted_once("alice", "Unheard", &sample()).await;
        assert_eq!(bucket.keys(), [""; 0]);
    }))
    .await;
}

/// Posts while nothing can be written to this column, until X has answered what would be written there.
async fn spoilt(pass: Duration, table: &'static str, column: &'static str, call: Call) -> World {
    let world = World::linked().await;
    world.pass(pass);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(call, Effect::Hold(gate.clone())));
    world.post("alice", "Unwritten", &sample()).await;
    world.until("the held request", |_| held.fired() == 1).await;
    world.until_said().await;
    world.spoil(table, column).await;
    world.let_act(call, &gate).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_answer_to_the_creation_and_its_commit_the_post_is_found() {
    let mut world = spoilt(Duration::ZERO, "posts", "x_post_id", Call::CreatePost).await;
    assert_eq!(world.row("alice").await.x_post_id, None);
    world.kill().await;
    world.mend().await;
    world.boot().await;
    world.settle().await;
    world.assert_posted_once("alice", "Unwritten", &sample()).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_fails_after_the_creation_is_outlasted() {
    let world = spoilt(Duration::ZERO, "posts", "x_post_id", Call::CreatePost).await;
    assert_eq!(world.row("alice").await.state, State::Publishing);
    world.mend().await;
    world.until_row("alice", "posted", |post| post.state == State::Posted).await;
    world.settle().await;
    world.assert_posted_once("alice", "Unwritten", &sample()).await;
    assert_eq!(world.requests(Call::Timeline).len(), 0, "what X answered was kept, not looked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_fails_after_the_refresh_is_outlasted() {
    let world = spoilt(THREE_HOURS, "x_accounts", "tokens_sealed", Call::Refresh).await;
    assert_eq!(world.requests(Call::Initialize).len(), 0, "a pair is stored before it is used");
    world.mend().await;
    world.settle().await;
    world.assert_posted_once("alice", "Unwritten", &sample()).await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_answer_to_the_refresh_and_its_commit_the_person_is_asked_to_reconnect() {
    let mut world = spoilt(THREE_HOURS, "x_accounts", "tokens_sealed", Call::Refresh).await;
    world.kill().await;
    world.mend().await;
    world.boot().await;
    world.settle().await;
    let refreshes: Vec<_> = world.requests(Call::Refresh).iter().map(|exchange| exchange.status).collect();
    assert_eq!(refreshes, [Some(200), Some(400), Some(400)], "the token that is left is tried twice");
    let status = world.last("alice");
    assert!(read(&status.message).starts_with("X no longer lets me post to this account · @alice_makes"));
    world.press("alice", &status, "Reconnect").await;
    world.question(&world.offered_link("alice"), "alice_makes").await.submit(0).await;
    world.settle().await;
    let status = world.said("alice").into_iter().find(|shown| shown.at == status.at).unwrap();
    assert!(read(&status.message).starts_with("Posted to @alice_makes\n"));
    assert_eq!(world.x.posts().len(), 1);
    world.assert_at_rest().await;
}

//! Storage and chat out of order: the person is told where that is possible, and the post gets there.

use std::time::Duration;

use axum::http::StatusCode;
use toall::{
    chat::{
        Ask, ChatError,
        console::{Call::*, Fault as OnConsole},
    },
    post::State,
    sandbox::{Call, Effect, Fault, Gate},
};

use crate::{
    bucket::{Bucket, Refusal},
    world::{World, read, sample},
};

const DENIED: Refusal = (StatusCode::FORBIDDEN, "AccessDenied");
const SLOW: Refusal = (StatusCode::SERVICE_UNAVAILABLE, "SlowDown");

/// A world whose storage is this bucket.
async fn stored_in(bucket: &Bucket) -> World {
    let settings = bucket.settings();
    World::with(|_, config| config.staging = Some(settings)).await.and_linked().await
}

/// Posts and stops at the first request of this kind, which goes on when the gate is opened.
async fn posted_up_to(world: &World, call: Call) -> Gate {
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(call, Effect::Hold(gate.clone())));
    world.post("alice", "Outage", &sample()).await;
    world.until("the held request", |_| held.fired() == 1).await;
    // The status may be edited again by now.
    world.pass(Duration::from_secs(1));
    gate
}

fn fail(world: &World, call: toall::chat::console::Call, errors: impl IntoIterator<Item = ChatError>) {
    for error in errors {
        world.console.order(call, OnConsole::Fail(error));
    }
}

fn unreachable() -> ChatError {
    ChatError::Trouble("timed out".to_owned())
}

fn shut() -> ChatError {
    ChatError::Forbidden("Missing Permissions".to_owned())
}

async fn assert_one_status(world: &World) {
    world.assert_posted_once("alice", "Outage", &sample()).await;
    assert_eq!(world.said("alice").len(), 3, "the link, linked, and one status");
    assert_eq!(world.console.ordered(), 0, "every fault has struck");
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_takes_nothing_is_waited_for() {
    let bucket = Bucket::start().await;
    let world = stored_in(&bucket).await;
    bucket.refuse(Some(DENIED));
    world.post("alice", "Outage", &sample()).await;
    world.until("the word", |world| world.last_text("alice").starts_with("The storage")).await;
    assert_eq!(
        world.last_text("alice"),
        "The storage of this service has a problem at the moment · @alice_makes · sample.mp4 · 239 kB\n\
         Nothing is lost. The next try is at <5>. [Cancel]"
    );
    bucket.refuse(None);
    world.settle().await;
    assert_one_status(&world).await;
    assert_eq!(bucket.keys(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_gives_nothing_back_is_waited_for() {
    let bucket = Bucket::start().await;
    let world = stored_in(&bucket).await;
    let gate = posted_up_to(&world, Call::Initialize).await;
    bucket.refuse(Some(SLOW));
    gate.open();
    world.until("the word", |world| world.last_text("alice").starts_with("The storage")).await;
    bucket.refuse(None);
    world.settle().await;
    assert_one_status(&world).await;
    assert_eq!(world.requests(Call::Initialize).len(), 1, "the same upload goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_cannot_be_cleaned_is_cleaned_later() {
    let bucket = Bucket::start().await;
    let world = stored_in(&bucket).await;
    let gate = posted_up_to(&world, Call::CreatePost).await;
    bucket.refuse(Some(DENIED));
    gate.open();
    world.until("the end", |world| world.last_text("alice").starts_with("Posted to")).await;
    assert_eq!(bucket.keys().len(), 1);
    bucket.refuse(None);
    world.settle().await;
    assert_one_status(&world).await;
    assert_eq!(bucket.keys(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanished_from_storage_is_fetched_again() {
    let world = World::linked().await;
    let gate = posted_up_to(&world, Call::Initialize).await;
    for path in world.staged() {
        std::fs::remove_file(path).unwrap();
    }
    gate.open();
    world.settle().await;
    assert_one_status(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_cannot_be_sent_is_sent_later() {
    let world = World::linked().await;
    fail(&world, Say, [unreachable(), ChatError::SlowDown(Duration::from_secs(40)), unreachable(), shut()]);
    world.post("alice", "Outage", &sample()).await;
    world.settle().await;
    assert_one_status(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_cannot_be_edited_ends_with_the_outcome() {
    let world = World::linked().await;
    fail(&world, Edit, [unreachable(), shut(), unreachable()]);
    world.post("alice", "Outage", &sample()).await;
    world.settle().await;
    assert_one_status(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_chat_does_not_take_is_said_later() {
    for error in [unreachable(), shut(), ChatError::Refused("Bad Request".to_owned())] {
        let world = World::linked().await;
        let gate = posted_up_to(&world, Call::CreatePost).await;
        world.until("it to be shown", |world| world.last_text("alice").starts_with("Posting to")).await;
        fail(&world, Edit, [error]);
        gate.open();
        world.settle().await;
        assert_one_status(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_asks_to_wait_is_left_alone() {
    let world = World::linked().await;
    let gate = posted_up_to(&world, Call::CreatePost).await;
    world.until("it to be shown", |world| world.last_text("alice").starts_with("Posting to")).await;
    fail(&world, Edit, [ChatError::SlowDown(Duration::from_secs(40))]);
    let asked_at = world.now();
    gate.open();
    world.until("the outcome", |world| world.last_text("alice").starts_with("Posted to")).await;
    assert!((40_000..42_000).contains(&(world.now() - asked_at)), "{}", world.now() - asked_at);
    world.settle().await;
    assert_one_status(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_somebody_deleted_comes_back_with_the_outcome() {
    let world = World::linked().await;
    let gate = posted_up_to(&world, Call::Append).await;
    world.until("it to be shown", |world| world.last_text("alice").starts_with("Uploading to")).await;
    world.console.delete(&world.last("alice").at);
    gate.open();
    world.settle().await;
    assert_one_status(&world).await;
    assert_eq!(world.history("alice").len(), 1, "progress is not sent anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_stays_shut_is_given_up_and_the_post_is_made() {
    let world = World::linked().await;
    fail(&world, Say, std::iter::repeat_with(shut).take(1_000));
    world.post("alice", "Outage", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    assert_eq!(world.row("alice").await.state, State::Posted);
    assert_eq!(world.said("alice").len(), 2);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_that_an_account_is_linked_waits_for_the_chat() {
    let world = World::new().await;
    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    fail(&world, Say, [unreachable(), ChatError::SlowDown(Duration::from_secs(40))]);
    page.submit(0).await;
    world.settle().await;
    assert_eq!(world.said("alice").len(), 2);
    assert!(world.last_text("alice").starts_with("Linked @alice_makes (Alice)."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_fetched_now_is_fetched_later() {
    let world = World::linked().await;
    fail(&world, Fetch, [unreachable(), unreachable(), ChatError::SlowDown(Duration::from_secs(90))]);
    let begun = world.now();
    world.post("alice", "Outage", &sample()).await;
    world.settle().await;
    assert_eq!(
        world.shown("alice", "The file"),
        "The file cannot be fetched from the chat at the moment · @alice_makes · sample.mp4 · 239 kB\n\
         Nothing is lost. The next try is at <5>. [Cancel]"
    );
    assert!(world.now() - begun > (5 + 10 + 90) * 1_000, "the chat's own wait is obeyed");
    assert_one_status(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_chat_does_not_give_is_said() {
    for (error, sentence) in [
        (ChatError::Gone("404".to_owned()), "The chat no longer has the file. Send it again."),
        (shut(), "The chat no longer has the file. Send it again."),
        (
            ChatError::TooLarge { limit: 20_000_000 },
            "The file is larger than 20 MB. Send a smaller one.\n\
             Or upload it in your browser: press the button for a link of your own. [Upload it there]",
        ),
        (
            ChatError::ForeignFile,
            "The file is not on the chat's own servers, so I did not fetch it. Upload it in the chat.",
        ),
    ] {
        let world = World::linked().await;
        fail(&world, Fetch, [error]);
        world.post("alice", "Outage", &sample()).await;
        world.settle().await;
        assert_eq!(
            world.last_text("alice"),
            format!("sample.mp4 was not posted to @alice_makes.\n{sentence}")
        );
        assert_eq!(world.x.posts().len(), 0);
        world.assert_at_rest_in_a_day().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_gives_no_file_for_a_week_is_given_up_with_a_button() {
    let world = World::linked().await;
    fail(&world, Fetch, std::iter::repeat_with(unreachable).take(300));
    world.post("alice", "Outage", &sample()).await;
    world.until("the end of its patience", |world| world.last_text("alice").contains("[Try again]")).await;
    let failed = world.last("alice");
    assert_eq!(
        read(&failed.message),
        "sample.mp4 was not posted to @alice_makes.\n\
         The file could not be fetched from the chat for too long. Send the video again. [Try again]"
    );
    world.ask("alice", Ask::Posts).await;
    assert_eq!(world.last_text("alice"), "Your latest posts:\nsample.mp4 to @alice_makes: not posted");
    // Hourly in the end.
    let tries = 300 - world.console.ordered();
    assert!((150..250).contains(&tries), "{tries} tries in a week");
}

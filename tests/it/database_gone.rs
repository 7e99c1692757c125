//! PostgreSQL goes away while a post is worked on, and comes back: work waits, says so, and loses nothing.

use std::{future::pending, time::Duration};

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;
use toall::{
    post::State,
    sandbox::{Call, Effect, Fault, Gate},
    store::LEASE,
};

use crate::{
    postgres,
    wire::{Break, Wire},
    world::{World, browser, sample, sha256_hex},
};

/// What a token that has run out is refreshed after.
const THREE_HOURS: Duration = Duration::from_secs(3 * 3_600);

async fn readiness(world: &World) -> (StatusCode, Value) {
    let answer = browser().get(world.config.public_url.join("/readyz").unwrap()).send().await.unwrap();
    let status = answer.status();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_during_any_call_is_outlasted() {
    let calls =
        [Call::Refresh, Call::Initialize, Call::Append, Call::Finalize, Call::Status, Call::CreatePost];
    join_all(calls.map(|call| async move {
        let Some(world) = World::on_postgres().await else { return };
        let world = world.and_linked().await;
        if call == Call::Refresh {
            world.pass(THREE_HOURS);
        }
        let gate = Gate::closed();
        let held = world.x.order(Fault::on(call, Effect::Hold(gate.clone())));
        world.post("alice", "Through it", &sample()).await;
        world.until("the held request", |_| held.fired() == 1).await;
        world.until_said().await;

        world.lose_database().await;
        world.let_act(call, &gate).await;
        let (status, said) = readiness(&world).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{call:?}: {said}");
        assert_eq!((&said["parts"]["database"], &said["parts"]["staging"]), (&"failed".into(), &"ok".into()));

        world.database_is_back().await;
        let post = world.until_row("alice", "written again", |_| true).await;
        assert!(!matches!(post.state, State::Failed | State::NeedsUser), "{call:?}: {:?}", post.state);
        world.settle().await;
        world.assert_posted_once("alice", "Through it", &sample()).await;
        assert_eq!(world.requests(Call::CreatePost).len(), 1, "{call:?}");
        assert_eq!(world.requests(Call::Refresh).len(), usize::from(call == Call::Refresh), "{call:?}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_can_only_be_read_is_not_ready() {
    let Some(world) = World::on_postgres().await else { return };
    world.freeze_database().await;
    let (status, said) = readiness(&world).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((&said["parts"]["database"], &said["parts"]["staging"]), (&"failed".into(), &"ok".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_comes_while_the_database_is_away_is_refused_kindly_and_taken_afterwards() {
    let Some(world) = World::on_postgres().await else { return };
    let world = world.and_linked().await;
    world.lose_database().await;
    world.post("alice", "Too soon", &sample()).await;
    let said = world.last_text("alice");
    assert!(said.starts_with("Something went wrong on my side, and nothing was changed."), "{said}");

    world.database_is_back().await;
    world.post("alice", "In time", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "In time", &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_whose_writing_down_goes_unanswered_is_written_again_or_left_open() {
    for (failures, taken) in [(1, true), (2, true), (3, false)] {
        let Some(world) = World::on_postgres().await else { return };
        let world = world.and_linked().await;
        world
            .execute(
                "",
                format!(
                    "CREATE SEQUENCE failures;
                     CREATE FUNCTION fails() RETURNS trigger AS $$ BEGIN
                         IF nextval('failures') <= {failures} THEN RAISE EXCEPTION 'not now'; END IF;
                         RETURN NEW;
                     END $$ LANGUAGE plpgsql;
                     CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON posts DEFERRABLE INITIALLY DEFERRED
                         FOR EACH ROW EXECUTE FUNCTION fails()"
                ),
            )
            .await;
        world.post("alice", "Perhaps", &sample()).await;
        world.settle().await;
        if taken {
            world.assert_posted_once("alice", "Perhaps", &sample()).await;
        } else {
            let said = world.last_text("alice");
            assert!(said.contains("I do not know whether I have your post."), "{said}");
            assert_eq!(world.x.posts().len(), 0);
        }
    }
}

/// Takes a lane to work on.
const CLAIM: &str = "SET claims = claims + 1";
/// Takes a message to write.
const TURN: &str = "SET status_taken_until = $2";

/// What is written in the life of a post.
const WRITES: [&str; 10] = [
    "INSERT INTO posts",
    CLAIM,
    "UPDATE posts SET state = $1",
    "INSERT INTO post_media",
    "INSERT INTO media_segments",
    "SET intent_at = $1",
    "SET state = 'posted'",
    TURN,
    "SET status_msg = $1",
    "SET clean_at = NULL",
];

/// Turns the clock until nothing is left to do; also past the time for which something is taken of which nobody was told.
async fn outlast(world: &World, wire: &Wire, taken: Duration) {
    let mut broken = wire.broken();
    let wait_for_nobody = async {
        broken.wait_for(|broken| *broken).await.unwrap();
        world.pass(taken);
        pending::<()>().await;
    };
    tokio::select! {
        () = world.settle() => {}
        () = wait_for_nobody => {}
    }
}

/// Posts again and again, with the connection broken at another write each time: most of a minute, so only where the suite
/// keeps its rows in PostgreSQL.
async fn with_each_write_broken(when: Break) {
    if !postgres::wanted() {
        return eprintln!("left out on SQLite: connections that break");
    }
    let cluster = postgres::cluster().await.unwrap();
    let wire = Wire::to(cluster.port()).await;
    let world = World::over(&wire, cluster.database().await).await.and_linked().await;
    let bytes = sha256_hex(&std::fs::read(sample()).unwrap());
    for write in WRITES {
        let taken = match when {
            Break::Answering if write == CLAIM => LEASE,
            Break::Answering if write == TURN => LEASE / 2,
            _ => Duration::ZERO,
        };
        for after in 0.. {
            let caption = format!("Broken {after} times after {write}");
            let before = world.x.posts().len();
            wire.break_at(write, after, when);
            world.post("alice", &caption, &sample()).await;
            outlast(&world, &wire, taken).await;
            let posts = world.x.posts();
            let said = world.last_text("alice");
            assert_eq!(posts.len(), before + 1, "{when:?} {caption}: {said}");
            assert_eq!(posts[before].text, caption, "{when:?}");
            assert_eq!(posts[before].media[0].sha256_hex.as_ref(), Some(&bytes), "{when:?} {caption}");
            let link = format!("{}/alice_makes/status/{}", world.x.url(), posts[before].id);
            assert_eq!(said, format!("Posted to @alice_makes\n{link} [Open on X]"), "{when:?} {caption}");
            world.assert_at_rest().await;
            if !*wire.broken().borrow() {
                assert!(after > 0, "{write} is never written");
                break;
            }
        }
    }
    assert_eq!(world.requests(Call::CreatePost).len(), world.x.posts().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_before_any_write_is_heard_harms_no_post() {
    with_each_write_broken(Break::Asking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_before_any_write_is_answered_harms_no_post() {
    with_each_write_broken(Break::Answering).await;
}

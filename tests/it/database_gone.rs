//! PostgreSQL goes away while a post is worked on, and comes back: work waits, says so, and loses nothing.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;
use toall::{
    post::State,
    sandbox::{Call, Effect, Fault, Gate},
};

use crate::world::{World, browser, sample};

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

//! Uploads that X forgets, cuts short or mislays: they go on, or begin anew, and the person is told.

use futures::future::join_all;
use serde_json::json;
use toall::sandbox::{Answer, Call, Effect, Exchange, Fault, Gate, Processing, Sent};

use crate::world::{World, read, sample};

const MIB: u64 = 1024 * 1024;
/// Makes three segments of 4 MiB.
const FILM_BYTES: usize = 9_000_000;
const MEDIA: [Call; 4] = [Call::Initialize, Call::Append, Call::Finalize, Call::Status];

/// The segment and size of an append.
fn segment(exchange: &Exchange) -> (u32, u64) {
    let Sent::Multipart(parts) = &exchange.sent else { panic!("{exchange:?}") };
    let part = |name: &str| parts.iter().find(|part| part.name == name).unwrap();
    (part("segment_index").text.as_deref().unwrap().parse().unwrap(), part("media").bytes)
}

/// The media id in a path such as `/2/media/upload/{id}/append`.
fn media_id(exchange: &Exchange) -> &str {
    exchange.path.split('/').nth(4).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_x_forgets_at_any_step_is_made_again() {
    let calls = [Call::Append, Call::Finalize, Call::Status, Call::CreatePost];
    join_all(calls.map(|call| async move {
        let world = World::linked().await;
        let gate = Gate::closed();
        let held = world.x.order(Fault::on(call, Effect::Hold(gate.clone())));
        world.post("alice", "Forgotten", &sample()).await;
        world.until("the held request", |_| held.fired() == 1).await;
        world.x.forget_media();
        gate.open();
        world.settle().await;
        world.assert_posted_once("alice", "Forgotten", &sample()).await;
        assert_eq!(world.requests(Call::Initialize).len(), 2, "forgotten at {call:?}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_expires_at_any_step_is_made_again() {
    let calls = [Call::Append, Call::Finalize, Call::Status, Call::CreatePost];
    join_all(calls.map(|call| async move {
        let world = World::linked().await;
        // A pause of a day: as long as X keeps an upload.
        let tomorrow = u64::try_from(world.now() / 1_000).unwrap() + 86_400;
        let pause = Answer::too_many_requests().limit("x-user-limit-24hour", 100, 0, tomorrow);
        world.x.order(Fault::on(call, Effect::Refuse(pause)));
        world.post("alice", "Expired", &sample()).await;
        world.settle().await;
        world.assert_posted_once("alice", "Expired", &sample()).await;
        let sessions = world.requests(Call::Initialize).len();
        assert_eq!(sessions, 2, "expired at {call:?}");
        let first: Vec<_> =
            world.requests(Call::Append).iter().map(|append| media_id(append).to_owned()).collect();
        assert_ne!(first.first(), first.last(), "the new upload is sent whole");
        if call != Call::Status {
            assert_eq!(world.requests(call).len(), 2, "nothing is asked of an upload that is over: {call:?}");
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_x_says_to_a_second_finalize_does_not_matter() {
    let refusals = [
        Answer::json(
            400,
            &json!({"title": "Invalid Request", "detail": "Already finalized.", "status": 400}),
        ),
        Answer::empty(404),
        Answer::html(503),
    ];
    join_all(refusals.map(|refusal| async move {
        let world = World::linked().await;
        // The answer to the first is lost, and X does not say how far it is.
        world.x.order(Fault::on(Call::Finalize, Effect::ActThenDrop));
        world.x.order(Fault::on(Call::Status, Effect::Refuse(Answer::html(503))));
        let again = world.x.order(Fault::on(Call::Finalize, Effect::Refuse(refusal)));
        world.post("alice", "Twice", &sample()).await;
        world.settle().await;
        assert_eq!(again.fired(), 1);
        world.assert_posted_once("alice", "Twice", &sample()).await;
    }))
    .await;
    // As the simulated X has it: the same answer again.
    let world = World::linked().await;
    world.x.order(Fault::on(Call::Finalize, Effect::ActThenDrop));
    world.x.order(Fault::on(Call::Status, Effect::Refuse(Answer::html(503))));
    world.post("alice", "Twice", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "Twice", &sample()).await;
    assert_eq!(world.requests(Call::Finalize).len(), 2);
    assert_eq!(world.requests(Call::Append).len(), 1, "nothing is sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_shrink_by_halves_and_the_size_is_kept_across_a_restart_and_a_new_upload() {
    for too_large in [413, 431] {
        let mut world =
            World::with(|_, config| config.worker.upload_parallelism = 1).await.and_linked().await;
        let film = world.film(FILM_BYTES);
        world.x.order(Fault::on(Call::Append, Effect::Refuse(Answer::empty(too_large))).times(2));
        let gate = Gate::closed();
        // Two refusals, and two chunks of 1 MiB.
        let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())).after(2));
        world.post("alice", "Smaller", &film).await;
        world.until("the third chunk", |_| held.fired() == 1).await;
        world.until_said().await;
        world.kill().await;
        // Another default would be of no consequence: boundaries are the post's own.
        world.boot().await;
        world.until("the next chunk", |world| world.requests(Call::Append).len() > 4).await;
        let sizes: Vec<_> = world.requests(Call::Append).iter().map(segment).collect();
        assert_eq!(sizes[..2], [(0, 4 * MIB), (0, 2 * MIB)]);
        assert!(sizes[2..].iter().all(|(_, bytes)| *bytes == MIB), "{sizes:?}");
        assert_eq!(world.requests(Call::Initialize).len(), 3, "the upload goes on after the restart");

        world.x.forget_media();
        gate.open();
        world.settle().await;
        world.assert_posted_once("alice", "Smaller", &film).await;
        assert_eq!(
            world.requests(Call::Initialize).len(),
            4,
            "the new upload begins with what was found to fit"
        );
        let large = world.requests(Call::Append).iter().filter(|append| segment(append).1 > MIB).count();
        assert_eq!(large, 2, "what X found too large is not tried again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_404_on_every_media_endpoint_is_outlasted() {
    join_all(MEDIA.map(|first| async move {
        let world = World::linked().await;
        let film = world.film(FILM_BYTES);
        let gate = Gate::closed();
        let held = world.x.order(Fault::on(first, Effect::Hold(gate.clone())));
        world.post("alice", "Outage", &film).await;
        world.until("the beginning", |_| held.fired() == 1).await;
        let begun = world.now();
        let gone = MEDIA
            .map(|call| world.x.order(Fault::on(call, Effect::Refuse(Answer::empty(404))).times(u32::MAX)));
        gate.open();
        world.until("a minute later", |world| world.now() - begun >= 60_000).await;
        for gone in &gone {
            world.x.lift(gone);
        }
        world.settle().await;
        world.assert_posted_once("alice", "Outage", &film).await;
        assert!(gone.iter().map(|gone| gone.fired()).sum::<u32>() > 0, "it has struck");
        world.shown("alice", "X has a problem at the moment · @alice_makes");
        assert!(world.now() - begun < 200_000, "{} ms", world.now() - begun);
        assert!(world.requests(Call::Initialize).iter().filter(|open| open.status == Some(200)).count() <= 3);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_video_is_waited_for_through_trouble_and_a_restart() {
    let mut world = World::linked().await;
    world.x.set_processing(Processing { steps: 40, check_after_secs: 30 });
    world.post("alice", "Slow", &sample()).await;
    world.until("some progress", |world| world.requests(Call::Status).len() == 5).await;
    world.x.order(Fault::on(Call::Status, Effect::Refuse(Answer::html(503))).times(3));
    world.until("the trouble", |world| world.requests(Call::Status).len() == 8).await;
    world.until_said().await;
    world.kill().await;
    world.boot().await;
    world.settle().await;
    world.assert_posted_once("alice", "Slow", &sample()).await;
    assert_eq!(world.requests(Call::Append).len(), 1);
    assert!(read(&world.last("alice").message).starts_with("Posted to"));
}

/// The ways in which X says that it does not know an upload.
fn unknown_upload() -> [Answer; 3] {
    [
        Answer::empty(404),
        Answer::invalid_request("media_id", "1", "Media not found."),
        Answer::invalid_request("media_id", "1", "The media id 1 is invalid."),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_of_an_upload_sends_nothing_again() {
    join_all([Call::Append, Call::Finalize, Call::Status].map(|call| async move {
        for refusal in unknown_upload() {
            let world = World::linked().await;
            let film = world.film(FILM_BYTES);
            world.x.order(Fault::on(call, Effect::Refuse(refusal)));
            world.post("alice", "Once", &film).await;
            world.settle().await;
            world.assert_posted_once("alice", "Once", &film).await;
            assert_eq!(world.requests(Call::Initialize).len(), 1, "{call:?}");
            let taken =
                world.requests(Call::Append).iter().filter(|append| append.status == Some(200)).count();
            assert_eq!(taken, 3, "{call:?}");
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_refused_again_is_sent_again() {
    join_all([Call::Append, Call::Finalize, Call::Status, Call::CreatePost].map(|call| async move {
        for refusal in unknown_upload() {
            // A refused creation is about the upload only where X names the media.
            if call == Call::CreatePost && !format!("{refusal:?}").contains("is invalid") {
                continue;
            }
            for restart in [false, true] {
                let mut world = World::linked().await;
                let refused = world.x.order(Fault::on(call, Effect::Refuse(refusal.clone())).times(2));
                world.post("alice", "Twice", &sample()).await;
                world.until("the refusal", |_| refused.fired() == 1).await;
                let begun = world.now();
                if restart {
                    world.until_row("alice", "its wait", |post| post.refused_since.is_some()).await;
                    world.kill().await;
                    world.boot().await;
                }
                world.until("the second", |_| refused.fired() == 2).await;
                // On PostgreSQL a killed process's lease ends first, which takes a minute.
                assert!((60_000..160_000).contains(&(world.now() - begun)), "{}", world.now() - begun);
                world.settle().await;
                world.assert_posted_once("alice", "Twice", &sample()).await;
                assert_eq!(world.requests(Call::Initialize).len(), 2, "{call:?} {refusal:?}");
            }
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_given_for_two_uploads_is_the_posts() {
    let world = World::linked().await;
    let refusal = Answer::invalid_request("media", "", "This file is not allowed.");
    let refused = world.x.order(Fault::on(Call::Append, Effect::Refuse(refusal)).times(u32::MAX));
    world.post("alice", "Never", &sample()).await;
    world.settle().await;
    assert_eq!(
        world.last_text("alice"),
        "sample.mp4 was not posted to @alice_makes.\nX refused this post: This file is not allowed.\nThat \
         usually concerns the text: check its length, links and mentions. If they are fine, try again later. [Try again]"
    );
    assert_eq!((world.requests(Call::Initialize).len(), refused.fired()), (2, 4), "two sessions, twice each");
    world.assert_at_rest_in_a_day().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x_is_asked_about_its_work_when_it_says() {
    let world = World::linked().await;
    world.x.set_processing(Processing { steps: 2, check_after_secs: 120 });
    world.post("alice", "Slow", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "Slow", &sample()).await;
    assert_eq!(world.requests(Call::Status).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_day_of_404s_is_outlasted() {
    join_all([Call::Append, Call::Status].map(|call| async move {
        let world = World::linked().await;
        let begun = world.now();
        let gone = world.x.order(Fault::on(call, Effect::Refuse(Answer::empty(404))).times(u32::MAX));
        world.post("alice", "Outage", &sample()).await;
        world.until("half a day", |world| world.now() - begun >= 12 * 3_600_000).await;
        world.x.lift(&gone);
        world.settle().await;
        world.assert_posted_once("alice", "Outage", &sample()).await;
        let sessions = world.requests(Call::Initialize).len();
        assert!(sessions <= 30, "{sessions} uploads for nothing");
    }))
    .await;
}

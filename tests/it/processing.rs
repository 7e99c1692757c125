//! Chunks that X finds too large, uploads it forgets, and what it does with the video.

use std::time::{Duration, UNIX_EPOCH};

use toall::{
    post::State,
    sandbox::{Answer, Call, Effect, Fault, Gate, Processing, ProcessingFailure, Sent, Subscription},
};

use crate::world::{NOON, World, read, sample};

const MIB: u64 = 1024 * 1024;

/// The sizes of the segments that X took or found too large, in the order of its answers.
fn segment_sizes(world: &World) -> Vec<(u64, Option<u16>)> {
    let appends = world.requests(Call::Append).into_iter();
    let sizes = appends.filter_map(|append| match &append.sent {
        Sent::Multipart(parts) => {
            Some((parts.iter().find(|part| part.name == "media")?.bytes, append.status))
        }
        _ => None,
    });
    sizes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_shrink_until_x_takes_them() {
    let world = World::with(|x, _| x.max_chunk = MIB).await.and_linked().await;
    let film = world.film(2 * MIB as usize + 500_000);
    world.post("alice", "In pieces", &film).await;
    world.settle().await;
    world.assert_posted_once("alice", "In pieces", &film).await;
    let mut taken = segment_sizes(&world);
    taken.retain(|(_, status)| *status == Some(200));
    taken.sort_unstable();
    // The end fitted among the chunks of 2 MiB, too.
    assert_eq!(taken.iter().filter(|(bytes, _)| *bytes == MIB).count(), 2, "{taken:?}");
    assert_eq!(world.requests(Call::Initialize).len(), 3, "4 MiB, 2 MiB, 1 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_x_never_takes_is_said() {
    let world = World::with(|x, _| x.max_chunk = 1_000).await.and_linked().await;
    world.post("alice", "In pieces", &sample()).await;
    world.settle().await;
    assert_eq!(
        world.last_text("alice"),
        "sample.mp4 was not posted to @alice_makes.\nX doesn't accept any part of this video right now, however small. Try again later. [Try again]"
    );
    world.assert_at_rest_in_a_day().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_forgotten_half_way_begins_anew() {
    let world = World::linked().await;
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
    world.post("alice", "Forgotten", &sample()).await;
    world.until("the segment", |_| held.fired() == 1).await;
    let forgotten_at = world.now();
    world.x.forget_media();
    gate.open();
    world.until("another upload", |world| world.requests(Call::Initialize).len() == 2).await;
    assert!((60_000..100_000).contains(&(world.now() - forgotten_at)), "one refusal is not believed");
    world.settle().await;
    world.assert_posted_once("alice", "Forgotten", &sample()).await;
    assert_eq!(world.requests(Call::Initialize).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_segments_of_a_video_are_under_way_at_once_and_no_more() {
    let world = World::linked().await;
    link(&world, "bob", "bob_builds").await;
    world.x.set_processing(Processing { steps: 0, check_after_secs: 0 });
    let film = world.film(4 * 4 * MIB as usize + 1_000);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())).times(4));
    world.post("alice", "In five segments", &film).await;
    world.until("four segments", |_| held.fired() == 4).await;
    // X has time for the fifth: all of another's post is made meanwhile.
    world.post("bob", "Meanwhile", &sample()).await;
    world.until_row("bob", "posted", |post| post.state == State::Posted).await;
    let sizes: Vec<_> = segment_sizes(&world).into_iter().map(|(bytes, _)| bytes).collect();
    let sample_bytes = std::fs::metadata(sample()).unwrap().len();
    assert_eq!(sizes, [sample_bytes], "a fifth segment did not wait for the others");
    gate.open();
    world.settle().await;
    assert_eq!(segment_sizes(&world).len(), 6);
    assert_eq!(world.x.posts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_word_of_x_on_its_work_ends_the_trouble_before_it() {
    let world = World::linked().await;
    let work = Duration::from_secs(100);
    world.x.set_processing(Processing { steps: 100, check_after_secs: 1 });
    world.x.order(Fault::on(Call::Status, Effect::Refuse(Answer::html(503))));
    for _ in 0..100 {
        world.x.order(Fault::on(Call::Status, Effect::Refuse(Answer::html(503))).after(1));
    }
    world.post("alice", "Every other time", &sample()).await;
    world.until("the end of its work", |world| world.now() >= NOON + ms(work)).await;
    let asked = world.requests(Call::Status);
    let refused = asked.iter().filter(|asked| asked.status == Some(503)).count();
    // After each word, trouble costs five seconds again; without, it would cost ever more.
    assert!(refused >= 12 && asked.len() - refused >= 12, "asked {} times, {refused} in vain", asked.len());
    world.settle().await;
    world.assert_posted_once("alice", "Every other time", &sample()).await;
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap()
}

async fn link(world: &World, name: &str, username: &str) {
    world.x.add_user(username, username, Subscription::None);
    world.link(name, username).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_forgotten_while_it_is_processed_is_sent_again() {
    let world = World::linked().await;
    world.post("alice", "Forgotten", &sample()).await;
    world.until("the processing", |world| !world.requests(Call::Finalize).is_empty()).await;
    world.x.forget_media();
    world.settle().await;
    world.assert_posted_once("alice", "Forgotten", &sample()).await;
    assert_eq!(world.requests(Call::Initialize).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_end_of_the_upload_is_asked_for() {
    for steps in [3, 0] {
        let world = World::linked().await;
        world.x.set_processing(Processing { steps, check_after_secs: 1 });
        world.x.order(Fault::on(Call::Finalize, Effect::ActThenDrop));
        world.post("alice", "Unheard", &sample()).await;
        world.settle().await;
        world.assert_posted_once("alice", "Unheard", &sample()).await;
        assert_eq!(world.requests(Call::Append).len(), 1, "nothing is sent again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_x_cannot_use_is_said_in_its_words() {
    let unread = ProcessingFailure::invalid_media();
    let while_in_progress = ProcessingFailure { while_in_progress: true, ..unread.clone() };
    for (failure, words) in [
        (unread, "InvalidMedia: Invalid or unsupported media."),
        (while_in_progress, "InvalidMedia: Invalid or unsupported media."),
        (ProcessingFailure::unsupported_media("Duration too short"), "UnsupportedMedia: Duration too short"),
    ] {
        let world = World::linked().await;
        world.x.fail_processing(failure);
        world.post("alice", "Unread", &sample()).await;
        world.until("the failure", |world| world.last_text("alice").contains("was not posted")).await;
        let told = world.last("alice");
        assert_eq!(
            read(&told.message),
            format!(
                "sample.mp4 was not posted to @alice_makes.\nX could not use this video ({words}). \
                 Send it as MP4 with H.264 video and AAC sound, or try once more. [Try again]"
            )
        );
        world.press("alice", &told, "Try again").await;
        world.settle().await;
        world.assert_posted_once("alice", "Unread", &sample()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_x_leaves_out_about_its_work_the_post_is_made() {
    let long_wait =
        Effect::Edit(|answer| answer["data"]["processing_info"]["check_after_secs"] = 1_000_000.into());
    for (call, effect, fault_is_a_long_wait) in [
        // Said to be ready while it is not: the creation is refused, and waited for.
        (Call::Finalize, Effect::no_processing_info(), false),
        (Call::Status, Effect::no_processing_info(), false),
        (Call::Finalize, Effect::no_check_after(), false),
        (Call::Status, Effect::no_check_after(), false),
        (Call::Finalize, long_wait, true),
        (
            Call::Status,
            Effect::Edit(|answer| answer["data"]["processing_info"]["state"] = "thinking".into()),
            false,
        ),
    ] {
        let world = World::linked().await;
        let fault = world.x.order(Fault::on(call, effect));
        world.post("alice", "Soon", &sample()).await;
        world.settle().await;
        assert_eq!(fault.fired(), 1);
        world.assert_posted_once("alice", "Soon", &sample()).await;
        let made = world.x.posts()[0].created_at.duration_since(UNIX_EPOCH).unwrap();
        let took = made - Duration::from_millis(NOON.unsigned_abs());
        // X may name any wait: five minutes are the most.
        let most = if fault_is_a_long_wait { 310 } else { 60 };
        assert!(took < Duration::from_secs(most), "{took:?}");
    }
    // A video with nothing to process has no `processing_info` at all.
    let world = World::linked().await;
    world.x.set_processing(Processing { steps: 0, check_after_secs: 0 });
    world.post("alice", "At once", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "At once", &sample()).await;
    assert_eq!(world.requests(Call::Status).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_never_ends_is_given_up_after_an_hour() {
    let world = World::linked().await;
    world.x.set_processing(Processing { steps: 1_000, check_after_secs: 30 });
    world.post("alice", "Never", &sample()).await;
    world.until("the end", |world| world.last_text("alice").contains("was not posted")).await;
    assert_eq!(
        world.last_text("alice"),
        "sample.mp4 was not posted to @alice_makes.\n\
         X did not finish processing the video in time. Try again later. [Try again]"
    );
    assert_eq!((world.now() - NOON) / 60_000, 60, "minutes");
    assert_eq!(world.row("alice").await.state, State::Failed);
    assert!(
        world.shown("alice", "X is processing the video · ").contains(" %\n@alice_makes · sample.mp4 · ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_x_always_forgets_end() {
    let world = World::linked().await;
    world.x.order(Fault::on(Call::Append, Effect::Refuse(Answer::empty(404))).times(u32::MAX));
    world.post("alice", "Forgotten", &sample()).await;
    world.settle().await;
    assert_eq!(
        world.last_text("alice"),
        "sample.mp4 was not posted to @alice_makes.\nX had a problem for too long. Try again later. [Try again]"
    );
    let (hours, sessions) = ((world.now() - NOON) / 3_600_000, world.requests(Call::Initialize).len());
    assert!(hours >= 48, "more than once is an incident: {hours} hours");
    assert!(sessions <= 100, "X is asked ever less often: {sessions} sessions");
    world.assert_at_rest_in_a_day().await;
}

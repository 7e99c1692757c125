//! Storage that is set up wrongly, full, damaged, or gives other bytes than it was given.

use std::sync::Arc;

use axum::http::StatusCode;
use futures::future::join_all;
use toall::{
    app::check::check,
    sandbox::{Call, Effect, Fault, Gate},
};

use crate::{
    bucket::{Bucket, Spoil},
    world::{World, sample},
};

/// A key that may put and get files may still lack what uploads in parts and the cleanup need.
#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_right_that_the_key_lacks() {
    let bucket = Arc::new(Bucket::start().await);
    let settings = bucket.settings();
    let mut world = World::with(|_, config| config.staging = Some(settings)).await;
    let config = world.config.clone();
    world.stop().await;
    let checked = async || {
        let mut said = Vec::new();
        check(&config, None, false, &mut said).await.unwrap();
        let said = String::from_utf8(said).unwrap();
        said.lines().find(|line| line.contains("parts  ")).unwrap_or(&said).to_owned()
    };
    assert_eq!(checked().await, "✓ parts       storage takes files in parts, lists and joins them");
    for (call, right) in [
        ("CreateMultipartUpload", "s3:PutObject"),
        ("UploadPart", "s3:PutObject"),
        ("ListParts", "s3:ListMultipartUploadParts"),
        ("AbortMultipartUpload", "s3:AbortMultipartUpload"),
        ("CompleteMultipartUpload", "s3:PutObject"),
        ("ListObjectsV2", "s3:ListBucket"),
        ("ListMultipartUploads", "s3:ListBucketMultipartUploads"),
    ] {
        bucket.forbid(call);
        let said = checked().await;
        assert!(said.starts_with('✗') && said.contains(&format!("the right {right} ")), "{call}: {said}");
        assert_eq!(bucket.keys(), Vec::<String>::new(), "{call}");
    }
}

/// The clock, the key, its secret and a right each need another remedy.
#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_clock_and_the_credentials() {
    let bucket = Bucket::start().await;
    let settings = bucket.settings();
    let mut world = World::with(|_, config| config.staging = Some(settings)).await;
    let config = world.config.clone();
    world.stop().await;
    for (code, remedy) in [
        ("RequestTimeTooSkewed", "Set the clock, best by NTP."),
        ("ExpiredToken", "The credentials for the storage have expired."),
        ("InvalidAccessKeyId", "Correct staging.access_key_id in the config."),
        ("SignatureDoesNotMatch", "Correct staging.secret_access_key in the config"),
        ("NoSuchBucket", "Create it, or correct staging.bucket in the config."),
        ("AccessDenied", "the right s3:PutObject in the bucket"),
    ] {
        bucket.refuse(Some((StatusCode::FORBIDDEN, code)));
        let mut said = Vec::new();
        check(&config, None, false, &mut said).await.unwrap();
        let said = String::from_utf8(said).unwrap();
        let line = said.lines().find(|line| line.contains(" staging  ")).unwrap_or(&said);
        assert!(line.starts_with('✗') && line.contains(remedy), "{code}: {line}");
    }
}

/// A world whose videos wait in this bucket.
async fn stored_in(bucket: &Bucket) -> World {
    let settings = bucket.settings();
    World::with(|_, config| config.staging = Some(settings)).await.and_linked().await
}

const LOST: &str =
    "was not posted to @alice_makes.\nMy copy of the video was lost or damaged. Send the video again.";

/// What a power cut, or a disk, may leave of a file that the database relies on.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_fetched_again_and_posted_right() {
    let damages: [fn(&mut Vec<u8>); 5] = [
        |file| file.clear(),
        |file| file.truncate(file.len() / 2),
        |file| file.extend([0; 5]),
        |file| file[2_500_000..].fill(0),
        |file| file[4_194_304] ^= 1,
    ];
    join_all(damages.map(|damage| async move {
        let mut world = World::linked().await;
        let film = world.film(5_000_000);
        let (gate, held) = world.hold(Call::Initialize);
        world.post("alice", "Dark", &film).await;
        world.until("the held request", |_| held.fired() == 1).await;
        world.kill().await;
        gate.open();
        for path in world.staged() {
            let mut file = std::fs::read(&path).unwrap();
            damage(&mut file);
            std::fs::write(&path, file).unwrap();
        }
        world.boot().await;
        world.settle().await;
        world.assert_posted_once("alice", "Dark", &film).await;
        assert_eq!(world.row("alice").await.refetches, 1);
        world.assert_at_rest().await;
    }))
    .await;
}

/// What X has is compared, too: a new process goes on behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_damaged_between_two_segments_is_posted_right() {
    let mut world = World::with(|_, config| config.worker.upload_parallelism = 1).await.and_linked().await;
    let film = world.film(9_000_000);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())).after(1));
    world.post("alice", "Dark", &film).await;
    world.until("the second segment", |_| held.fired() == 1).await;
    world.kill().await;
    gate.open();
    for path in world.staged() {
        let mut file = std::fs::read(&path).unwrap();
        file[6_000_000..].fill(0);
        std::fs::write(&path, file).unwrap();
    }
    world.boot().await;
    world.settle().await;
    world.assert_posted_once("alice", "Dark", &film).await;
    // The fresh copy is the same file, so what X has of it stays.
    assert_eq!(world.requests(Call::Initialize).len(), 1);
    world.assert_at_rest().await;
}

/// Nobody else has a file that its person sent to storage.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_upload_of_a_program_is_never_published() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let (gate, held) = world.hold(Call::Initialize);
    let request = program.publish(&world.film(9_000_000), "Dark", &world.account_id("alice_makes")).await;
    world.until("the held request", |_| held.fired() == 1).await;
    for path in world.staged() {
        let mut file = std::fs::read(&path).unwrap();
        file[4_500_000..].fill(0);
        std::fs::write(&path, file).unwrap();
    }
    gate.open();
    world.settle().await;
    let status = program.get(&format!("uploads/{request}")).await.ok();
    assert_eq!(status["accounts"][0]["error"]["code"], "staging_lost", "{status}");
    assert_eq!(world.x.posts().len(), 0);
    world.assert_at_rest_in_a_day().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_or_sizes_are_read_again_from_a_fresh_copy() {
    // Zeroes where the file begins look as if it were no video, until they are compared with what was stored.
    join_all([(Spoil::Zeroes, 2), (Spoil::Larger, 3), (Spoil::Smaller, 1)].map(
        |(spoil, times)| async move {
            let bucket = Bucket::start().await;
            let world = stored_in(&bucket).await;
            bucket.spoil(spoil, times);
            world.post("alice", "Spoilt", &sample()).await;
            world.settle().await;
            world.assert_posted_once("alice", "Spoilt", &sample()).await;
            assert_eq!(bucket.keys(), [""; 0], "{spoil:?}");
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_never_gives_back_what_it_was_given_is_told() {
    join_all([Spoil::Zeroes, Spoil::Larger, Spoil::Smaller].map(|spoil| async move {
        let bucket = Bucket::start().await;
        let world = stored_in(&bucket).await;
        bucket.spoil(spoil, usize::MAX);
        let begun = world.now();
        world.post("alice", "Spoilt", &sample()).await;
        world.until("the end", |world| world.last_text("alice").contains("was not posted")).await;
        assert_eq!(world.last_text("alice"), format!("sample.mp4 {LOST}"), "{spoil:?}");
        assert!(world.now() - begun < 3 * 3_600_000);
        assert_eq!(world.x.posts().len(), 0);
        assert_eq!(world.row("alice").await.refetches, 4);
        world.assert_at_rest_in_a_day().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_half_way_is_made_again() {
    let bucket = Bucket::start().await;
    let world = stored_in(&bucket).await;
    bucket.spoil(Spoil::Short, 3);
    world.post("alice", "Short", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "Short", &sample()).await;
    assert!(world.shown("alice", "The storage").contains("Nothing is lost. The next try is at"));
    assert_eq!(world.row("alice").await.refetches, 0, "the file is where it was");
}

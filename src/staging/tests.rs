#![allow(
    clippy::disallowed_methods,
    reason = "the tests stand outside: their files have the age of the real clock"
)]

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

mod foreign;
mod guarded;
mod lasting;
mod parts;
mod sweeping;

use super::{embedded::Server, put::PART_BYTES, *};

const MINUTE: Duration = Duration::from_secs(60);
const NO_LIMIT: u64 = 1 << 30;

async fn embedded() -> (Staging, Server, TempDir) {
    let dir = TempDir::new().unwrap();
    let (staging, server) = Staging::embedded(dir.path(), 0).await.unwrap();
    (staging, server, dir)
}

/// Bytes that differ from place to place, so that a part out of order shows.
fn sample(length: u64) -> Bytes {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// In pieces whose size does not divide a part.
fn pieces(bytes: &Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let bytes = bytes.clone();
    let starts = (0..bytes.len()).step_by(100_003);
    stream::iter(starts.map(move |at| Ok(bytes.slice(at..bytes.len().min(at + 100_003)))))
}

async fn put(staging: &Staging, key: &str, bytes: &Bytes) -> Result<Stored, PutError<io::Error>> {
    staging.put_stream(key, pieces(bytes), NO_LIMIT, |_| {}).await
}

async fn get(staging: &Staging, key: &str, range: Range<u64>) -> Result<Vec<u8>, StagingError> {
    let chunks: Vec<Bytes> = staging.read(key, range).await?.try_collect().await?;
    Ok(chunks.concat())
}

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(MINUTE, waiting).await.expect(what);
}

#[tokio::test]
async fn every_length_around_a_part_comes_back_whole() {
    let (staging, _server, dir) = embedded().await;
    let whole = sample(3 * PART_BYTES);
    for length in [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES] {
        let bytes = whole.slice(..length as usize);
        let mut seen = 0;
        let stored = staging
            .put_stream("posts/a", pieces(&bytes), NO_LIMIT, |so_far| {
                assert!(so_far > seen);
                seen = so_far;
            })
            .await
            .unwrap();
        assert_eq!(seen, length);
        assert_eq!(stored.bytes, length);
        assert_eq!(stored.digests.sha256(), <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert_eq!(staging.size("posts/a").await.unwrap(), length);
        assert!(get(&staging, "posts/a", 0..length).await.unwrap() == bytes, "{length}");
    }
    staging.delete("posts/a").await.unwrap();
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn nothing_is_not_a_file() {
    let (staging, _server, dir) = embedded().await;
    let refused = put(&staging, "posts/a", &Bytes::new()).await;
    assert!(matches!(refused, Err(PutError::Empty)));
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn ranges_are_exact_and_never_cut() {
    let (staging, _server, _dir) = embedded().await;
    let bytes = sample(700_000);
    put(&staging, "posts/a", &bytes).await.unwrap();
    for range in [0..1, 0..700_000, 262_143..262_145, 300_000..699_999, 699_999..700_000, 5..5] {
        let wanted = &bytes[range.start as usize..range.end as usize];
        assert!(get(&staging, "posts/a", range.clone()).await.unwrap() == wanted, "{range:?}");
    }
    for range in [0..700_001, 700_000..700_001, 699_999..1 << 40] {
        let cut = get(&staging, "posts/a", range.clone()).await;
        assert_eq!(cut, Err(StagingError::WrongSize), "{range:?}");
    }
}

#[tokio::test]
async fn a_source_that_fails_leaves_nothing() {
    let (staging, _server, dir) = embedded().await;
    let broken = pieces(&sample(2 * PART_BYTES + 5)).chain(stream::iter([Err(io::Error::other("gone"))]));
    let failed = staging.put_stream("posts/a", broken, NO_LIMIT, |_| {}).await;
    assert!(matches!(failed, Err(PutError::Source(error)) if error.to_string() == "gone"));
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_source_too_large_leaves_nothing() {
    let (staging, _server, dir) = embedded().await;
    let bytes = sample(PART_BYTES + 1);
    let refused = staging.put_stream("posts/a", pieces(&bytes), PART_BYTES, |_| {}).await;
    assert!(matches!(refused, Err(PutError::TooLarge { limit: PART_BYTES })));
    let taken = staging.put_stream("posts/b", pieces(&bytes), PART_BYTES + 1, |_| {}).await;
    assert_eq!(taken.unwrap().bytes, PART_BYTES + 1);
    staging.delete("posts/b").await.unwrap();
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn storage_that_fails_half_way_is_named() {
    let (staging, server, _dir) = embedded().await;
    let stop = stream::once(async move {
        server.shutdown().await;
        Ok(Bytes::new())
    });
    let body = pieces(&sample(PART_BYTES + 5)).chain(stop).chain(pieces(&sample(2 * PART_BYTES)));
    let failed = staging.put_stream("posts/a", body, NO_LIMIT, |_| {}).await;
    assert!(matches!(failed, Err(PutError::Storage(StagingError::Unreachable(_)))), "{failed:?}");
}

/// `/dev/full` stands in for the file that s3s-fs is about to write: every write to it finds no space.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_named() {
    let (staging, _server, dir) = embedded().await;
    std::os::unix::fs::symlink("/dev/full", dir.path().join(".tmp.0.internal.part")).unwrap();
    let failed = put(&staging, "posts/a", &sample(1)).await;
    assert!(matches!(failed, Err(PutError::Storage(StagingError::Full))), "{failed:?}");
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_last_bytes_of_the_disk_are_left_alone() {
    let dir = TempDir::new().unwrap();
    let (staging, _server) = Staging::embedded(dir.path(), u64::MAX).await.unwrap();
    for bytes in [1, 2 * PART_BYTES] {
        let failed = put(&staging, "posts/a", &sample(bytes)).await;
        assert!(matches!(failed, Err(PutError::Storage(StagingError::Full))), "{failed:?}");
    }
    assert_eq!(staging.probe().await, Err(StagingError::Full));
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing() {
    let (staging, _server, dir) = embedded().await;
    let endless = pieces(&sample(2 * PART_BYTES + 5)).chain(stream::pending());
    let putting = tokio::spawn(async move { staging.put_stream("posts/a", endless, NO_LIMIT, |_| {}).await });
    let part = |path: &PathBuf| path.to_string_lossy().contains(".part-");
    until("a part is stored", || files(dir.path()).iter().any(part)).await;
    putting.abort();
    assert!(putting.await.unwrap_err().is_cancelled());
    until("the upload is aborted", || files(dir.path()).is_empty()).await;
}

#[tokio::test]
async fn what_is_not_there_is_missing_and_may_be_deleted() {
    let (staging, _server, _dir) = embedded().await;
    assert_eq!(get(&staging, "posts/a", 0..1).await, Err(StagingError::Missing));
    assert_eq!(staging.size("posts/a").await, Err(StagingError::Missing));
    put(&staging, "posts/a", &sample(1)).await.unwrap();
    staging.delete("posts/a").await.unwrap();
    staging.delete("posts/a").await.unwrap();
    assert_eq!(get(&staging, "posts/a", 0..1).await, Err(StagingError::Missing));
}

#[tokio::test]
async fn a_probe_leaves_nothing() {
    let (staging, _server, dir) = embedded().await;
    staging.probe().await.unwrap();
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

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

use super::{embedded::Server, put::PART_BYTES, *};

const MINUTE: Duration = Duration::from_secs(60);
const NO_LIMIT: u64 = 1 << 30;

async fn embedded() -> (Staging, Server, TempDir) {
    let dir = TempDir::new().unwrap();
    let (staging, server) = Staging::embedded(dir.path()).await.unwrap();
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
        assert_eq!(stored.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
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
        assert_eq!(cut, Err(StagingError::CutShort), "{range:?}");
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
    assert!(matches!(failed, Err(PutError::Storage(StagingError::Unreachable))), "{failed:?}");
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
async fn presigned_links_need_no_credentials_and_bind_type_and_size() {
    let (staging, _server, _dir) = embedded().await;
    let browser = reqwest::Client::new();
    let url = staging.presign_put("posts/a", "video/mp4", Some(5), MINUTE).await.unwrap();
    let send = |content_type: &'static str, body: &'static str| {
        let request = browser.put(url.clone()).header("content-type", content_type);
        async move { request.body(body).send().await.unwrap().status().as_u16() }
    };
    assert_eq!(send("text/html", "video").await, 403);
    assert_eq!(send("video/mp4", "videos").await, 403);
    assert_eq!(staging.size("posts/a").await, Err(StagingError::Missing));
    assert_eq!(send("video/mp4", "video").await, 200);

    let url = staging.presign_get("posts/a", MINUTE).await.unwrap();
    let got = browser.get(url.clone()).send().await.unwrap();
    assert_eq!(got.headers()["content-type"], "video/mp4");
    assert_eq!(got.text().await.unwrap(), "video");
    let mut bare = url.clone();
    bare.set_query(None);
    assert_eq!(browser.get(bare).send().await.unwrap().status(), 403);
    let mut other = url;
    other.set_path("/toall/posts/b");
    assert_eq!(browser.get(other).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn other_credentials_are_refused() {
    let (staging, _server, dir) = embedded().await;
    let stranger = Credentials::new("AKIDSTRANGER", "guess", None, None, "test");
    let config = staging.client.config().to_builder();
    let stranger = Staging {
        client: Client::from_conf(config.credentials_provider(stranger).build()),
        bucket: staging.bucket.clone(),
    };
    assert_eq!(stranger.probe().await, Err(StagingError::Denied));
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn keys_cannot_leave_the_folder() {
    let (staging, _server, dir) = embedded().await;
    let long = "a".repeat(129);
    for key in ["", "/a", "a//b", "..", "posts/../a", "posts/..", ".a", "a\\b", "a\nb", "a\0", &long] {
        let refused = put(&staging, key, &sample(1)).await;
        assert!(matches!(refused, Err(PutError::Storage(StagingError::BadKey))), "{key:?}");
        assert_eq!(get(&staging, key, 0..1).await, Err(StagingError::BadKey));
        assert_eq!(staging.delete(key).await, Err(StagingError::BadKey));
        assert!(staging.presign_get(key, MINUTE).await.is_err());
    }
    // The server itself holds to it, whoever signs.
    for key in ["../../escaped", "posts/../../.upload-x", "%2e%2e/escaped"] {
        let put = staging.client.put_object().bucket("toall").key(key);
        let refused = put.body(ByteStream::from_static(b"x")).send().await;
        assert_eq!(StagingError::from(refused.unwrap_err()), StagingError::Denied, "{key:?}");
    }
    let elsewhere = staging.client.put_object().bucket("elsewhere").key("a");
    assert!(elsewhere.body(ByteStream::from_static(b"x")).send().await.is_err());
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_restart_keeps_objects_and_clears_unfinished_uploads() {
    let (staging, server, dir) = embedded().await;
    put(&staging, "posts/a", &sample(10)).await.unwrap();
    let stored = files(dir.path());
    let create = staging.client.create_multipart_upload().bucket("toall").key("posts/b");
    let id = create.send().await.unwrap().upload_id.unwrap();
    let part = staging.client.upload_part().bucket("toall").key("posts/b").upload_id(id);
    part.part_number(1).body(ByteStream::from_static(b"x")).send().await.unwrap();
    assert!(files(dir.path()).len() > stored.len());
    server.shutdown().await;

    let (staging, _server) = Staging::embedded(dir.path()).await.unwrap();
    assert_eq!(get(&staging, "posts/a", 0..10).await.unwrap(), sample(10));
    assert_eq!(files(dir.path()).len(), stored.len());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_folder() {
    use std::os::unix::fs::PermissionsExt;
    let (staging, _server, dir) = embedded().await;
    put(&staging, "posts/small", &sample(10)).await.unwrap();
    put(&staging, "posts/large", &sample(PART_BYTES + 1)).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in files(dir.path()) {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    for folder in ["", "toall", "toall/posts"] {
        assert_eq!(mode(&dir.path().join(folder)), 0o700, "{folder:?}");
    }
}

#[tokio::test]
async fn a_sweep_takes_what_is_old_and_unclaimed() {
    let (staging, _server, _dir) = embedded().await;
    for key in ["posts/claimed", "posts/stray", "elsewhere/stray"] {
        put(&staging, key, &sample(1)).await.unwrap();
    }
    let keep = |key: &str| key == "posts/claimed";
    let young = staging.sweep(keep, SystemTime::now() - 60 * MINUTE).await;
    assert_eq!(young.unwrap(), Swept::default());
    let old = staging.sweep(keep, SystemTime::now() + 60 * MINUTE).await;
    assert_eq!(old.unwrap(), Swept { objects: 1, uploads: 0 });
    assert_eq!(staging.size("posts/stray").await, Err(StagingError::Missing));
    assert_eq!(staging.size("posts/claimed").await, Ok(1));
    assert_eq!(staging.size("elsewhere/stray").await, Ok(1));
}

#[tokio::test]
async fn a_sweep_aborts_old_uploads_where_they_can_be_listed() {
    let (aborted, mut aborts) = tokio::sync::mpsc::unbounded_channel();
    let staging = pretending(move |request| {
        if request.starts_with("DELETE ") {
            aborted.send(request.to_owned()).unwrap();
            let gone = "<Error><Code>NoSuchUpload</Code></Error>";
            return response("404 Not Found", gone);
        }
        if request.contains("list-type=2") {
            return response("200 OK", "<ListBucketResult></ListBucketResult>");
        }
        if request.contains("prefix=uploads") {
            return response("200 OK", "<ListMultipartUploadsResult></ListMultipartUploadsResult>");
        }
        let upload = |id: &str, year: u16| {
            format!(
                "<Upload><Key>posts/a</Key><UploadId>{id}</UploadId>\
                 <Initiated>{year}-01-01T00:00:00.000Z</Initiated></Upload>"
            )
        };
        let (old, young) = (upload("old", 2001), upload("young", 2999));
        let list = "ListMultipartUploadsResult";
        response("200 OK", &format!("<{list}>{old}{young}</{list}>"))
    })
    .await;
    let swept = staging.sweep(|_| false, SystemTime::now()).await.unwrap();
    assert_eq!(swept, Swept { objects: 0, uploads: 1 });
    assert!(aborts.recv().await.unwrap().contains("uploadId=old"));
    assert!(aborts.try_recv().is_err());
}

#[tokio::test]
async fn a_probe_leaves_nothing() {
    let (staging, _server, dir) = embedded().await;
    staging.probe().await.unwrap();
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

/// An S3 that gives the same answer to everything.
async fn answering(answer: String) -> Staging {
    pretending(move |_| answer.clone()).await
}

/// An S3 that answers each request line as told.
async fn pretending(answer: impl Fn(&str) -> String + Send + 'static) -> Staging {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let answer = answer(head.lines().next().unwrap_or_default());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    at(&format!("http://{address}")).await
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

async fn at(endpoint: &str) -> Staging {
    let settings = config::Staging {
        endpoint_url: Some(endpoint.parse().unwrap()),
        bucket: "videos".into(),
        region: "us-east-1".into(),
        access_key_id: Some("AKIDEXAMPLE".into()),
        secret_access_key: Some("the-secret".into()),
        force_path_style: true,
    };
    let staging = Staging::connect(&settings).await.unwrap();
    assert!(!format!("{staging:?}").contains("the-secret"));
    staging
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let other = |told: &str| StagingError::Other(told.into());
    for (status, code, expected) in [
        ("404 Not Found", "NoSuchBucket", StagingError::NoBucket),
        ("404 Not Found", "NoSuchKey", StagingError::Missing),
        ("403 Forbidden", "AccessDenied", StagingError::Denied),
        ("403 Forbidden", "InvalidAccessKeyId", StagingError::Denied),
        ("403 Forbidden", "RequestTimeTooSkewed", other("403 RequestTimeTooSkewed")),
        ("301 Moved Permanently", "PermanentRedirect", StagingError::WrongRegion),
        ("416 Range Not Satisfiable", "InvalidRange", StagingError::CutShort),
        ("507 Insufficient Storage", "XMinioStorageFull", StagingError::Full),
        ("418 Teapot", "Short-And Stout", other("418 ShortAndStout")),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        let staging = answering(response(status, &body)).await;
        assert_eq!(get(&staging, "posts/a", 0..1).await, Err(expected), "{code}");
    }
}

#[tokio::test]
async fn a_body_cut_on_the_way_is_an_error() {
    let head = "HTTP/1.1 206 Partial Content\r\ncontent-length: 10\r\nconnection: close\r\n\r\n";
    let staging = answering(format!("{head}12345")).await;
    assert_eq!(get(&staging, "posts/a", 0..10).await, Err(StagingError::CutShort));
    assert_eq!(get(&staging, "posts/a", 0..5).await, Err(StagingError::CutShort));
}

#[tokio::test]
async fn a_server_that_is_gone_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let staging = at(&format!("http://{address}")).await;
    let failed = put(&staging, "posts/a", &sample(1)).await;
    assert!(matches!(failed, Err(PutError::Storage(StagingError::Unreachable))), "{failed:?}");
}

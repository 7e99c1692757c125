use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::IntoResponse};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{World, client, json, token, told};
use crate::twitter::{Media, MediaStatus, Processing, ProcessingError, XError};

/// A body in pieces of these bytes.
fn pieces(pieces: &[&'static [u8]]) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
    stream::iter(pieces)
}

#[tokio::test]
async fn an_upload_opens_with_json() {
    let world = World::new([
        json(200, r#"{"data":{"id":"19930000000000000077","media_key":"7_19930000000000000077","expires_after_secs":86400}}"#),
        json(202, r#"{"data":{"id":"78"}}"#),
    ])
    .await;
    let media = world.x.initialize(&token(), "video/mp4", 5_000_000_000).await.unwrap();
    assert_eq!(
        media,
        Media {
            id: "19930000000000000077".to_owned(),
            key: Some("7_19930000000000000077".to_owned()),
            expires_after: Some(Duration::from_secs(86_400)),
        }
    );
    let seen = world.one();
    assert_eq!(seen.line, "POST /2/media/upload/initialize");
    assert_eq!(seen.header("authorization"), Some("Bearer hush-access"));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&seen.body).unwrap(),
        serde_json::json!({"media_type": "video/mp4", "total_bytes": 5_000_000_000_u64, "media_category": "tweet_video"})
    );
    let media = world.x.initialize(&token(), "video/mp4", 1).await.unwrap();
    assert_eq!(media, Media { id: "78".to_owned(), key: None, expires_after: None });
}

#[tokio::test]
async fn a_chunk_is_a_multipart_form_of_known_length() {
    let world = World::new([json(200, r#"{"data":{"expires_at":1}}"#), json(204, "")]).await;
    for segment in [3, 999] {
        world.x.append(&token(), "77", segment, 6, pieces(&[b"ab\r\n", b"", b"\0z"])).await.unwrap();
    }
    let seen = world.seen();
    let seen = &seen[0];
    assert_eq!(seen.line, "POST /2/media/upload/77/append");
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
    assert_eq!(seen.header("transfer-encoding"), None);

    let kind = seen.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = String::from_utf8(seen.body.to_vec()).unwrap();
    let parts: Vec<_> = body.split(&format!("--{boundary}")).collect();
    let [start, segment, media, end] = parts[..] else { panic!("{body}") };
    assert_eq!((start, end), ("", "--\r\n"));
    assert_eq!(segment, "\r\nContent-Disposition: form-data; name=\"segment_index\"\r\n\r\n3\r\n");
    let (head, bytes) = media.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("name=\"media\"; filename="), "a file part: {head}");
    assert_eq!(bytes, "ab\r\n\0z\r\n");
}

#[tokio::test]
async fn a_refused_chunk_says_why() {
    for (status, expected) in [
        (413, "X found the request too large (413 Payload Too Large)"),
        (404, "X does not know this upload"),
        (503, "X is in trouble (503 Service Unavailable)"),
    ] {
        let world = World::new([json(status, "")]).await;
        let error = world.x.append(&token(), "77", 0, 2, pieces(&[b"ab"])).await.unwrap_err();
        assert_eq!(told(&error), expected);
    }
}

#[tokio::test]
async fn a_failing_body_is_not_blamed_on_x() {
    let world = World::new([]).await;
    let broken = pieces(&[b"ab"]).chain(stream::iter([Err(io::Error::other("the disk is gone"))]));
    let error = world.x.append(&token(), "77", 0, 9, broken).await.unwrap_err();
    assert_eq!(told(&error), "the video could not be read: the disk is gone");

    for body in [pieces(&[b"abc"]), pieces(&[b"ab", b"abc"])] {
        let error = world.x.append(&token(), "77", 0, 4, body).await.unwrap_err();
        assert!(matches!(error, XError::Source(_)), "{error:?}");
        assert_eq!(told(&error), "the video could not be read: it is not the expected 4 bytes long");
    }
}

/// Bytes that know how many of their kind are held at once.
struct Held(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_chunk_is_never_held_as_a_whole() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 512;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let drain = |body: Body| async {
        let mut body = body.into_data_stream();
        let mut bytes = 0;
        while let Some(piece) = body.next().await {
            bytes += piece.unwrap().len();
        }
        assert!(bytes > PIECE * PIECES);
        axum::http::StatusCode::NO_CONTENT.into_response()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(drain)).await });

    let (held, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let body = stream::iter(0..PIECES).map({
        let most = most.clone();
        move |_| {
            most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            io::Result::Ok(Bytes::from_owner(Held(vec![7; PIECE], held.clone())))
        }
    });
    let len = (PIECE * PIECES) as u64;
    client(&url, None).append(&token(), "77", 0, len, body).await.unwrap();
    let most = most.load(Ordering::SeqCst);
    assert!(most <= 32, "{most} of {PIECES} pieces were held at once");
}

#[tokio::test]
async fn finalize_without_more_to_do_means_ready() {
    let world = World::new([json(
        200,
        r#"{"data":{"id":"77","media_key":"7_77","size":9,"expires_after_secs":60}}"#,
    )])
    .await;
    let status = world.x.finalize(&token(), "77").await.unwrap();
    assert_eq!(
        status,
        MediaStatus {
            processing: Processing::Ready,
            silent: true,
            key: Some("7_77".to_owned()),
            expires_after: Some(Duration::from_secs(60)),
        }
    );
    let seen = world.one();
    assert_eq!(seen.line, "POST /2/media/upload/77/finalize");
    assert!(seen.body.is_empty());
}

#[tokio::test]
async fn a_status_is_read_in_all_its_forms() {
    let pending = |percent, secs: Option<u64>| Processing::Pending {
        percent,
        check_after: secs.map(Duration::from_secs),
    };
    let failed = |code, name: &str, message: &str| {
        Processing::Failed(ProcessingError { code, name: name.to_owned(), message: message.to_owned() })
    };
    for (info, expected) in [
        (r#"{"state":"pending","check_after_secs":5}"#, pending(None, Some(5))),
        (r#"{"state":"in_progress","progress_percent":40,"check_after_secs":2}"#, pending(Some(40), Some(2))),
        (r#"{"state":"in_progress","progress_percent":900}"#, pending(Some(100), None)),
        (r#"{"state":"a new one"}"#, pending(None, None)),
        (r#"{"state":"succeeded","progress_percent":100}"#, Processing::Ready),
        (r#"{"state":"failed"}"#, failed(0, "", "")),
        (
            r#"{"state":"failed","error":{"code":3,"name":"UnsupportedMedia","message":"Too\nlong"}}"#,
            failed(3, "UnsupportedMedia", "Too long"),
        ),
        (
            r#"{"state":"in_progress","error":{"code":1,"name":"InvalidMedia"}}"#,
            failed(1, "InvalidMedia", ""),
        ),
        (r#"{"state":"succeeded","error":null}"#, Processing::Ready),
        ("null", Processing::Ready),
    ] {
        let body = format!(r#"{{"data":{{"id":"77","processing_info":{info}}}}}"#);
        let world = World::new([json(200, body)]).await;
        assert_eq!(world.x.status(&token(), "77").await.unwrap().processing, expected, "{info}");
        assert_eq!(world.one().line, "GET /2/media/upload?command=STATUS&media_id=77");
    }
}

/// X's edge has refused chunks by their announced length, before it read them.
#[tokio::test]
async fn a_refusal_is_heard_before_the_chunk_is_sent() {
    for linger in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            assert_ne!(stream.read(&mut head).await.unwrap(), 0);
            let refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
            if linger {
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
            }
        });
        let body = stream::repeat(Bytes::from(vec![7; 64 * 1024])).take(128).map(io::Result::Ok);
        let error = client(&url, None).append(&token(), "77", 0, 8 << 20, body).await.unwrap_err();
        assert!(matches!(error, XError::TooLarge(_)), "{linger} {error:?}");
    }
}

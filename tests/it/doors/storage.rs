use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
};
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use proptest::{prelude::*, sample::select};
use reqwest::header::{HeaderName, HeaderValue};
use toall::{
    config,
    staging::{PutError, Staging, StagingError},
};
use tokio::net::TcpListener;

use super::{each, runtime};

type Answer = (u16, Vec<(HeaderName, HeaderValue)>, Vec<u8>);

fn answers() -> impl Strategy<Value = Answer> {
    let codes =
        "(NoSuchBucket|NoSuchKey|AccessDenied|InvalidRange|PermanentRedirect|[A-Za-z<&\u{e9} ]{0,80})";
    let error = (codes, "\\PC{0,60}").prop_map(|(code, message)| {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>")
            .into_bytes()
    });
    let begun = Just(
        b"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>posts/a</Key><UploadId>7</UploadId>\
        </InitiateMultipartUploadResult>"
            .to_vec(),
    );
    let deep = (1..2_000_usize).prop_map(|depth| "<a>".repeat(depth).into_bytes());
    let body = prop_oneof![
        4 => error,
        2 => begun,
        1 => deep,
        1 => Just(b"<!DOCTYPE a [<!ENTITY b \"&b;&b;\">]><Error><Code>&b;</Code></Error>".to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..400),
    ];
    let names = [
        "etag",
        "content-range",
        "last-modified",
        "x-amz-request-id",
        "x-amz-version-id",
        "content-encoding",
    ];
    let value = prop_oneof![
        prop::collection::vec(0x20_u8..0xff, 0..40),
        select(vec!["bytes 0-3/4", "bytes */*", "\"etag\"", "Thu, 01 Jan 1970 00:00:00 GMT", "gzip"])
            .prop_map(Vec::from),
    ];
    let header = (select(names.to_vec()), value).prop_filter_map("a header", |(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?))
    });
    // The SDK tries again, after a pause, what these leave out.
    let status = select(vec![200_u16, 200, 206, 204, 301, 307, 400, 401, 403, 404, 409, 411, 412, 416, 418]);
    (status, prop::collection::vec(header, 0..4), body)
}

#[test]
fn any_answer_of_storage_is_used_or_explained() {
    let runtime = runtime();
    let told: Arc<Mutex<Answer>> = Arc::default();
    let staging = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = config::Staging {
            endpoint_url: Some(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()),
            bucket: "toall".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: Some("key".to_owned()),
            secret_access_key: Some("hush".to_owned().into()),
            force_path_style: true,
        };
        let told = told.clone();
        let router = Router::new().fallback(async move |request: Request| {
            let _ = to_bytes(request.into_body(), 1 << 20).await;
            let (status, headers, body) = told.lock().unwrap().clone();
            let mut response = Response::builder().status(status).body(Body::from(body)).unwrap();
            response.headers_mut().extend(headers);
            response
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Staging::connect(&settings).await.unwrap()
    });
    each(&runtime, 60, 1, &(0..5_u8, answers()), async |(which, answer)| {
        *told.lock().unwrap() = answer.clone();
        let error = match which {
            0 => staging.size("posts/a").await.err(),
            1 => staging.delete("posts/a").await.err(),
            2 => match staging.read("posts/a", 0..4).await {
                Ok(chunks) => {
                    let read: Result<Vec<Bytes>, StagingError> = chunks.try_collect().await;
                    // What is given out is never more or less than what was asked for.
                    prop_assert!(read.as_ref().map_or(4, |chunks| chunks.concat().len()) == 4);
                    read.err()
                }
                Err(error) => Some(error),
            },
            3 => staging.probe().await.err(),
            _ => {
                let source = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a video"))]);
                match staging.put_stream("posts/a", source, 100, |_| {}).await {
                    Ok(stored) => {
                        prop_assert_eq!(stored.bytes, 7);
                        None
                    }
                    Err(PutError::Storage(error)) => Some(error),
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                }
            }
        };
        if let Some(error) = error {
            let said = error.to_string();
            prop_assert!(said.ends_with('.') && said.chars().count() < 300, "{}", said);
            prop_assert!(!said.contains("hush") && !said.contains("127.0.0.1"), "{}", said);
            prop_assert!(!said.chars().any(char::is_control), "{:?}", said);
        }
        Ok(())
    });
}

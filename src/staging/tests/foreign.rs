//! Storage that answers otherwise than ours.

use super::*;

/// An S3 that gives the same answer to everything.
async fn answering(answer: String) -> Staging {
    pretending(move |_| answer.clone()).await
}

/// An S3 that answers each request line as told.
pub(super) async fn pretending(answer: impl Fn(&str) -> String + Send + 'static) -> Staging {
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

pub(super) fn response(status: &str, body: &str) -> String {
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
    assert!(matches!(failed, Err(PutError::Storage(StagingError::Unreachable(_)))), "{failed:?}");
}

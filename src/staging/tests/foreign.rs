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

/// The bucket's own rules stay; one that has none says so by an error.
#[tokio::test]
async fn the_rule_for_browsers_is_added_to_those_there_are() {
    let theirs = "<CORSConfiguration><CORSRule><AllowedOrigin>https://other.example.org</AllowedOrigin>\
                  <AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>";
    let none = "<Error><Code>NoSuchCORSConfiguration</Code></Error>";
    for (status, body, before) in [("200 OK", theirs, 1), ("404 Not Found", none, 0)] {
        let lengths = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = lengths.clone();
        let staging = pretending(move |line| {
            seen.lock().unwrap().push(line.to_owned());
            match line.starts_with("GET") {
                true => response(status, body),
                false => response("200 OK", ""),
            }
        })
        .await;
        staging.let_browsers_put("https://toall.example.org").await.unwrap();
        let asked = lengths.lock().unwrap().clone();
        assert!(asked[0].starts_with("GET /videos") && asked[0].contains("cors"), "{asked:?}");
        assert!(asked[1].starts_with("PUT /videos") && asked[1].contains("cors"), "{asked:?} {before}");
    }
    let denied = answering(response("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>")).await;
    assert_eq!(denied.let_browsers_put("https://toall.example.org").await, Err(StagingError::Denied));
}

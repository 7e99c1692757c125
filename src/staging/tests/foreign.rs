//! Storage that answers otherwise than ours.

use std::sync::{Arc, Mutex};

use super::*;

/// An S3 that gives the same answer to everything.
async fn answering(answer: String) -> Staging {
    pretending(move |_| answer.clone()).await
}

/// An S3 that answers each request line as told.
pub(super) async fn pretending(answer: impl Fn(&str) -> String + Send + 'static) -> Staging {
    pretending_below("", answer).await
}

/// The same, at an address with a path.
async fn pretending_below(path: &str, answer: impl Fn(&str) -> String + Send + 'static) -> Staging {
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
    at(&format!("http://{address}{path}")).await
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
        ("403 Forbidden", "AccessDenied", StagingError::Denied("s3:GetObject or s3:ListBucket")),
        ("403 Forbidden", "InvalidAccessKeyId", StagingError::UnknownKey),
        ("403 Forbidden", "SignatureDoesNotMatch", StagingError::WrongSecret),
        ("400 Bad Request", "ExpiredToken", StagingError::ExpiredCredentials),
        ("403 Forbidden", "RequestTimeTooSkewed", StagingError::ClockOff),
        ("301 Moved Permanently", "PermanentRedirect", StagingError::WrongRegion),
        ("416 Range Not Satisfiable", "InvalidRange", StagingError::WrongSize),
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
    // A connection comes back; an object of another size stays so.
    let cut = get(&staging, "posts/a", 0..10).await;
    assert_eq!(cut, Err(StagingError::Unreachable("it closed the connection early".to_owned())));
    assert_eq!(get(&staging, "posts/a", 0..5).await, Err(StagingError::WrongSize));
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
        let lengths = Arc::new(Mutex::new(Vec::new()));
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
    assert_eq!(
        denied.let_browsers_put("https://toall.example.org").await,
        Err(StagingError::Denied("s3:GetBucketCORS"))
    );
}

/// A server below a path sees the bucket as a segment of its own.
#[tokio::test]
async fn an_endpoint_with_a_path_keeps_its_slash() {
    for given in ["/storage/v1/s3", "/storage/v1/s3/"] {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = lines.clone();
        let staging = pretending_below(given, move |line| {
            seen.lock().unwrap().push(line.to_owned());
            response("200 OK", "<ListBucketResult></ListBucketResult>")
        })
        .await;
        let _ = put(&staging, "posts/a", &sample(1)).await;
        let _ = get(&staging, "posts/a", 0..1).await;
        let _ = staging.size("posts/a").await;
        let _ = staging.delete("posts/a").await;
        for line in lines.lock().unwrap().iter() {
            assert!(
                line.contains(" /storage/v1/s3/videos/posts/a?x-id=")
                    || line.contains(" /storage/v1/s3/videos/posts/a "),
                "{line}"
            );
        }
        assert_eq!(lines.lock().unwrap().len(), 4);
        lines.lock().unwrap().clear();
        let _ = staging.sweep(|_| true, |_| false, SystemTime::now(), SystemTime::now()).await;
        for line in lines.lock().unwrap().iter() {
            assert!(
                line.contains(" /storage/v1/s3/videos?") || line.contains(" /storage/v1/s3/videos/?"),
                "{line}"
            );
        }
        for url in [
            staging.presign_get("posts/a", MINUTE).await.unwrap(),
            staging.presign_put("posts/a", "video/mp4", None, MINUTE).await.unwrap(),
            staging.presign_part("posts/a", "7", 1, 5, MINUTE).await.unwrap(),
        ] {
            assert_eq!(url.path(), "/storage/v1/s3/videos/posts/a");
        }
    }
}

/// A console, a website, or a login page in front of the bucket.
#[tokio::test]
async fn a_web_page_is_not_an_s3_server() {
    let page = "<!DOCTYPE html><html><body>Sign in</body></html>";
    let length = page.len();
    for (status, header) in [
        ("200 OK", "content-type: text/html; charset=utf-8\r\n"),
        ("302 Found", "content-type: text/html\r\nlocation: https://sso.example.org/\r\n"),
        ("403 Forbidden", "content-type: text/html\r\n"),
        ("404 Not Found", ""),
        ("405 Method Not Allowed", "content-type: text/html\r\n"),
    ] {
        let answer = format!(
            "HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{page}"
        );
        let staging = answering(answer).await;
        assert_eq!(staging.probe().await, Err(StagingError::NotS3), "{status}");
        assert_eq!(get(&staging, "posts/a", 0..1).await, Err(StagingError::NotS3), "{status}");
    }
    // The page of a proxy whose S3 server is down says nothing about the address.
    let down = format!(
        "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}"
    );
    assert_eq!(answering(down).await.probe().await, Err(StagingError::Other("502".into())));
}

/// The SDK corrects its own clock by the answers; an address that a browser uses carries ours.
#[tokio::test]
async fn a_signed_address_that_is_refused_for_its_time_names_the_clock() {
    for (code, message) in [
        ("AccessDenied", "Request has expired"),
        ("AccessDenied", "Request is not yet valid"),
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
    ] {
        let refused = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let begun = "<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>";
        let staging = pretending(move |line| match line.split(' ').next() {
            Some("POST") => response("200 OK", begun),
            Some("PUT") => response("403 Forbidden", &refused),
            _ => response("204 No Content", ""),
        })
        .await;
        assert_eq!(staging.probe_parts().await, Err(StagingError::ClockOff), "{message}");
    }
}

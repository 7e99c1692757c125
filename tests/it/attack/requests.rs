//! Requests as no browser writes them.

use std::time::Duration;

use reqwest::StatusCode;
use toall::chat::Ask;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::world::{PATIENCE, World, browser};

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.config.web.listen).await.unwrap()
}

/// All that comes back until the service closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset after the answer is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it stays open");
    String::from_utf8_lossy(&said).into_owned()
}

/// What is answered to these bytes.
async fn said_to(world: &World, request: &[u8]) -> String {
    let mut stream = connect(world).await;
    // The service may refuse before all is written.
    let _ = stream.write_all(request).await;
    rest(&mut stream).await
}

/// A whole request with these lines between the first and the last.
fn request(line: &str, headers: &[&str]) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\n{}\r\nconnection: close\r\n\r\n", headers.join("\r\n")).into_bytes()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

fn head(answer: &str) -> String {
    answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_and_none_redirects() {
    let world = World::new().await;
    for path in [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/social/callback/..%2f..%2f",
        "/api/social/accounts/..%2f..%2fhealthz",
        "/./healthz",
        "//healthz",
        "//evil.example",
        "//evil.example/%2e%2e",
        "/\\evil.example",
        "/%0d%0aset-cookie:%20a=b%0d%0alocation:%20https://evil.example",
        "/%00",
        "/%ff%fe",
        "/%",
        "/healthz%00",
        "/api/social/callback?next=https://evil.example&redirect_uri=//evil.example",
        "/api/social/callback?error=%0d%0alocation:https://evil.example&state=%0d%0a",
        "/;/healthz",
    ] {
        let answer = said_to(&world, &request(&format!("GET {path}"), &["host: x"])).await;
        assert!([400, 401, 404, 405, 410].contains(&status(&answer)), "{path}: {answer}");
        let head = head(&answer);
        for injected in ["\r\nlocation:", "\r\nset-cookie:"] {
            assert!(!head.contains(injected), "{path}: {head}");
        }
        for leaked in ["root:", "evil.example"] {
            assert!(!answer.contains(leaked), "{path}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_a_request_uses_for_us_decides_nothing() {
    let world = World::new().await;
    world.ask("alice", Ask::Token { name: String::new() }).await;
    let said = world.last_text("alice");
    let token = &said[said.find("toall_").unwrap()..][..49];
    let bearer = format!("authorization: Bearer {token}");
    for headers in [
        vec!["host: evil.example"],
        vec![
            "host: x",
            "x-forwarded-host: evil.example",
            "x-forwarded-proto: https",
            "forwarded: host=evil.example",
        ],
        vec!["host: x", "x-original-url: /evil.example", "x-rewrite-url: /evil.example"],
    ] {
        let line = "GET /api/social/connect/twitter";
        let answer = said_to(&world, &request(line, &[&headers[..], &[&bearer]].concat())).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(!answer.contains("evil.example"), "{answer}");
        let callback: String = url::form_urlencoded::byte_serialize(
            format!("{}api/social/callback", world.config.public_url).as_bytes(),
        )
        .collect();
        assert!(answer.contains(&callback), "{answer}");
        // Not even the page with the forms, nor a target that names another host.
        let callback = world.authorise(&world.connect_link("alice").await, "alice_makes", "authorize").await;
        let target = format!("GET http://evil.example{}?{}", callback.path(), callback.query().unwrap());
        let page = said_to(&world, &request(&target, &headers)).await;
        assert_eq!(status(&page), 200, "{page}");
        assert!(page.contains("action=\"/api/social/callback\"") && !page.contains("evil.example"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_and_never_read_as_two() {
    let world = World::new().await;
    let many: Vec<String> = (0..200).map(|number| format!("x-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (bytes, wanted) in [
        (request("GET /healthz", &["host: x", "x-a: b\0c"]), 400),
        (request("GET /healthz", &["host: x", "x a: b"]), 400),
        (request("GET /healthz", &["host: x", " folded: b"]), 400),
        (request("GET /heal thz", &["host: x"]), 400),
        (request("GET /healthz", &many), 431),
        (request(&format!("GET /api/social/callback?{}", "a".repeat(100_000)), &["host: x"]), 431),
        (request(&format!("GET /api/social/callback?state={}", "a".repeat(20_000)), &["host: x"]), 400),
        (request("POST /api/social/callback", &["host: x", "content-length: 1", "content-length: 2"]), 400),
        (request("POST /api/social/callback", &["host: x", "content-length: -1"]), 400),
        (request("POST /api/social/callback", &["host: x", "transfer-encoding: gzip, xchunked"]), 400),
    ] {
        let answer = said_to(&world, &bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        assert_eq!(status(&answer), wanted, "{shown:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {answer}");
    }

    // Other protocols: refused, or hung up on.
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let answer = said_to(&world, bytes).await;
        assert!(answer.is_empty() || status(&answer) == 400, "{answer}");
    }

    // One request to whoever goes by the length, two to whoever goes by the chunks: never a second one hidden.
    let hidden = "POST /api/social/callback HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\ntransfer-encoding: chunked\r\n\r\n\
                  0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = said_to(&world, hidden.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_only_as_far_as_a_form_of_ours_goes() {
    let world = World::new().await;
    let url = world.config.public_url.join("/api/social/callback").unwrap();
    let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
    let json = browser().post(url.clone()).header("content-type", "application/json").body(deep);
    assert_eq!(json.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let packed = browser().post(url).form(&[("ticket", "x")]).header("content-encoding", "gzip");
    assert!(packed.send().await.unwrap().status().is_client_error(), "it is not unpacked");

    let mut stream = connect(&world).await;
    let head = "POST /api/social/callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                transfer-encoding: chunked\r\n\r\n7\r\nticket=\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
    let mut sent = 0;
    // An endless body: the service hangs up long before a megabyte.
    while sent < 1 << 20 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 0x1000;
        let mut answer = [0; 12];
        if let Ok(Ok(12)) = timeout(Duration::from_millis(1), stream.peek(&mut answer)).await {
            assert_eq!(&answer, b"HTTP/1.1 413");
            return;
        }
    }
    panic!("{sent} bytes were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_slowly_is_hung_up_on_and_others_are_served() {
    let world = World::new().await;
    let began = Instant::now();
    let (mut silent, mut idle, mut slow_form) =
        (connect(&world).await, connect(&world).await, connect(&world).await);
    let mut dribbling = connect(&world).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let form = "POST /api/social/callback HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                content-length: 50\r\n\r\nticket=";
    slow_form.write_all(form.as_bytes()).await.unwrap();
    let dribble = async {
        // A letter now and then does not buy more time.
        for letter in b"GET /healthz HTTP/1.1\r\nx-slow: ".iter().chain(std::iter::repeat(&b'a')) {
            if dribbling.write_all(&[*letter]).await.is_err() {
                break;
            }
            let mut closed = [0; 1];
            if timeout(Duration::from_millis(300), dribbling.read(&mut closed)).await.is_ok() {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "it may go on for ever");
        }
    };
    let serving = async {
        // It comes after the slow ones, which are there for another quarter of a minute.
        let health = world.config.public_url.join("/healthz").unwrap();
        assert_eq!(browser().get(health).send().await.unwrap().status(), StatusCode::OK);
    };
    let (silent, idle, slow_form, (), ()) =
        tokio::join!(rest(&mut silent), rest(&mut idle), rest(&mut slow_form), dribble, serving);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(silent.is_empty() || silent.starts_with("HTTP/1.1 408"), "{silent}");
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    assert!(slow_form.starts_with("HTTP/1.1 408"), "{slow_form}");
}

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{World, client, json, token, told};
use crate::{
    account::AccountId,
    post::{Options, Replies, Sensitive},
    twitter::CreateError,
};

#[tokio::test]
async fn a_post_is_its_text_and_one_video() {
    let world =
        World::new([json(201, r#"{"data":{"id":"1993","text":"Hi https://t.co/x"},"errors":[{}]}"#)]).await;
    let id = world.x.create_post(&token(), "Hi \"you\" & me", "77", &Options::default()).await.unwrap();
    assert_eq!(id, "1993");
    let seen = world.one();
    assert_eq!(seen.line, "POST /2/tweets");
    assert_eq!(seen.header("authorization"), Some("Bearer hush-access"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&seen.body).unwrap(),
        serde_json::json!({"text": "Hi \"you\" & me", "media": {"media_ids": ["77"]}})
    );
}

#[tokio::test]
async fn the_options_of_a_post_are_in_x_s_words() {
    let world = World::new([json(201, r#"{"data":{"id":"1993","text":""}}"#), json(200, "{}")]).await;
    let options = Options {
        replies: Some(Replies::MentionedUsers),
        made_with_ai: true,
        paid_partnership: true,
        ..Options::default()
    };
    world.x.create_post(&token(), "", "77", &options).await.unwrap();
    let sensitive = Sensitive { adult_content: true, ..Sensitive::default() };
    world.x.describe(&token(), "77", Some("A wave"), sensitive).await.unwrap();
    let seen = world.seen();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&seen[0].body).unwrap(),
        serde_json::json!({
            "text": "",
            "media": {"media_ids": ["77"]},
            "reply_settings": "mentionedUsers",
            "made_with_ai": true,
            "paid_partnership": true,
        })
    );
    assert_eq!(seen[1].line, "POST /2/media/metadata");
    assert_eq!(seen[1].header("authorization"), Some("Bearer hush-access"));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&seen[1].body).unwrap(),
        serde_json::json!({
            "id": "77",
            "metadata": {
                "alt_text": {"text": "A wave"},
                "sensitive_media_warning": {"adult_content": true, "graphic_violence": false, "other": false},
            },
        })
    );
}

#[tokio::test]
async fn an_answer_says_whether_there_may_be_a_post() {
    let duplicate =
        r#"{"title":"Forbidden","detail":"You are not allowed to create a Tweet with duplicate content."}"#;
    for (status, body, expected) in [
        (403, duplicate, "Refused(Duplicate)"),
        (401, "{}", "Refused(SignedOut)"),
        (429, "", r#"Refused(RateLimited(Limit { call: "POST /2/tweets", account: No, app: No }))"#),
        (404, "", "Refused(Trouble(404))"),
        (408, "", r#"Unknown(Refused { status: 408, detail: "" })"#),
        (302, "", "Unknown(Trouble(302))"),
        (500, "<html>", "Unknown(Trouble(500))"),
        (503, "", "Unknown(Trouble(503))"),
        (201, "", r#"Unknown(Garbled("it is not of the documented shape"))"#),
        (201, "<html>", r#"Unknown(Garbled("it is not of the documented shape"))"#),
        (201, r#"{"data":{}}"#, r#"Unknown(Garbled("it is not of the documented shape"))"#),
        (
            200,
            r#"{"errors":[{"status":403,"detail":"No."}]}"#,
            r#"Unknown(Refused { status: 403, detail: "No." })"#,
        ),
    ] {
        let world = World::new([json(status, body)]).await;
        let error =
            world.x.create_post(&token(), "hush, a caption", "77", &Options::default()).await.unwrap_err();
        told(&error);
        assert_eq!(format!("{error:?}"), expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_closed_door_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error =
        client(&url, None).create_post(&token(), "hush", "77", &Options::default()).await.unwrap_err();
    assert!(matches!(error, CreateError::NotSent(_)), "{error:?}");
    told(&error);
}

#[tokio::test]
async fn a_failed_tls_handshake_means_not_sent() {
    let url = raw_server(async |mut stream| {
        stream.write_all(b"HTTP/1.1 400 no TLS here\r\n\r\n").await.unwrap();
    })
    .await;
    let url = url.replace("http:", "https:");
    let error =
        client(&url, None).create_post(&token(), "hush", "77", &Options::default()).await.unwrap_err();
    assert!(matches!(error, CreateError::NotSent(_)), "{error:?}");
    told(&error);
}

#[tokio::test]
async fn a_line_cut_after_the_request_means_unknown() {
    for answer in ["", "HTTP/1.1 201", "HTTP/1.1 201 Created\r\ncontent-length: 40\r\n\r\n{\"data\":"] {
        let url = raw_server(async move |mut stream| {
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let error =
            client(&url, None).create_post(&token(), "hush", "77", &Options::default()).await.unwrap_err();
        assert!(matches!(error, CreateError::Unknown(_)), "{answer:?}: {error:?}");
        told(&error);
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_means_unknown() {
    let url = raw_server(async |mut stream| {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut x = client(&url, None);
    x.patience = std::time::Duration::from_millis(200);
    let error = x.create_post(&token(), "hush", "77", &Options::default()).await.unwrap_err();
    assert!(matches!(error, CreateError::Unknown(_)), "{error:?}");
    told(&error);
}

#[tokio::test]
async fn a_refusal_cut_short_is_still_a_refusal() {
    let url = raw_server(async |mut stream| {
        read_request(&mut stream).await;
        let cut = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 400\r\n\r\n{\"detail\":";
        stream.write_all(cut).await.unwrap();
    })
    .await;
    let error =
        client(&url, None).create_post(&token(), "hush", "77", &Options::default()).await.unwrap_err();
    assert!(matches!(error, CreateError::Refused(_)), "{error:?}");
}

/// A server that does one thing to its first connection and then closes it.
async fn raw_server<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream).await;
    });
    url
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"}}") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the request ended early");
    }
}

fn page(posts: &[(&str, &[&str])], next: Option<&str>) -> axum::response::Response {
    let posts: Vec<_> = posts
        .iter()
        .map(|(id, keys)| match keys {
            [] => serde_json::json!({"id": id, "text": "words"}),
            keys => serde_json::json!({"id": id, "text": "a video", "attachments": {"media_keys": keys}}),
        })
        .collect();
    let mut page =
        serde_json::json!({"data": posts, "meta": {"result_count": posts.len(), "next_token": next}});
    if posts.is_empty() {
        page.as_object_mut().unwrap().remove("data");
    }
    json(200, page.to_string())
}

async fn find(world: &World, media: &[&str]) -> Result<Option<String>, crate::twitter::XError> {
    let user = AccountId("42".to_owned());
    world.x.find_post(&token(), &user, 1_800_000_000_999, media).await
}

#[tokio::test]
async fn a_post_is_found_by_its_media_on_any_page() {
    let world = World::new([
        page(&[("9", &["7_777"]), ("8", &[])], Some("next=1")),
        page(&[], Some("next=2")),
        page(&[("5", &["13_76"]), ("4", &["3_1", "7_77"]), ("3", &["7_88"])], Some("next=3")),
    ])
    .await;
    assert_eq!(find(&world, &["66", "77"]).await.unwrap().as_deref(), Some("4"));

    let seen = world.seen();
    let asked = ["start_time=2027-01-15T08:00:00Z", "max_results=100", "expansions=attachments.media_keys"];
    assert!(seen[0].line.starts_with("GET /2/users/42/tweets?"));
    assert_eq!(seen[0].query(), asked);
    for (seen, token) in seen[1..].iter().zip(["next=1", "next=2"]) {
        assert_eq!(seen.query()[..3], asked);
        assert_eq!(seen.query()[3..], [format!("pagination_token={token}")]);
    }
}

#[tokio::test]
async fn the_original_is_preferred_to_its_repost() {
    let world = World::new([page(&[("9", &["7_77"]), ("4", &["7_77"])], None)]).await;
    assert_eq!(find(&world, &["77"]).await.unwrap().as_deref(), Some("4"));
}

#[tokio::test]
async fn absence_is_claimed_only_when_all_was_shown() {
    let world = World::new([page(&[("9", &["7_777", "7_7", "77"])], Some("n")), page(&[], None)]).await;
    assert_eq!(find(&world, &["77"]).await.unwrap(), None);

    for (status, body) in [
        (200, r#"{"data":[]}"#),
        (200, "{}"),
        (200, r#"{"errors":[{"detail":"Not today."}]}"#),
        (200, r#"{"meta":{"result_count":1},"errors":[{"title":"Field Hydration Failure"}]}"#),
        (200, r#"{"meta":{"result_count":1},"data":[{"id":9}]}"#),
        (404, ""),
        (503, ""),
    ] {
        let world = World::new([json(status, body)]).await;
        assert!(find(&world, &["77"]).await.is_err(), "{status} {body}");
    }
}

#[tokio::test]
async fn a_timeline_without_end_is_left() {
    let pages = std::iter::repeat_with(|| page(&[("9", &[])], Some("again"))).take(40);
    let world = World::new(pages).await;
    let error = find(&world, &["77"]).await.unwrap_err();
    assert_eq!(told(&error), "X gave an answer we cannot use: the timeline has no end");
    assert_eq!(world.seen().len(), 32);
}

#[test]
fn links_lead_to_the_post() {
    let x = client("https://api.x.com", None);
    assert_eq!(x.post_link("alice_makes", "1993").as_str(), "https://x.com/alice_makes/status/1993");
    assert_eq!(x.post_link("", "1993").as_str(), "https://x.com/i/web/status/1993");
}

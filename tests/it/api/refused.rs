//! Uploads and posts that cannot be: each is said with what to do.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, put};
use crate::world::{World, browser, sample};

fn video(extra: Value) -> Value {
    let mut wanted = json!({"filename": "a.mp4", "content_type": "video/mp4"});
    wanted.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    wanted
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_uploaded_is_said_before_a_byte_is_sent() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let cases = [
        (video(json!({"content_type": "image/png"})), "not_a_video"),
        (video(json!({"content_type": "vidéo/mp4"})), "not_a_video"),
        (video(json!({"size": 0})), "file_empty"),
        (video(json!({"size": 6_000_000_000_u64})), "file_too_large"),
        (video(json!({"size": 8_388_608_001_u64, "multipart": true})), "file_too_large"),
        (video(json!({"multipart": true})), "size_needed"),
        (video(json!({"size": -1})), "invalid_request"),
        (video(json!({"filename": ""})), "invalid_request"),
        (video(json!({"filename": "a".repeat(256)})), "invalid_request"),
        (video(json!({"sise": 3})), "invalid_request"),
        (json!([]), "invalid_request"),
    ];
    for (wanted, code) in cases {
        program.post("upload-url", wanted).await.is_problem(422, code);
    }
    let raw = |kind: &str, body: String| {
        let request = program.request(Method::POST, "upload-url").header("content-type", kind);
        async { Answer::of(request.body(body).send().await.unwrap()).await }
    };
    raw("text/plain", "{}".to_owned()).await.is_problem(415, "unsupported_media_type");
    raw("application/json", "{".to_owned()).await.is_problem(400, "not_json");
    raw("application/json", "x".repeat(600_000)).await.is_problem(413, "too_large");
    for number in 0..21 {
        let answer = program.post("upload-url", video(json!({}))).await;
        match number {
            0..20 => drop(answer.ok()),
            _ => drop(answer.is_problem(409, "too_many_uploads")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_otherwise_than_was_said_is_named() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let account = world.account_id("alice_makes");

    let begun = program.post("upload-url", video(json!({"size": 100}))).await.ok();
    assert_eq!(put(&begun, vec![0; 99]).await.status(), StatusCode::FORBIDDEN, "a lying length is not taken");
    let post = |key: &Value| json!({"s3_key": key, "caption": "", "account_ids": [account]});
    program.post("post", post(&begun["s3_key"])).await.is_problem(409, "upload_incomplete");

    let begun = program.post("upload-url", video(json!({}))).await.ok();
    assert_eq!(put(&begun, Vec::new()).await.status(), StatusCode::OK);
    program.post("post", post(&begun["s3_key"])).await.is_problem(422, "file_empty");
    program.post("upload-complete", json!({"s3_key": begun["s3_key"]})).await.is_problem(422, "file_empty");

    let mut lying = program.post("upload-url", video(json!({}))).await.ok();
    lying["headers"]["content-type"] = json!("video/quicktime");
    assert_eq!(put(&lying, vec![1]).await.status(), StatusCode::FORBIDDEN, "nor another type than was said");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_posted_is_said_and_the_upload_stays() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let account = world.account_id("alice_makes");
    let key = program.send(&sample()).await;
    let post =
        |caption: &str, accounts: Value| json!({"s3_key": key, "caption": caption, "account_ids": accounts});
    let long = program.post("post", post(&"a".repeat(281), json!([account]))).await;
    assert!(long.is_problem(422, "caption_too_long").contains("281 of 280"), "{long:?}");
    program.post("post", post("a\u{7}", json!([account]))).await.is_problem(422, "caption_refused");
    program.post("post", post("", json!([]))).await.is_problem(422, "invalid_request");
    program.post("post", post("", json!(["twitter:1"]))).await.is_problem(404, "account_not_linked");
    program.post("post", post("", json!(["mastodon:1"]))).await.is_problem(404, "account_not_linked");
    let mut odd = post("", json!([account]));
    odd["options"] = json!({"alt_text": "a".repeat(1_001)});
    program.post("post", odd).await.is_problem(422, "alt_text_too_long");
    let key_of_spaces = program.request(Method::POST, "post").header("idempotency-key", "a b");
    let answer = key_of_spaces.json(&post("", json!([account]))).send().await.unwrap();
    Answer::of(answer).await.is_problem(400, "invalid_idempotency_key");

    let mallory = world.program("mallory").await;
    world.link("mallory", "bob_films").await;
    let theirs = json!({"s3_key": key, "caption": "", "account_ids": [world.account_id("bob_films")]});
    mallory.post("post", theirs).await.is_problem(404, "upload_not_found");
    mallory.post("upload-complete", json!({"s3_key": key})).await.is_problem(404, "upload_not_found");
    mallory.delete(&format!("upload?s3_key={key}")).await.is_problem(404, "upload_not_found");
    for odd in ["", "posts/1", "uploads/", "uploads/../toall.db", "uploads/1", &"a".repeat(3_000)] {
        program.post("upload-complete", json!({"s3_key": odd})).await.is_problem(404, "upload_not_found");
    }
    assert_eq!(world.x.posts().len(), 0);
    assert_eq!(program.post("post", post("", json!([account]))).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_post_is_nobodys() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let request = program.publish(&sample(), "Mine", &world.account_id("alice_makes")).await;
    let mallory = world.program("mallory").await;
    mallory.get(&format!("uploads/{request}")).await.is_problem(404, "request_not_found");
    mallory.get(&format!("uploads/{request}/events")).await.is_problem(404, "request_not_found");
    for deed in ["cancel", "retry", "confirm", "post-again"] {
        mallory.post(&format!("posts/{request}/{deed}"), json!({})).await.is_problem(404, "post_not_found");
    }
    for odd in ["1", "%FF", "a".repeat(2_000).as_str()] {
        program.get(&format!("uploads/{odd}")).await.is_problem(404, "request_not_found");
        program.post(&format!("posts/{odd}/retry"), json!({})).await.is_problem(404, "post_not_found");
    }
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_to_the_storage_takes_signed_puts_and_nothing_else() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let begun = program.post("upload-url", video(json!({}))).await.ok();
    let signed: url::Url = begun["upload_url"].as_str().unwrap().parse().unwrap();
    assert!(signed.as_str().starts_with(&format!("{}staging/", world.config.public_url)), "{signed}");
    let ask = |method: Method, url: url::Url| async move {
        browser()
            .request(method, url)
            .header("content-type", "video/mp4")
            .body("x")
            .send()
            .await
            .unwrap()
            .status()
    };
    let mut unsigned = signed.clone();
    unsigned.set_query(None);
    assert_eq!(ask(Method::PUT, unsigned).await, StatusCode::FORBIDDEN);
    let mut other = signed.clone();
    other.set_path(&signed.path().replace("uploads/", "posts/"));
    assert_eq!(ask(Method::PUT, other).await, StatusCode::FORBIDDEN, "signed for another name");
    let mut root = signed.clone();
    root.set_path("/staging/");
    assert!(ask(Method::PUT, root).await.is_client_error());
    for method in [Method::GET, Method::DELETE, Method::POST] {
        assert!(ask(method.clone(), signed.clone()).await.is_client_error(), "{method}");
    }
    assert_eq!(world.staged(), Vec::<std::path::PathBuf>::new());
    assert_eq!(ask(Method::PUT, signed).await, StatusCode::OK);
}

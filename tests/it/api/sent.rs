//! Files that arrive whole, and what becomes of them.

use futures::future::join_all;
use serde_json::json;
use toall::post::State;

use crate::world::{World, sample, sha256_hex};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_sent_in_one_piece_is_posted_and_told_to_its_link() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let said = world.said("alice").len();
    let account = world.account_id("alice_makes");
    let request = program.publish(&sample(), "From a program", &account).await;
    world.settle().await;

    let posts = world.x.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].text, "From a program");
    assert_eq!(posts[0].media[0].sha256_hex, Some(sha256_hex(&std::fs::read(sample()).unwrap())));
    let status = program.get(&format!("uploads/{request}")).await.ok();
    let link = format!("{}/alice_makes/status/{}", world.x.url(), posts[0].id);
    assert_eq!((&status["state"], &status["over"]), (&json!("posted"), &json!(true)));
    let bytes = std::fs::metadata(sample()).unwrap().len();
    assert_eq!(
        status["accounts"],
        json!([{
            "post_id": request, "account_id": account, "username": "alice_makes", "state": "posted", "link": link,
            "progress": {"bytes_done": bytes, "bytes": bytes, "percent": 100}, "actions": [],
        }])
    );
    assert_eq!(world.said("alice").len(), said, "a post of a program's is not told in the chat");
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_answered_the_same_and_posts_once() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let key = program.send(&sample()).await;
    let body = json!({"s3_key": key, "caption": "Once", "account_ids": [world.account_id("alice_makes")]});
    let ask = |body: serde_json::Value| {
        let request = program.request(reqwest::Method::POST, "post").header("idempotency-key", "one-7");
        async move { super::Answer::of(request.json(&body).send().await.unwrap()).await }
    };
    // So many at once that one asks for the upload when another has just taken it.
    let answers = join_all((0..60).map(|_| ask(body.clone()))).await;
    let first = &answers[0];
    assert_eq!(first.status, 202, "{first:?}");
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (first.status, &first.body));
    }
    world.settle().await;
    assert_eq!(ask(body.clone()).await.body, first.body, "also once it is posted");
    let mut other = body;
    other["caption"] = json!("Twice");
    ask(other).await.is_problem(422, "idempotency_conflict");

    let program_of_bob = world.program("bob").await;
    let bobs = program_of_bob.request(reqwest::Method::POST, "post").header("idempotency-key", "one-7");
    let bobs = bobs.json(&json!({"s3_key": key, "caption": "Once", "account_ids": ["twitter:1"]}));
    super::Answer::of(bobs.send().await.unwrap()).await.is_problem(404, "account_not_linked");
    assert_eq!(world.x.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_goes_to_two_accounts_and_nothing_of_it_stays() {
    let world = World::linked().await;
    world.link("alice", "bob_films").await;
    let program = world.program("alice").await;
    let key = program.send(&sample()).await;
    let accounts = [world.account_id("alice_makes"), world.account_id("bob_films")];
    let posted =
        program.post("post", json!({"s3_key": key, "caption": "Both", "account_ids": accounts})).await;
    assert_eq!(posted.status, 202, "{posted:?}");
    assert!(posted.body["warning"].as_str().unwrap().contains("several accounts"), "{posted:?}");
    world.settle().await;
    let mut users: Vec<_> = world.x.posts().into_iter().map(|post| post.username).collect();
    users.sort();
    assert_eq!(users, ["alice_makes", "bob_films"]);
    let status = program.get(&format!("uploads/{}", posted.body["request_id"].as_str().unwrap())).await.ok();
    assert_eq!((&status["state"], status["accounts"].as_array().unwrap().len()), (&json!("posted"), 2));
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_fails_is_explained() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let request = program
        .publish(&crate::world::fixture("README.md"), "No video", &world.account_id("alice_makes"))
        .await;
    world.settle().await;
    let path = format!("uploads/{request}");
    let status = program.get(&path).await.ok();
    assert_eq!(status["state"], "failed");
    let failed = &status["accounts"][0];
    assert_eq!(failed["error"]["code"], "video_refused");
    assert!(failed["error"]["message"].as_str().unwrap().contains("not a video"), "{failed}");
    assert_eq!(failed["actions"], json!([]), "another try would end the same");

    let again = program.post(&format!("posts/{request}/retry"), json!({})).await.ok();
    assert_eq!(again["accounts"][0]["state"], "inspecting", "the file is still there");
    world.settle().await;
    assert_eq!(program.get(&path).await.ok()["state"], "failed");
    program.post(&format!("posts/{request}/cancel"), json!({})).await.is_problem(409, "too_late");
    program.post(&format!("posts/{request}/confirm"), json!({})).await.is_problem(409, "too_late");

    world.pass(std::time::Duration::from_secs(24 * 3_600));
    world.settle().await;
    program.post(&format!("posts/{request}/retry"), json!({})).await.ok();
    world.settle().await;
    let lost = program.get(&path).await.ok();
    assert_eq!(lost["accounts"][0]["error"]["code"], "staging_lost");
    world.assert_at_rest_in_a_day().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_stops_a_post_and_lists_them_page_by_page() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let account = world.account_id("alice_makes");
    let (gate, _) = world.hold(toall::sandbox::Call::Initialize);
    let stopped = program.publish(&sample(), "Stop me", &account).await;
    let status = program.post(&format!("posts/{stopped}/cancel"), json!({})).await.ok();
    assert_eq!(status["state"], "canceled");
    gate.open();
    world.post("alice", "From the chat", &sample()).await;
    world.settle().await;
    assert_eq!(world.row("alice").await.state, State::Posted);

    let first = program.get("posts?limit=1").await.ok();
    assert_eq!(first["posts"][0]["caption"], "From the chat");
    let next = first["next"].as_str().unwrap();
    let second = program.get(&format!("posts?limit=1&before={next}")).await.ok();
    assert_eq!((&second["posts"][0]["caption"], &second["next"]), (&json!("Stop me"), &json!(null)));
    program.get("posts?limit=0").await.is_problem(400, "invalid_query");
    program.get("posts?before=nonsense").await.is_problem(400, "invalid_query");
    assert_eq!(world.program("bob").await.get("posts").await.ok()["posts"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_posts_is_gone_after_a_day() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    program.send(&sample()).await;
    let parts =
        json!({"filename": "b.mp4", "content_type": "video/mp4", "size": 9_000_000, "multipart": true});
    let begun = program.post("upload-url", parts).await.ok();
    let wanted = json!({"s3_key": begun["s3_key"], "parts": [2]});
    let signed = program.post("upload-parts", wanted.clone()).await.ok();
    let bytes = usize::try_from(signed["parts"][0]["bytes"].as_u64().unwrap()).unwrap();
    assert_eq!(super::put(&signed["parts"][0], vec![7; bytes]).await.status(), 200);
    assert_eq!(world.staged().len(), 3, "a file, a part, and the note of its upload");

    world.pass(std::time::Duration::from_secs(24 * 3_600));
    program.post("upload-parts", wanted).await.is_problem(404, "upload_not_found");
    super::bounded::emptied(&world).await;
}

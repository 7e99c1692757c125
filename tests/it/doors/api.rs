use proptest::prelude::*;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{each, mutation::bent};
use crate::{
    api::Program,
    world::{World, sample},
};

/// One token may make this many requests before it has to wait; a few less are made.
const PER_TOKEN: usize = 250;

#[derive(Clone, Debug)]
struct Request {
    method: Method,
    /// After `/api/social/`; `KEY`, `POST`, `REQUEST` and `ACCOUNT` stand for those of an upload that was posted.
    path: String,
    body: Option<Value>,
    idempotency_key: Option<String>,
}

fn requests() -> impl Strategy<Value = Request> {
    let bodies = [
        (
            "post",
            json!({ "s3_key": "KEY", "caption": "First wave", "account_ids": ["ACCOUNT"], "options": {
            "reply_settings": "following", "alt_text": "A wave", "made_with_ai": false, "paid_partnership": true } }),
        ),
        (
            "upload-url",
            json!({ "filename": "surf.mov", "content_type": "video/quicktime", "size": 84_213_760, "multipart": true }),
        ),
        ("upload-parts", json!({ "s3_key": "KEY", "part_numbers": [1, 2, 3] })),
        ("upload-complete", json!({ "s3_key": "KEY" })),
        ("caption", json!({ "text": "First wave https://example.org", "account_id": "ACCOUNT" })),
    ];
    let written = prop::sample::select(bodies.to_vec()).prop_flat_map(|(path, body)| {
        (Just(path.to_owned()), bent(body).prop_map(Some)).prop_map(|(path, body)| (Method::POST, path, body))
    });
    let name = prop_oneof![
        Just("POST".to_owned()),
        Just("REQUEST".to_owned()),
        Just("ACCOUNT".to_owned()),
        "[0-9a-f-]{0,36}",
        "(%[0-9a-f]{2}){1,9}",
        "[^/?#]{1,30}"
    ];
    let routes = [
        (Method::GET, "accounts", ""),
        (Method::GET, "posts", ""),
        (Method::GET, "uploads/", ""),
        (Method::GET, "uploads/", "/events"),
        (Method::POST, "posts/", "/cancel"),
        (Method::POST, "posts/", "/retry"),
        (Method::POST, "posts/", "/confirm"),
        (Method::POST, "posts/", "/post-again"),
        (Method::DELETE, "accounts/", ""),
        (Method::DELETE, "upload", ""),
        (Method::GET, "upload-parts", ""),
        (Method::GET, "connect/twitter", ""),
    ];
    let query = prop_oneof![
        3 => Just(String::new()),
        1 => "\\?(limit|cursor|s3_key|platform)=[A-Za-z0-9%_-]{0,40}",
        1 => "\\?[^#]{0,40}",
    ];
    let named = (prop::sample::select(routes.to_vec()), name, query).prop_map(
        |((method, start, end), name, query)| {
            let name = if start.ends_with('/') { name } else { String::new() };
            // What undoes a link is asked of accounts that are nobody's.
            let name = if start == "accounts/" && name == "ACCOUNT" { "twitter:9".to_owned() } else { name };
            (method, format!("{start}{name}{end}{query}"), None)
        },
    );
    let key = prop::option::weighted(0.2, prop_oneof!["[ -~]{1,80}", Just("again".to_owned())]);
    (prop_oneof![3 => written, 2 => named], key).prop_map(|((method, path, body), idempotency_key)| Request {
        method,
        path,
        body,
        idempotency_key,
    })
}

#[test]
fn no_request_of_a_program_breaks_the_api() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (world, program, posted) = runtime.block_on(async {
        let world = World::new().await;
        world.link("alice", "alice_makes").await;
        let program = world.program("alice").await;
        let key = program.send(&sample()).await;
        let account = world.account_id("alice_makes");
        let wanted = json!({ "s3_key": key, "caption": "the one", "account_ids": [account] });
        let request = program.post("post", wanted).await.body["request_id"].clone();
        world.settle().await;
        let post = world.row("alice").await.id.to_string();
        let posted = [
            ("KEY", key),
            ("POST", post),
            ("REQUEST", request.as_str().unwrap().to_owned()),
            ("ACCOUNT", account),
        ];
        (world, program, posted)
    });
    let filled =
        |text: &str| posted.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let (mut made, mut strangers) = (0, Vec::<Program>::new());
    each(&runtime, 300, 1, &requests(), async |request| {
        // Alice's token for as long as it lasts, then those of people who may do nothing to what is hers.
        let number = made / PER_TOKEN;
        made += 1;
        if strangers.len() < number {
            strangers.push(world.program(&format!("stranger-{number}")).await);
        }
        let caller = if number == 0 { &program } else { &strangers[number - 1] };
        let mut sent = caller.request(request.method.clone(), &filled(&request.path));
        if let Some(body) = &request.body {
            sent = sent.header(CONTENT_TYPE, "application/json").body(filled(&body.to_string()));
        }
        if let Some(key) = &request.idempotency_key {
            sent = sent.header("idempotency-key", key);
        }
        // What is no address is refused before it is sent.
        let Ok(answer) = sent.send().await else { return Ok(()) };
        let (status, headers) = (answer.status(), answer.headers().clone());
        // A stream of events has no end to wait for.
        if headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream") {
            return Ok(());
        }
        let text = answer.text().await.unwrap();
        prop_assert!(status.is_success() || status.is_client_error(), "{:?}: {} {}", request, status, text);
        prop_assert_ne!(status.as_u16(), 429);
        if !status.is_success() {
            prop_assert_eq!(&headers[CONTENT_TYPE], "application/problem+json");
            prop_assert!(text.chars().count() < 4_000, "{} characters", text.chars().count());
            let problem: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(problem["code"].as_str().is_some_and(|code| !code.is_empty()), "{}", text);
            prop_assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(' ')), "{}", text);
        }
        Ok(())
    });
    runtime.block_on(async {
        world.settle().await;
        assert_eq!(world.accounts(&crate::world::person("alice")).await, ["alice_makes"]);
        let ours = world.x.posts().iter().filter(|post| post.text == "the one").count();
        assert_eq!(ours, 1);
    });
    drop(world);
}

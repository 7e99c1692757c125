//! The description of the API, held against the contract.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::{World, browser};

/// Every route of the API. What is registered is described by construction; this list is what was promised.
const PROMISED: [&str; 17] = [
    "GET /api/social/connect/twitter",
    "GET /api/social/accounts",
    "DELETE /api/social/accounts/{account_id}",
    "POST /api/social/upload-url",
    "POST /api/social/upload-parts",
    "GET /api/social/upload-parts",
    "POST /api/social/upload-complete",
    "DELETE /api/social/upload",
    "POST /api/social/post",
    "GET /api/social/posts",
    "POST /api/social/posts/{post_id}/cancel",
    "POST /api/social/posts/{post_id}/retry",
    "POST /api/social/posts/{post_id}/confirm",
    "POST /api/social/posts/{post_id}/post-again",
    "GET /api/social/uploads/{request_id}",
    "GET /api/social/uploads/{request_id}/events",
    "POST /api/social/caption",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_what_was_promised_and_each_route_answers() {
    let world = World::new().await;
    let url = world.config.public_url.join("api/openapi.json").unwrap();
    let description: Value = browser().get(url).send().await.unwrap().json().await.unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert(format!("{} {path}", method.to_uppercase()));
            let codes: BTreeSet<&str> =
                operation["responses"].as_object().unwrap().keys().map(|k| &**k).collect();
            let all = ["400", "401", "404", "405", "408", "409", "413", "415", "422", "429", "500", "503"];
            assert!(all.iter().all(|code| codes.contains(code)), "{method} {path}: {codes:?}");
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{method} {path} says what it does");
            let target = world.config.public_url.join(path.trim_start_matches('/')).unwrap();
            let answer =
                browser().request(method.to_uppercase().parse().unwrap(), target).send().await.unwrap();
            assert_eq!(answer.status(), 401, "{method} {path} is there, and lets nobody in without a token");
        }
    }
    assert_eq!(described, PROMISED.iter().map(|route| (*route).to_owned()).collect());
    assert_eq!(description["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let server = world.config.public_url.as_str().trim_end_matches('/');
    assert_eq!(description["servers"], serde_json::json!([{ "url": server }]));
    assert_eq!(description["openapi"].as_str().unwrap().split('.').next(), Some("3"));
}

use reqwest::{Method, RequestBuilder, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{START, Shown, World, alice, person, shown};
use crate::{
    intake::LINK_LIFE_MS,
    sandbox::{Call, Effect, Fault},
};

const ACCOUNTS: &str = "/api/social/accounts";

fn ask(world: &World, method: Method, path: &str, token: &str) -> RequestBuilder {
    world.http.request(method, world.at(path)).bearer_auth(token)
}

#[track_caller]
fn is_problem(answer: &Shown, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers[CONTENT_TYPE], "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["code"], code);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], "about:blank");
    for member in ["title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
}

#[tokio::test]
async fn a_program_links_lists_and_disconnects_for_its_person() {
    let world = World::start().await;
    let token = world.api_token(&alice()).await;
    let offer = shown(ask(&world, Method::GET, "/api/social/connect/twitter", &token)).await;
    assert_eq!(offer.status, 200);
    let offer = offer.json();
    let expires: jiff::Timestamp = offer["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires.as_millisecond(), START + LINK_LIFE_MS);
    let consent = offer["authorization_url"].as_str().unwrap().parse().unwrap();
    let page = world.get(world.at_x(consent, "alice_makes", "authorize").await).await;
    world.press(&page, 0).await.says(200, "Linked");

    let listed = shown(ask(&world, Method::GET, ACCOUNTS, &token)).await.json();
    let alice_at_x = world.sandbox.users()[0].clone();
    let account_id = format!("twitter:{}", alice_at_x.id);
    assert_eq!(
        listed,
        json!({"accounts": [{
            "account_id": account_id,
            "platform": "twitter",
            "username": "alice_makes",
            "name": "Alice",
            "avatar_url": format!("{}/avatar/alice_makes.svg", world.sandbox.url()),
            "subscription": "free",
            "state": "active",
            "preferred": true,
        }]})
    );

    let path = format!("{ACCOUNTS}/{account_id}");
    let gone = shown(ask(&world, Method::DELETE, &path, &token)).await;
    assert_eq!(gone.json(), json!({"account_id": account_id, "used_by_others": false, "revoked": true}));
    assert_eq!(world.calls(Call::Revoke), [Some(200), Some(200)]);
    assert_eq!(shown(ask(&world, Method::GET, ACCOUNTS, &token)).await.json()["accounts"], json!([]));
    is_problem(&shown(ask(&world, Method::DELETE, &path, &token)).await, 404, "account_not_found");
}

#[tokio::test]
async fn without_a_known_token_nothing_is_told() {
    let world = World::start().await;
    let known = world.api_token(&alice()).await;
    let unknown = format!("toall_{}", "A".repeat(43));
    let values = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(known.clone()),
        Some(format!("Basic {known}")),
        Some(format!("Bearer {}", known.strip_prefix("toall_").unwrap())),
        Some(format!("Bearer {known}x")),
        Some(format!("Bearer {unknown}")),
    ];
    for (method, path) in [
        (Method::GET, "/api/social/connect/twitter"),
        (Method::GET, ACCOUNTS),
        (Method::DELETE, "/api/social/accounts/twitter:1"),
    ] {
        for value in &values {
            let request = world.http.request(method.clone(), world.at(path));
            let request = match value {
                Some(value) => request.header("authorization", value),
                None => request,
            };
            let answer = shown(request).await;
            is_problem(&answer, 401, "unauthenticated");
            assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        }
    }
    let request = world.http.get(world.at(ACCOUNTS)).header("authorization", format!("bearer {known}"));
    assert_eq!(shown(request).await.status, 200, "the scheme's case counts for nothing");
}

#[tokio::test]
async fn anothers_account_stays_theirs() {
    let world = World::start().await;
    let mallory = world.api_token(&person("666", "mallory")).await;
    world.link(&alice(), "alice_makes").await;
    let id = world.sandbox.users()[0].id.clone();
    let odd = ["twitter", "twitter:", "discord:1", "%FF", "twitter:%00", "twitter:1'--"].map(str::to_owned);
    for account in odd.into_iter().chain([id.clone(), format!("twitter:{id}"), "9".repeat(3_000)]) {
        let path = format!("{ACCOUNTS}/{account}");
        let answer = shown(ask(&world, Method::DELETE, &path, &mallory)).await;
        is_problem(&answer, 404, "account_not_found");
    }
    let listed: Value = shown(ask(&world, Method::GET, ACCOUNTS, &mallory)).await.json();
    assert_eq!(listed["accounts"], json!([]));
    assert_eq!(world.linked(&alice()).await, ["alice_makes"]);
    assert_eq!(world.calls(Call::Revoke), []);
}

#[tokio::test]
async fn a_shared_account_keeps_its_tokens_and_a_deaf_x_is_named() {
    let world = World::start().await;
    let bob = person("2", "bob");
    world.link(&alice(), "alice_makes").await;
    world.link(&bob, "alice_makes").await;
    let path = format!("{ACCOUNTS}/twitter:{}", world.sandbox.users()[0].id);
    let token = world.api_token(&alice()).await;
    let shared = shown(ask(&world, Method::DELETE, &path, &token)).await.json();
    assert_eq!((&shared["used_by_others"], &shared["revoked"]), (&json!(true), &json!(false)));
    assert_eq!(world.calls(Call::Revoke), []);

    world.sandbox.order(Fault::on(Call::Revoke, Effect::Drop).times(2));
    let token = world.api_token(&bob).await;
    let last = shown(ask(&world, Method::DELETE, &path, &token)).await.json();
    assert_eq!((&last["used_by_others"], &last["revoked"]), (&json!(false), &json!(false)));
    assert_eq!(world.linked(&bob).await, [""; 0]);
}

use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{World, alice, shown};
use crate::{
    health::Health,
    web::{install_recorder, serve_metrics},
};

#[tokio::test]
async fn a_working_service_says_so() {
    let world = World::start().await;
    let alive = world.get(world.at("/healthz")).await;
    assert_eq!((alive.status.as_u16(), alive.body.as_str()), (200, "ok"));
    let ready = world.get(world.at("/readyz")).await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json(), json!({"status": "ready", "parts": {"database": "ok", "staging": "ok"}}));
    world.get(world.at("/")).await.says(200, "Send /connect twitter to the bot");
}

#[tokio::test]
async fn the_part_that_fails_is_named_and_the_process_is_up_all_the_same() {
    let mut world = World::start().await;
    world.intake.store.close().await;
    let ready = world.get(world.at("/readyz")).await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.json(),
        json!({"status": "not_ready", "parts": {"database": "failed", "staging": "ok"}})
    );
    assert_eq!(world.get(world.at("/healthz")).await.status, 200);

    world = World::start().await;
    world.storage.shutdown().await;
    let ready = shown(world.http.get(world.url.join("/readyz").unwrap())).await;
    assert_eq!(ready.status, 200, "connecting, statuses and cancelling need no storage");
    assert_eq!(ready.json(), json!({"status": "degraded", "parts": {"database": "ok", "staging": "failed"}}));
}

#[tokio::test]
async fn a_broken_database_is_our_fault_and_says_no_more() {
    let world = World::start().await;
    let token = world.api_token(&alice()).await;
    let url = world.agreed(&alice(), "alice_makes").await;
    world.intake.store.close().await;
    world.get(url).await.says(500, "The fault is ours");
    let problem = shown(world.http.get(world.at("/api/social/accounts")).bearer_auth(token)).await;
    assert_eq!(problem.status, 500);
    assert_eq!(problem.json()["code"], "internal_error");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_what_they_hold() {
    let recorder = install_recorder().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let world = World::start().await;
    let (store, clock) = (world.intake.store.clone(), world.clock.clone());
    let health = Health::default();
    health.part("worker").fails();
    let served = tokio::spawn(serve_metrics(listener, recorder, store, health, clock, stop.clone()));
    world.get(world.at("/api/social/callback?state=hush")).await;
    world.get(world.at("/hush")).await;
    let shown = world.get(url).await;
    let line = r#"toall_http_requests_total{method="GET",route="/api/social/callback",status="400"}"#;
    assert!(shown.body.contains(line), "{}", shown.body);
    assert!(shown.body.contains("toall_http_request_seconds_bucket"), "{}", shown.body);
    assert!(!shown.body.contains("hush"), "{}", shown.body);
    assert!(shown.body.contains("# HELP toall_queue_age_seconds For how long"), "{}", shown.body);
    assert!(shown.body.contains("\ntoall_part_up{part=\"worker\"} 0\n"), "{}", shown.body);
    assert!(shown.body.contains("\ntoall_queue_age_seconds 0\n"), "{}", shown.body);
    assert!(shown.body.contains("\ntoall_posts{state=\"needs_user\"} 0\n"), "{}", shown.body);
    assert!(shown.body.contains("\ntoall_posts_total{outcome=\"posted\",code=\"\"} 0\n"), "{}", shown.body);
    assert!(shown.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    stop.cancel();
    served.await.unwrap();
}

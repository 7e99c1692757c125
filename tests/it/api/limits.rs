//! How often a program may ask.

use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};

use super::Answer;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_back_and_others_are_not() {
    let world = World::new().await;
    let (program, other) = (world.program("alice").await, world.program("bob").await);
    let first = program.request(Method::GET, "accounts").send().await.unwrap();
    assert_eq!(first.headers()["ratelimit-policy"], "\"requests\";q=300;w=15");
    assert_eq!(first.headers()["ratelimit"], "\"requests\";r=299;t=0");
    let refused = stream::iter(0..2_000)
        .map(|_| program.request(Method::GET, "accounts").send())
        .buffer_unordered(16)
        .filter_map(async |answer| {
            answer.ok().filter(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS)
        })
        .boxed()
        .next()
        .await
        .expect("nobody is told to wait");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(refused.headers()["ratelimit"].to_str().unwrap().contains("r=0"));
    Answer::of(refused).await.is_problem(429, "too_many_requests");
    other.get("accounts").await.ok();
}

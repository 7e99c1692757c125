//! The status as it changes.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::Value;
use toall::sandbox::Call;

use crate::world::{PATIENCE, World, sample};

/// The events of a stream until it ends: name and data.
async fn events(answer: reqwest::Response) -> Vec<(String, Value)> {
    let body = tokio::time::timeout(PATIENCE, answer.text()).await.expect("the stream does not end").unwrap();
    body.split("\n\n")
        .filter_map(|event| {
            let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            Some((line("event: ")?.to_owned(), serde_json::from_str(line("data: ")?).unwrap()))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_post_tell_each_change_and_end_with_the_link() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let (gate, held) = world.hold(Call::CreatePost);
    let request = program.publish(&sample(), "Follow me", &world.account_id("alice_makes")).await;
    let path = format!("uploads/{request}/events");
    let answer = program.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
    let told = tokio::spawn(events(answer));
    world.until("the post is being made", |_| held.fired() == 1).await;
    gate.open();
    world.settle().await;
    let told = told.await.unwrap();
    let (last, before) = told.split_last().unwrap();
    assert_eq!((last.0.as_str(), &last.1["state"]), ("end", &Value::from("posted")));
    assert!(last.1["accounts"][0]["link"].as_str().unwrap().contains("/status/"));
    assert!(!before.is_empty() && before.iter().all(|(name, _)| name == "status"), "{before:#?}");
    let again = events(program.request(Method::GET, &path).send().await.unwrap()).await;
    assert_eq!(again, std::slice::from_ref(last), "who comes late is told how it ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_does_not_keep_the_service_from_stopping() {
    let mut world = World::linked().await;
    let program = world.program("alice").await;
    let (gate, _) = world.hold(Call::Initialize);
    let request = program.publish(&sample(), "Follow me", &world.account_id("alice_makes")).await;
    let answer = program.request(Method::GET, &format!("uploads/{request}/events")).send().await.unwrap();
    let mut body = answer.bytes_stream();
    assert!(body.next().await.unwrap().is_ok());
    let stopping = world.stop();
    let ended =
        tokio::time::timeout(Duration::from_secs(10), async { while let Some(Ok(_)) = body.next().await {} });
    ended.await.expect("the stream goes on");
    gate.open();
    stopping.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_follows_four_posts_at_once() {
    let world = World::linked().await;
    let (program, other) = (world.program("alice").await, world.program("bob").await);
    let (gate, _) = world.hold(Call::Initialize);
    let request = program.publish(&sample(), "Follow me", &world.account_id("alice_makes")).await;
    let path = format!("uploads/{request}/events");
    let mut streams = Vec::new();
    for _ in 0..4 {
        let answer = program.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        streams.push(answer);
    }
    program.get(&path).await.is_problem(429, "too_many_streams");
    other.get("accounts").await.ok();
    drop(streams.pop());
    // The server notices that a reader is gone when it next has something to say to it, or its connection closes.
    let reopened = async {
        while program.request(Method::GET, &path).send().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reopened).await.expect("a closed stream keeps its place");
    gate.open();
    world.settle().await;
}

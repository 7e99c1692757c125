//! Faults strike when ordered, as often as ordered, and no longer.

use super::*;
use crate::sandbox::{Answer, Call, Effect, Fault, Gate};

#[tokio::test]
async fn a_refusal_comes_in_place_of_the_act() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let reset = 1_900_000_000;
    let answers = [
        (401, Answer::unauthorized()),
        (402, Answer::credits_depleted()),
        (403, Answer::spend_cap_reached()),
        (403, Answer::client_not_enrolled()),
        (403, Answer::video_longer_than(2)),
        (403, Answer::legacy(403, 453, "You currently have access to a subset of endpoints.")),
        (404, Answer::empty(404)),
        (429, Answer::too_many_requests().limit("x-user-limit-24hour", 100, 0, reset)),
        (429, Answer::usage_capped("Monthly")),
        (503, Answer::html(503)),
    ];
    for (status, refusal) in answers {
        let fault = Fault::on(Call::CreatePost, Effect::Refuse(refusal));
        let ordered = bench.sandbox.order(fault);
        let response = bench.create(&token, "hello", &[]).send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(ordered.fired(), 1);
        if let Some(limit) = response.headers().get("x-user-limit-24hour-remaining") {
            assert_eq!(limit, "0");
        }
    }
    assert!(bench.sandbox.posts().is_empty());
    assert_eq!(answer(bench.create(&token, "hello", &[])).await.0, 201);
}

#[tokio::test]
async fn a_dropped_connection_shows_no_status() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    for (effect, posts) in [(Effect::Drop, 0), (Effect::ActThenDrop, 1)] {
        let ordered = bench.sandbox.order(Fault::on(Call::CreatePost, effect));
        let request = bench.create(&token, "lost", &[]).send().await;
        assert!(request.unwrap_err().status().is_none());
        assert_eq!(ordered.fired(), 1);
        assert_eq!(bench.sandbox.posts().len(), posts);
        let exchanges = bench.sandbox.exchanges();
        let last = exchanges.last().unwrap();
        assert!(last.faulted && last.status.is_none());
    }
}

#[tokio::test]
async fn an_act_can_be_followed_by_the_wrong_answer() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let wrong = Effect::ActThenAnswer(Answer::html(503));
    bench.sandbox.order(Fault::on(Call::CreatePost, wrong));
    assert_eq!(answer(bench.create(&token, "made", &[])).await.0, 503);
    bench.sandbox.order(Fault::on(Call::CreatePost, Effect::Garble));
    let response = bench.create(&token, "made too", &[]).send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(response.json::<Value>().await.is_err());
    assert_eq!(bench.sandbox.posts().len(), 2);
}

#[tokio::test]
async fn one_segment_or_the_nth_append_can_be_struck() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let id = bench.initialize(&token, 4).await;
    let too_large = || Effect::Refuse(Answer::empty(413));
    let ordered = bench.sandbox.order(Fault::on(Call::Append, too_large()).segment(2).times(2));
    for (segment, status) in [(0, 200), (2, 413), (1, 200), (2, 413), (2, 200)] {
        assert_eq!(answer(bench.append(&token, &id, segment, b"x")).await.0, status);
    }
    assert_eq!(ordered.fired(), 2);
    bench.sandbox.order(Fault::on(Call::Append, too_large()).after(2));
    for status in [200, 200, 413, 200] {
        assert_eq!(answer(bench.append(&token, &id, 3, b"x")).await.0, status);
    }
    bench.sandbox.order(Fault::on(Call::Append, Effect::ActThenDrop));
    assert!(bench.append(&token, &id, 3, b"x").send().await.is_err());
    assert_eq!(answer(bench.finalize(&token, &id)).await.0, 200);
}

#[tokio::test]
async fn token_and_refresh_are_struck_apart() {
    let bench = Bench::start().await;
    let ordered = bench.sandbox.order(Fault::on(Call::Refresh, Effect::ActThenDrop));
    let tokens = bench.link("alice_makes", SCOPE).await;
    assert_eq!(ordered.fired(), 0);
    let refresh = text(&tokens["refresh_token"]);
    assert!(bench.refresh(&refresh).send().await.is_err());
    assert_eq!(ordered.fired(), 1);
    // The rotation happened although its answer was lost.
    assert_eq!(answer(bench.refresh(&refresh)).await.0, 400);
    bench.sandbox.order(Fault::anywhere(Effect::Refuse(Answer::html(500))));
    let code = bench.code("alice_makes", SCOPE).await;
    assert_eq!(answer(bench.exchange(&code)).await.0, 500);
    assert_eq!(answer(bench.exchange(&code)).await.0, 200);
}

#[tokio::test]
async fn a_held_request_is_done_even_if_the_client_left() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let gate = Gate::closed();
    let fault = Fault::on(Call::CreatePost, Effect::Hold(gate.clone()));
    let ordered = bench.sandbox.order(fault);
    let mut changes = bench.sandbox.changes();
    let client = tokio::spawn(bench.create(&token, "late", &[]).send());
    changes.wait_for(|_| ordered.fired() == 1).await.unwrap();
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    assert!(bench.sandbox.posts().is_empty());
    gate.open();
    changes.wait_for(|_| !bench.sandbox.posts().is_empty()).await.unwrap();
}

#[tokio::test]
async fn answers_can_lack_what_x_sometimes_leaves_out() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let id = bench.initialize(&token, 1).await;
    answer(bench.append(&token, &id, 0, b"x")).await;
    let edit = Fault::on(Call::Finalize, Effect::no_processing_info());
    bench.sandbox.order(edit);
    let (_, body) = answer(bench.finalize(&token, &id)).await;
    assert!(body["data"].get("processing_info").is_none());
    bench.sandbox.order(Fault::on(Call::Status, Effect::no_check_after()));
    let (_, body) = answer(bench.status(&token, &id)).await;
    assert_eq!(body["data"]["processing_info"], json!({"state": "pending"}));
}

#[tokio::test]
async fn latency_and_delays_are_waited_out() {
    let pause = Duration::from_millis(30);
    let bench = Bench::with(|settings| settings.latency = pause).await;
    let token = bench.access("alice_makes").await;
    bench.sandbox.order(Fault::on(Call::Me, Effect::Delay(pause)));
    assert_eq!(answer(bench.get(&token, "/2/users/me")).await.0, 200);
    let exchanges = bench.sandbox.exchanges();
    let took = |index: usize| exchanges[index].finished - exchanges[index].started;
    assert!(took(0) >= pause);
    assert!(took(1) >= 2 * pause);
}

#[tokio::test]
async fn nothing_answers_after_shutdown() {
    let bench = Bench::start().await;
    let url = bench.url("/");
    assert_eq!(bench.http.get(&url).send().await.unwrap().status(), 200);
    bench.sandbox.shutdown().await;
    assert!(bench.http.get(&url).send().await.is_err());
}

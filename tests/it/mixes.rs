//! Faults of X and of the chat in random mixes, as no list foresees them: every post still comes to its end, at most once on X.
//!
//! `MIX_ROUNDS` sets how many mixes are played, `MIX_SEED` the first of their seeds.

use std::time::Duration;

use serde_json::json;
use toall::{
    account::AccountState,
    chat::{ChatError, console},
    post::State,
    sandbox::{Answer, Call, Effect, Fault},
};

use crate::{
    crash::number,
    world::{NOON, World, person, read, sample},
};

const ROUNDS: u64 = 4;
const CALLS: [Call; 8] = [
    Call::Refresh,
    Call::Me,
    Call::Initialize,
    Call::Append,
    Call::Finalize,
    Call::Status,
    Call::CreatePost,
    Call::Timeline,
];

/// How X fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// In ways that say nothing about the post: each is worth another try.
    Troubled,
    /// In any way.
    Wrong,
}

/// A 429 whose reset lies this far from now, in seconds.
fn limited(seconds: Option<i64>) -> Answer {
    let answer = Answer::problem(429, "about:blank", "Too Many Requests", "Too Many Requests");
    match seconds {
        Some(seconds) => answer.header("x-rate-limit-reset", &(NOON / 1_000 + seconds).to_string()),
        None => answer,
    }
}

fn effect(mood: Mood, call: Call, random: &mut fastrand::Rng) -> Effect {
    let trouble = |random: &mut fastrand::Rng| match random.u8(0..12) {
        0 => Effect::Drop,
        1 => Effect::Refuse(Answer::html(403)),
        2 => Effect::Refuse(Answer::html(502)),
        3 => Effect::Refuse(Answer::empty(500)),
        4 => Effect::Refuse(Answer::empty(408)),
        5 => Effect::Refuse(limited(Some(-100_000))),
        6 => Effect::Refuse(limited(Some(600))),
        7 => Effect::Refuse(limited(None)),
        // A refresh token is good for one use, so an answer that is lost ends the connection.
        _ if call == Call::Refresh => Effect::Refuse(Answer::html(503)),
        8 => Effect::ActThenDrop,
        9 => Effect::ActThenAnswer(Answer::html(504)),
        10 => Effect::ActThenAnswer(Answer::json(200, &json!({}))),
        _ => Effect::Garble,
    };
    if mood == Mood::Troubled {
        return trouble(random);
    }
    match random.u8(0..14) {
        0 => Effect::Refuse(Answer::empty(400)),
        1 => Effect::Refuse(Answer::empty(404)),
        2 => Effect::Refuse(Answer::empty(410)),
        3 => Effect::Refuse(Answer::empty(413)),
        4 => Effect::Refuse(Answer::unauthorized()),
        5 => Effect::Refuse(Answer::forbidden()),
        6 => Effect::Refuse(Answer::json(200, &json!({ "data": null }))),
        7 => Effect::Refuse(Answer::json(201, &json!({ "data": { "id": "" } }))),
        8 => Effect::Refuse(Answer::invalid_request("media_id", "1", "that is no media id")),
        9 => Effect::Refuse(Answer::empty(302).header("location", "http://127.0.0.1:1/elsewhere")),
        10 => Effect::Edit(|answer| {
            answer["data"]["processing_info"] = json!({ "state": "in_progress", "check_after_secs": -5 });
        }),
        _ => trouble(random),
    }
}

/// How the chat fails; what it fails to do is not done.
fn chat_fault(call: console::Call, random: &mut fastrand::Rng) -> ChatError {
    match random.u8(0..4) {
        0 => ChatError::SlowDown(Duration::from_secs(random.u64(1..60))),
        1 if call == console::Call::Fetch => ChatError::NotFound("wrong file_id".to_owned()),
        1 => ChatError::Forbidden("no permission".to_owned()),
        2 if call != console::Call::Fetch => ChatError::Refused("something new".to_owned()),
        _ => ChatError::Trouble("status 502".to_owned()),
    }
}

async fn play(seed: u64, mood: Mood) {
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::with(|_, _| {}).await.and_linked().await;
    world.link("bob", "bob_films").await;
    let linked = world.now();
    let mut ordered = Vec::new();
    for _ in 0..random.usize(1..16) {
        let call = CALLS[random.usize(..CALLS.len())];
        let effect = effect(mood, call, &mut random);
        ordered.push(world.x.order(Fault::on(call, effect).after(random.u32(0..4)).times(random.u32(1..5))));
    }
    for _ in 0..random.usize(..8) {
        let call = [console::Call::Say, console::Call::Edit, console::Call::Fetch][random.usize(..3)];
        world.console.order(call, console::Fault::Fail(chat_fault(call, &mut random)));
    }
    let captions = ["One", "Two", "Three"];
    for (name, caption) in ["alice", "alice", "bob"].into_iter().zip(captions) {
        world.post(name, caption, &sample()).await;
    }
    world.settle().await;

    let said = |name| world.said(name).iter().map(|shown| read(&shown.message)).collect::<Vec<_>>();
    let whole = || format!("seed {seed}, {mood:?}: {:#?} {:#?}", said("alice"), said("bob"));
    for caption in captions {
        let made = world.x.posts().iter().filter(|post| post.text == caption).count();
        assert!(made <= 1, "{caption} was posted {made} times; {}", whole());
    }
    for name in ["alice", "bob"] {
        let store = &world.app().store;
        let accounts = store.accounts(&person(name)).await.unwrap();
        let must_reconnect = accounts.iter().any(|account| account.state == AccountState::ReconnectNeeded);
        for post in store.posts_of(&person(name), 5).await.unwrap() {
            let on_x = world.x.posts().iter().any(|made| Some(&made.id) == post.x_post_id.as_ref());
            let ended = match (post.state, mood) {
                (State::Posted, _) => on_x,
                (State::NeedsUser, _) => true,
                (State::Failed, Mood::Wrong) => post.failure.is_some(),
                (_, Mood::Wrong) => must_reconnect,
                _ => false,
            };
            let link = post.x_post_id.as_ref().map(|id| format!("/status/{id} "));
            let told = link.map(|link| said(name).iter().filter(|text| text.contains(&link)).count());
            assert!(
                told.is_none_or(|told| told == 1),
                "{} was told {told:?} times; {}",
                post.caption,
                whole()
            );
            assert!(ended, "{} is {:?} ({:?}); {}", post.caption, post.state, post.failure, whole());
        }
    }
    let took = Duration::from_millis((world.now() - linked).unsigned_abs());
    if mood == Mood::Troubled {
        assert!(took < Duration::from_secs(24 * 3_600), "it took {took:?}; {}", whole());
    }
}

async fn play_all(mood: Mood) {
    let first = number("MIX_SEED").unwrap_or(1);
    for seed in first..first + number("MIX_ROUNDS").unwrap_or(ROUNDS) {
        play(seed, mood).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_mix_of_troubles_of_x_ends_with_the_post_or_the_question() {
    play_all(Mood::Troubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_mix_of_answers_of_x_ends_with_the_post_or_a_reason() {
    play_all(Mood::Wrong).await;
}

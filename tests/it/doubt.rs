//! A post whose creation was not answered: looked for, asked about, never made twice.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use toall::{
    config::OnUnsure,
    post::State,
    sandbox::{Answer, Call, Effect, Fault},
};

use crate::world::{World, read, sample};

/// Posts while X misbehaves at the creation, up to the question or the end.
async fn posted_under(effect: Effect) -> World {
    let world = World::linked().await;
    let fault = world.x.order(Fault::on(Call::CreatePost, effect));
    world.post("alice", "Once", &sample()).await;
    world.until("the question", |world| world.last_text("alice") == world.asked()).await;
    assert_eq!(fault.fired(), 1);
    assert_eq!(
        world.shown("alice", "X did not answer"),
        "X did not answer when it was asked to post sample.mp4. I am looking at the account before I try again, \
         so that it is not posted twice.\n@alice_makes · sample.mp4 · 239 kB · 0:08"
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_x_made_without_saying_is_found() {
    let effects = [
        Effect::ActThenDrop,
        Effect::ActThenAnswer(Answer::html(503)),
        Effect::ActThenAnswer(Answer::empty(408)),
        Effect::Garble,
        Effect::Edit(|answer| answer["data"]["id"] = json!("<script>")),
        Effect::Edit(|answer| *answer = json!({"errors": [{"title": "Service Unavailable", "status": 503}]})),
    ];
    join_all(effects.map(|effect| async move {
        let world = posted_under(effect).await;
        world.assert_posted_once("alice", "Once", &sample()).await;
        assert_eq!(world.requests(Call::CreatePost).len(), 1);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_x_did_not_make_is_asked_about() {
    let effects = [
        Effect::Drop,
        Effect::Refuse(Answer::html(503)),
        Effect::Refuse(Answer::empty(408)),
        Effect::Refuse(Answer::json(200, &json!({"errors": [{"title": "Odd"}]}))),
    ];
    join_all(effects.map(|effect| async move {
        let world = posted_under(effect).await;
        assert_eq!(world.x.posts().len(), 0);
        assert_eq!(world.row("alice").await.state, State::NeedsUser);
        let question = world.last("alice");
        assert_eq!(read(&question.message), world.asked());
        world.press("alice", &question, "Post it again").await;
        world.settle().await;
        world.assert_posted_once("alice", "Once", &sample()).await;
        assert_eq!(world.requests(Call::Append).len(), 1, "the video is not sent again");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_x_shows_late_is_found_after_the_question() {
    let world = World::with(|x, _| x.visibility_delay = Duration::from_secs(120)).await.and_linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
    world.post("alice", "Once", &sample()).await;
    world.until("the question", |world| world.last_text("alice") == world.asked()).await;
    let question = world.last("alice");
    assert_eq!(read(&question.message), world.asked());

    world.settle().await;
    world.assert_posted_once("alice", "Once", &sample()).await;
    // Buttons that somebody still sees do nothing any more.
    for label in ["It is there", "Post it again", "Leave it"] {
        world.press("alice", &question, label).await;
        assert_eq!(world.last_text("alice"), "That no longer applies: the post has moved on.");
    }
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_says_that_it_is_there() {
    let world = posted_under(Effect::Drop).await;
    world.press("alice", &world.last("alice"), "It is there").await;
    world.settle().await;
    assert_eq!(
        world.last_text("alice"),
        format!("Posted to @alice_makes, as you say.\n{}/alice_makes [Open X]", world.x.url())
    );
    assert_eq!(world.row("alice").await.state, State::Posted);
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_person_leaves_it() {
    let world = posted_under(Effect::Drop).await;
    world.press("alice", &world.last("alice"), "Leave it").await;
    world.settle().await;
    assert_eq!(
        world.last_text("alice"),
        format!(
            "Left as it is. X did not say whether it posted sample.mp4; the account shows it.\n{}/alice_makes",
            world.x.url()
        )
    );
    assert_eq!(world.row("alice").await.state, State::Canceled);
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_an_answer_holds_nobody_up() {
    let world = posted_under(Effect::Drop).await;
    let question = world.last("alice");
    world.post("alice", "Next", &sample()).await;
    world.settle().await;
    assert!(world.last_text("alice").starts_with("Posted to @alice_makes\n"));
    assert_eq!(world.x.posts()[0].text, "Next");

    // A day later the question still stands and can be answered.
    world.pass(Duration::from_secs(20 * 3_600));
    let question = world.said("alice").into_iter().find(|shown| shown.at == question.at).unwrap();
    assert_eq!(read(&question.message), world.asked());
    world.press("alice", &question, "Post it again").await;
    world.settle().await;
    let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts, ["Next", "Once"]);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_told_to_retry_does_so_when_the_looks_are_over() {
    let world = World::with(|_, config| config.worker.on_unsure = OnUnsure::Retry).await.and_linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
    world.post("alice", "Once", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "Once", &sample()).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 2);
    assert!(world.requests(Call::Timeline).len() >= 4, "it looks before it tries again");
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_that_fail_prove_nothing() {
    let effects = [
        Effect::Refuse(Answer::html(503)),
        Effect::Drop,
        Effect::Garble,
        Effect::Refuse(Answer::unauthorized()),
        Effect::Refuse(Answer::forbidden()),
        Effect::Refuse(Answer::too_many_requests()),
        Effect::Refuse(Answer::usage_capped("Monthly")),
        Effect::Refuse(Answer::credits_depleted()),
    ];
    join_all(effects.map(|effect| async move {
        let world = World::linked().await;
        world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
        let looks = world.x.order(Fault::on(Call::Timeline, effect).times(2));
        world.post("alice", "Once", &sample()).await;
        world.settle().await;
        assert_eq!(looks.fired(), 2);
        world.assert_posted_once("alice", "Once", &sample()).await;
        assert_eq!(world.requests(Call::CreatePost).len(), 1);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_person_wants_again_is_posted_even_when_we_cannot_look() {
    let world = posted_under(Effect::Drop).await;
    let looks = world.requests(Call::Timeline).len();
    world.x.order(Fault::on(Call::Timeline, Effect::Refuse(Answer::html(503))).times(u32::MAX));

    world.press("alice", &world.last("alice"), "Post it again").await;
    world.settle().await;

    world.assert_posted_once("alice", "Once", &sample()).await;
    assert!(world.requests(Call::Timeline).len() > looks, "it is tried all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_x_says_of_the_second_attempt_is_told_with_the_question() {
    let world = posted_under(Effect::Drop).await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::duplicate_content())));

    world.press("alice", &world.last("alice"), "Post it again").await;
    world.until("the answer", |world| world.last_text("alice").contains("Of the last attempt")).await;

    assert!(
        world.last_text("alice").contains(
            "Of the last attempt: X says that this account has posted the same text already. Look there first"
        ),
        "{}",
        world.last_text("alice")
    );
    assert_eq!(world.row("alice").await.state, State::NeedsUser);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_is_refused_for_no_reason_is_tried_less_and_less_often() {
    let world = World::linked().await;
    let began = world.now();
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::empty(403))).times(6));

    world.post("alice", "Once", &sample()).await;
    world.settle().await;

    world.assert_posted_once("alice", "Once", &sample()).await;
    // 5 + 10 + 20 + 40 + 80 + 160 seconds.
    assert!(world.now() - began >= 315_000, "{} ms", world.now() - began);
}

//! Credits spent, limits reached, posts refused: each has its sentence and its remedy.

use std::time::UNIX_EPOCH;

use futures::future::join_all;
use toall::{
    post::State,
    sandbox::{Answer, Call, Effect, Fault},
};

use crate::world::{NOON, World, moments, read, sample};

/// What follows a status's first words.
const HEAD: &str = "@alice_makes · sample.mp4 · 239 kB · 0:08";

#[tokio::test(flavor = "multi_thread")]
async fn spent_credits_are_named_and_waited_for() {
    for call in [Call::Initialize, Call::CreatePost] {
        let world = World::linked().await;
        world.x.order(Fault::on(call, Effect::Refuse(Answer::credits_depleted())));
        world.post("alice", "Costly", &sample()).await;
        world.settle().await;
        let told = world.shown("alice", "This service has used up");
        let until = moments(&told)[0];
        assert_eq!(
            told,
            format!(
                "This service has used up its X credits · {HEAD}\nWhoever runs it has to buy more at console.x.com. \
                 The post is kept; the next try is at <{until}>. [Cancel]"
            )
        );
        assert!((600..620).contains(&until), "{until}");
        world.assert_posted_once("alice", "Costly", &sample()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_says_until_when_and_resumes_then() {
    let now = u64::try_from(NOON / 1_000).unwrap();
    let refuse = Answer::too_many_requests;
    let cases = [
        (refuse().limit("x-rate-limit", 100, 0, now + 700), 700),
        (refuse().limit("x-app-limit-24hour", 1_000, 0, now + 40_000), 40_000),
        (refuse().limit("x-user-limit-24hour", 100, 0, now + 30_000), 30_000),
        // The latest of those used up counts; one with room left does not.
        (
            refuse()
                .limit("x-rate-limit", 100, 0, now + 700)
                .limit("x-user-limit-24hour", 100, 0, now + 30_000)
                .limit("x-app-limit-24hour", 1_000, 5, now + 50_000),
            30_000,
        ),
        // A clamp of a day, and a quarter of an hour when X names no time.
        (refuse().limit("x-rate-limit", 100, 0, now + 900_000), 86_400),
        (refuse(), 900),
    ];
    join_all(cases.into_iter().enumerate().map(|(index, (answer, until))| async move {
        let world = World::linked().await;
        let call = if index % 2 == 0 { Call::Initialize } else { Call::CreatePost };
        world.x.order(Fault::on(call, Effect::Refuse(answer)));
        world.post("alice", "Slowly", &sample()).await;
        world.settle().await;
        let told = world.shown("alice", "X asks for a pause");
        let said = moments(&told)[0];
        assert_eq!(told, format!("X asks for a pause · {HEAD}\nIt goes on by itself at <{said}>. [Cancel]"));
        // A time that X did not name counts from the refusal, seconds after noon.
        assert!((until..until + 10).contains(&said), "{said} instead of {until}");
        world.assert_posted_once("alice", "Slowly", &sample()).await;
        let made = world.x.posts()[0].created_at.duration_since(UNIX_EPOCH).unwrap().as_secs() - now;
        let made = i64::try_from(made).unwrap();
        assert!((said..said + 15).contains(&made), "made at {made}, limit until {said}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_sentence_and_its_button() {
    let cases = [
        (
            Call::CreatePost,
            Answer::spend_cap_reached(),
            "This service has reached its monthly limit at X. Whoever runs it can raise it at console.x.com. \
             [Try again]",
        ),
        (
            Call::CreatePost,
            Answer::client_not_enrolled(),
            "The X app of this service may not post. Whoever runs it has to set it to Pay-per-use and Production \
             at console.x.com. [Try again]",
        ),
        (
            Call::Initialize,
            Answer::legacy(403, 453, "You currently have access to a subset of X API V2 endpoints"),
            "The X app of this service may not post. Whoever runs it has to set it to Pay-per-use and Production \
             at console.x.com. [Try again]",
        ),
        (
            Call::CreatePost,
            Answer::duplicate_content(),
            "X says that this account has posted the same text already. Look there first, then change the text. \
             [Open X] [Try again]",
        ),
        (
            Call::CreatePost,
            Answer::not_permitted(),
            "X refused this post: You are not permitted to perform this action. [Try again]",
        ),
        (
            Call::CreatePost,
            Answer::video_longer_than(2),
            "The video is too long: @alice_makes may post at most 2 minutes. Shorten it.",
        ),
        (
            Call::CreatePost,
            Answer::suspended(),
            "X keeps this account from posting. Open X, answer the notice there, then try again. \
             [Open X] [Try again]",
        ),
        (
            Call::CreatePost,
            Answer::legacy(403, 326, "To protect our users, this account is temporarily locked."),
            "X keeps this account from posting. Open X, answer the notice there, then try again. \
             [Open X] [Try again]",
        ),
        (
            Call::Initialize,
            Answer::forbidden(),
            "The permission to upload videos is missing. Connect the account again and leave every box ticked. \
             [Reconnect] [Try again]",
        ),
        (
            Call::CreatePost,
            Answer::forbidden_because("Invalid URL in the text."),
            "X does not allow a link in the text. Send the video again without it.",
        ),
        (
            Call::CreatePost,
            Answer::forbidden_because("A post may have a maximum of one cashtag."),
            "X allows one $ symbol such as $ABC in a post. Keep one and send the video again.",
        ),
        (
            Call::CreatePost,
            Answer::forbidden_because("Something new."),
            "X refused this post: Something new. [Try again]",
        ),
    ];
    join_all(cases.into_iter().map(|(call, answer, sentence)| async move {
        let world = World::linked().await;
        world.x.order(Fault::on(call, Effect::Refuse(answer)));
        world.post("alice", "Refused", &sample()).await;
        world.until("the refusal", |world| world.last_text("alice").contains("was not posted")).await;
        let told = world.last("alice");
        assert_eq!(read(&told.message), format!("sample.mp4 was not posted to @alice_makes.\n{sentence}"));
        assert_eq!(world.row("alice").await.state, State::Failed);
        if sentence.ends_with("[Try again]") {
            world.press("alice", &told, "Try again").await;
            world.settle().await;
            world.assert_posted_once("alice", "Refused", &sample()).await;
        } else {
            world.settle().await;
            assert_eq!(world.x.posts().len(), 0);
            world.assert_at_rest_in_a_day().await;
        }
    }))
    .await;
}

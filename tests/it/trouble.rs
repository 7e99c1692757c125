//! X unwell, tokens refused, limits reached, posts refused: what the person sees, and how it ends.

use std::time::{Duration, UNIX_EPOCH};

use futures::future::join_all;
use toall::{
    chat::Ask,
    post::State,
    sandbox::{Answer, Call, Effect, Fault, Gate},
};

use crate::world::{NOON, World, read, sample};

/// What follows a status's first words.
const HEAD: &str = "@alice_makes · sample.mp4 · 239 kB · 0:08";
/// When a token of two hours has run out.
const THREE_HOURS: Duration = Duration::from_secs(3 * 3_600);

/// The moments in a text, in seconds after noon.
fn moments(text: &str) -> Vec<i64> {
    text.split('<').skip(1).filter_map(|rest| rest.split('>').next()?.parse().ok()).collect()
}

/// X fails three times in a row at one call; the post gets there all the same.
async fn outlasts(call: Call, effect: Effect) {
    let world = World::linked().await;
    if call == Call::Refresh {
        world.pass(THREE_HOURS);
    }
    let fault = world.x.order(Fault::on(call, effect).times(3));
    world.post("alice", "Patience", &sample()).await;
    world.settle().await;
    assert_eq!(fault.fired(), 3);
    world.assert_posted_once("alice", "Patience", &sample()).await;

    let start = "X has a problem at the moment · ";
    let told: Vec<_> = world.history("alice").into_iter().filter(|text| text.starts_with(start)).collect();
    let tries: Vec<_> = told.iter().flat_map(|text| moments(text)).collect();
    assert_eq!(
        told[0],
        format!("{start}{HEAD}\nNothing is lost. The next try is at <{}>. [Cancel]", tries[0])
    );
    assert_eq!(tries.len(), 3, "{call:?} {:#?}", world.history("alice"));
    assert!((10..=13).contains(&(tries[1] - tries[0])), "{tries:?}");
    assert!((20..=26).contains(&(tries[2] - tries[1])), "{tries:?}");
}

const CALLS: [Call; 5] = [Call::Refresh, Call::Initialize, Call::Append, Call::Finalize, Call::Status];

#[tokio::test(flavor = "multi_thread")]
async fn x_answering_503_is_outlasted() {
    join_all(CALLS.map(|call| outlasts(call, Effect::Refuse(Answer::html(503))))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x_dropping_connections_is_outlasted() {
    join_all(CALLS.map(|call| outlasts(call, Effect::Drop))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn x_down_for_hours_is_given_up_with_a_button() {
    let world = World::linked().await;
    let down = world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::html(503))).times(61));
    world.post("alice", "Patience", &sample()).await;
    world.until("the end of its patience", |_| down.fired() == 61).await;
    world.until_row("alice", "given up", |post| post.state == State::Failed).await;
    assert!((8..11).contains(&((world.now() - NOON) / 3_600_000)), "hours");
    world.until("the word", |world| world.last_text("alice").contains("[Try again]")).await;
    let failed = world.last("alice");
    assert_eq!(
        read(&failed.message),
        "sample.mp4 was not posted to @alice_makes.\nX had a problem for too long. Try again later. [Try again]"
    );
    world.press("alice", &failed, "Try again").await;
    world.settle().await;
    world.assert_posted_once("alice", "Patience", &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sign_in_is_mended_by_one_refresh() {
    let calls = [Call::Initialize, Call::Append, Call::Finalize, Call::Status, Call::CreatePost];
    join_all(calls.map(|call| async move {
        let world = World::linked().await;
        world.x.order(Fault::on(call, Effect::Refuse(Answer::unauthorized())));
        world.post("alice", "Once more", &sample()).await;
        world.settle().await;
        world.assert_posted_once("alice", "Once more", &sample()).await;
        assert_eq!(world.requests(Call::Refresh).len(), 1, "after a 401 to {call:?}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_taken_away_on_x_waits_for_a_reconnection() {
    // Noticed by the refresh, or by a call whose token looked good.
    for pass in [THREE_HOURS, Duration::ZERO] {
        let world = World::linked().await;
        world.pass(pass);
        world.x.revoke_grant("alice_makes");
        world.post("alice", "Back again", &sample()).await;
        world.settle().await;
        let status = world.last("alice");
        assert_eq!(
            read(&status.message),
            format!(
                "X no longer lets me post to this account · {HEAD}\n\
                 Connect it again and the post goes on by itself. [Reconnect] [Cancel]"
            )
        );
        world.ask("alice", Ask::Accounts).await;
        assert_eq!(
            world.last_text("alice"),
            "Your X account:\n@alice_makes (Alice) · must be connected again [Reconnect]"
        );
        world.post("alice", "Another", &sample()).await;
        assert_eq!(
            world.last_text("alice"),
            "X no longer lets me post to @alice_makes. Connect it again, then send the video once more. [Reconnect]"
        );

        let gate = Gate::closed();
        let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
        world.press("alice", &status, "Reconnect").await;
        world.question(&world.offered_link("alice"), "alice_makes").await.submit(0).await;
        world.until("the upload", |_| held.fired() == 1).await;
        world.pass(Duration::from_secs(1));
        let now = |world: &World| {
            let status = world.said("alice").into_iter().find(|shown| shown.at == status.at).unwrap();
            read(&status.message)
        };
        world.until("progress", |world| now(world).starts_with("Uploading to ")).await;
        gate.open();
        world.settle().await;
        let posts = world.x.posts();
        assert_eq!(posts.iter().map(|post| &*post.text).collect::<Vec<_>>(), ["Back again"]);
        assert!(now(&world).starts_with("Posted to @alice_makes\n"), "{}", now(&world));
        world.assert_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_posts_with_an_expired_token_refresh_once_and_keep_their_order() {
    let world = World::linked().await;
    world.pass(THREE_HOURS);
    let captions: Vec<_> = (1..=8).map(|number| format!("number {number}")).collect();
    for caption in &captions {
        world.post("alice", caption, &sample()).await;
    }
    world.settle().await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
    let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts, captions);
    let told =
        world.said("alice").iter().filter(|shown| read(&shown.message).starts_with("Posted to")).count();
    assert_eq!(told, 8);
    world.assert_at_rest().await;
}

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
        (
            Call::CreatePost,
            Answer::empty(403),
            "X refused this post without saying why. Check its length and mentions, then try again. [Try again]",
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
            world.assert_at_rest().await;
        }
    }))
    .await;
}

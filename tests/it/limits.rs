//! Limits reached, posts refused: each has its sentence and its remedy, and concerns nobody else.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use futures::future::join_all;
use toall::{
    clock::Clock,
    config::Config,
    post::{State, Waiting},
    sandbox::{Answer, Call, Effect, Fault, Gate, Settings, Subscription},
};

use crate::world::{NOON, World, moments, read, sample};

/// What follows a status's first words.
const HEAD: &str = "@alice_makes · sample.mp4 · 239 kB · 0:08";

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_says_until_when_and_resumes_then() {
    let now = u64::try_from(NOON / 1_000).unwrap();
    let refuse = Answer::too_many_requests;
    let cases = [
        (refuse().limit("x-rate-limit", 100, 0, now + 700), 700),
        (refuse().limit("x-app-limit-24hour", 1_000, 0, now + 40_000), 40_000),
        (refuse().limit("x-user-limit-24hour", 100, 0, now + 30_000), 30_000),
        // A reset that is over names no time.
        (refuse().limit("x-rate-limit", 100, 0, now - 60), 900),
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
            Answer::duplicate_content(),
            "X says that this account has posted the same text already. Look there first, then change the text. \
             [Open X] [Try again]",
        ),
        (
            Call::CreatePost,
            Answer::not_permitted(),
            "X refused this post: You are not permitted to perform this action.\nThat usually concerns the text: check its \
             length, links and mentions. If they are fine, try again later. [Try again]",
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
            "X refused this post: Something new.\nThat usually concerns the text: check its length, links and mentions. \
             If they are fine, try again later. [Try again]",
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

/// alice and bob, each with an account of their own.
async fn two() -> World {
    let world = World::linked().await;
    world.x.add_user("bob_films", "Bob", Subscription::None);
    world.link("bob", "bob_films").await;
    world
}

fn noon() -> u64 {
    u64::try_from(NOON / 1_000).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_app_stops_that_call_for_everybody_and_uploads_go_on() {
    let world = two().await;
    let spent = Answer::too_many_requests().limit("x-app-limit-24hour", 10_000, 0, noon() + 40_000);
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(spent)));
    world.post("alice", "first", &sample()).await;
    world.until("the limit", |world| world.last_text("alice").contains("asks for a pause")).await;

    world.post("bob", "second", &sample()).await;
    world.until("bob's wait", |world| world.last_text("bob").contains("asks for a pause")).await;
    let row = world.row("bob").await;
    assert_eq!(
        (row.state, row.intent_at),
        (State::Publishing, None),
        "his video is at X, his post not in doubt"
    );
    assert_eq!(row.waiting, Some(Waiting::RateLimit { until: NOON + 40_000_000 }));
    assert_eq!(moments(&world.last_text("bob")), [40_000]);
    assert_eq!(world.requests(Call::CreatePost).len(), 1, "X is not asked in vain");
    assert!(world.now() < NOON + 60_000);

    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
    assert_eq!(world.requests(Call::CreatePost).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_uploads_lets_what_is_uploaded_be_posted() {
    let world = two().await;
    let gate = Gate::closed();
    world.x.order(Fault::on(Call::CreatePost, Effect::Hold(gate.clone())));
    world.post("alice", "first", &sample()).await;
    world.until_x("alice's post", |x| x.exchanges().iter().any(|e| e.call == Some(Call::Finalize))).await;
    let spent = Answer::too_many_requests().limit("x-app-limit-24hour", 180_000, 0, noon() + 40_000);
    world.x.order(Fault::on(Call::Initialize, Effect::Refuse(spent)));
    world.post("bob", "second", &sample()).await;
    world.until_row("bob", "parked", |row| row.waiting.is_some()).await;
    gate.open();
    world.until("alice's post", |world| world.last_text("alice").starts_with("Posted")).await;
    assert!(world.now() < NOON + 60_000);
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_an_account_stops_that_account_only_and_is_kept() {
    for family in ["x-rate-limit", "x-user-limit-24hour", "none"] {
        let mut world = two().await;
        let refused = Answer::too_many_requests();
        let refused = if family == "none" { refused } else { refused.limit(family, 100, 0, noon() + 900) };
        world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(refused)));
        world.post("alice", "first", &sample()).await;
        world.until("the limit", |world| world.last_text("alice").contains("asks for a pause")).await;
        world.post("bob", "second", &sample()).await;
        world.until("bob's post", |world| world.last_text("bob").starts_with("Posted")).await;
        assert!(world.now() < NOON + 60_000, "{family}");

        // Another post of the account is not sent either, not even by the next run of the service.
        world.press("alice", &world.last("alice"), "Cancel").await;
        world.kill().await;
        world.boot().await;
        world.post("alice", "third", &sample()).await;
        world.until("her wait", |world| world.last_text("alice").contains("asks for a pause")).await;
        assert_eq!(world.requests(Call::CreatePost).len(), 2, "{family}: alice's and bob's");
        world.settle().await;
        assert_eq!(world.x.posts().len(), 2, "{family}");
        assert!(world.now() >= NOON + 900_000, "{family}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_without_a_time_grows_with_every_refusal() {
    let world = World::linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::too_many_requests())).times(3));
    world.post("alice", "Slowly", &sample()).await;
    world.settle().await;
    let waits: Vec<i64> = world.history("alice").iter().flat_map(|text| moments(text)).collect();
    let mut spans: Vec<i64> = waits.windows(2).map(|pair| pair[1] - pair[0]).collect();
    spans.insert(0, waits[0]);
    let quarters: Vec<i64> = spans.iter().map(|span| (span + 5) / 900).collect();
    assert_eq!(quarters, [1, 2, 4], "{waits:?}");
    world.assert_posted_once("alice", "Slowly", &sample()).await;
}

/// A world whose own clock is `ahead` of X's, in seconds.
async fn with_clocks_apart(ahead: i64) -> World {
    let clock = Clock::by_hand(NOON);
    let hands = clock.clone();
    let change = move |x: &mut Settings, _: &mut Config| {
        x.clock = Arc::new(move || {
            UNIX_EPOCH + Duration::from_millis((hands.now_ms() - ahead * 1_000).unsigned_abs())
        });
    };
    World::with_clock(clock, change).await.and_linked().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_lasts_as_long_whatever_our_clock_says() {
    join_all([-600, 0, 600].map(|ahead| async move {
        let world = with_clocks_apart(ahead).await;
        let reset = noon().saturating_add_signed(240 - ahead);
        let spent = || Answer::too_many_requests().limit("x-rate-limit", 100, 0, reset);
        let refused = world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(spent())).times(u32::MAX));
        world.post("alice", "Slowly", &sample()).await;
        world.until("four minutes", |world| world.now() >= NOON + 240_000).await;
        assert_eq!(refused.fired(), 1, "our clock {ahead} s ahead: X is not asked before it said");
        world.x.lift(&refused);
        world.settle().await;
        world.assert_posted_once("alice", "Slowly", &sample()).await;
        assert!(world.now() < NOON + 260_000, "nor long after: {}", world.now() - NOON);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_is_over_is_not_asked_about_in_a_loop() {
    let world = World::linked().await;
    let spent = Answer::too_many_requests().limit("x-rate-limit", 100, 0, noon() - 60);
    let refused = world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(spent)).times(u32::MAX));
    world.post("alice", "Slowly", &sample()).await;
    world.until("two hours", |world| world.now() >= NOON + 2 * 3_600_000).await;
    // After 0, 15, 45 and 105 minutes.
    assert_eq!(refused.fired(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_limit_pauses_its_account_and_fails_nothing() {
    let words = "You have reached your daily limit for creating posts.";
    for refusal in [Answer::over_daily_limit(), Answer::forbidden_because(words)] {
        let world = two().await;
        world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(refusal.clone())));
        world.post("alice", "first", &sample()).await;
        world.until("the limit", |world| world.last_text("alice").contains("daily limit")).await;
        let said = world.last_text("alice");
        let until = moments(&said)[0];
        assert_eq!(
            said,
            format!(
                "X's daily limit for posts is reached · {HEAD}\nThe post is kept; I'll try again at <{until}>. [Cancel]"
            )
        );
        assert!((3_600..3_630).contains(&until), "{until}");
        assert_eq!(
            world.row("alice").await.waiting,
            Some(Waiting::DailyLimit { until: NOON + until * 1_000 })
        );
        // Another post to the same account waits for the same, and says so.
        world.post("alice", "second", &sample()).await;
        let limited = |world: &World| {
            world.said("alice").iter().filter(|shown| read(&shown.message).contains("daily limit")).count()
        };
        world.until("the reason", |world| limited(world) == 2).await;
        world.post("bob", "meanwhile", &sample()).await;
        world.until("bob's post", |world| world.last_text("bob").starts_with("Posted")).await;
        assert!(world.now() < NOON + 60_000);
        let again = world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(refusal)));
        world.settle().await;
        assert_eq!(again.fired(), 1);
        assert_eq!(world.x.posts().len(), 3);
        // An hour, then two.
        assert!(world.now() >= NOON + 3 * 3_600_000, "{}", world.now() - NOON);
        world.assert_at_rest().await;
    }
}

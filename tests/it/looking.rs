//! Looking for a post whose creation was not answered: what X shows late, refuses to show, or hides among others.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use futures::future::join_all;
use toall::{
    clock::Clock,
    config::OnUnsure,
    post::State,
    sandbox::{Answer, Call, Effect, Fault, Gate},
};

use crate::world::{NOON, World, read, sample};

/// A world told what to do about a post whose creation was not answered, whose X shows posts this late.
async fn world(on_unsure: OnUnsure, late: Duration) -> World {
    let world = World::with(|x, config| {
        x.visibility_delay = late;
        config.worker.on_unsure = on_unsure;
    });
    world.await.and_linked().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_x_shows_within_the_time_to_settle_is_found_without_a_question() {
    let cases = [0, 3, 20, 55].into_iter().flat_map(|late| [(late, OnUnsure::Ask), (late, OnUnsure::Retry)]);
    join_all(cases.map(|(late, on_unsure)| async move {
        let world = world(on_unsure, Duration::from_secs(late)).await;
        world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
        world.post("alice", "Late", &sample()).await;
        world.settle().await;
        world.assert_posted_once("alice", "Late", &sample()).await;
        assert_eq!(world.requests(Call::CreatePost).len(), 1, "{late} s {on_unsure:?}");
        let asked = world.asked();
        assert!(!world.history("alice").contains(&asked), "{late} s {on_unsure:?}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_never_works_leads_to_a_question_and_never_to_a_second_post() {
    let effects = || {
        [
            Effect::Refuse(Answer::html(503)),
            Effect::Refuse(Answer::empty(404)),
            Effect::Refuse(Answer::too_many_requests()),
            Effect::Refuse(Answer::forbidden()),
            Effect::Refuse(Answer::client_not_enrolled()),
            Effect::Refuse(Answer::usage_capped("Monthly")),
            Effect::Refuse(Answer::unauthorized()),
            Effect::Drop,
            Effect::Garble,
        ]
    };
    let cases = effects().into_iter().map(|effect| (effect, OnUnsure::Ask));
    let cases = cases.chain(effects().map(|effect| (effect, OnUnsure::Retry)));
    join_all(cases.map(|(effect, on_unsure)| async move {
        let world = world(on_unsure, Duration::ZERO).await;
        world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
        let looks = world.x.order(Fault::on(Call::Timeline, effect).times(u32::MAX));
        let begun = world.now();
        world.post("alice", "Hidden", &sample()).await;
        world.until("the question", |world| world.last_text("alice") == world.asked()).await;
        let took = Duration::from_millis((world.now() - begun).unsigned_abs());
        assert!(took < Duration::from_secs(11 * 60), "{took:?}: others wait behind it");
        assert_eq!(world.row("alice").await.state, State::NeedsUser);
        assert!(looks.fired() > 0);
        assert_eq!(world.requests(Call::CreatePost).len(), 1, "{on_unsure:?}");

        // X shows its timeline again, and the question answers itself.
        world.x.lift(&looks);
        world.settle().await;
        world.assert_posted_once("alice", "Hidden", &sample()).await;
        assert_eq!(world.requests(Call::CreatePost).len(), 1);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_found_among_hundreds_that_its_person_made_meanwhile() {
    for on_unsure in [OnUnsure::Ask, OnUnsure::Retry] {
        let world = world(on_unsure, Duration::ZERO).await;
        world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
        let gate = Gate::closed();
        let held = world.x.order(Fault::on(Call::Timeline, Effect::Hold(gate.clone())));
        world.post("alice", "Somewhere", &sample()).await;
        world.until("the look", |_| held.fired() == 1).await;
        for number in 0..250 {
            world.x.post_by_hand("alice_makes", &format!("by hand {number}"));
        }
        gate.open();
        world.settle().await;
        assert!(world.last_text("alice").starts_with("Posted to @alice_makes\n"));
        assert_eq!(world.requests(Call::CreatePost).len(), 1);
        let pages = world.requests(Call::Timeline);
        assert_eq!(pages.len(), 3, "251 posts, a hundred a page");
        assert!(pages.iter().all(|page| page.query.iter().any(|(name, _)| name == "start_time")));
        let ours = world.x.posts().into_iter().filter(|post| post.text == "Somewhere");
        assert_eq!(ours.count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_refused_as_a_duplicate_of_itself_is_found() {
    let world = World::linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::ActThenAnswer(Answer::duplicate_content())));
    world.post("alice", "Again", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "Again", &sample()).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_that_x_puts_off_is_made_when_it_may() {
    let refusals = [Answer::too_many_requests(), Answer::credits_depleted(), Answer::empty(403)];
    join_all(refusals.map(|refusal| async move {
        let world = world(OnUnsure::Ask, Duration::ZERO).await;
        world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
        world.post("alice", "Wanted", &sample()).await;
        world.until("the question", |world| world.last_text("alice") == world.asked()).await;
        world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(refusal)));
        world.press("alice", &world.last("alice"), "Post it again").await;
        world.settle().await;
        world.assert_posted_once("alice", "Wanted", &sample()).await;
        let asked = world.asked();
        let questions = world.history("alice").into_iter().filter(|text| *text == asked).count();
        assert_eq!(questions, 1, "the person has answered");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_told_to_retry_gives_up_after_three_and_asks() {
    let world = world(OnUnsure::Retry, Duration::ZERO).await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop).times(u32::MAX));
    world.post("alice", "Never", &sample()).await;
    world.settle().await;
    assert_eq!(read(&world.last("alice").message), world.asked());
    assert_eq!(world.requests(Call::CreatePost).len(), 3);
    assert_eq!(world.x.posts().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_does_not_stand_for_the_looks_before_a_second_attempt() {
    let world = world(OnUnsure::Retry, Duration::ZERO).await;
    world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
    let nothing = Answer::json(200, &serde_json::json!({"meta": {"result_count": 0}}));
    let looks = world.x.order(Fault::on(Call::Timeline, Effect::Refuse(nothing)).times(3));
    world.post("alice", "Once", &sample()).await;
    world.until("a look", |_| looks.fired() == 1).await;
    world.pass(Duration::from_secs(3_600));
    world.settle().await;
    assert_eq!(looks.fired(), 3);
    world.assert_posted_once("alice", "Once", &sample()).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_creations_leave_the_second_attempt() {
    let world = world(OnUnsure::Retry, Duration::ZERO).await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::too_many_requests())).times(3));
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
    world.post("alice", "Again", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "Again", &sample()).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 5);
}

/// The look asks X for what was posted since our attempt, by our clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_found_although_our_clock_is_ten_minutes_off() {
    let cases = [-600, 600].into_iter().flat_map(|ahead| [(ahead, OnUnsure::Ask), (ahead, OnUnsure::Retry)]);
    join_all(cases.map(|(ahead, on_unsure)| async move {
        let clock = Clock::by_hand(NOON);
        let hands = clock.clone();
        let world = World::with_clock(clock, move |x, config| {
            let theirs = move || Duration::from_millis((hands.now_ms() - ahead * 1_000).unsigned_abs());
            x.clock = Arc::new(move || UNIX_EPOCH + theirs());
            config.worker.on_unsure = on_unsure;
        });
        let world = world.await.and_linked().await;
        world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
        world.post("alice", "Off", &sample()).await;
        world.settle().await;
        world.assert_posted_once("alice", "Off", &sample()).await;
        assert_eq!(world.requests(Call::CreatePost).len(), 1, "{ahead} s ahead, {on_unsure:?}");
        assert!(!world.history("alice").contains(&world.asked()), "{ahead} s ahead, {on_unsure:?}");
    }))
    .await;
}

//! Tokens that run out, are refused, or whose new pair is lost: refreshed once, unlinked never without cause.

use std::time::Duration;

use futures::future::join_all;
use toall::{
    chat::Ask,
    post::State,
    sandbox::{Answer, Call, Effect, Exchange, Fault, Gate, Sent, Subscription},
};

use crate::world::{World, person, read, sample};

/// What a token that has run out is refreshed after.
const THREE_HOURS: Duration = Duration::from_secs(3 * 3_600);
/// A token is refreshed once less than 15 of its 120 minutes are left.
const NEARLY_DUE: Duration = Duration::from_secs(105 * 60 - 20);
/// Makes three segments of 4 MiB.
const FILM_BYTES: usize = 9_000_000;
const CALLS: [Call; 7] = [
    Call::Initialize,
    Call::Append,
    Call::Finalize,
    Call::Status,
    Call::CreatePost,
    Call::Timeline,
    Call::Me,
];

fn segment(exchange: &Exchange) -> u32 {
    let Sent::Multipart(parts) = &exchange.sent else { panic!("{exchange:?}") };
    let index = parts.iter().find(|part| part.name == "segment_index");
    index.and_then(|part| part.text.as_deref()).unwrap().parse().unwrap()
}

/// The segments that X took, in the order of its answers.
fn taken(world: &World) -> Vec<u32> {
    let appends = world.requests(Call::Append).into_iter();
    appends.filter(|append| append.status == Some(200)).map(|append| segment(&append)).collect()
}

async fn one_segment_at_a_time() -> World {
    World::with(|_, config| config.worker.upload_parallelism = 1).await.and_linked().await
}

/// Presses *Reconnect* under a status and links the account again.
async fn reconnect(world: &World, status: &toall::chat::console::Shown) {
    world.press("alice", status, "Reconnect").await;
    world.question(&world.offered_link("alice"), "alice_makes").await.submit(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_runs_out_between_segments_is_refreshed_between_them() {
    let world = one_segment_at_a_time().await;
    world.pass(NEARLY_DUE);
    let film = world.film(FILM_BYTES);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
    world.post("alice", "Between", &film).await;
    world.until("the first segment", |_| held.fired() == 1).await;
    assert_eq!(world.requests(Call::Refresh).len(), 0);
    world.pass(Duration::from_secs(30));
    gate.open();
    world.settle().await;
    world.assert_posted_once("alice", "Between", &film).await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
    assert_eq!(taken(&world), [0, 1, 2]);
    let calls: Vec<_> = world.x.exchanges().into_iter().filter_map(|exchange| exchange.call).collect();
    let at = |wanted| calls.iter().position(|call| *call == wanted).unwrap();
    assert_eq!(calls[at(Call::Append) + 1], Call::Refresh, "before the next segment: {calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_x_ends_during_an_upload_is_refreshed_and_the_upload_goes_on() {
    let world = one_segment_at_a_time().await;
    // A token made just now is not to blame for a refusal.
    world.pass(Duration::from_secs(15 * 60));
    let film = world.film(FILM_BYTES);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
    world.post("alice", "During", &film).await;
    world.until("the first segment", |_| held.fired() == 1).await;
    world.x.expire_access_tokens();
    gate.open();
    world.settle().await;
    world.assert_posted_once("alice", "During", &film).await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
    assert_eq!(taken(&world), [0, 1, 2], "nothing is sent twice");
    assert_eq!(world.requests(Call::Initialize).len(), 1, "the same upload goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_are_refused_side_by_side_refresh_once() {
    let world = World::linked().await;
    world.pass(Duration::from_secs(15 * 60));
    let film = world.film(FILM_BYTES);
    world.x.order(Fault::on(Call::Append, Effect::Refuse(Answer::unauthorized())).times(3));
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Refresh, Effect::Hold(gate.clone())));
    world.post("alice", "Together", &film).await;
    let refused = |world: &World| held.fired() == 1 && world.requests(Call::Append).len() == 3;
    world.until("the refresh that all three want", refused).await;
    // X has time for another: it hears all of somebody's linking meanwhile.
    world.x.add_user("bob_builds", "bob_builds", Subscription::None);
    world.question(&world.connect_link("bob").await, "bob_builds").await;
    gate.open();
    world.settle().await;
    world.assert_posted_once("alice", "Together", &film).await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
    assert_eq!(world.requests(Call::Initialize).len(), 1, "the same upload goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pair_that_is_lost_with_its_answer_is_the_persons_to_mend() {
    // The token at hand has run out, or would have lasted a while.
    for pass in [THREE_HOURS, NEARLY_DUE + Duration::from_secs(60)] {
        let world = World::linked().await;
        world.pass(pass);
        world.x.order(Fault::on(Call::Refresh, Effect::ActThenDrop));
        world.post("alice", "first", &sample()).await;
        world.post("alice", "second", &sample()).await;
        world.settle().await;
        let refreshes: Vec<_> =
            world.requests(Call::Refresh).iter().map(|exchange| exchange.status).collect();
        assert_eq!(refreshes, [None, Some(400), Some(400)], "one refusal is not believed");
        assert_eq!(world.requests(Call::CreatePost).len(), 0);
        let statuses = world.said("alice").split_off(2);
        assert_eq!(statuses.len(), 2);
        for status in statuses.iter().map(|shown| read(&shown.message)) {
            assert!(
                status.starts_with("X no longer lets me post to this account · @alice_makes"),
                "{status}"
            );
            assert!(
                status.ends_with("Connect it again and the post goes on by itself. [Reconnect] [Cancel]")
            );
        }
        // They wait for days if need be.
        world.pass(Duration::from_secs(5 * 24 * 3_600));
        reconnect(&world, &statuses[0]).await;
        world.settle().await;
        let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
        assert_eq!(texts, ["first", "second"]);
        world.assert_at_rest().await;
    }
}

/// Everything is refused with 401 for two hours: the API, and with `refresh` the token endpoint, too.
async fn outage_of_401s(refresh: bool, age: Duration) -> World {
    let world = World::linked().await;
    world.pass(age);
    let calls = CALLS.into_iter().chain(refresh.then_some(Call::Refresh));
    let order = |call| world.x.order(Fault::on(call, Effect::Refuse(Answer::unauthorized())).times(u32::MAX));
    let refused: Vec<_> = calls.map(order).collect();
    world.post("alice", "first", &sample()).await;
    world.post("alice", "second", &sample()).await;
    let end = world.now() + 2 * 3_600_000;
    world.until("the end of the outage", |world| world.now() >= end).await;

    assert_eq!(world.x.posts().len(), 0);
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
    world.ask("alice", Ask::Accounts).await;
    assert!(!world.last_text("alice").contains("Reconnect"), "{}", world.last_text("alice"));
    assert_ne!(world.row("alice").await.state, State::Failed);
    for refused in &refused {
        world.x.lift(refused);
    }
    world.settle().await;
    // A post that keeps failing yields its turn, so that either may come first after an outage.
    let mut texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["first", "second"]);
    let told = |shown: &toall::chat::console::Shown, start: &str| {
        shown.history.iter().any(|message| read(message).starts_with(start))
    };
    let statuses = world.said("alice");
    assert!(statuses.iter().any(|shown| told(shown, "X has a problem at the moment · @alice_makes")));
    assert!(!statuses.iter().any(|shown| told(shown, "X no longer lets me post")), "nobody is unlinked");
    world.assert_at_rest().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hours_of_401s_on_everything_unlink_nobody() {
    // The token was made just now, an hour ago, or has run out.
    let ages = [Duration::ZERO, Duration::from_secs(3_600), THREE_HOURS];
    join_all(ages.map(|age| outage_of_401s(true, age))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hours_of_401s_on_the_api_alone_cost_a_few_refreshes() {
    let world = outage_of_401s(false, Duration::from_secs(3_600)).await;
    let refreshes = world.requests(Call::Refresh).len();
    assert!(refreshes <= 13, "{refreshes} refreshes in two hours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_missing_is_named_and_mended_by_linking_again() {
    let calls = [Call::Initialize, Call::Append, Call::Finalize, Call::Status];
    join_all(calls.map(|call| async move {
        let world = World::linked().await;
        let refused = world.x.order(Fault::on(call, Effect::Refuse(Answer::forbidden())).times(u32::MAX));
        world.post("alice", "Permitted", &sample()).await;
        world.until("the word", |world| world.last_text("alice").contains("was not posted")).await;
        let status = world.last("alice");
        assert_eq!(
            read(&status.message),
            "sample.mp4 was not posted to @alice_makes.\nThe permission to upload videos is missing. \
             Connect the account again and leave every box ticked. [Reconnect] [Try again]",
            "{call:?}"
        );
        assert_eq!(refused.fired(), 1, "it is not tried in vain");
        world.x.lift(&refused);
        reconnect(&world, &status).await;
        world.press("alice", &status, "Try again").await;
        world.settle().await;
        let status = world.said("alice").into_iter().find(|shown| shown.at == status.at).unwrap();
        assert!(read(&status.message).starts_with("Posted to @alice_makes\n"));
        assert_eq!(world.x.posts().len(), 1);
        world.assert_at_rest().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_cannot_be_opened_are_the_persons_to_bring_anew() {
    let world = World::linked().await;
    let damage = "UPDATE x_accounts SET tokens_sealed = ";
    world.execute(format!("{damage} x'00'"), format!("{damage} '\\x00'")).await;
    world.post("alice", "Damaged", &sample()).await;
    world.settle().await;
    let status = world.last("alice");
    assert!(read(&status.message).starts_with("X no longer lets me post to this account · @alice_makes"));
    assert_eq!(world.requests(Call::Initialize).len(), 0);

    reconnect(&world, &status).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ten_minutes_is_refreshed_once() {
    let life = Duration::from_secs(600);
    let world = World::with(|x, _| x.token_life = life).await.and_linked().await;
    world.post("alice", "first", &sample()).await;
    world.settle().await;
    assert_eq!(world.requests(Call::Refresh).len(), 0, "it is good for minutes");
    world.pass(Duration::from_secs(500));
    world.post("alice", "second", &sample()).await;
    world.settle().await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
    assert_eq!(world.x.posts().len(), 2);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_day_that_x_ends_is_refreshed() {
    let life = Duration::from_secs(86_400);
    let world = World::with(|x, _| x.token_life = life).await.and_linked().await;
    world.pass(Duration::from_secs(3_600));
    world.x.expire_access_tokens();
    world.post("alice", "Ended", &sample()).await;
    let begun = world.now();
    world.settle().await;
    world.assert_posted_once("alice", "Ended", &sample()).await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
    assert!(world.now() - begun < 60_000, "{} ms", world.now() - begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_refresh_unlinks_nobody() {
    let world = World::linked().await;
    world.pass(THREE_HOURS);
    let refusal = Answer::oauth(400, "invalid_request", "Value passed for the token was invalid.");
    let refused = world.x.order(Fault::on(Call::Refresh, Effect::Refuse(refusal)));
    world.post("alice", "Once", &sample()).await;
    world.settle().await;
    assert_eq!(refused.fired(), 1);
    world.assert_posted_once("alice", "Once", &sample()).await;
    assert!(!world.history("alice").iter().any(|text| text.contains("Reconnect")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_refused_again_is_final_in_two_minutes() {
    for restart in [false, true] {
        let mut world = World::linked().await;
        world.pass(THREE_HOURS);
        let begun = world.now();
        let refusal = Answer::oauth(400, "invalid_request", "Value passed for the token was invalid.");
        let refused = world.x.order(Fault::on(Call::Refresh, Effect::Refuse(refusal)).times(u32::MAX));
        world.post("alice", "Ended", &sample()).await;
        if restart {
            world.until("the refusal", |_| refused.fired() == 1).await;
            world.until_row("alice", "its wait", |post| post.waiting.is_some()).await;
            world.kill().await;
            world.boot().await;
        }
        world.until("the word", |world| world.last_text("alice").contains("[Reconnect]")).await;
        assert!((60_000..120_000).contains(&(world.now() - begun)), "{} ms", world.now() - begun);
        assert_eq!(refused.fired(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refresh_begins_once_the_service_stops() {
    let mut world = one_segment_at_a_time().await;
    let film = world.film(FILM_BYTES);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())).after(2));
    world.post("alice", "Stopped", &film).await;
    world.until("the last segment", |_| held.fired() == 1).await;
    world.pass(THREE_HOURS);
    let stopping = world.stop();
    gate.open();
    stopping.await;
    assert_eq!(world.requests(Call::Refresh).len(), 0, "a stop could cut it off");
    world.boot().await;
    world.settle().await;
    world.assert_posted_once("alice", "Stopped", &film).await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
}

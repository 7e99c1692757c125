//! X unwell, or refusing the tokens: what the person sees, and how it ends.

use std::time::Duration;

use futures::future::join_all;
use toall::{
    chat::Ask,
    post::State,
    sandbox::{Answer, Call, Effect, Fault, Gate},
};

use crate::world::{NOON, World, moments, read, sample};

/// What follows a status's first words.
const HEAD: &str = "@alice_makes · sample.mp4 · 239 kB · 0:08";
/// When a token of two hours has run out.
const THREE_HOURS: Duration = Duration::from_secs(3 * 3_600);

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
async fn x_down_for_a_week_is_given_up_with_a_button() {
    let world = World::linked().await;
    let down = world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::html(503))).times(10_000));
    world.post("alice", "Patience", &sample()).await;
    world.until("the word", |world| world.last_text("alice").contains("[Try again]")).await;
    assert_eq!(world.row("alice").await.state, State::Failed);
    assert!((168..171).contains(&((world.now() - NOON) / 3_600_000)), "hours");
    world.x.lift(&down);
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
async fn refusals_without_a_reason_are_outlasted() {
    join_all([Call::Initialize, Call::Status].map(|call| outlasts(call, Effect::Refuse(Answer::empty(403)))))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sign_in_is_mended_by_one_refresh() {
    let calls = [Call::Initialize, Call::Append, Call::Finalize, Call::Status, Call::CreatePost];
    join_all(calls.map(|call| async move {
        let world = World::linked().await;
        // A token made just now is not to blame.
        world.pass(Duration::from_secs(15 * 60));
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
async fn a_post_that_waits_keeps_its_turn_and_holds_up_no_other_account() {
    let world = World::linked().await;
    world.link("bob", "bob_films").await;
    world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::too_many_requests())));
    world.post("alice", "first", &sample()).await;
    world.until("the limit", |world| world.last_text("alice").starts_with("X asks for a pause")).await;
    world.post("alice", "second", &sample()).await;
    world.post("bob", "meanwhile", &sample()).await;
    world.settle().await;
    let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts, ["meanwhile", "first", "second"]);
    world.assert_at_rest().await;
}

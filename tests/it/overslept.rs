//! A worker that sleeps longer than its lease: another does the step, and what the sleeper then knows harms nothing.

use std::time::Duration;

use axum::http::Method;
use futures::future::join_all;
use toall::{
    chat::Ask,
    post::State,
    sandbox::{Answer, Call, Effect, Exchange, Fault, Gate, Sent, Subscription},
};

use crate::{
    bucket::Bucket,
    world::{PATIENCE, World, read, sample},
};

/// Longer than a lane is held without a sign of life.
const A_NAP: Duration = Duration::from_secs(61);
/// What a token that has run out is refreshed after.
const THREE_HOURS: Duration = Duration::from_secs(3 * 3_600);
const ALT_TEXT: &str = "A wave breaks over a board";
/// Makes three segments of 4 MiB.
const FILM_BYTES: usize = 9_000_000;

/// Whether X does what the sleeper asked when another worker has just begun, or after it has finished.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    First,
    Last,
}

/// Lets everything come to rest, the sleeper too: a stop waits for the steps that are running.
async fn woken(world: &mut World) {
    world.settle().await;
    let before = world.row("alice").await;
    world.stop().await;
    world.boot().await;
    world.settle().await;
    let after = world.row("alice").await;
    let essence = |post: &toall::post::Post| {
        (post.state, post.x_post_id.clone(), post.media.clone(), post.attempt, post.intent_at, post.sessions)
    };
    assert_eq!(essence(&after), essence(&before), "the sleeper's late word is not written");
}

/// Waits until another worker holds the lane.
async fn taken_over(world: &World) {
    let store = world.app().store.clone();
    let mut changes = store.changes();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            changes.mark_unchanged();
            // A lane that is held is due when its lease ends.
            if store.next_lane_due().await.unwrap().is_some_and(|due| due > world.now()) {
                return;
            }
            // A claim is announced to nobody, so a look now and then is the net.
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
        }
    });
    waited.await.expect("nobody takes the lane");
}

/// Waits until whoever holds the lane has come to the refresh of its tokens.
async fn about_to_refresh(world: &World) {
    let store = world.app().store.clone();
    let mut changes = store.changes();
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            changes.mark_unchanged();
            let at: Vec<(i64,)> = world.fetch("SELECT updated_at FROM x_accounts").await;
            if at == [(world.now(),)] {
                return;
            }
            // Announced to nobody, as a claim.
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
        }
    });
    waited.await.expect("nobody would refresh the tokens");
}

fn segment(exchange: &Exchange) -> u32 {
    let Sent::Multipart(parts) = &exchange.sent else { panic!("{exchange:?}") };
    let index = parts.iter().find(|part| part.name == "segment_index");
    index.and_then(|part| part.text.as_deref()).unwrap().parse().unwrap()
}

/// Holds the first request of a kind until its worker's lease is over and another has finished the post.
async fn overslept_at(call: Call, deed: Deed) -> World {
    let mut world = World::linked().await;
    if call == Call::Refresh {
        world.pass(THREE_HOURS);
    }
    if call == Call::Timeline {
        world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
    }
    let film = if call == Call::Append { world.film(FILM_BYTES) } else { sample() };
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(call, Effect::Hold(gate.clone())));
    let mut ask = world.post_of("Overslept", &film);
    if let Ask::Post { options, .. } = &mut ask
        && call == Call::Metadata
    {
        options.alt_text = Some(ALT_TEXT.to_owned());
    }
    world.ask("alice", ask).await;
    world.until("the held request", |_| held.fired() == 1).await;
    if call == Call::Append {
        let two =
            |post: &toall::post::Post| post.media.as_ref().is_some_and(|media| media.segments_done == 2);
        world.until_row("alice", "two segments further", two).await;
    }
    let before = world.x.exchanges().len();
    world.pass(A_NAP);
    match deed {
        Deed::First => {
            match call {
                // The other has nothing to ask before the sleeper has its answer.
                Call::Refresh => {
                    taken_over(&world).await;
                    about_to_refresh(&world).await;
                    // X has time for another refresh: it hears all of somebody's linking meanwhile.
                    world.x.add_user("bob_builds", "bob_builds", Subscription::None);
                    world.question(&world.connect_link("bob").await, "bob_builds").await;
                }
                _ => world.until_x("another worker", |x| x.exchanges().len() > before).await,
            }
            world.let_act(call, &gate).await;
        }
        Deed::Last => {
            world.settle().await;
            assert_eq!(world.x.posts().len(), 1, "another worker has finished it");
            world.let_act(call, &gate).await;
        }
    }
    woken(&mut world).await;
    world.assert_posted_once("alice", "Overslept", &film).await;
    assert_eq!(world.said("alice").len(), 3, "the link, linked, and one status");
    assert_eq!(world.requests(Call::CreatePost).len(), 1, "{call:?} {deed:?}");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_request_to_x_the_post_is_made_once() {
    let calls =
        [Call::Initialize, Call::Append, Call::Finalize, Call::Status, Call::Metadata, Call::Timeline];
    let cases = calls.into_iter().flat_map(|call| [(call, Deed::First), (call, Deed::Last)]);
    join_all(cases.map(|(call, deed)| async move {
        let world = overslept_at(call, deed).await;
        if call == Call::Append {
            let mut sent: Vec<_> = world.requests(Call::Append).iter().map(segment).collect();
            sent.sort_unstable();
            assert_eq!(sent.len(), 4, "only the segment that was held is sent again: {sent:?}");
            sent.dedup();
            assert_eq!(sent, [0, 1, 2]);
        }
        if call == Call::Metadata {
            assert_eq!(world.x.posts()[0].media[0].metadata["alt_text"]["text"], ALT_TEXT);
        }
        if call != Call::Initialize {
            assert_eq!(world.requests(Call::Initialize).len(), 1, "the same upload goes on");
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_refresh_the_other_waits_for_its_answer() {
    let world = overslept_at(Call::Refresh, Deed::First).await;
    assert_eq!(world.requests(Call::Refresh).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_storage_the_file_is_copied_and_read_once_more() {
    for method in [Method::PUT, Method::GET] {
        let bucket = Bucket::start().await;
        let settings = bucket.settings();
        let mut world = World::with(|_, config| config.staging = Some(settings)).await.and_linked().await;
        bucket.hang(method);
        world.post("alice", "Overslept", &sample()).await;
        bucket.hung().await;
        world.pass(A_NAP);
        world.settle().await;
        assert_eq!(world.x.posts().len(), 1);
        bucket.let_go();
        woken(&mut world).await;
        world.assert_posted_once("alice", "Overslept", &sample()).await;
        assert_eq!(bucket.keys(), [""; 0]);
    }
}

/// Holds the creation until the lease is over, and returns while another worker looks for the post.
async fn asleep_at_the_creation() -> (World, Gate) {
    let world = World::linked().await;
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::CreatePost, Effect::Hold(gate.clone())));
    world.post("alice", "Overslept", &sample()).await;
    world.until("the creation", |_| held.fired() == 1).await;
    world.pass(A_NAP);
    (world, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_creation_the_other_only_looks_and_the_late_answer_is_believed() {
    let (mut world, gate) = asleep_at_the_creation().await;
    let look = Gate::closed();
    let held = world.x.order(Fault::on(Call::Timeline, Effect::Hold(look.clone())));
    world.until("the look", |_| held.fired() == 1).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 0, "the first is still held, and no second is sent");
    gate.open();
    world.until_row("alice", "posted", |post| post.state == State::Posted).await;
    // What the look finds is known by then.
    look.open();
    woken(&mut world).await;
    world.assert_posted_once("alice", "Overslept", &sample()).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
    assert_eq!(world.details("posted").await.len(), 1, "written down once");
    assert_eq!(world.details("also_posted").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_creation_the_late_answer_takes_the_question_back() {
    let (mut world, gate) = asleep_at_the_creation().await;
    world.until("the question", |world| world.last_text("alice") == world.asked()).await;
    gate.open();
    world.until_row("alice", "posted", |post| post.state == State::Posted).await;
    woken(&mut world).await;
    world.assert_posted_once("alice", "Overslept", &sample()).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_posts_that_meet_are_both_kept_and_told_of() {
    let (mut world, gate) = asleep_at_the_creation().await;
    world.until("the question", |world| world.last_text("alice") == world.asked()).await;
    let question = world.last("alice");
    world.press("alice", &question, "Post it again").await;
    world.settle().await;
    let made = world.x.posts();
    assert_eq!(made.len(), 1);

    world.let_act(Call::CreatePost, &gate).await;
    world.until("the word", |world| world.said("alice").len() == 4).await;
    woken(&mut world).await;
    let made: Vec<_> = world.x.posts().into_iter().map(|post| post.id).collect();
    let row = world.row("alice").await;
    assert_eq!((row.state, row.x_post_id.as_ref()), (State::Posted, made.first()));
    assert_eq!(world.details("also_posted").await, [made.get(1).cloned()]);
    let link = |id: &String| format!("{}/alice_makes/status/{id}", world.x.url());
    assert_eq!(
        world.last_text("alice"),
        format!(
            "sample.mp4 is on @alice_makes twice. X made the post when it was first asked, and said so only after it \
             was posted again.\n{}\n{}\nDelete the one you do not want on X.",
            link(&made[0]),
            link(&made[1])
        )
    );
    let status = world.said("alice").into_iter().find(|shown| shown.at == question.at).unwrap();
    assert_eq!(read(&status.message), format!("Posted to @alice_makes\n{} [Open on X]", link(&made[0])));
    assert_eq!(world.said("alice").len(), 4, "said once");
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_intent_nothing_is_sent() {
    let mut world = World::linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
    world.post("alice", "Overslept", &sample()).await;
    world.until("the question", |world| world.last_text("alice") == world.asked()).await;
    // The last look before the second attempt takes too long. X refuses the other worker's attempt in a way that keeps
    // nobody from trying again, so that a post made meanwhile could only be the sleeper's.
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Timeline, Effect::Hold(gate.clone())));
    let refused = world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::empty(403))));
    world.press("alice", &world.last("alice"), "Post it again").await;
    world.until("the look", |_| held.fired() == 1).await;
    world.pass(A_NAP);
    world.until("the refusal", |_| refused.fired() == 1).await;
    world.let_act(Call::Timeline, &gate).await;
    world.stop().await;
    assert_eq!(world.requests(Call::CreatePost).len(), 2, "the sleeper sends nothing");
    world.boot().await;
    world.settle().await;
    world.assert_posted_once("alice", "Overslept", &sample()).await;
}

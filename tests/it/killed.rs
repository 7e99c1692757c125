//! Killed anywhere, started again: every post ends up on X once, and its person knows.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::Method;
use futures::future::join_all;
use toall::{
    chat::console,
    post::{Failure, State},
    sandbox::{Call, Effect, Exchange, Fault, Gate, Processing, Sent},
};

use crate::{
    bucket::Bucket,
    world::{World, read, sample},
};

/// Makes three segments of 4 MiB.
const FILM_BYTES: usize = 9_000_000;

/// Whether X had done what it was asked when the service died.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Undone,
    Done,
}

/// Posts a video, kills the service while the `nth` request of this kind is with X, and starts it again.
async fn killed_during(call: Call, nth: u32, deed: Deed) -> (World, PathBuf) {
    let mut world = World::linked().await;
    let film = if call == Call::Append { world.film(FILM_BYTES) } else { sample() };
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(call, Effect::Hold(gate.clone())).after(nth));
    world.post("alice", "Killed", &film).await;
    world.until("the held request", |_| held.fired() == 1).await;
    if call == Call::Append {
        world.until_row("alice", "all but one segment further", |post| segments_done(post) == 2).await;
    }
    world.until_said().await;
    world.kill().await;
    if deed == Deed::Done {
        world.let_act(call, &gate).await;
    }
    world.boot().await;
    world.settle().await;
    (world, film)
}

fn segments_done(post: &toall::post::Post) -> u32 {
    post.media.as_ref().map_or(0, |media| media.segments_done)
}

/// Which segment an append sent.
fn segment(exchange: &Exchange) -> u32 {
    let Sent::Multipart(parts) = &exchange.sent else { panic!("{exchange:?}") };
    let index = parts.iter().find(|part| part.name == "segment_index");
    index.and_then(|part| part.text.as_deref()).unwrap().parse().unwrap()
}

async fn assert_one_status(world: &World, film: &Path) {
    world.assert_posted_once("alice", "Killed", film).await;
    assert_eq!(world.said("alice").len(), 3, "the link, linked, and one status");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_opening_the_upload() {
    for deed in [Deed::Undone, Deed::Done] {
        let (world, film) = killed_during(Call::Initialize, 0, deed).await;
        assert_one_status(&world, &film).await;
    }
}

async fn killed_while_sending_a_segment(deed: Deed) {
    let (world, film) = killed_during(Call::Append, 1, deed).await;
    assert_one_status(&world, &film).await;

    let appends = world.requests(Call::Append);
    let answered = |wanted: u32| {
        appends.iter().filter(|append| append.status == Some(200) && segment(append) == wanted).count()
    };
    let mut answers = [answered(0), answered(1), answered(2)];
    answers.sort_unstable();
    let again = usize::from(deed == Deed::Done);
    assert_eq!(answers, [1, 1, 1 + again], "what X had acknowledged is not sent again");
    assert_eq!(world.requests(Call::Initialize).len(), 1, "the same upload goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_x_took_a_segment() {
    killed_while_sending_a_segment(Deed::Undone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_x_took_a_segment() {
    killed_while_sending_a_segment(Deed::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_finishing_the_upload() {
    for deed in [Deed::Undone, Deed::Done] {
        let (world, film) = killed_during(Call::Finalize, 0, deed).await;
        assert_one_status(&world, &film).await;
        assert_eq!(world.requests(Call::Append).len(), 1);
        assert_eq!(world.requests(Call::Finalize).len(), 1, "X is asked first how far it is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_x_processes_the_video() {
    let (world, film) = killed_during(Call::Status, 1, Deed::Undone).await;
    assert_one_status(&world, &film).await;
    assert_eq!(world.requests(Call::Append).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_x_made_the_post_and_before_anybody_knew() {
    let (world, film) = killed_during(Call::CreatePost, 0, Deed::Done).await;
    assert_one_status(&world, &film).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 1, "it is found, not made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_x_made_the_post_and_with_the_intent_written() {
    let (world, film) = killed_during(Call::CreatePost, 0, Deed::Undone).await;
    assert_eq!(world.x.posts().len(), 0);
    let asked = world.last("alice");
    assert_eq!(read(&asked.message), world.asked());
    world.press("alice", &asked, "Post it again").await;
    world.settle().await;
    assert_one_status(&world, &film).await;
    assert_eq!(world.requests(Call::Append).len(), 1, "the video is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_looking_for_a_post_in_doubt() {
    let mut world = World::linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
    let held = world.x.order(Fault::on(Call::Timeline, Effect::Hold(Gate::closed())));
    world.post("alice", "Killed", &sample()).await;
    world.until("the look", |_| held.fired() == 1).await;
    world.until_said().await;
    world.kill().await;
    world.boot().await;
    world.settle().await;
    assert_one_status(&world, &sample()).await;
    assert_eq!(world.requests(Call::CreatePost).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_tokens_are_refreshed() {
    for deed in [Deed::Undone, Deed::Done] {
        let mut world = World::linked().await;
        world.pass(Duration::from_secs(3 * 3_600));
        let gate = Gate::closed();
        let held = world.x.order(Fault::on(Call::Refresh, Effect::Hold(gate.clone())));
        world.post("alice", "Killed", &sample()).await;
        world.until("the refresh", |_| held.fired() == 1).await;
        world.until_said().await;
        world.kill().await;
        if deed == Deed::Done {
            world.let_act(Call::Refresh, &gate).await;
        }
        world.boot().await;
        world.settle().await;
        if deed == Deed::Done {
            // The new pair died with the process and X has ended the old one: only the person can mend that.
            let status = world.last("alice");
            assert_eq!(
                read(&status.message),
                "X no longer lets me post to this account · @alice_makes · sample.mp4 · 239 kB · 0:08\n\
                 Connect it again and the post goes on by itself. [Reconnect] [Cancel]"
            );
            world.press("alice", &status, "Reconnect").await;
            world.question(&world.offered_link("alice"), "alice_makes").await.submit(0).await;
            world.settle().await;
            let status = world.said("alice").into_iter().find(|shown| shown.at == status.at).unwrap();
            assert!(read(&status.message).starts_with("Posted to @alice_makes\n"));
            assert_eq!(world.x.posts().len(), 1);
        } else {
            assert_one_status(&world, &sample()).await;
        }
    }
}

/// Kills the service while the console hangs in this call, and starts it again.
async fn killed_in_chat(call: console::Call, after: usize, fault: console::Fault) -> World {
    let mut world = World::linked().await;
    if call == console::Call::Edit {
        let reached = |world: &World| world.history("alice").len() > after;
        world.post("alice", "Killed", &sample()).await;
        world.until("some edits", reached).await;
    }
    world.console.order(call, fault);
    if call != console::Call::Edit {
        world.post("alice", "Killed", &sample()).await;
    }
    world.until("the chat to hang", |world| world.console.ordered() == 0).await;
    if call == console::Call::Fetch {
        world.until_said().await;
    }
    world.kill().await;
    world.boot().await;
    world.settle().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn while_fetching_the_file() {
    let world = killed_in_chat(console::Call::Fetch, 0, console::Fault::Hang).await;
    assert_one_status(&world, &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_storage_acted_and_before_anybody_knew() {
    // The file is stored; looked into; deleted.
    for method in [Method::PUT, Method::GET, Method::DELETE] {
        let bucket = Bucket::start().await;
        let settings = bucket.settings();
        let mut world = World::with(|_, config| config.staging = Some(settings)).await.and_linked().await;
        let gate = Gate::closed();
        let held = world.x.order(Fault::on(Call::CreatePost, Effect::Hold(gate.clone())));
        let late = method == Method::DELETE;
        if !late {
            gate.open();
            bucket.hang(method.clone());
        }
        world.post("alice", "Killed", &sample()).await;
        if late {
            world.until("the creation", |_| held.fired() == 1).await;
            bucket.hang(method);
            gate.open();
        }
        bucket.hung().await;
        world.until_said().await;
        world.kill().await;
        world.boot().await;
        world.settle().await;
        assert_one_status(&world, &sample()).await;
        assert_eq!(bucket.keys(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_sending_the_status() {
    let world = killed_in_chat(console::Call::Say, 0, console::Fault::Hang).await;
    assert_one_status(&world, &sample()).await;

    // A chat without nonces cannot know the message that it took and never confirmed: it stays behind, once.
    let world = killed_in_chat(console::Call::Say, 0, console::Fault::ActThenHang).await;
    world.assert_posted_once("alice", "Killed", &sample()).await;
    let said: Vec<_> = world.said("alice").iter().map(|shown| read(&shown.message)).collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    // It says how far the post was when the process was killed.
    assert!(said[2].contains("@alice_makes · sample.mp4") && said[2].ends_with("[Cancel]"), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_saying_that_an_account_is_linked() {
    let mut world = World::new().await;
    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    world.console.order(console::Call::Say, console::Fault::Hang);
    page.submit(0).await;
    world.until("the chat to hang", |world| world.console.ordered() == 0).await;
    world.kill().await;
    world.boot().await;
    world.settle().await;
    assert_eq!(world.said("alice").len(), 2);
    assert!(world.last_text("alice").starts_with("Linked @alice_makes (Alice)."));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_editing_the_status() {
    for fault in [console::Fault::Hang, console::Fault::ActThenHang] {
        let world = killed_in_chat(console::Call::Edit, 1, fault).await;
        assert_one_status(&world, &sample()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_outcome_is_said() {
    for fault in [console::Fault::Hang, console::Fault::ActThenHang] {
        let mut world = World::linked().await;
        let gate = Gate::closed();
        let held = world.x.order(Fault::on(Call::CreatePost, Effect::Hold(gate.clone())));
        world.post("alice", "Killed", &sample()).await;
        world.until("the creation", |_| held.fired() == 1).await;
        world.console.order(console::Call::Edit, fault);
        gate.open();
        world.until("the chat to hang", |world| world.console.ordered() == 0).await;
        world.kill().await;
        world.boot().await;
        world.settle().await;
        assert_one_status(&world, &sample()).await;
    }
}

/// Runs a post and kills the service each time something was written down, `nth` writes into each life.
#[tokio::test(flavor = "multi_thread")]
async fn after_any_write() {
    join_all((1..=24).map(|nth| async move {
        let mut world = World::linked().await;
        world.post("alice", "Killed", &sample()).await;
        let mut changes = world.app().store.changes();
        let first = changes.borrow_and_update().total();
        let written = move |_: &World| changes.borrow().total() >= first + nth;
        world.until("the write", written).await;
        world.kill().await;
        world.boot().await;
        world.settle().await;
        if world.row("alice").await.state == State::NeedsUser {
            world.press("alice", &world.last("alice"), "Post it again").await;
            world.settle().await;
        }
        world.assert_posted_once("alice", "Killed", &sample()).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_uploading_it_sends_hardly_anything_again() {
    let mut world = World::with(|_, config| config.worker.upload_parallelism = 1).await.and_linked().await;
    let film = world.film(FILM_BYTES);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())).after(1));
    world.post("alice", "Killed", &film).await;
    world.until("the second segment", |_| held.fired() == 1).await;

    let stopping = world.stop();
    gate.open();
    stopping.await;
    assert_eq!(world.requests(Call::Append).len(), 2, "what is in flight is let finish, nothing else begins");
    world.boot().await;
    world.settle().await;
    assert_one_status(&world, &film).await;
    assert_eq!(world.requests(Call::Append).len(), 3, "nothing is sent again");
}

/// Alice's post kills the process each time one of its segments is sent; bob's is beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_kills_the_process_takes_no_other_with_it() {
    let mut world = World::linked().await;
    world.link("bob", "bob_films").await;
    world.x.set_processing(Processing { steps: 1, check_after_secs: 1 });
    let (bobs, never) = (Gate::closed(), Gate::closed());
    let bob_waits = world.x.order(Fault::on(Call::Status, Effect::Hold(bobs.clone())).times(100));
    world.post("bob", "Beside it", &sample()).await;
    world.until("bob's question", |_| bob_waits.fired() == 1).await;
    let alice_waits = world.x.order(Fault::on(Call::Append, Effect::Hold(never)).times(100));
    world.post("alice", "Deadly", &sample()).await;
    world.until_x("alice's segment", |_| alice_waits.fired() == 1).await;
    let mut kills = 0;
    loop {
        let (bob, alice) = (bob_waits.fired(), alice_waits.fired());
        world.kill().await;
        kills += 1;
        world.boot().await;
        if kills < 3 {
            world.until_x("both", |_| bob_waits.fired() > bob && alice_waits.fired() > alice).await;
            continue;
        }
        bobs.open();
        tokio::select! {
            () = world.until_x("alice's segment", |_| alice_waits.fired() > alice) => {}
            _ = world.until_row("alice", "its end", |post| post.state.is_over()) => break,
        }
    }
    world.until("bob's end", |world| world.last_text("bob").starts_with("Posted to")).await;
    assert_eq!(world.row("alice").await.failure, Some(Failure::CrashLoop));
    // The life in which the upload was begun, and five in which nothing was.
    assert_eq!(kills, 6);
    let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts, ["Beside it"]);
}

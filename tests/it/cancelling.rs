//! Buttons and commands about a post under way: whose they are, and until when they work.

use toall::{
    chat::{
        Ask,
        console::{self, Call::Fetch},
    },
    post::State,
    sandbox::{Answer, Call, Effect, Fault, Gate, ProcessingFailure},
};

use crate::world::{World, read, sample};

const NOT_YOURS: &str = "Only the person who sent that post can do this.";

#[tokio::test(flavor = "multi_thread")]
async fn buttons_obey_only_the_person_who_posted() {
    let world = World::linked().await;
    world.link("bob", "alice_makes").await;
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
    world.x.fail_processing(ProcessingFailure::invalid_media());
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop));

    world.post("alice", "Mine", &sample()).await;
    world.until("the upload", |_| held.fired() == 1).await;
    world.until("its status", |world| world.last_text("alice").contains("[Cancel]")).await;
    world.press("bob", &world.last("alice"), "Cancel").await;
    assert_eq!(world.last_text("bob"), NOT_YOURS);

    gate.open();
    world.until("the failure", |world| world.last_text("alice").contains("[Try again]")).await;
    world.press("bob", &world.last("alice"), "Try again").await;
    assert_eq!(world.last_text("bob"), NOT_YOURS);
    world.press("alice", &world.last("alice"), "Try again").await;

    world.until("the question", |world| world.last_text("alice").contains("[Leave it]")).await;
    let question = world.last("alice");
    for label in ["It is there", "Post it again", "Leave it"] {
        world.press("bob", &question, label).await;
        assert_eq!(world.last_text("bob"), NOT_YOURS);
    }
    world.press("alice", &question, "Post it again").await;
    world.settle().await;
    world.assert_posted_once("alice", "Mine", &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_it_is_fetched() {
    let world = World::linked().await;
    world.console.order(Fetch, console::Fault::Hang);
    world.post("alice", "No", &sample()).await;
    world.until("the fetch", |world| world.console.ordered() == 0).await;
    world.until("its status", |world| world.last_text("alice").contains("[Cancel]")).await;
    assert_cancelled(&world, 0).await;
    // The next one does not wait for the step that hangs.
    world.post("alice", "Yes", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts()[0].text, "Yes");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_it_is_uploaded() {
    let world = World::with(|_, config| config.worker.upload_parallelism = 1).await.and_linked().await;
    let film = world.film(9_000_000);
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
    world.post("alice", "No", &film).await;
    world.until("the first segment", |_| held.fired() == 1).await;
    world.ask("alice", Ask::Cancel).await;
    assert_eq!(world.last_text("alice"), "Cancelled. film.mp4 will not be posted.");
    world.let_act(Call::Append, &gate).await;
    world.settle().await;
    // The next one may have begun before the cancellation was noticed.
    assert!(world.requests(Call::Append).len() < 3, "the upload stops");
    assert_eq!(world.requests(Call::CreatePost).len(), 0);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_it_waits() {
    let world = World::linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::too_many_requests())));
    world.post("alice", "No", &sample()).await;
    world.until("the limit", |world| world.last_text("alice").starts_with("X asks for a pause")).await;
    assert_cancelled(&world, 1).await;
}

/// `/cancel` ends alice's post, which had got as far as this many creations.
async fn assert_cancelled(world: &World, creations: usize) {
    let status = world.last("alice");
    world.ask("alice", Ask::Cancel).await;
    assert_eq!(world.last_text("alice"), "Cancelled. sample.mp4 will not be posted.");
    world.settle().await;
    let now = world.said("alice").into_iter().find(|shown| shown.at == status.at).unwrap();
    assert_eq!(read(&now.message), "Cancelled. sample.mp4 was not posted.");
    assert_eq!(world.row("alice").await.state, State::Canceled);
    assert_eq!(world.requests(Call::CreatePost).len(), creations);
    assert_eq!(world.x.posts().len(), 0);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_late_to_cancel() {
    let world = World::linked().await;
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::CreatePost, Effect::Hold(gate.clone())));
    world.post("alice", "Yes", &sample()).await;
    world.until("the creation", |_| held.fired() == 1).await;
    let status = world.last("alice");
    world.ask("alice", Ask::Cancel).await;
    assert_eq!(world.last_text("alice"), "You have no post under way that could be cancelled.");
    if read(&status.message).contains("[Cancel]") {
        world.press("alice", &status, "Cancel").await;
        assert_eq!(world.last_text("alice"), "That no longer applies: the post has moved on.");
    }
    gate.open();
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    world.ask("alice", Ask::Cancel).await;
    assert_eq!(world.last_text("alice"), "You have no post under way that could be cancelled.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_post_can_be_tried_again_even_when_its_copy_is_gone() {
    let world = World::linked().await;
    world.x.fail_processing(ProcessingFailure::invalid_media());
    world.post("alice", "Again", &sample()).await;
    // A day passes, and the staged copy goes.
    world.settle().await;
    world.assert_at_rest_in_a_day().await;
    world.press("alice", &world.last("alice"), "Try again").await;
    world.settle().await;
    world.assert_posted_once("alice", "Again", &sample()).await;
    world.ask("alice", Ask::Posts).await;
    assert_eq!(
        world.last_text("alice"),
        format!(
            "Your latest posts:\nsample.mp4 to @alice_makes: posted {}/alice_makes/status/{}",
            world.x.url(),
            world.x.posts()[0].id
        )
    );
}

//! Accounts once they are linked: linked again, shared, chosen between, taken away.

use std::time::Duration;

use toall::{
    chat::Ask,
    post::State,
    sandbox::{Answer, Call, Effect, Fault},
};

use crate::world::{World, person, read, sample};

fn disconnect(what: &str) -> Ask {
    Ask::Disconnect { what: what.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn relinking_replaces_the_tokens_of_the_same_account() {
    let world = World::linked().await;
    // X ends the earlier grant with the new one, so a post with old tokens would fail.
    world.link("alice", "alice_makes").await;
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);

    world.post("alice", "once more", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "once more", &sample()).await;
    assert_eq!(world.requests(Call::Refresh).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_share_one_account_one_lane_and_one_set_of_tokens() {
    let world = World::linked().await;
    world.link("bob", "alice_makes").await;
    world.pass(Duration::from_secs(3 * 3_600));

    for (name, caption) in [("alice", "first"), ("bob", "second"), ("alice", "third")] {
        world.post(name, caption, &sample()).await;
    }
    world.settle().await;
    let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts, ["first", "second", "third"]);
    assert_eq!(world.requests(Call::Refresh).len(), 1, "one refresh serves both");
    assert!(world.last_text("bob").starts_with("Posted to @alice_makes\n"));

    world.ask("alice", disconnect("")).await;
    assert_eq!(
        world.last_text("alice"),
        "Disconnected @alice_makes (Alice) from you. Others here still post to it."
    );
    assert_eq!(world.requests(Call::Revoke).len(), 0);
    world.post("bob", "fourth", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 4);

    world.ask("bob", disconnect("")).await;
    assert_eq!(
        world.last_text("bob"),
        "Disconnected @alice_makes (Alice). X has been told, and I have forgotten its keys."
    );
    world.assert_revoked();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_two_accounts_chooses() {
    let world = World::linked().await;
    world.link("alice", "bob_films").await;
    world.ask("alice", Ask::Accounts).await;
    let listed = world.last("alice");
    assert_eq!(
        read(&listed.message),
        "Your X accounts:\n@alice_makes (Alice)\n@bob_films (Bob) · /post goes here [Post to @alice_makes]"
    );
    world.press("alice", &listed, "Post to @alice_makes").await;
    assert_eq!(world.last_text("alice"), "/post now goes to @alice_makes (Alice).");
    world.post("alice", "to the first", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts()[0].username, "alice_makes");

    world.ask("alice", disconnect("@carol")).await;
    assert_eq!(world.last_text("alice"), "You have not linked @carol. Linked: @alice_makes, @bob_films.");
    world.ask("alice", disconnect("")).await;
    let which = world.last("alice");
    assert_eq!(read(&which.message), "Which account shall I disconnect? [@alice_makes] [@bob_films]");
    world.press("alice", &which, "@alice_makes").await;
    assert_eq!(
        world.last_text("alice"),
        "Disconnected @alice_makes (Alice). X has been told, and I have forgotten its keys."
    );
    world.assert_revoked();
    world.post("alice", "to the second", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts()[1].username, "bob_films");

    world.ask("alice", disconnect("@Bob_Films")).await;
    world.ask("alice", disconnect("")).await;
    assert_eq!(world.last_text("alice"), "You have no linked X account, so there is nothing to disconnect.");
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnecting_works_while_x_does_not() {
    let world = World::linked().await;
    world.x.order(Fault::on(Call::Revoke, Effect::Drop).times(2));
    world.ask("alice", disconnect("")).await;
    assert_eq!(
        world.last_text("alice"),
        "Disconnected @alice_makes (Alice), and I have forgotten its keys. X could not be told just now; \
         you can remove the app yourself under Settings, Connected apps, on X."
    );
    assert_eq!(world.accounts(&person("alice")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnecting_ends_the_posts_that_wait() {
    let world = World::linked().await;
    let limit = world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::too_many_requests())));
    world.post("alice", "too late", &sample()).await;
    world.until("the limit", |_| limit.fired() == 1).await;
    world.until_row("alice", "waiting", |post| post.waiting.is_some()).await;

    world.ask("alice", disconnect("")).await;
    world.settle().await;
    let status = world.said("alice").into_iter().rev().nth(1).unwrap();
    assert_eq!(
        read(&status.message),
        "sample.mp4 was not posted to @alice_makes.\nThe account was disconnected before the post's turn came."
    );
    assert_eq!(world.row("alice").await.state, State::Failed);
    assert_eq!(world.x.posts().len(), 0);
    world.assert_at_rest().await;
}

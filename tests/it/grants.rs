//! Grants of an account that works for somebody: a new one must not end it, whatever becomes of the question.

use std::time::Duration;

use reqwest::StatusCode;
use toall::{
    chat::Ask,
    sandbox::{Answer, Call, Effect, Exchange, Fault},
};

use crate::world::{Page, World, person, sample};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// Posts, and sees that it arrives on X.
async fn goes_out(world: &World, name: &str, caption: &str) {
    world.post(name, caption, &sample()).await;
    world.settle().await;
    let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(
        texts.iter().filter(|text| *text == caption).count(),
        1,
        "{texts:?}: {}",
        world.last_text(name)
    );
}

/// Sees that alice's account still works, that nobody else is connected, and that X was not asked to end anything.
async fn assert_alice_goes_on(world: &World) {
    goes_out(world, "alice", "still mine").await;
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
    assert_eq!(world.accounts(&person("bob")).await, [""; 0]);
    assert_eq!(world.requests(Call::Revoke).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn not_me_keeps_an_account_that_works() {
    let world = World::linked().await;
    let page = world.question(&world.connect_link("bob").await, "alice_makes").await;
    let refused = page.submit(1).await;
    assert_eq!(refused.status, StatusCode::OK);
    assert!(refused.text().contains("Nobody new can post to this account."), "{}", refused.text());
    assert_alice_goes_on(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_page_keeps_an_account_that_works() {
    let world = World::linked().await;
    world.question(&world.connect_link("bob").await, "alice_makes").await;
    // At once, and after the question has ended.
    goes_out(&world, "alice", "meanwhile").await;
    world.pass(TEN_MINUTES + Duration::from_secs(61));
    world.settle().await;
    assert_alice_goes_on(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unnamed_grant_keeps_an_account_that_works() {
    for effect in [Effect::Refuse(Answer::html(503)), Effect::Drop, Effect::Garble] {
        let world = World::linked().await;
        world.x.order(Fault::on(Call::Me, effect));
        let callback = world.authorise(&world.connect_link("bob").await, "alice_makes", "authorize").await;
        assert!(Page::open(&callback).await.status.is_server_error());
        assert_alice_goes_on(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_broken_by_an_unnamed_grant_works_again() {
    let world = World::linked().await;
    let down = world.x.order(Fault::on(Call::Me, Effect::Refuse(Answer::html(503))).times(5));
    let callback = world.authorise(&world.connect_link("bob").await, "alice_makes", "authorize").await;
    assert!(Page::open(&callback).await.status.is_server_error());
    world.post("alice", "still mine", &sample()).await;
    world.until_row("alice", "waiting for alice", |post| post.waiting.is_some()).await;
    world.until("X answers again", |_| down.fired() == 5).await;
    world.settle().await;
    world.assert_posted_once("alice", "still mine", &sample()).await;
    assert_eq!(world.requests(Call::Revoke).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_nobody_needs_is_given_back_once_it_is_named() {
    let world = World::new().await;
    world.x.order(Fault::on(Call::Me, Effect::Refuse(Answer::html(503))));
    let callback = world.authorise(&world.connect_link("bob").await, "alice_makes", "authorize").await;
    assert!(Page::open(&callback).await.status.is_server_error());
    assert_eq!(world.requests(Call::Revoke).len(), 0, "nobody knows yet whose it is");
    world.pass(Duration::from_secs(61));
    let revoked = |exchange: &Exchange| exchange.call == Some(Call::Revoke);
    world.until_x("two revocations", |x| x.exchanges().into_iter().filter(revoked).count() == 2).await;
    world.assert_revoked();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_of_two_questions_keeps_the_newer_tokens() {
    let world = World::linked().await;
    let older = world.question(&world.connect_link("bob").await, "alice_makes").await;
    let newer = world.question(&world.connect_link("carol").await, "alice_makes").await;
    assert_eq!(older.submit(0).await.status, StatusCode::OK);
    assert_eq!(newer.submit(1).await.status, StatusCode::OK);
    for name in ["alice", "bob"] {
        goes_out(&world, name, name).await;
    }
    assert_eq!(world.accounts(&person("carol")).await, [""; 0]);
    assert_eq!(world.requests(Call::Refresh).len(), 0, "the tokens at hand are the live ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_was_given_back_connects_nobody() {
    let world = World::linked().await;
    let page = world.question(&world.connect_link("bob").await, "alice_makes").await;
    world.ask("alice", Ask::Disconnect { what: String::new() }).await;
    let late = page.submit(0).await;
    assert_eq!(late.status, StatusCode::GONE, "{}", late.text());
    assert_eq!(world.accounts(&person("bob")).await, [""; 0]);
}

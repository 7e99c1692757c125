//! Several people's connections to one account: a new grant must not end them unasked, and must not bring back those that
//! were ended.

use std::time::Duration;

use reqwest::StatusCode;
use toall::{
    chat::Ask,
    config::OnUnsure,
    post::{State, Waiting},
    sandbox::{Answer, Call, Effect, Exchange, Fault},
    words::Deed,
};

use crate::world::{Page, World, person, read, sample};

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
async fn a_grant_that_allows_too_little_is_not_revoked_while_others_post_to_the_account() {
    let world = World::linked().await;
    let less =
        Effect::Edit(|answer| answer["scope"] = "tweet.read tweet.write users.read offline.access".into());
    world.x.order(Fault::on(Call::Token, less));
    let callback = world.authorise(&world.connect_link("bob").await, "alice_makes", "authorize").await;
    let page = Page::open(&callback).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text().contains("A permission is missing"), "{}", page.text());
    assert_eq!(world.requests(Call::Revoke).len(), 0);
    assert_eq!(world.accounts(&person("bob")).await, [""; 0]);
    // This X ends the older grant as it gives the new one, which nobody here can keep it from.
    world.post("alice", "kept", &sample()).await;
    world.settle().await;
    assert!(world.last_text("alice").contains("Connect it again"), "{}", world.last_text("alice"));
    world.link("alice", "alice_makes").await;
    world.settle().await;
    assert_eq!(world.x.posts()[0].text, "kept");
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

/// The notices that went to a person alone, wherever they write from.
fn notices(world: &World, name: &str) -> Vec<String> {
    let to_them = |shown: &&toall::chat::console::Shown| shown.at.chat == person(name).id;
    world.console.messages().iter().filter(to_them).map(|shown| read(&shown.message)).collect()
}

async fn shared() -> World {
    let world = World::linked().await;
    world.link("bob", "alice_makes").await;
    world
}

/// A post of bob's that waits for X, before it is uploaded.
async fn waiting_post_of_bob(world: &World) {
    world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::too_many_requests())));
    world.post("bob", "from bob", &sample()).await;
    world.until_row("bob", "waiting", |post| post.waiting.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_connection_stays_removed() {
    let world = shared().await;
    // Alice removes the app on X. Bob notices first.
    world.x.revoke_grant("alice_makes");
    world.pass(Duration::from_secs(3 * 3_600));
    world.post("bob", "from bob", &sample()).await;
    world.settle().await;
    assert_eq!(world.row("bob").await.waiting, Some(Waiting::Reconnect));

    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    assert!(
        page.text().contains(
            "Other people connected to this account X had ended their access. They can post again only if you keep their \
             connection. this console Keep End"
        ),
        "{}",
        page.text()
    );
    let end = page.html.split("<input").find(|input| input.contains("value=\"end\"")).unwrap();
    assert!(end.contains("checked"), "{end}");
    page.submit_with(0, &[("console:id-bob", "end")]).await;
    world.settle().await;

    assert_eq!(world.accounts(&person("bob")).await, [""; 0]);
    let row = world.row("bob").await;
    assert_eq!((row.state, row.waiting), (State::Uploading, Some(Waiting::ConnectionEnded)));
    assert!(
        world.last_text("bob").contains("The owner of this account ended your connection to it"),
        "{}",
        world.last_text("bob")
    );
    assert_eq!(
        notices(&world, "bob"),
        [
            "The owner of @alice_makes (Alice) ended your connection to it. Your waiting posts are kept: connect it again and \
          they go on. [Connect again]"
        ]
    );
    goes_out(&world, "alice", "hers").await;
    assert_eq!(world.x.posts().len(), 1);

    // Alice trusts bob again; alice stays, as she is connected and X had not ended the grant.
    world.link("bob", "alice_makes").await;
    world.settle().await;
    assert_eq!(world.row("bob").await.state, State::Posted);
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_choice_a_broken_grant_ends_the_others() {
    let world = shared().await;
    world.x.revoke_grant("alice_makes");
    world.pass(Duration::from_secs(3 * 3_600));
    world.post("bob", "from bob", &sample()).await;
    world.settle().await;
    world.link("alice", "alice_makes").await;
    assert_eq!(world.accounts(&person("bob")).await, [""; 0]);
    assert_eq!(world.x.posts().len(), 0);
    assert_eq!(world.row("bob").await.waiting, Some(Waiting::ConnectionEnded));
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_people_go_on_and_ended_ones_wait() {
    let world = shared().await;
    world.link("carol", "alice_makes").await;
    waiting_post_of_bob(&world).await;
    world.post("carol", "from carol", &sample()).await;
    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    let checked: Vec<_> = page.html.split("<input").filter(|input| input.contains("checked")).collect();
    assert_eq!(checked.len(), 2, "{}", page.html);
    assert!(checked.iter().all(|input| input.contains("value=\"keep\"")), "{checked:?}");
    page.submit_with(0, &[("console:id-bob", "end"), ("console:id-carol", "keep")]).await;
    world.settle().await;
    assert_eq!(world.row("bob").await.waiting, Some(Waiting::ConnectionEnded));
    assert_eq!(world.row("carol").await.state, State::Posted);
    // Bob can still give it up.
    world.ask("bob", Ask::Cancel).await;
    assert_eq!(world.row("bob").await.state, State::Canceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_ends_all_others() {
    let world = shared().await;
    let id = world.app().store.accounts(&person("alice")).await.unwrap()[0].id.clone();
    // Bob confirmed the newest grant.
    world.press_deed("alice", Deed::EndOthers(id.clone())).await;
    assert_eq!(
        world.last_text("alice"),
        "Only the person who connected this account last can end other people's connections. Connect it again to do \
         that. [Connect X]"
    );
    world.press_deed("alice", Deed::AskEndOthers(id)).await;
    assert!(world.last_text("alice").starts_with("Only the person who connected this account last can"));
    world.link("alice", "alice_makes").await;
    waiting_post_of_bob(&world).await;
    world.ask("bob", Ask::Accounts).await;
    assert!(!read(&world.last("bob").message).contains("End all others"));
    world.ask("alice", Ask::Accounts).await;
    let listed = world.last("alice");
    assert_eq!(
        read(&listed.message),
        "Your X account:\n@alice_makes (Alice) · 1 other person can post here [End all others]"
    );
    world.press("alice", &listed, "End all others").await;
    let question = world.last("alice");
    assert_eq!(
        read(&question.message),
        "1 other person can post to @alice_makes (Alice). If you end that, their waiting posts are not sent until they \
         connect the account again. [End the connection]"
    );
    assert_eq!(world.accounts(&person("bob")).await, ["alice_makes"], "asked first");
    world.press("alice", &question, "End the connection").await;
    assert_eq!(
        world.last_text("alice"),
        "Ended 1 person's connection to @alice_makes (Alice). Their waiting posts are not sent."
    );
    world.settle().await;
    assert_eq!(world.accounts(&person("bob")).await, [""; 0]);
    assert_eq!(world.row("bob").await.waiting, Some(Waiting::ConnectionEnded));
    assert_eq!(notices(&world, "bob").len(), 1);
    assert_eq!(world.x.posts().len(), 0);
    goes_out(&world, "alice", "hers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_in_doubt_is_not_repeated_for_an_ended_person() {
    let world = World::with(|_, config| config.worker.on_unsure = OnUnsure::Retry).await.and_linked().await;
    world.link("bob", "alice_makes").await;
    world.link("alice", "alice_makes").await;
    let lost = world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::html(504))));
    world.post("bob", "perhaps", &sample()).await;
    world.until("the lost answer", |_| lost.fired() == 1).await;
    world.until_row("bob", "looking", |post| post.waiting == Some(Waiting::Looking)).await;
    let id = world.app().store.accounts(&person("alice")).await.unwrap()[0].id.clone();
    world.press_deed("alice", Deed::EndOthers(id)).await;
    world.settle().await;
    assert_eq!(world.row("bob").await.state, State::NeedsUser);
    assert_eq!(world.x.posts().len(), 0);
}

//! Linking X accounts, and taking them away again.

use std::time::Duration;

use reqwest::StatusCode;
use toall::{
    account::{Person, Platform},
    chat::{Ask, Audience},
    sandbox::{Answer, Call, Effect, Exchange, Fault},
};

use crate::world::{Page, World, person, place, read};

const TEN_MINUTES: Duration = Duration::from_secs(600);

fn connect() -> Ask {
    Ask::Connect { what: "twitter".to_owned() }
}

/// Nothing came of it: the page says so, nobody has an account, and the chat heard nothing but the link.
async fn assert_not_linked(world: &World, page: &Page, status: StatusCode, words: &str) {
    assert_eq!(page.status, status, "{}", page.text());
    assert!(page.text().contains(words), "{}", page.text());
    world.settle().await;
    assert_eq!(world.accounts(&person("alice")).await, [""; 0]);
    assert_eq!(world.said("alice").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_linked_once_the_person_has_seen_to_whom() {
    let world = World::new().await;
    let link = world.connect_link("alice").await;
    let offered = world.last("alice");
    assert_eq!(
        read(&offered.message),
        "Link your X account. The link is yours alone and lasts 10 minutes. [Authorise on X]"
    );
    assert_eq!(offered.audience, Audience::Asker);

    let page = world.question(&link, "alice_makes").await;
    assert_eq!(
        page.text(),
        "toall Link @alice_makes (Alice) to this console? A @alice_makes (Alice) on X ↓ C this console \
         Posts sent with /post will be published there. Did somebody else send you the link to X? Then they could \
         post as you: choose Not me. Link account Not me"
    );
    assert_eq!(world.accounts(&person("alice")).await, [""; 0], "nothing is linked before the answer");

    let done = page.submit(0).await;
    assert!(done.text().contains("Linked @alice_makes (Alice) Go back to your chat"), "{}", done.text());
    world.settle().await;
    assert_eq!(
        world.last_text("alice"),
        "Linked @alice_makes (Alice). Upload a video with /post to publish it."
    );
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
    world.ask("alice", Ask::Accounts).await;
    assert_eq!(world.last_text("alice"), "Your X account:\n@alice_makes (Alice)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_opened_twice_asks_once() {
    let world = World::new().await;
    let callback = world.authorise(&world.connect_link("alice").await, "alice_makes", "authorize").await;
    let page = Page::open(&callback).await;

    let again = Page::open(&callback).await;
    assert_eq!((again.status, again.text()), (StatusCode::OK, page.text()), "loaded again, it asks the same");
    assert_eq!(world.requests(Call::Token).len(), 1, "the second visit does not reach X");

    page.submit(0).await;
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"], "the first page still links");
    let late = Page::open(&callback).await;
    assert_eq!(late.status, StatusCode::GONE, "an answered question is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_dead_after_ten_minutes() {
    let world = World::new().await;
    let link = world.connect_link("alice").await;
    world.pass(TEN_MINUTES);
    let page = Page::open(&world.authorise(&link, "alice_makes", "authorize").await).await;
    assert_not_linked(&world, &page, StatusCode::GONE, "This link no longer works").await;
    assert_eq!(world.requests(Call::Token).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_left_open_is_given_back_to_x() {
    let world = World::new().await;
    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    world.pass(TEN_MINUTES + Duration::from_secs(60));
    world
        .until_x("two revocations", |x| {
            x.exchanges().iter().filter(|exchange| exchange.call == Some(Call::Revoke)).count() == 2
        })
        .await;
    world.assert_revoked();
    let late = page.submit(0).await;
    assert_not_linked(&world, &late, StatusCode::GONE, "This link no longer works").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_callbacks_link_nothing() {
    let world = World::new().await;
    let real = world.authorise(&world.connect_link("alice").await, "alice_makes", "authorize").await;
    let state = "A".repeat(43);
    for (query, status, title) in [
        (format!("state={state}&code=x"), StatusCode::GONE, "This link no longer works"),
        ("state=short&code=x".to_owned(), StatusCode::GONE, "This link no longer works"),
        (String::new(), StatusCode::BAD_REQUEST, "That link is not complete"),
        (format!("state={state}"), StatusCode::BAD_REQUEST, "That link is not complete"),
        ("code=x".to_owned(), StatusCode::BAD_REQUEST, "That link is not complete"),
        (format!("state={state}&code=x&code=y"), StatusCode::BAD_REQUEST, "That link is not complete"),
        (format!("state={state}&code="), StatusCode::BAD_REQUEST, "That link is not complete"),
        (
            format!("state={state}&code={}", "x".repeat(5_000)),
            StatusCode::BAD_REQUEST,
            "That link is not complete",
        ),
    ] {
        let mut forged = real.clone();
        forged.set_query(Some(&query));
        assert_not_linked(&world, &Page::open(&forged).await, status, title).await;
    }
    // A state of ours with a code of nobody's.
    let state = real.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let mut stolen = real.clone();
    stolen.query_pairs_mut().clear().append_pair("state", &state).append_pair("code", "nobodys");
    let page = Page::open(&stolen).await;
    assert_not_linked(&world, &page, StatusCode::BAD_REQUEST, "X did not accept that").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_on_x_leaves_all_as_it_was() {
    let world = World::new().await;
    let callback = world.authorise(&world.connect_link("alice").await, "alice_makes", "cancel").await;
    let page = Page::open(&callback).await;
    assert_not_linked(
        &world,
        &page,
        StatusCode::OK,
        "Nothing was linked X sent you back without a permission for this service, so all is as it was.",
    )
    .await;
    let again = Page::open(&callback).await;
    assert_eq!(again.status, StatusCode::GONE, "the link request is used up");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_me_forgets_and_revokes() {
    let world = World::new().await;
    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    let refused = page.submit(1).await;
    assert_not_linked(
        &world,
        &refused,
        StatusCode::OK,
        "Nothing was linked X has taken the permission back, and nothing about your account was kept here.",
    )
    .await;
    world.assert_revoked();
    assert_eq!(page.submit(0).await.status, StatusCode::GONE, "it cannot be linked afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_sent_on_names_who_would_post() {
    let world = World::new().await;
    let mallory =
        Person { platform: Platform::Discord, id: "42424242".to_owned(), name: "mallory".to_owned() };
    world.ask_as(mallory.clone(), place("mallory"), connect()).await;

    // Mallory sends it to alice, who opens it.
    let page = world.question(&world.offered_link("mallory"), "alice_makes").await;
    assert!(page.text().contains("Link @alice_makes (Alice) to Discord user mallory?"), "{}", page.text());
    assert!(page.text().contains("Discord user mallory id 42424242"), "{}", page.text());
    assert!(page.text().contains("Then they could post as you: choose Not me."), "{}", page.text());

    // Confirmed all the same, it goes to the one who asked, as the page said.
    page.submit(0).await;
    assert_eq!(world.accounts(&mallory).await, ["alice_makes"]);
    assert_eq!(world.accounts(&person("alice")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_confirmation_changes_nothing() {
    let world = World::new().await;
    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    page.submit(0).await;
    for button in [0, 1] {
        let again = page.submit(button).await;
        assert_eq!(again.status, StatusCode::GONE);
        assert!(again.text().contains("This link no longer works"), "{}", again.text());
    }
    world.settle().await;
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
    assert_eq!(world.said("alice").len(), 2, "linked is said once");
    assert_eq!(world.requests(Call::Revoke).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_left_out_is_named_and_nothing_is_kept() {
    let world = World::new().await;
    let less =
        Effect::Edit(|answer| answer["scope"] = "tweet.read tweet.write users.read offline.access".into());
    world.x.order(Fault::on(Call::Token, less));
    let callback = world.authorise(&world.connect_link("alice").await, "alice_makes", "authorize").await;
    let page = Page::open(&callback).await;
    assert_not_linked(&world, &page, StatusCode::FORBIDDEN, "A permission is missing").await;
    world.assert_revoked();
}

#[tokio::test(flavor = "multi_thread")]
async fn x_out_of_reach_while_linking_is_said_on_the_page() {
    for (call, effect, title) in [
        (Call::Token, Effect::Refuse(Answer::html(503)), "X is not answering"),
        (Call::Token, Effect::Drop, "X is not answering"),
        (Call::Token, Effect::Garble, "X is not answering"),
        (Call::Token, Effect::Refuse(Answer::too_many_requests()), "X asks us to wait"),
        (Call::Me, Effect::Refuse(Answer::html(503)), "X is not answering"),
        (Call::Me, Effect::Drop, "X is not answering"),
        (Call::Me, Effect::Refuse(Answer::suspended()), "X restricts this account"),
        (Call::Me, Effect::Refuse(Answer::credits_depleted()), "X does not accept this service"),
    ] {
        let world = World::new().await;
        world.x.order(Fault::on(call, effect));
        let callback = world.authorise(&world.connect_link("alice").await, "alice_makes", "authorize").await;
        let page = Page::open(&callback).await;
        let status = page.status;
        assert!(status.is_server_error() || status == StatusCode::FORBIDDEN, "{status}");
        assert_not_linked(&world, &page, status, title).await;
        if call == Call::Me {
            // As soon as X names the account, it is known that nobody needs the grant.
            world.pass(Duration::from_secs(61));
            let revoked = |exchange: &Exchange| exchange.call == Some(Call::Revoke);
            world
                .until_x("two revocations", |x| x.exchanges().into_iter().filter(revoked).count() == 2)
                .await;
            world.assert_revoked();
        }
        // A new link works once X does.
        world.link("alice", "alice_makes").await;
        assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
    }
}

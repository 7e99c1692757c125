//! Attacks on the way from a link in the chat to a linked account.

use std::time::Duration;

use reqwest::StatusCode;
use toall::{
    account::{Person, Platform},
    chat::Ask,
    sandbox::Call,
    ticket::Ticket,
};
use url::Url;

use crate::world::{Page, World, browser, person, place};

fn query(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
}

fn callback(like: &Url, state: &str, code: &str) -> Url {
    let mut url = like.clone();
    url.query_pairs_mut().clear().append_pair("state", state).append_pair("code", code);
    url
}

/// The hidden field of a page.
fn ticket(page: &Page) -> String {
    let (_, rest) = page.html.split_once("name=\"ticket\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_links_open_at_once_cannot_be_mixed() {
    let world = World::new().await;
    let (alice, bob) = (world.connect_link("alice").await, world.connect_link("bob").await);
    let alice = world.authorise(&alice, "alice_makes", "authorize").await;
    let bob = world.authorise(&bob, "bob_films", "authorize").await;

    // Alice's browser is made to bring bob's permission, and the other way round.
    for (state, code) in [(&alice, &bob), (&bob, &alice)] {
        let page = Page::open(&callback(&alice, &query(state, "state"), &query(code, "code"))).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.text());
        assert!(page.text().contains("X did not accept that"), "{}", page.text());
        assert!(!page.html.contains("name=\"ticket\""));
    }
    for name in ["alice", "bob"] {
        assert_eq!(world.accounts(&person(name)).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_cannot_be_guessed_changed_or_made_of_what_is_stored() {
    let world = World::new().await;
    let real = world.authorise(&world.connect_link("alice").await, "alice_makes", "authorize").await;
    let (state, code) = (query(&real, "state"), query(&real, "code"));
    let mut guesses: Vec<String> = (0..100).map(|_| Ticket::draw().unwrap().expose().to_owned()).collect();
    let hash = Ticket::shown(&state).unwrap().hash();
    let swapped: String = state
        .chars()
        .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    guesses.extend([
        hash[..43].to_owned(),
        hash,
        swapped,
        format!("{state}="),
        format!(" {state}"),
        format!("{state}\0"),
        state[..42].to_owned(),
        "' OR 1=1 --".to_owned(),
        "%".repeat(43),
    ]);
    for guess in guesses {
        let page = Page::open(&callback(&real, &guess, &code)).await;
        assert_eq!(page.status, StatusCode::GONE, "{guess:?}: {}", page.text());
    }
    assert_eq!(world.requests(Call::Token).len(), 0, "X is not asked for any of them");
    assert_eq!(Page::open(&real).await.status, StatusCode::OK, "and the real one still works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_its_own_door_only() {
    let world = World::new().await;
    world.ask("alice", Ask::Token { name: String::new() }).await;
    let said = world.last_text("alice");
    let at = said.find("toall_").unwrap() + "toall_".len();
    let api_token = said[at..at + 43].to_owned();
    let unused = world.authorise(&world.connect_link("alice").await, "alice_makes", "authorize").await;
    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    let (state, ticket) = (query(&unused, "state"), ticket(&page));

    for shown in [&state, &api_token] {
        for path in ["/api/social/callback", "/api/social/callback/refuse"] {
            let form = [("ticket", shown)];
            let answer = browser().post(page.url.join(path).unwrap()).form(&form).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::GONE);
        }
    }
    for shown in [&ticket, &api_token] {
        let answer = Page::open(&callback(&unused, shown, "code")).await;
        assert_eq!(answer.status, StatusCode::GONE);
    }
    for shown in [&state, &ticket] {
        let url = page.url.join("/api/social/accounts").unwrap();
        let answer = browser().get(url).bearer_auth(format!("toall_{shown}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.accounts(&person("alice")).await, [""; 0]);
    assert_eq!(page.submit(0).await.status, StatusCode::OK, "none of that used it up");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_me_on_somebody_elses_link_revokes_and_tells_them_nothing() {
    let world = World::new().await;
    let mallory =
        Person { platform: Platform::Discord, id: "42424242".to_owned(), name: "mallory".to_owned() };
    world.ask_as(mallory.clone(), place("mallory"), Ask::Connect { what: "twitter".to_owned() }).await;
    let page = world.question(&world.offered_link("mallory"), "alice_makes").await;
    assert!(page.text().contains("Discord user mallory id 42424242"), "{}", page.text());

    page.submit(1).await;
    world.assert_revoked();
    world.pass(Duration::from_secs(3_600));
    world.settle().await;
    assert_eq!(world.accounts(&mallory).await, [""; 0]);
    assert_eq!(world.said("mallory").len(), 1, "the link, and nothing about who opened it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_on_another_page_is_refused_even_with_the_right_field() {
    let world = World::new().await;
    let page = world.question(&world.connect_link("alice").await, "alice_makes").await;
    let fields = [("ticket", ticket(&page))];
    for path in ["/api/social/callback", "/api/social/callback/refuse"] {
        for site in ["cross-site", "same-site"] {
            let post = browser().post(page.url.join(path).unwrap()).form(&fields);
            let post = post.header("origin", "https://evil.example").header("sec-fetch-site", site);
            let answer = post.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            assert!(answer.text().await.unwrap().contains("That came from another page"));
        }
    }
    assert_eq!(world.accounts(&person("alice")).await, [""; 0]);
    assert_eq!(world.requests(Call::Revoke).len(), 0);

    // Browsers send no origin from a page that tells no referrer; and nothing rests on cookies.
    let own = browser().post(page.url.join("/api/social/callback").unwrap()).form(&fields);
    let own =
        own.header("origin", "null").header("sec-fetch-site", "same-origin").header("cookie", "ticket=stale");
    let answer = own.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    // Whoever linked is signed in; no script reads that, and no other site's page sends it along.
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite="), "{cookie}");
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
}

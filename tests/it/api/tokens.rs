//! Tokens: made, listed and ended in chat.

use reqwest::StatusCode;
use toall::chat::Ask;

use crate::world::{World, browser};

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_listed_and_ended_in_chat() {
    let world = World::new().await;
    let (one, two) = (world.program("alice").await, world.program("alice").await);
    one.get("accounts").await.ok();
    world.ask("alice", Ask::Tokens).await;
    let list = world.last("alice");
    let text = world.last_text("alice");
    let tail = |program: &super::Program| program.token[program.token.len() - 4..].to_owned();
    let expected = format!(
        "Your API tokens:\ntests · ends in {} · made <0> · last used <0>\ntests · ends in {} · made <0> · never used \
         [End …{}] [End …{}]",
        tail(&one),
        tail(&two),
        tail(&one),
        tail(&two)
    );
    assert_eq!(text, expected);
    assert!(!text.contains(&one.token), "shown once");

    world.press("bob", &list, &format!("End …{}", tail(&one))).await;
    one.get("accounts").await.ok();
    world.press("alice", &list, &format!("End …{}", tail(&one))).await;
    one.get("accounts").await.is_problem(401, "unauthenticated");
    two.get("accounts").await.ok();

    for _ in 0..9 {
        world.ask("alice", Ask::Token { name: String::new() }).await;
    }
    world.ask("alice", Ask::Token { name: String::new() }).await;
    assert!(world.last_text("alice").starts_with("You have 10 API tokens"), "{}", world.last_text("alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_listed_and_signed_out_in_chat() {
    let world = World::new().await;
    world.ask("alice", Ask::Web).await;
    let link = world.offered_link("alice");
    let entered =
        browser().post(link).header("user-agent", "Firefox/130.0 (X11; Linux x86_64)").send().await.unwrap();
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let accounts = world.config.public_url.join("accounts").unwrap();
    let open =
        async || browser().get(accounts.clone()).header("cookie", &cookie).send().await.unwrap().status();
    assert_eq!(open().await, StatusCode::OK);

    world.ask("alice", Ask::Tokens).await;
    let list = world.last("alice");
    assert_eq!(
        world.last_text("alice"),
        "You have no API tokens. /token makes one.\n\nSigned in with these browsers:\nFirefox on Linux · since <0> · last \
         used <0> [Sign out Firefox on Linux]"
    );
    world.press("bob", &list, "Sign out Firefox on Linux").await;
    assert_eq!(open().await, StatusCode::OK, "only its person signs it out");
    world.press("alice", &list, "Sign out Firefox on Linux").await;
    assert_eq!(world.last_text("alice"), "You have no API tokens. /token makes one.");
    assert_eq!(open().await, StatusCode::UNAUTHORIZED);
}

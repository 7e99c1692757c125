//! How the bot introduces itself, how it waits, and what it makes of answers that are not Discord's own.

use std::time::Duration;

use serde_json::{Value, json};
use toall::{
    chat::{Audience, ChatError, discord::Discord as Adapter},
    clock::Clock,
    words::Message,
};

use super::{Bot, NOON};
use crate::discord::{Discord, Fault, TOKEN};

fn fault(on: (&'static str, &'static str), status: u16, body: Value) -> Fault {
    Fault { on, times: 1, status, body, done: false }
}

async fn checked(on: (&'static str, &'static str), status: u16, body: Value) -> ChatError {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    discord.world().faults = vec![fault(on, status, body)];
    let adapter = Adapter::new(&discord.settings(), clock).unwrap();
    adapter.check().await.unwrap_err()
}

/// The stand-in refuses every request without the name that Discord asks for.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_names_the_bot() {
    let mut bot = Bot::start().await;
    bot.adapter.check().await.unwrap();
    let place = bot.asked("alice", "general", "posts").await.at;
    bot.adapter.say(&place, Audience::Asker, &Message::text("None"), None).await.unwrap();
    let requests = bot.discord.world().requests.len();
    assert!(requests > 5, "{requests}");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_global_limit_pauses_every_call() {
    for body in [
        json!({ "message": "You are being rate limited.", "retry_after": 60.0, "global": true }),
        json!("error code: 1015"),
    ] {
        let mut bot = Bot::start().await;
        let place = bot.asked("alice", "general", "post").await.at;
        let at = bot.adapter.say(&place, Audience::Everyone, &Message::text("1"), None).await.unwrap();
        bot.discord.world().faults = vec![fault(("GET", "/users/@me"), 429, body)];
        assert!(matches!(bot.adapter.check().await, Err(ChatError::SlowDown(_))));
        let before = bot.discord.world().requests.len();
        // Another call, which the stand-in itself would take.
        let edited = bot.adapter.edit(&place, &at, &Message::text("2")).await;
        assert!(
            matches!(edited, Err(ChatError::SlowDown(left)) if left > Duration::from_secs(3)),
            "{edited:?}"
        );
        assert_eq!(bot.discord.world().requests.len(), before);
        assert_eq!(bot.only_message("general").shown(), "1");
        bot.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_one_route_leaves_the_others_alone() {
    let mut bot = Bot::start().await;
    let place = bot.asked("alice", "general", "post").await.at;
    let slow = json!({ "message": "You are being rate limited.", "retry_after": 60.0, "global": false });
    bot.discord.world().faults = vec![fault(("GET", "/users/@me"), 429, slow)];
    assert!(matches!(bot.adapter.check().await, Err(ChatError::SlowDown(_))));
    bot.adapter.say(&place, Audience::Everyone, &Message::text("1"), None).await.unwrap();
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_not_discords_is_temporary() {
    let users = ("GET", "/users/@me");
    for (status, body) in [
        (403, json!("error code: 1010")),
        (403, json!("<html>Sorry, you have been blocked</html>")),
        (403, json!({ "code": 40333, "message": "internal network error" })),
        (401, json!("<html>log in to this proxy</html>")),
        (407, json!("")),
        (404, json!("not found")),
        (403, json!({ "error": "blocked" })),
    ] {
        let error = checked(users, status, body.clone()).await;
        assert!(matches!(error, ChatError::Trouble(_)), "{status} {body}: {error:?}");
    }
    let wrong = checked(users, 401, json!({ "code": 0, "message": "401: Unauthorized" })).await;
    assert!(matches!(wrong, ChatError::Refused(_)), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_opens_the_gateway() {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    let adapter = Adapter::new(&discord.settings(), clock.clone()).unwrap();
    adapter.check_gateway().await.unwrap();
    assert_eq!(discord.world().gateway.identified, 1);

    for (code, said) in [
        (4004, "does not accept the bot token"),
        (4013, "code 4013"),
        (4014, "code 4014"),
        (4000, "code 4000"),
        (4011, "more shards"),
    ] {
        discord.world().gateway.refuses = Some(code);
        let error = adapter.check_gateway().await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(matches!(error, ChatError::Refused(_)), [4004, 4013, 4014].contains(&code), "{error:?}");
    }
    discord.world().gateway.refuses = None;

    discord.world().gateway.address = Some("ws://127.0.0.1:1/?secret=1".to_owned());
    let error = adapter.check_gateway().await.unwrap_err().to_string();
    assert!(error.contains("no connection to the gateway") && error.contains("refused"), "{error}");
    assert!(!error.contains("secret") && !error.contains(TOKEN), "{error}");

    discord.world().gateway.starts_left = 0;
    assert!(matches!(adapter.check_gateway().await, Err(ChatError::SlowDown(_))));
}

//! The doors that anybody can knock at: Telegram's webhook and Discord's interactions endpoint.

use serde_json::{Value, json};
use toall::{
    clock::Clock,
    config::{DiscordMode, TelegramMode},
};
use url::Url;

use crate::{
    discord::{Discord, endpoint::signed},
    telegram::{ALICE, TOKEN, Telegram},
    world::{NOON, World, browser},
};

async fn knocked(url: &Url, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> (u16, String) {
    let mut request = browser().post(url.clone()).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // Who is refused early may find the connection closed under what it still writes.
    match request.send().await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
        Err(_) => (0, String::new()),
    }
}

fn help_of(user: i64) -> Value {
    let from = json!({ "id": user, "is_bot": false, "first_name": "Mallory" });
    let chat = json!({ "id": user, "type": "private" });
    json!({ "update_id": 9, "message": { "message_id": 1, "from": from, "chat": chat, "text": "/help" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn without_telegrams_secret_nothing_is_heard_and_nothing_is_told() {
    const HEADER: &str = "X-Telegram-Bot-Api-Secret-Token";
    let telegram = Telegram::start().await;
    let mut settings = telegram.settings();
    settings.mode = TelegramMode::Webhook;
    let world = World::with(|_, config| config.telegram = Some(settings)).await;
    let secret = telegram.wait_for(|telegram| telegram.webhook()).await.secret;
    let url = world.config.telegram_webhook_url();
    let alice = telegram.private(ALICE);

    let forged = help_of(ALICE.id).to_string();
    let wrong = ["", "secret", TOKEN, &secret[..42], &format!("{secret}="), &secret.to_lowercase()];
    for wrong in wrong {
        assert_eq!(knocked(&url, &[(HEADER, wrong)], forged.clone()).await, (401, String::new()), "{wrong}");
    }
    assert_eq!(knocked(&url, &[], forged.clone()).await, (401, String::new()));
    // Refused before any of it is read.
    assert!([0, 401].contains(&knocked(&url, &[], vec![b'['; 64 << 20]).await.0));
    let answer = browser().get(url.clone()).header(HEADER, &secret).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 405);
    assert_eq!(telegram.said(ALICE.id), []);

    // From Telegram, yet not to be read however often it came: it is not to come again.
    let deep = format!("{{\"update_id\":1,\"message\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"update_id\":2,\"message\":\"{}\"}}", "x".repeat(3 << 20));
    for poison in ["", "{", "null", "[]", "\u{feff}{}", "{\"update_id\":\"x\"}", &deep, &long] {
        assert!([0, 200].contains(&knocked(&url, &[(HEADER, &secret)], poison.to_owned()).await.0));
    }
    // Longer than any message of Telegram's, though all of it could be read.
    let padded = format!("{forged}{}", " ".repeat(1 << 20));
    assert_eq!(knocked(&url, &[(HEADER, &secret)], padded).await.0, 200);
    let headers = [(HEADER, secret.as_str()), ("Content-Type", "text/html")];
    assert_eq!(knocked(&url, &headers, b"\xff\xfe".to_vec()).await.0, 200);

    assert_eq!(telegram.said(ALICE.id), []);
    alice.text("/help");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().next()).await;
    assert_eq!(telegram.said(ALICE.id).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_is_not_in_use_is_not_there() {
    let telegram = Telegram::start().await;
    let settings = telegram.settings();
    let world = World::with(|_, config| config.telegram = Some(settings)).await;
    for url in [world.config.telegram_webhook_url(), world.config.discord_endpoint_url()] {
        assert_eq!(knocked(&url, &[], "{}").await.0, 404, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_discord_did_not_sign_just_now_is_refused_and_a_copy_does_nothing() {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    let mut settings = discord.settings();
    settings.mode = DiscordMode::Http;
    let world = World::with_clock(clock, |_, config| config.discord = Some(settings)).await;
    let url = discord.wait_for("the endpoint", |world| world.endpoint.clone()).await;
    discord.slash("alice", "general", "token", &[], None).await;
    let first = discord.wait_for("the first", |world| world.brought.first().cloned()).await;
    assert_eq!(first.status, 202);
    discord
        .wait_for("the answer", |world| world.messages.values().find(|it| !it.content.is_empty()).cloned())
        .await;
    let answers = discord.ephemeral("alice").len();

    let client = browser();
    // The same bytes again, as who had read them on the way would send them.
    for _ in 0..3 {
        assert_eq!(first.send(&client, &url).await.0, 202);
    }
    discord
        .wait_for("the copies", |world| {
            let calls = world.times("POST", "/callback").len();
            (calls >= 4).then_some(())
        })
        .await;

    let event: Value = serde_json::from_str(&first.body).unwrap();
    let fresh = signed(&event, NOON);
    let change = |change: &dyn Fn(&mut crate::discord::endpoint::Brought)| {
        let mut bent = fresh.clone();
        change(&mut bent);
        bent
    };
    let refused = [
        change(&|it| it.signature = "0".repeat(128)),
        change(&|it| it.signature = String::new()),
        change(&|it| it.signature = "é".to_owned()),
        change(&|it| it.signature.truncate(126)),
        change(&|it| it.signature.push_str("00")),
        change(&|it| it.body = it.body.replace("token", "posts")),
        change(&|it| it.body.push(' ')),
        change(&|it| it.timestamp = (NOON / 1_000 + 1).to_string()),
        change(&|it| it.timestamp = String::new()),
        // Rightly signed, and of another time.
        signed(&event, NOON - 301_000),
        signed(&event, NOON + 301_000),
        signed(&event, i64::MIN),
        signed(&event, i64::MAX),
    ];
    for forged in refused {
        assert_eq!(forged.send(&client, &url).await, (401, String::new()), "{forged:?}");
    }
    let url: Url = url.parse().unwrap();
    assert_eq!(knocked(&url, &[], fresh.body.clone()).await.0, 401);
    let headers = [("X-Signature-Ed25519", fresh.signature.as_str()), ("X-Signature-Timestamp", "1")];
    assert!([0, 413].contains(&knocked(&url, &headers, vec![b'['; 64 << 20]).await.0));
    assert_eq!(browser().get(url.clone()).send().await.unwrap().status().as_u16(), 405);
    for odd in
        [json!({}), json!(null), json!({ "type": 99 }), (0..200).fold(json!(1), |inner, _| json!([inner]))]
    {
        assert_eq!(signed(&odd, NOON).send(&client, url.as_str()).await.0, 400, "{odd}");
    }

    discord.slash("bob", "general", "help", &[], None).await;
    discord
        .wait_for("bob's answer", |world| {
            let bob = world.users.get("bob").copied();
            world.messages.values().find(|it| it.ephemeral_for == bob && !it.content.is_empty()).cloned()
        })
        .await;
    assert_eq!(discord.ephemeral("alice").len(), answers, "a copy was answered");
    assert_eq!(discord.world().refusals, [""; 0]);
    drop(world);
}

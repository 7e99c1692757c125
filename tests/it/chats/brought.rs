//! The same ways when the chats bring what people ask: Telegram's webhook, Discord's interactions endpoint.

use std::time::Duration;

use serde_json::{Value, json};
use toall::{
    clock::Clock,
    config::{DiscordMode, TelegramMode},
};

use super::{ALICE, link_on_discord, link_on_telegram};
use crate::{
    discord::{Discord, Fault, File},
    telegram::{TOKEN, Telegram},
    world::{NOON, World, browser, sample, sha256_hex},
};

/// Longer than a mode goes without a look at what the chat says.
const A_LOOK_LATER: Duration = Duration::from_secs(61);

pub async fn by_webhook() -> (Telegram, World) {
    let telegram = Telegram::start().await;
    let mut settings = telegram.settings();
    settings.mode = TelegramMode::Webhook;
    let world = World::with(|_, config| config.telegram = Some(settings)).await;
    telegram.wait_for(|telegram| telegram.webhook()).await;
    (telegram, world)
}

async fn by_endpoint() -> (Discord, World) {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    let mut settings = discord.settings();
    settings.mode = DiscordMode::Http;
    let world = World::with_clock(clock, |_, config| config.discord = Some(settings)).await;
    discord.wait_for("the endpoint", |world| world.endpoint.clone()).await;
    (discord, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_from_telegram_to_x_by_the_webhook() {
    let (telegram, world) = by_webhook().await;
    link_on_telegram(&telegram, &world).await;
    let bytes = std::fs::read(sample()).unwrap();

    telegram.private(ALICE).video("surf.mp4", bytes.clone(), "/post First wave");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(2)).await;
    world.settle().await;

    let posts = world.x.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].media[0].sha256_hex, Some(sha256_hex(&bytes)));
    let said = telegram.said(ALICE.id);
    assert_eq!(said.len(), 3, "the link, linked, and one status that is edited");
    assert!(said[2].text.contains(&format!("/alice_makes/status/{}", posts[0].id)), "{}", said[2].text);
    assert!(telegram.brought().iter().all(|(_, status)| *status == 200), "{:?}", telegram.brought());
    assert!(telegram.calls("getUpdates").is_empty(), "nobody polls");

    let set = &telegram.calls("setWebhook")[0].body;
    assert_eq!(set["url"], json!(format!("{}telegram/webhook", world.config.public_url)));
    assert_eq!(set["allowed_updates"], json!(["message", "edited_message", "callback_query"]));
    assert_eq!(set["max_connections"], 40);
    let secret = set["secret_token"].as_str().unwrap();
    assert_eq!(secret.len(), 43);
    assert!(TOKEN.split(':').all(|part| !secret.contains(part)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_the_webhook_brings_again_is_posted_once_across_restarts() {
    let (telegram, mut world) = by_webhook().await;
    link_on_telegram(&telegram, &world).await;

    telegram.private(ALICE).video("surf.mp4", std::fs::read(sample()).unwrap(), "/post once");
    // Whatever instruction it is at; Telegram goes on bringing what was not answered.
    world.kill().await;
    world.boot().await;
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    world.settle().await;
    let said = telegram.said(ALICE.id).len();
    // Stored, and the answer lost.
    world.kill().await;
    telegram.redeliver();
    world.boot().await;
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    telegram.redeliver();
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    world.settle().await;

    assert_eq!(world.x.posts().len(), 1);
    assert_eq!(telegram.said(ALICE.id).len(), said, "nothing more is said");
    assert!(telegram.said(ALICE.id)[said - 1].text.starts_with("Posted to @alice_makes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_polling_takes_the_webhook_away_and_loses_nothing() {
    let (telegram, mut world) = by_webhook().await;
    world.kill().await;
    telegram.private(ALICE).text("/help");
    world.config.telegram.as_mut().unwrap().mode = TelegramMode::Polling;
    world.boot().await;
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().next()).await;
    assert!(telegram.webhook().is_none());
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_telegram_does_not_take_at_first_is_asked_for_again() {
    let telegram = Telegram::start().await;
    telegram.fail_next(
        "setWebhook",
        crate::telegram::Fault::Refuse(400, "Bad Request: bad webhook: Failed to resolve host"),
    );
    let mut settings = telegram.settings();
    settings.mode = TelegramMode::Webhook;
    let _world = World::with(|_, config| config.telegram = Some(settings)).await;
    telegram.private(ALICE).text("/help");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().next()).await;
    assert_eq!(telegram.calls("setWebhook").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_a_process_of_another_mode_took_away_is_set_again() {
    let (telegram, world) = by_webhook().await;
    let ours = telegram.webhook().unwrap().url;
    let changes: [fn(&Telegram); 2] = [Telegram::drop_webhook, Telegram::set_webhook];
    for (answers, change) in changes.into_iter().enumerate() {
        change(&telegram);
        telegram.private(ALICE).text("/help");
        world.pass(A_LOOK_LATER);
        telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(answers)).await;
        assert_eq!(telegram.webhook().unwrap().url, ours);
    }
    let set = telegram.calls("setWebhook").len();
    for looks in 3..=4 {
        world.pass(A_LOOK_LATER);
        telegram.wait_for(|telegram| (telegram.calls("getWebhookInfo").len() == looks).then_some(())).await;
    }
    assert_eq!(telegram.calls("setWebhook").len(), set, "what is as it should be is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_from_discord_to_x_by_the_endpoint_and_each_answer_is_quick() {
    let (discord, world) = by_endpoint().await;
    link_on_discord(&discord, &world).await;
    let bytes = std::fs::read(sample()).unwrap();
    let file = discord.attach("surf.mov", "video/quicktime", File::Bytes(bytes.clone().into()));

    discord.slash("alice", "general", "post", &[("caption", "First wave of the year")], Some(&file)).await;
    let public = |shown: &&crate::discord::Posted| shown.ephemeral_for.is_none() && !shown.content.is_empty();
    discord.wait_for("a status", |world| world.messages.values().find(public).cloned()).await;
    world.settle().await;

    let posts = world.x.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].media[0].sha256_hex, Some(sha256_hex(&bytes)));
    let said = discord.messages("general");
    assert_eq!(said.len(), 1, "{said:#?}");
    let expected = format!("Posted to @alice_makes\n{}/alice_makes/status/{}", world.x.url(), posts[0].id);
    assert_eq!(said[0].shown(), expected);

    let there = discord.world();
    assert_eq!(there.refusals, Vec::<String>::new());
    assert_eq!(there.gateway.identified, 0, "no gateway");
    assert_eq!(there.brought.iter().map(|it| it.status).collect::<Vec<_>>(), [202, 202]);
    for interaction in there.interactions.values() {
        let (.., took) = interaction.acknowledged.expect("answered");
        assert!(took < Duration::from_secs(1), "Discord waits for 3 s; this took {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_the_gateway_takes_the_endpoint_away() {
    let (discord, mut world) = by_endpoint().await;
    world.kill().await;
    world.config.discord.as_mut().unwrap().mode = DiscordMode::Gateway;
    world.boot().await;
    discord.wait_for("the gateway", |world| world.gateway.session()).await;
    assert_eq!(discord.world().endpoint, None);
    discord.slash("alice", "general", "help", &[], None).await;
    discord
        .wait_for("the answer", |world| world.messages.values().find(|it| !it.content.is_empty()).cloned())
        .await;
}

async fn until_answers(discord: &Discord, count: usize) {
    discord
        .wait_for("the answer", |world| {
            let said = world.messages.values().filter(|it| !it.content.is_empty()).count();
            (said == count).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_a_process_of_another_mode_took_away_is_set_again() {
    let (discord, world) = by_endpoint().await;
    let ours = discord.world().endpoint.clone();
    for (answers, changed) in [None, Some("https://elsewhere.example/".to_owned())].into_iter().enumerate() {
        discord.world().endpoint = changed;
        world.pass(A_LOOK_LATER);
        discord.wait_for("the endpoint", |world| (world.endpoint == ours).then_some(())).await;
        discord.slash("alice", "general", "help", &[], None).await;
        until_answers(&discord, answers + 1).await;
    }
    assert_eq!(discord.world().times("PUT", "/commands").len(), 1, "a look is one request");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_ours_that_is_set_while_the_gateway_is_heard_is_taken_away() {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    let settings = discord.settings();
    let world = World::with_clock(clock, |_, config| config.discord = Some(settings)).await;
    discord.wait_for("the gateway", |world| world.gateway.session()).await;
    // Until the session is greeted, time that passes is time without one.
    discord.slash("alice", "general", "help", &[], None).await;
    until_answers(&discord, 1).await;
    discord.world().endpoint = Some("https://toall.example.org/discord/interactions".to_owned());
    world.pass(A_LOOK_LATER);
    discord.wait_for("no endpoint", |world| world.endpoint.is_none().then_some(())).await;
    discord.slash("alice", "general", "help", &[], None).await;
    until_answers(&discord, 2).await;
}

async fn readiness(world: &World) -> (u16, Value) {
    let answer = browser().get(world.config.public_url.join("readyz").unwrap()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_cannot_be_heard_degrades_the_process() {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    let on = ("GET", "/applications/@me");
    discord.world().faults = vec![Fault { on, times: 1_000, status: 503, body: json!(null), done: false }];
    let mut settings = discord.settings();
    settings.mode = DiscordMode::Http;
    let world = World::with_clock(clock, |_, config| config.discord = Some(settings)).await;
    let (status, report) = readiness(&world).await;
    assert_eq!(
        (status, &report["status"], &report["parts"]["discord"]),
        (200, &json!("degraded"), &json!("failed"))
    );

    let (_discord, world) = by_endpoint().await;
    let (status, report) = readiness(&world).await;
    assert_eq!(
        (status, &report["status"], &report["parts"]["discord"]),
        (200, &json!("ready"), &json!("ok"))
    );
    let (_telegram, world) = by_webhook().await;
    let (status, report) = readiness(&world).await;
    assert_eq!(
        (status, &report["status"], &report["parts"]["telegram"]),
        (200, &json!("ready"), &json!("ok"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_the_endpoint_took() {
    let (discord, mut world) = by_endpoint().await;
    let on = ("POST", "/callback");
    discord.world().faults = vec![Fault { on, times: 1, status: 503, body: json!(null), done: false }];
    discord.slash("alice", "general", "help", &[], None).await;
    discord.wait_for("the first try", |world| (world.faults[0].times == 0).then_some(())).await;
    world.stop().await;
    assert_eq!(discord.world().brought[0].status, 202);
    let said = discord.world().messages.values().filter(|it| !it.content.is_empty()).count();
    assert_eq!(said, 1, "what was taken is answered");
}

//! The whole way from Telegram and Discord, over their own protocols, to X and back.

mod admission;
mod brought;
mod inputs;
mod on_discord;
mod on_telegram;

use std::time::Duration;

use reqwest::StatusCode;
use toall::clock::Clock;
use url::Url;

use crate::{
    discord::{Discord, File},
    telegram::{Telegram, User},
    world::{NOON, Page, World, sample, sha256_hex},
};

const ALICE: User = User { id: 77, name: "alice" };
const SURF_CLUB: i64 = 5;

async fn on_telegram() -> (Telegram, World) {
    let telegram = Telegram::start().await;
    let settings = telegram.settings();
    let world = World::with(|_, config| config.telegram = Some(settings)).await;
    (telegram, world)
}

async fn on_discord() -> (Discord, World) {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    let settings = discord.settings();
    let world = World::with_clock(clock, |_, config| config.discord = Some(settings)).await;
    (discord, world)
}

/// The first address in a text.
fn link_in(text: &str) -> Url {
    let at = text.find("http").unwrap_or_else(|| panic!("no link in {text}"));
    text[at..].split_whitespace().next().unwrap().parse().unwrap()
}

/// Authorises as `alice_makes` and confirms in the browser; returns what the page asked.
async fn confirm(world: &World, link: &Url) -> String {
    confirm_as(world, link, "alice_makes").await
}

async fn confirm_as(world: &World, link: &Url, x_user: &str) -> String {
    let callback = world.authorise(link, x_user, "authorize").await;
    let page = Page::open(&callback).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.html);
    page.submit(0).await;
    page.html
}

async fn link_on_telegram(telegram: &Telegram, world: &World) {
    let alice = telegram.private(ALICE);
    alice.text("/connect twitter");
    let text =
        telegram.wait_for(|telegram| telegram.said(ALICE.id).last().map(|shown| shown.text.clone())).await;
    confirm(world, &link_in(&text)).await;
    telegram
        .wait_for(|telegram| {
            telegram.said(ALICE.id).into_iter().find(|shown| shown.text.starts_with("Linked"))
        })
        .await;
}

async fn link_on_discord(discord: &Discord, world: &World) {
    link_on_discord_as(discord, world, "alice_makes").await;
}

async fn link_on_discord_as(discord: &Discord, world: &World, x_user: &str) {
    let before = discord.ephemeral("alice").len();
    discord.slash("alice", "general", "connect", &[("platform", "twitter")], None).await;
    let url = discord
        .wait_for("the link", |world| {
            let private = world.messages.values().filter(|shown| shown.ephemeral_for.is_some());
            let shown = private.skip(before).find(|shown| !shown.content.is_empty())?;
            let url = shown.buttons().find_map(|button| button["url"].as_str().map(str::to_owned));
            url.or_else(|| shown.shown().contains("http").then(|| link_in(&shown.shown()).to_string()))
        })
        .await;
    let asked = confirm_as(world, &url.parse().unwrap(), x_user).await;
    assert!(asked.contains("Discord user"), "{asked}");
    let word = format!("Linked @{x_user}");
    discord
        .wait_for("the word that it is linked", |world| {
            world.messages.values().find(|shown| shown.shown().starts_with(&word)).cloned()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_with_a_caption_goes_from_telegram_to_x() {
    let (telegram, world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;
    let bytes = std::fs::read(sample()).unwrap();

    telegram.private(ALICE).video("surf.mp4", bytes.clone(), "/post *First* wave <b>@bob</b>");
    let status = telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(2)).await;
    world.settle().await;

    let posts = world.x.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].text, "*First* wave <b>@bob</b>", "as typed");
    assert_eq!(posts[0].media[0].sha256_hex, Some(sha256_hex(&bytes)));
    let said = telegram.said(ALICE.id);
    assert_eq!(said.len(), 3, "the link, linked, and one status that is edited");
    assert_eq!(said[2].id, status.id);
    assert!(said[2].text.starts_with("Posted to @alice_makes"), "{}", said[2].text);
    assert!(said[2].text.contains(&format!("/alice_makes/status/{}", posts[0].id)), "{}", said[2].text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_sees_the_post_and_only_the_asker_sees_the_link() {
    let (telegram, world) = on_telegram().await;
    let stranger = User { id: 78, name: "bob" };
    let group = telegram.group(SURF_CLUB, stranger);
    group.text("/connect twitter");
    let hint = telegram.wait_for(|telegram| telegram.said(group.chat()).into_iter().next()).await;
    assert!(
        hint.text.starts_with("That is between the two of us. Open a private chat with me"),
        "{}",
        hint.text
    );
    assert!(!hint.text.contains("authorize"), "no link in the group: {}", hint.text);

    link_on_telegram(&telegram, &world).await;
    let club = telegram.group(SURF_CLUB, ALICE);
    let video = club.video("surf.mp4", std::fs::read(sample()).unwrap(), "look at this");
    club.reply(video).text("/post Surf club at dawn");
    let club = telegram.group(SURF_CLUB, ALICE);
    telegram.wait_for(|telegram| telegram.said(club.chat()).into_iter().nth(1)).await;
    world.settle().await;

    assert_eq!(world.x.posts()[0].text, "Surf club at dawn");
    let said = telegram.said(club.chat());
    assert!(said[1].text.starts_with("Posted to @alice_makes"), "{}", said[1].text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_telegram_sends_again_is_posted_once() {
    let (telegram, mut world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;
    telegram.private(ALICE).video("surf.mp4", std::fs::read(sample()).unwrap(), "/post once");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(2)).await;

    telegram.redeliver();
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    world.settle().await;
    world.kill().await;
    telegram.redeliver();
    world.boot().await;
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    world.settle().await;

    assert_eq!(world.x.posts().len(), 1);
    assert_eq!(telegram.said(ALICE.id).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_larger_than_telegram_serves_is_refused_with_a_way_out() {
    let (telegram, world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;

    // The stand-in's address makes the adapter take it for a local server, so the limit is met at getFile.
    telegram.private(ALICE).video("long.mp4", vec![0; 21 << 20], "/post too long");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(2)).await;
    world.settle().await;

    assert_eq!(
        telegram.said(ALICE.id)[2].text,
        "long.mp4 was not posted to @alice_makes.\nTelegram gives bots files of up to 20 MB only. Send a smaller \
         version.\nOr upload it in your browser: press the button for a link of your own."
    );
    assert!(world.x.posts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_from_discord_to_x() {
    let (discord, world) = on_discord().await;
    link_on_discord(&discord, &world).await;
    let bytes = std::fs::read(sample()).unwrap();
    let file = discord.attach("surf.mov", "video/quicktime", File::Bytes(bytes.clone().into()));

    discord.slash("alice", "general", "post", &[("caption", "First wave of the year")], Some(&file)).await;
    discord
        .wait_for("a status", |world| {
            world
                .messages
                .values()
                .find(|shown| shown.ephemeral_for.is_none() && !shown.content.is_empty())
                .cloned()
        })
        .await;
    world.settle().await;

    let posts = world.x.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].text, "First wave of the year");
    assert_eq!(posts[0].media[0].sha256_hex, Some(sha256_hex(&bytes)));
    let said = discord.messages("general");
    assert_eq!(said.len(), 1, "{said:#?}");
    let expected = format!("Posted to @alice_makes\n{}/alice_makes/status/{}", world.x.url(), posts[0].id);
    assert_eq!(said[0].shown(), expected);
    assert_eq!(discord.world().refusals, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_the_bot_may_not_edit_moves_to_a_direct_message_before_its_token_dies() {
    let (discord, world) = on_discord().await;
    link_on_discord(&discord, &world).await;
    discord.world().let_bot_write("general", false);
    world.x.order(toall::sandbox::Fault::on(
        toall::sandbox::Call::Initialize,
        toall::sandbox::Effect::Refuse(toall::sandbox::Answer::too_many_requests().limit(
            "x-rate-limit",
            1875,
            0,
            {
                let reset = NOON / 1_000 + 3 * 3_600;
                u64::try_from(reset).unwrap()
            },
        )),
    ));
    let file = discord.attach("surf.mp4", "video/mp4", File::Bytes(std::fs::read(sample()).unwrap().into()));
    discord.slash("alice", "general", "post", &[("caption", "patience")], Some(&file)).await;
    discord
        .wait_for("a status", |world| {
            world
                .messages
                .values()
                .find(|shown| shown.ephemeral_for.is_none() && !shown.content.is_empty())
                .cloned()
        })
        .await;
    world.settle().await;

    assert!(world.now() - NOON > i64::try_from(Duration::from_secs(3 * 3_600).as_millis()).unwrap());
    assert_eq!(world.x.posts().len(), 1);
    let direct = discord.dms("alice");
    assert_eq!(direct.len(), 1, "{direct:#?}");
    assert!(direct[0].shown().starts_with("Posted to @alice_makes"), "{}", direct[0].shown());
    let left = discord.messages("general");
    assert_eq!(left.last().unwrap().shown(), "This goes on in a direct message.");
    assert_eq!(discord.world().refusals, Vec::<String>::new());
}

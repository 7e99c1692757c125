//! Admission over the chats' own protocols.

use std::time::Duration;

use toall::{account::Group, config::Access};

use super::{ALICE, SURF_CLUB};
use crate::{
    discord::{DIRECT, Discord, ROLE},
    telegram::{Fault, Telegram, User},
    world::{NOON, World},
};

const MALLORY: User = User { id: 666, name: "mallory" };
const HOUR: Duration = Duration::from_secs(3_600);

async fn closed_on_telegram(groups: Vec<Group>) -> (Telegram, World) {
    let telegram = Telegram::start().await;
    let settings = telegram.settings();
    let world = World::with(|_, config| {
        config.telegram = Some(settings);
        config.access = Access { groups, ..Access::default() };
    })
    .await;
    (telegram, world)
}

/// Waits until the bot has dealt with everything that was sent to it.
async fn dealt_with(telegram: &Telegram) {
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_on_telegram_gets_one_answer_an_hour() {
    let (telegram, world) = closed_on_telegram(Vec::new()).await;
    let mallory = telegram.private(MALLORY);
    for _ in 0..160 {
        mallory.text("/help");
    }
    dealt_with(&telegram).await;
    let said =
        telegram.wait_for(|telegram| telegram.said(MALLORY.id).get(1).map(|_| telegram.said(MALLORY.id)));
    let said = said.await;
    assert!(said[0].text.starts_with("This bot is private."), "{}", said[0].text);
    assert!(said[0].text.contains("telegram:666"), "{}", said[0].text);
    // The second answer is for sending so much.
    assert!(said[1].text.starts_with("That was a lot at once"), "{}", said[1].text);
    assert_eq!(telegram.calls("sendMessage").len(), 2);
    // Another stranger is told at once, and she again after an hour.
    telegram.private(ALICE).text("/help");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).first().cloned()).await;
    world.pass(HOUR + Duration::from_secs(1));
    mallory.text("/help");
    telegram.wait_for(|telegram| (telegram.said(MALLORY.id).len() == 3).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telegram_is_asked_whether_a_member_is_still_there() {
    let telegram = Telegram::start().await;
    let club = telegram.group(SURF_CLUB, ALICE);
    let group = Group::TelegramChat(club.chat().to_string());
    let settings = telegram.settings();
    let world = World::with(|_, config| {
        config.telegram = Some(settings);
        config.access = Access { groups: vec![group], ..Access::default() };
    })
    .await;
    let alice = telegram.private(ALICE);
    club.text("/posts");
    dealt_with(&telegram).await;
    let told = async |count: usize| {
        telegram.wait_for(|telegram| telegram.said(ALICE.id).get(count - 1).cloned()).await.text
    };
    assert!(!told(1).await.contains("private"), "{}", told(1).await);
    alice.text("/posts");
    assert!(!told(2).await.contains("This bot is private"));
    assert_eq!(telegram.calls("getChatMember").len(), 0, "seen within the hour");

    world.pass(HOUR + Duration::from_secs(1));
    alice.text("/posts");
    assert!(!told(3).await.contains("This bot is private"));
    assert_eq!(telegram.calls("getChatMember").len(), 1);

    // A chat that cannot say is believed for a day.
    world.pass(HOUR + Duration::from_secs(1));
    telegram.fail_next("getChatMember", Fault::Broken);
    alice.text("/posts");
    assert!(!told(4).await.contains("This bot is private"));

    telegram.leave(club.chat(), ALICE);
    world.pass(HOUR);
    alice.text("/posts");
    assert!(told(5).await.starts_with("This bot is private."), "{}", told(5).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_is_asked_whether_a_member_still_has_the_role() {
    let clock = toall::clock::Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    let settings = discord.settings();
    let world = World::with_clock(clock, |_, config| {
        config.discord = Some(settings);
        let groups = vec![Group::DiscordRole(ROLE.to_string())];
        config.access = Access { groups, ..Access::default() };
    })
    .await;
    discord.slash("alice", "general", "posts", &[], None).await;
    let told = async |count: usize| {
        let answered = |world: &crate::discord::World| {
            let answers = world
                .messages
                .values()
                .filter(|shown| shown.ephemeral_for.is_some() && !shown.content.is_empty());
            answers.map(|shown| shown.content.clone()).nth(count - 1)
        };
        discord.wait_for("an answer", answered).await
    };
    assert!(!told(1).await.contains("private"), "{}", told(1).await);
    let alice = discord.world().user("alice");
    let steps = [(Some(vec![ROLE.to_string()]), true), (Some(Vec::new()), false)];
    for (number, (roles, admitted)) in steps.into_iter().enumerate() {
        discord.world().members.insert(alice, roles);
        world.pass(HOUR + Duration::from_secs(1));
        discord.slash("alice", DIRECT, "posts", &[], None).await;
        let text = told(number + 2).await;
        assert_eq!(!text.starts_with("This bot is private."), admitted, "{text}");
    }
    // She has the role again, and leaves the server.
    discord.slash("alice", "general", "posts", &[], None).await;
    told(4).await;
    discord.world().members.insert(alice, None);
    world.pass(HOUR + Duration::from_secs(1));
    discord.slash("alice", DIRECT, "posts", &[], None).await;
    assert!(told(5).await.starts_with("This bot is private."), "{}", told(5).await);
    // Discord shows a refusal to its asker alone, so each question gets one.
    discord.slash("alice", DIRECT, "posts", &[], None).await;
    told(6).await;
}

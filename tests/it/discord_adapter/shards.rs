//! Several shards of the gateway in one process.

use std::collections::BTreeSet;

use toall::chat::{Ask, discord::Shards};

use super::{Bot, MINUTE, NOON};
use crate::discord::DIRECT;

/// What Discord asks for between two sessions of one group, and a little.
const TURN_MS: i64 = 6_000;

#[tokio::test(flavor = "multi_thread")]
async fn each_shard_begins_in_its_turn_and_answers_once_and_one_that_breaks_is_resumed_alone() {
    let mut bot = Bot::start_with(&Shards::All, |world| world.gateway.shards = 2).await;
    bot.discord.wait_for("the first", |world| (world.gateway.begun.len() == 1).then_some(())).await;
    bot.clock.set(NOON + TURN_MS);
    bot.discord.wait_for("the second", |world| (world.gateway.begun.len() == 2).then_some(())).await;
    let begun = bot.discord.world().gateway.begun.clone();
    assert_eq!(begun.iter().map(|(id, of, _)| (*id, *of)).collect::<BTreeSet<_>>(), [(0, 2), (1, 2)].into());
    assert!(begun[1].2 - begun[0].2 >= 5_000, "{begun:?}");

    // By Discord's formula, its server is on the second, and what is direct on the first.
    for (channel, private) in [("general", false), (DIRECT, true)] {
        let heard = bot.asked("alice", channel, "help").await;
        assert_eq!((heard.ask, heard.at.private), (Ask::Help, private));
    }
    bot.discord.world().gateway.break_shard(1);
    assert_eq!(bot.asked("alice", "general", "posts").await.ask, Ask::Posts);
    assert_eq!(bot.asked("alice", DIRECT, "accounts").await.ask, Ask::Accounts);
    {
        let world = bot.discord.world();
        assert_eq!(world.gateway.went_on, [1]);
        assert_eq!(world.gateway.identified, 2);
        assert!(world.interactions.values().all(|it| it.acknowledged.is_some()));
        assert_eq!(world.times("POST", "/callback").len(), 4);
        assert_eq!(world.times("PUT", "/commands").len(), 1, "registered once for all shards");
    }
    assert!(bot.inbox.try_recv().is_err());
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_shards_begin_at_once_as_discord_lets() {
    let setting = |world: &mut crate::discord::World| {
        (world.gateway.shards, world.gateway.concurrency) = (3, 2);
    };
    let bot = Bot::start_with(&Shards::All, setting).await;
    bot.discord.wait_for("two", |world| (world.gateway.begun.len() == 2).then_some(())).await;
    bot.clock.set(NOON + TURN_MS);
    bot.discord.wait_for("the third", |world| (world.gateway.begun.len() == 3).then_some(())).await;
    let begun = bot.discord.world().gateway.begun.clone();
    // The first and the third are of one group.
    assert_eq!(begun[2].2, NOON + TURN_MS, "{begun:?}");
    assert_eq!(begun[..2].iter().map(|(id, ..)| *id % 2).sum::<u32>(), 1, "one of each group: {begun:?}");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_runs_the_shards_that_it_is_given() {
    let mut bot =
        Bot::start_with(&Shards::Some { ids: [1].into(), total: 2 }, |world| world.gateway.shards = 2).await;
    bot.discord.wait_for("the shard", |world| (world.gateway.begun.len() == 1).then_some(())).await;
    let id = bot.discord.slash("alice", "general", "help", &[], None).await;
    assert_eq!(bot.heard().await.ask, Ask::Help);
    assert_eq!(bot.discord.world().gateway.begun, [(1, 2, NOON)]);
    assert!(bot.discord.world().interactions[&id].acknowledged.is_some());
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_has_grown_begins_anew_with_as_many_shards_as_discord_recommends() {
    let bot = Bot::start_with(&Shards::All, |world| world.gateway.silent = 1).await;
    bot.discord.wait_for("a first try", |world| (world.gateway.identified == 1).then_some(())).await;
    {
        let gateway = &mut bot.discord.world().gateway;
        (gateway.shards, gateway.concurrency) = (2, 2);
    }
    // The one shard is not answered for so long that it is begun again.
    bot.clock.set(NOON + MINUTE);
    bot.discord
        .wait_for("two shards", |world| {
            let of_two = world.gateway.begun.iter().filter(|(_, total, _)| *total == 2).count();
            (of_two == 2).then_some(())
        })
        .await;
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_is_begun_when_none_is_left_for_today() {
    let bot = Bot::start_with(&Shards::All, |world| world.gateway.starts_left = 0).await;
    bot.discord
        // At the start, in its turn, and after the first pause.
        .wait_for("three questions", |world| (world.times("GET", "/gateway/bot").len() >= 3).then_some(()))
        .await;
    bot.discord.world().gateway.starts_left = 1;
    assert_eq!(bot.discord.world().gateway.identified, 0);
    bot.discord.wait_for("a session", |world| world.gateway.session()).await;
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_our_own_is_taken_away_and_one_of_somebody_elses_is_left() {
    let ours = "https://toall.example.org/discord/interactions";
    for (set, left) in [(ours, None), ("https://other.example/", Some("https://other.example/"))] {
        let bot = Bot::start_with(&Shards::All, |world| world.endpoint = Some(set.to_owned())).await;
        bot.discord.wait_for("a session", |world| world.gateway.session()).await;
        assert_eq!(bot.discord.world().endpoint.as_deref(), left);
        bot.stop().await;
    }
}

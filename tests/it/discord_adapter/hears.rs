//! What people ask arrives, acknowledged first.

use std::time::Duration;

use serde_json::json;
use toall::{
    account::{AccountId, Group, Person, Platform},
    chat::{
        Ask, Audience, ChatError,
        discord::{Discord as Adapter, Shards},
    },
    clock::Clock,
    post::{Attachment, Kind, Options, PostId, Replies, Sensitive},
    words::{Deed, Message},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Bot, MINUTE, NOON, only};
use crate::discord::{DIRECT, Discord, Fault, File, GUILD, ROLE, World};

const PUBLIC: (u64, u64) = (5, 0);
const EPHEMERAL: (u64, u64) = (5, 64);
const UPDATE: (u64, u64) = (6, 0);

/// How an interaction was acknowledged.
async fn acknowledged(bot: &Bot, interaction: u64) -> (u64, u64) {
    let (kind, flags, took) = acknowledgement(bot, interaction).await;
    assert!(took.as_millis() < 300, "acknowledged after {took:?}");
    (kind, flags)
}

/// How an interaction was acknowledged, and after how long.
async fn acknowledgement(bot: &Bot, interaction: u64) -> (u64, u64, Duration) {
    let made = |world: &World| world.interactions[&interaction].acknowledged;
    bot.discord.wait_for("an acknowledgement", made).await
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_registered_at_start() {
    let bot = Bot::start().await;
    let commands = bot
        .discord
        .wait_for("the commands", |world| (!world.commands.is_empty()).then(|| world.commands.clone()))
        .await;
    let names: Vec<_> = commands.iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "connect",
            "post",
            "accounts",
            "disconnect",
            "posts",
            "upload",
            "web",
            "token",
            "tokens",
            "claim",
            "help",
            "Post to X"
        ]
    );
    let connect = &commands[0]["options"][0];
    assert_eq!(connect["name"], "platform");
    assert_eq!(connect["choices"][0]["value"], "twitter");
    let post = &commands[1]["options"];
    assert_eq!((&post[0]["name"], &post[0]["type"]), (&json!("video"), &json!(11)));
    assert_eq!(post[0]["required"], true);
    assert_eq!((&post[1]["name"], &post[1]["type"]), (&json!("caption"), &json!(3)));
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_arrives_and_private_matters_are_ephemeral() {
    let mut bot = Bot::start().await;
    let what = |what: &str| what.to_owned();
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Ask);
    let cases: [Case; 9] = [
        ("connect", &[("platform", "twitter")], Ask::Connect { what: what("twitter") }),
        ("accounts", &[], Ask::Accounts),
        ("disconnect", &[], Ask::Disconnect { what: what("") }),
        ("disconnect", &[("account", " @alice ")], Ask::Disconnect { what: what("@alice") }),
        ("posts", &[], Ask::Posts),
        ("upload", &[], Ask::Upload),
        ("token", &[], Ask::Token { name: String::new() }),
        ("tokens", &[], Ask::Tokens),
        ("help", &[], Ask::Help),
    ];
    for (command, options, ask) in cases {
        let id = bot.discord.slash("alice", "general", command, options, None).await;
        let incoming = bot.heard().await;
        assert_eq!(incoming.ask, ask);
        assert_eq!(acknowledged(&bot, id).await, EPHEMERAL, "{command}");
        assert!(incoming.at.interaction.unwrap().ephemeral);
    }
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_a_server_shows_the_server_and_the_roles_and_a_direct_one_nothing() {
    let mut bot = Bot::start().await;
    bot.discord.slash("alice", "general", "help", &[], None).await;
    let there = [Group::DiscordServer(GUILD.to_string()), Group::DiscordRole(ROLE.to_string())];
    assert_eq!(bot.heard().await.groups, there);
    bot.discord.slash("alice", DIRECT, "help", &[], None).await;
    assert_eq!(bot.heard().await.groups, []);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_of_a_post_arrives() {
    let mut bot = Bot::start().await;
    let video = bot.discord.attach("surf.mov", "video/quicktime", File::from(&b"moov"[..]));
    let chosen = [
        ("account", "@alice_makes"),
        ("replies", "mentionedUsers"),
        ("alt_text", " A wave "),
        ("sensitive", "graphic_violence"),
        ("made_with_ai", "true"),
        ("paid_partnership", "true"),
    ];
    bot.discord.slash("alice", "general", "post", &chosen, Some(&video)).await;
    let Ask::Post { options, account, .. } = bot.heard().await.ask else { panic!("not a post") };
    assert_eq!(account, "@alice_makes");
    assert_eq!(
        options,
        Options {
            replies: Some(Replies::MentionedUsers),
            alt_text: Some("A wave".to_owned()),
            sensitive: Sensitive { graphic_violence: true, ..Sensitive::default() },
            made_with_ai: true,
            paid_partnership: true,
        }
    );
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_arrives_with_its_place_and_is_answered_in_public() {
    let mut bot = Bot::start().await;
    let video = bot.discord.attach("surf.mov", "video/quicktime", File::from(&b"moov"[..]));
    let carol = bot.discord.world().user("carol");
    let caption = format!(" First wave *of* the year\\nwith <@{carol}>\n");
    let options = [("caption", caption.as_str())];
    let id = bot.discord.slash("alice", "general", "post", &options, Some(&video)).await;
    let incoming = bot.heard().await;
    assert_eq!(acknowledged(&bot, id).await, PUBLIC);
    assert_eq!(
        incoming.ask,
        Ask::Post {
            caption: "First wave of the year\nwith @carol of renown".to_owned(),
            options: Options::default(),
            account: String::new(),
            file: Some(Attachment {
                platform: Platform::Discord,
                source: video.url,
                name: "surf.mov".to_owned(),
                bytes: Some(4),
                content_type: Some("video/quicktime".to_owned()),
                kind: Kind::Video,
            }),
            dedupe_key: format!("discord:{id}"),
        }
    );
    let (alice, general) = {
        let mut world = bot.discord.world();
        (world.user("alice").to_string(), world.channel("general").to_string())
    };
    assert_eq!(
        incoming.from,
        Person { platform: Platform::Discord, id: alice.clone(), name: "alice".to_owned() }
    );
    let place = incoming.at;
    assert_eq!((place.chat, place.person, place.private), (general, alice, false));
    let interaction = place.interaction.unwrap();
    assert!(!interaction.ephemeral && interaction.bot_may_write);
    assert_eq!(interaction.expires_at, NOON + 14 * MINUTE);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_knows_where_it_may_write() {
    let mut bot = Bot::start().await;
    bot.discord.world().let_bot_write("closed", false);
    let thread = bot.discord.world().channel("thread");
    bot.discord.world().channels.get_mut(&thread).unwrap().thread = true;
    for (channel, may_write, private) in
        [("general", true, false), ("closed", false, false), ("thread", true, false), (DIRECT, true, true)]
    {
        let place = bot.asked("alice", channel, "help").await.at;
        assert_eq!(place.private, private, "{channel}");
        assert_eq!(place.interaction.unwrap().bot_may_write, may_write, "{channel}");
    }
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presses_arrive_and_keep_the_message_they_stand_under() {
    let mut bot = Bot::start().await;
    let post: PostId = "0192f3c4-0000-7000-8000-000000000000".parse().unwrap();
    let account = AccountId("42".to_owned());
    let deeds = [
        (Deed::Cancel(post), UPDATE),
        (Deed::Retry(post), UPDATE),
        (Deed::PostAgain(post), UPDATE),
        (Deed::ItIsThere(post), UPDATE),
        (Deed::Connect, EPHEMERAL),
        (Deed::Disconnect(account.clone()), EPHEMERAL),
        (Deed::Prefer(account), EPHEMERAL),
    ];
    let message = deeds.iter().fold(Message::text("What now?"), |message, (deed, _)| {
        message.button(&deed.to_string(), deed.clone())
    });
    let place = bot.asked("alice", "general", "post").await.at;
    let audience = toall::chat::Audience::Everyone;
    bot.adapter.say(&place, audience, &message, None).await.unwrap();
    let asking = bot.only_message("general");
    for (deed, acknowledgement) in deeds {
        let id = bot.discord.press("bob", asking.id, &deed.to_string()).await;
        let incoming = bot.heard().await;
        assert_eq!(incoming.from.name, "bob");
        assert_eq!(incoming.at.message, Some(asking.id.to_string()));
        assert_eq!(acknowledged(&bot, id).await, acknowledgement, "{deed}");
        assert_eq!(incoming.ask, Ask::Press(deed));
    }
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_said_at_start() {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    for token in ["MTIz.other.token", "not a token\n", ""] {
        let mut settings = discord.settings();
        settings.token = token.into();
        let refused = match Adapter::new(&settings, clock.clone()) {
            Ok(adapter) => {
                let checked = adapter.check().await;
                assert!(matches!(checked, Err(ChatError::Refused(_))), "{checked:?}");
                let (inbox, _) = mpsc::channel(1);
                adapter.run(inbox, &Shards::All, CancellationToken::new()).await.unwrap_err()
            }
            Err(error) => error,
        };
        let said = refused.to_string();
        assert!(said.contains("does not accept the bot token"), "{said}");
        assert!(token.is_empty() || !said.contains(token), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_token_names_the_bot() {
    let bot = Bot::start().await;
    assert_eq!(bot.adapter.check().await.unwrap(), "toall");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_gateway_breaks() {
    let mut bot = Bot::start().await;
    bot.asked("alice", "general", "help").await;
    bot.discord.world().gateway.break_connection();
    let asked = bot.asked("alice", "general", "accounts").await;
    assert_eq!(asked.ask, Ask::Accounts);
    bot.discord.world().gateway.ask_to_reconnect();
    bot.discord.wait_for("the second resume", |world| (world.gateway.resumed == 2).then_some(())).await;
    assert_eq!(bot.asked("alice", "general", "posts").await.ask, Ask::Posts);
    assert_eq!(bot.discord.world().gateway.identified, 1);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_discord_forgot_is_replaced() {
    let mut bot = Bot::start().await;
    bot.asked("alice", "general", "help").await;
    bot.discord.world().gateway.forget_session();
    assert_eq!(bot.asked("alice", "general", "posts").await.ask, Ask::Posts);
    assert_eq!(bot.discord.world().gateway.identified, 2);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_stopped_can_run_again() {
    let mut bot = Bot::start().await;
    bot.asked("alice", "general", "help").await;
    bot.stop.cancel();
    bot.running.await.unwrap().unwrap();
    let (inbox, mut asked) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (adapter, stop) = (bot.adapter.clone(), stop.clone());
        async move { adapter.run(inbox, &Shards::All, stop).await }
    });
    bot.discord.wait_for("a second session", |world| (world.gateway.identified == 2).then_some(())).await;
    bot.discord.slash("alice", "general", "posts", &[], None).await;
    assert_eq!(asked.recv().await.unwrap().incoming.ask, Ask::Posts);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_interaction_keeps_its_key() {
    let mut bot = Bot::start().await;
    let first = bot.asked("alice", "general", "post").await;
    bot.discord.world().gateway.repeat_last();
    let again = bot.heard().await;
    assert_eq!(again.ask, first.ask);
    assert!(matches!(first.ask, Ask::Post { dedupe_key, .. } if dedupe_key.starts_with("discord:")));
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_stored_before_it_is_acknowledged() {
    let mut bot = Bot::start().await;
    let id = bot.discord.slash("alice", "general", "post", &[], None).await;
    let delivery = bot.delivered().await;
    assert_eq!(bot.discord.world().interactions[&id].acknowledged, None);
    delivery.done.send(()).unwrap();
    assert_eq!(acknowledged(&bot, id).await, PUBLIC);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_slow_to_store_is_acknowledged_in_time() {
    let mut bot = Bot::start().await;
    let id = bot.discord.slash("alice", "general", "post", &[], None).await;
    let delivery = bot.delivered().await;
    let (kind, flags, took) = acknowledgement(&bot, id).await;
    assert_eq!((kind, flags), PUBLIC);
    assert!((1_400..2_900).contains(&took.as_millis()), "{took:?}");
    delivery.done.send(()).unwrap();
    // Refused after that, the answer takes the place of the public one.
    bot.say(&delivery.incoming.at, Audience::Asker, "Connect an account first").await.unwrap();
    assert!(bot.discord.messages("general").is_empty());
    assert_eq!(only(bot.discord.ephemeral("alice")).shown(), "Connect an account first");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_refused_at_once_is_acknowledged_in_private() {
    let mut bot = Bot::start().await;
    let id = bot.discord.slash("alice", "general", "post", &[], None).await;
    let delivery = bot.delivered().await;
    bot.say(&delivery.incoming.at, Audience::Asker, "Connect an account first").await.unwrap();
    delivery.done.send(()).unwrap();
    assert_eq!(acknowledged(&bot, id).await, EPHEMERAL);
    assert_eq!(only(bot.discord.ephemeral("alice")).shown(), "Connect an account first");
    assert!(bot.discord.messages("general").is_empty());
    assert_eq!(bot.discord.world().times("DELETE", "/messages/").len(), 0, "nothing public to take away");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_nobody_stores_is_not_acknowledged() {
    let mut bot = Bot::start().await;
    let id = bot.discord.slash("alice", "general", "post", &[], None).await;
    drop(bot.delivered().await);
    bot.asked("alice", "general", "help").await;
    assert_eq!(bot.discord.world().interactions[&id].acknowledged, None);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_waits_for_the_acknowledgement_of_another_process() {
    let mut bot = Bot::start().await;
    let id = bot.discord.slash("alice", "general", "post", &[], None).await;
    let delivery = bot.delivered().await;
    let other = Adapter::new(&bot.discord.settings(), bot.clock.clone()).unwrap();
    let place = delivery.incoming.at.clone();
    let status = Message::text("Uploading");
    let said = tokio::spawn(async move { other.say(&place, Audience::Everyone, &status, None).await });
    bot.discord
        .wait_for("a first try", |world| {
            (!world.times("PATCH", "/messages/@original").is_empty()).then_some(())
        })
        .await;
    delivery.done.send(()).unwrap();
    assert_eq!(acknowledged(&bot, id).await, PUBLIC);
    said.await.unwrap().unwrap();
    assert_eq!(bot.only_message("general").shown(), "Uploading");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_is_tried_again_and_what_fails_is_not_done() {
    let mut bot = Bot::start().await;
    let trouble = |times, status, code| Fault {
        on: ("POST", "/callback"),
        times,
        status,
        body: json!({ "code": code, "message": "ordered" }),
        done: false,
    };
    bot.discord.world().faults = vec![trouble(2, 503, 0)];
    assert_eq!(bot.asked("alice", "general", "help").await.ask, Ask::Help);

    // Discord has told the person that it failed.
    bot.discord.world().faults = vec![trouble(1, 404, 10062)];
    bot.discord.slash("alice", "general", "accounts", &[], None).await;
    bot.discord.wait_for("the fault", |world| (world.faults[0].times == 0).then_some(())).await;
    assert_eq!(bot.asked("alice", "general", "posts").await.ask, Ask::Posts);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_bad_weather_goes_on_by_itself() {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    discord.world().faults =
        vec![Fault { on: ("PUT", "/commands"), times: 1, status: 502, body: json!(null), done: false }];
    let adapter = Adapter::new(&discord.settings(), clock).unwrap();
    let (inbox, _asked) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { adapter.run(inbox, &Shards::All, stop).await }
    });
    discord.wait_for("the bot to be online", |world| world.gateway.session()).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_closes_is_come_back_to() {
    let mut bot = Bot::start().await;
    bot.asked("alice", "general", "help").await;
    // Unknown error, and too many words at once: both are resumed.
    for (round, code) in [4000, 4008].into_iter().enumerate() {
        bot.discord.world().gateway.close(code);
        let resumed = u32::try_from(round).unwrap() + 1;
        bot.discord.wait_for("a resume", |world| (world.gateway.resumed == resumed).then_some(())).await;
        assert_eq!(bot.asked("alice", "general", "posts").await.ask, Ask::Posts);
    }
    assert_eq!(bot.discord.world().gateway.identified, 1);
    // The session timed out: a new one is begun.
    bot.discord.world().gateway.close(4009);
    bot.discord.wait_for("a new session", |world| (world.gateway.identified == 2).then_some(())).await;
    assert_eq!(bot.asked("alice", "general", "accounts").await.ask, Ask::Accounts);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_never_greets_is_left_for_another_try() {
    let clock = Clock::by_hand(NOON);
    let discord = Discord::start(clock.clone()).await;
    discord.world().gateway.silent = 1;
    let adapter = Adapter::new(&discord.settings(), clock.clone()).unwrap();
    let (inbox, mut asked) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { adapter.run(inbox, &Shards::All, stop).await }
    });
    discord.wait_for("the first try", |world| (world.gateway.identified == 1).then_some(())).await;
    clock.set(NOON + MINUTE);
    discord.slash("alice", "general", "posts", &[], None).await;
    assert_eq!(asked.recv().await.unwrap().incoming.ask, Ask::Posts);
    assert_eq!(discord.world().gateway.identified, 2);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_withdrawn_ends_the_bot_with_what_to_do() {
    let mut bot = Bot::start().await;
    bot.asked("alice", "general", "help").await;
    bot.discord.world().gateway.close(4004);
    let ended = bot.running.await.unwrap().unwrap_err();
    assert!(
        matches!(&ended, ChatError::Refused(why) if why.contains("does not accept the bot token")),
        "{ended}"
    );
}

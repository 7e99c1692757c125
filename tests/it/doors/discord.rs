use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};
use toall::{
    chat::{
        Ask,
        discord::{Discord as Adapter, Shards},
    },
    clock::Clock,
    config::DiscordMode,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{each, mutation::bent, panics, runtime};
use crate::{
    discord::{Discord, endpoint::signed},
    world::{World, browser},
};

const NOON: i64 = 1_763_812_800_000;

/// What a person did, bent; and what the whole event becomes, if that is bent too.
fn commands() -> impl Strategy<Value = (u8, Value)> {
    let post = json!({
        "id": "1", "name": "post", "type": 1,
        "options": [
            { "name": "video", "type": 11, "value": "5" },
            { "name": "caption", "type": 3, "value": "First wave" },
        ],
        "resolved": { "attachments": { "5": {
            "id": "5", "filename": "surf.mov", "size": 1000, "url": "https://cdn.discordapp.com/a",
            "proxy_url": "https://cdn.discordapp.com/a", "content_type": "video/quicktime",
        } } },
    });
    let connect = json!({
        "id": "1", "name": "connect", "type": 1,
        "options": [{ "name": "platform", "type": 3, "value": "twitter" }], "resolved": {},
    });
    let press = json!({ "custom_id": "cancel:019ab000-0000-7000-8000-000000000000", "component_type": 2 });
    prop_oneof![(Just(2), bent(post)), (Just(2), bent(connect)), (Just(3), bent(press)),]
}

/// What was done, which field around it is to be something else, and what.
type Done = ((u8, Value), Option<prop::sample::Index>, Value);

fn done() -> impl Strategy<Value = Done> {
    (commands(), any::<Option<prop::sample::Index>>(), bent(json!(7)))
}

fn event(discord: &Discord, kind: u8, data: Value, field: Option<prop::sample::Index>, odd: Value) -> Value {
    let message =
        json!({ "id": "9", "channel_id": "1", "content": "", "author": { "id": "2", "username": "toall" } });
    let mut world = discord.world();
    let id = world.begin_interaction("mallory", "general", NOON, Instant::now(), None);
    let mut event = world.interaction_event(id, kind, data, (kind == 3).then_some(message));
    // Now and then one of the fields around it is something else.
    if let (Some(field), Value::Object(fields)) = (field, &mut event) {
        let field = field.index(fields.len());
        if let Some((_, value)) = fields.iter_mut().nth(field) {
            *value = odd;
        }
    }
    event
}

#[test]
fn no_interaction_of_discords_silences_the_bot() {
    let runtime = runtime();
    let before = panics();
    let (discord, mut inbox) = runtime.block_on(async {
        let clock = Clock::by_hand(NOON);
        let discord = Discord::start(clock.clone()).await;
        let adapter = Adapter::new(&discord.settings(), clock).unwrap();
        let (sender, inbox) = mpsc::channel(16);
        tokio::spawn(async move { adapter.run(sender, &Shards::All, CancellationToken::new()).await });
        discord.wait_for("the bot to be online", |world| world.gateway.session()).await;
        (discord, inbox)
    });
    each(&runtime, 10, 30, &prop::collection::vec(done(), 30..40), async |batch| {
        for ((kind, data), field, odd) in batch {
            let event = event(&discord, kind, data, field, odd);
            discord.world().gateway.dispatch("INTERACTION_CREATE", event);
        }
        discord.slash("bob", "general", "help", &[], None).await;
        loop {
            let delivery = inbox.recv().await.expect("the adapter runs");
            let incoming = &delivery.incoming;
            prop_assert!(!incoming.from.id.is_empty() && !incoming.at.chat.is_empty());
            if let Ask::Post { caption, dedupe_key, .. } = &incoming.ask {
                prop_assert!(dedupe_key.starts_with("discord:"));
                prop_assert_eq!(caption.trim(), caption);
            }
            let by_bob = incoming.from.name == "bob" && incoming.ask == Ask::Help;
            let _ = delivery.done.send(());
            if by_bob {
                return Ok(());
            }
        }
    });
    assert_eq!(panics(), before);
    assert_eq!(discord.world().gateway.identified, 1, "the session was lost over an event");
}

#[test]
fn no_interaction_that_is_brought_silences_the_service_or_fails_it() {
    let runtime = runtime();
    let before = panics();
    let (discord, url, _world) = runtime.block_on(async {
        let clock = Clock::by_hand(NOON);
        let discord = Discord::start(clock.clone()).await;
        let mut settings = discord.settings();
        settings.mode = DiscordMode::Http;
        let world = World::with_clock(clock, |_, config| config.discord = Some(settings)).await;
        let url = discord.wait_for("the endpoint", |world| world.endpoint.clone()).await;
        (discord, url, world)
    });
    let client = browser();
    each(&runtime, 4, 30, &prop::collection::vec(done(), 30..40), async |batch| {
        for ((kind, data), field, odd) in batch {
            let (status, answer) =
                signed(&event(&discord, kind, data, field, odd), NOON).send(&client, &url).await;
            prop_assert!([200, 202, 400, 413].contains(&status), "{} {}", status, answer);
        }
        let bob = discord.world().user("bob");
        let answered = |world: &crate::discord::World| {
            world
                .messages
                .values()
                .filter(|it| it.ephemeral_for == Some(bob) && !it.content.is_empty())
                .count()
        };
        let before = answered(&discord.world());
        discord.slash("bob", "general", "help", &[], None).await;
        discord.wait_for("bob's answer", |world| (answered(world) > before).then_some(())).await;
        Ok(())
    });
    assert_eq!(panics(), before);
}

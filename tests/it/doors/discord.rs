use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};
use toall::{
    chat::{
        Ask,
        discord::{Discord as Adapter, Shards},
    },
    clock::Clock,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{each, mutation::bent, panics, runtime};
use crate::discord::Discord;

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
    let message =
        json!({ "id": "9", "channel_id": "1", "content": "", "author": { "id": "2", "username": "toall" } });
    let envelope = any::<Option<prop::sample::Index>>();
    let cases = prop::collection::vec((commands(), envelope, bent(json!(7))), 30..40);
    each(&runtime, 10, 30, &cases, async |batch| {
        for ((kind, data), field, odd) in batch {
            let mut world = discord.world();
            let id = world.begin_interaction("mallory", "general", NOON, Instant::now(), None);
            let shown = (kind == 3).then(|| message.clone());
            let mut event = world.interaction_event(id, kind, data, shown);
            // Now and then one of the fields around it is something else.
            if let (Some(field), Value::Object(fields)) = (field, &mut event) {
                let field = field.index(fields.len());
                if let Some((_, value)) = fields.iter_mut().nth(field) {
                    *value = odd;
                }
            }
            world.gateway.dispatch("INTERACTION_CREATE", event);
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

use proptest::prelude::*;
use serde_json::{Value, json};
use toall::{
    chat::{Ask, telegram::Telegram as Adapter},
    clock::Clock,
    config::TelegramMode,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{each, mutation::bent, panics, runtime};
use crate::{
    telegram::{BOB, Telegram},
    world::World,
};

/// Updates as Telegram sends them: a video with a command, a command in reply to a file, a pressed button.
fn updates() -> impl Strategy<Value = Value> {
    let alice = json!({ "id": 42, "is_bot": false, "first_name": "Alice", "username": "alice", "language_code": "pt" });
    let private = json!({ "id": 42, "type": "private", "first_name": "Alice" });
    let group =
        json!({ "id": -1_001_000_000_005_i64, "type": "supergroup", "title": "Surf", "is_forum": true });
    let file = json!({
        "file_id": "BAACAgQ", "file_unique_id": "AgAD", "file_size": 1_000_000, "file_name": "surf.mov",
        "mime_type": "video/quicktime", "width": 1280, "height": 720, "duration": 42,
    });
    let video = json!({
        "message_id": 7, "date": 1_767_323_045, "from": alice, "chat": private, "video": file,
        "caption": "/post First wave", "caption_entities": [{ "type": "bot_command", "offset": 0, "length": 5 }],
    });
    let reply = json!({
        "message_id": 9, "date": 1_767_323_050, "from": alice, "chat": group, "text": "/post@ToallTestBot dawn",
        "message_thread_id": 3, "is_topic_message": true,
        "reply_to_message": {
            "message_id": 8, "from": alice, "chat": group, "photo": [file, file],
            "document": file, "media_group_id": "1",
        },
    });
    let press = json!({
        "id": "4382", "from": alice, "data": "cancel:019ab000-0000-7000-8000-000000000000",
        "chat_instance": "1", "message": { "message_id": 10, "date": 0, "chat": private },
    });
    prop_oneof![
        bent(json!({ "message": video })),
        bent(json!({ "message": reply })),
        bent(json!({ "callback_query": press })),
    ]
}

#[test]
fn no_update_of_telegrams_silences_the_bot() {
    let runtime = runtime();
    let before = panics();
    let (telegram, mut inbox) = runtime.block_on(async {
        let telegram = Telegram::start().await;
        let (sender, inbox) = mpsc::channel(16);
        let bot = Adapter::new(&telegram.settings(), Clock::by_hand(1_767_323_045_000)).unwrap();
        tokio::spawn(async move { bot.run(sender, CancellationToken::new()).await });
        (telegram, inbox)
    });
    // A batch is one case, for Telegram sends up to a hundred updates at once.
    each(&runtime, 10, 50, &prop::collection::vec(updates(), 50..60), async |batch| {
        for mut update in batch {
            if let Value::Object(fields) = &mut update {
                // Telegram numbers them; the rest is the stand-in's to add.
                fields.remove("update_id");
                telegram.send_update(update);
            }
        }
        let chat = json!({ "id": 77, "type": "private" });
        let from = json!({ "id": 77, "is_bot": false, "first_name": "Bob" });
        let last = json!({ "message_id": 1, "from": from, "chat": chat, "text": "/help" });
        telegram.send_update(json!({ "message": last }));
        let mut bob_is_heard = false;
        while !(bob_is_heard && telegram.unconfirmed() == 0) {
            tokio::select! {
                delivery = inbox.recv() => {
                    let delivery = delivery.expect("the adapter runs");
                    let incoming = &delivery.incoming;
                    prop_assert!(incoming.from.id.parse::<i64>().is_ok() && incoming.at.chat.parse::<i64>().is_ok());
                    if let Ask::Post { caption, dedupe_key, .. } = &incoming.ask {
                        prop_assert!(dedupe_key.starts_with("telegram:"));
                        prop_assert_eq!(caption.trim(), caption);
                    }
                    bob_is_heard |= incoming.from.id == "77" && incoming.ask == Ask::Help;
                    let _ = delivery.done.send(());
                }
                () = telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())), if bob_is_heard => {}
            }
        }
        Ok(())
    });
    assert_eq!(panics(), before);
}

#[test]
fn no_update_that_the_webhook_brings_silences_the_service_or_comes_for_ever() {
    let runtime = runtime();
    let before = panics();
    let (telegram, _world) = runtime.block_on(async {
        let telegram = Telegram::start().await;
        let mut settings = telegram.settings();
        settings.mode = TelegramMode::Webhook;
        let world = World::with(|_, config| config.telegram = Some(settings)).await;
        telegram.wait_for(|telegram| telegram.webhook()).await;
        (telegram, world)
    });
    each(&runtime, 4, 50, &prop::collection::vec(updates(), 50..60), async |batch| {
        for mut update in batch {
            if let Value::Object(fields) = &mut update {
                fields.remove("update_id");
                telegram.send_update(update);
            }
        }
        let answers = telegram.said(BOB.id).len();
        telegram.private(BOB).text("/help");
        telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
        telegram.wait_for(|telegram| (telegram.said(BOB.id).len() > answers).then_some(())).await;
        Ok(())
    });
    assert!(telegram.brought().iter().all(|(_, status)| *status == 200));
    assert_eq!(panics(), before);
}

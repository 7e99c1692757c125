//! From a chat to the inbox.

use serde_json::json;
use toall::{
    chat::{Ask, ChatError, telegram::Telegram as Adapter},
    clock::Clock,
    post::{Kind, PostId},
    words::{Deed, Message},
};
use tokio_util::sync::CancellationToken;

use super::{Running, adapter, error, post_of};
use crate::telegram::{ALICE, BOB, BOT, Fault, Telegram};

#[tokio::test]
async fn commands_arrive_from_private_chats_and_groups() {
    let telegram = Telegram::start().await;
    let mut running = Running::start(&telegram);
    let alice = telegram.private(ALICE);
    let asked = alice.text("/connect twitter");
    let incoming = running.hears().await;
    assert_eq!(incoming.ask, Ask::Connect { what: "twitter".into() });
    assert_eq!((incoming.from.id, incoming.from.name), ("4201".into(), "Alice (no user name)".into()));
    assert!(incoming.at.private);
    assert_eq!(incoming.at.message, Some(asked.to_string()));

    let group = telegram.group(1, BOB).topic(77);
    group.text("/help@SomeOtherBot");
    group.text("just talking");
    group.text(&format!("/disconnect@{BOT} @alice_makes"));
    let incoming = running.hears().await;
    assert_eq!(incoming.ask, Ask::Disconnect { what: "@alice_makes".into() });
    assert!(!incoming.at.private);
    assert_eq!(incoming.at.thread.as_deref(), Some("77"));

    let polls = telegram.calls("getUpdates");
    assert_eq!(polls[0].body["allowed_updates"], json!(["message", "edited_message", "callback_query"]));
    let link = running.bot.private_chat_link().unwrap();
    assert!(link.starts_with(&format!("https://t.me/{BOT}?")));
    let commands = &telegram.calls("setMyCommands")[0].body["commands"];
    assert!(commands.as_array().unwrap().iter().any(|it| it["command"] == "post"));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn videos_arrive_with_their_captions() {
    let telegram = Telegram::start().await;
    let mut running = Running::start(&telegram);
    let asked = telegram.private(ALICE).video("surf.mov", "0123456789", "/post First wave\nof the year");
    let (caption, file, key) = post_of(running.hears().await);
    let file = file.unwrap();
    assert_eq!(caption, "First wave\nof the year");
    assert_eq!((file.name.as_str(), file.bytes, file.kind), ("surf.mov", Some(10), Kind::Video));
    assert_eq!(key, format!("telegram:4201:{asked}"));

    for (sent, kind) in [
        ("video", Kind::Video),
        ("document", Kind::File),
        ("animation", Kind::Animation),
        ("video_note", Kind::VideoNote),
        ("photo", Kind::Photo),
        ("voice", Kind::Voice),
        ("audio", Kind::Audio),
        ("sticker", Kind::Sticker),
    ] {
        let video = telegram.group(1, BOB).file(sent, "surf.mov", "01234", "");
        telegram.group(1, ALICE).reply(video).text("/post Bob's wave");
        let incoming = running.hears().await;
        assert_eq!(incoming.from.id, "4201");
        let (caption, file, _) = post_of(incoming);
        assert_eq!((caption.as_str(), file.unwrap().kind), ("Bob's wave", kind));
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_confirmed_before_it_is_stored() {
    let telegram = Telegram::start().await;
    telegram.private(ALICE).video("surf.mov", "0", "/post First");
    let mut first = Running::start(&telegram);
    let delivery = first.delivery().await;
    let (.., key) = post_of(delivery.incoming.clone());
    // Time enough for a poll that did not wait.
    for _ in 0..3 {
        first.bot.check().await.unwrap();
    }
    assert_eq!(telegram.calls("getUpdates").len(), 1);
    // The process dies with the row not written.
    first.task.abort();
    assert!(first.task.await.unwrap_err().is_cancelled());
    drop(delivery);
    assert_eq!(telegram.unconfirmed(), 1);

    let mut second = Running::start(&telegram);
    let (.., again) = post_of(second.hears().await);
    assert_eq!(again, key);
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    telegram.redeliver();
    let (.., again) = post_of(second.hears().await);
    assert_eq!(again, key);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_confirms_what_was_stored_meanwhile() {
    let telegram = Telegram::start().await;
    telegram.private(ALICE).text("/posts");
    let mut running = Running::start(&telegram);
    let delivery = running.delivery().await;
    running.stop.cancel();
    delivery.done.send(()).unwrap();
    running.stop().await.unwrap();
    assert_eq!(telegram.unconfirmed(), 0);
}

#[tokio::test]
async fn order_holds_within_a_chat_and_chats_do_not_wait_for_each_other() {
    let telegram = Telegram::start().await;
    let alice = telegram.private(ALICE);
    alice.text("/posts");
    alice.text("/accounts");
    telegram.private(BOB).text("/token");
    let mut running = Running::start(&telegram);
    let mut held = [running.delivery().await, running.delivery().await];
    held.sort_by_key(|delivery| delivery.incoming.from.id.clone());
    assert_eq!(held[0].incoming.ask, Ask::Posts);
    assert_eq!(held[1].incoming.ask, Ask::Token { name: String::new() });
    assert!(running.inbox.try_recv().is_err());
    for delivery in held {
        delivery.done.send(()).unwrap();
    }
    assert_eq!(running.hears().await.ask, Ask::Accounts);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn pressed_buttons_arrive_and_are_acknowledged() {
    let telegram = Telegram::start().await;
    let mut running = Running::start(&telegram);
    let group = telegram.group(1, ALICE);
    group.text("/posts");
    let place = running.hears().await.at;
    let deed = Deed::Cancel(PostId(uuid::Uuid::now_v7()));
    let message = Message::text("Uploading").button("Cancel", deed.clone());
    let everyone = toall::chat::Audience::Everyone;
    let at = running.bot.say(&place, everyone, &message, None).await.unwrap();
    telegram.group(1, BOB).press(at.message.parse().unwrap(), "Cancel");
    let incoming = running.hears().await;
    assert_eq!(incoming.ask, Ask::Press(deed));
    assert_eq!((incoming.from.id, incoming.at.message), ("4202".into(), Some(at.message)));
    let calls = telegram
        .wait_for(|telegram| Some(telegram.calls("answerCallbackQuery")).filter(|calls| !calls.is_empty()))
        .await;
    assert!(calls[0].body.get("text").is_none());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_button_of_another_version_is_said_to_be_out_of_date() {
    let telegram = Telegram::start().await;
    let running = Running::start(&telegram);
    telegram.send_update(json!({"callback_query": {
        "id": "9", "chat_instance": "1", "data": "explode:1",
        "from": {"id": 4201, "is_bot": false, "first_name": "Alice"},
    }}));
    let calls = telegram
        .wait_for(|telegram| Some(telegram.calls("answerCallbackQuery")).filter(|calls| !calls.is_empty()))
        .await;
    assert_eq!(calls[0].body["text"], "This button is out of date.");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_unreadable_update_does_not_stand_in_the_way() {
    let telegram = Telegram::start().await;
    telegram.send_update(json!({"message": {"message_id": "seven"}}));
    telegram.send_update(json!({"something_new": {}}));
    telegram.private(ALICE).text("/posts");
    let mut running = Running::start(&telegram);
    assert_eq!(running.hears().await.ask, Ask::Posts);
    telegram.wait_for(|telegram| (telegram.unconfirmed() <= 1).then_some(())).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_update_nested_deeper_than_json_is_read_does_not_stand_in_the_way() {
    let telegram = Telegram::start().await;
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    telegram.send_update(json!({"message": nested(300)}));
    telegram.send_update(json!({"something_new": nested(300), "message": {"text": nested(300)}}));
    telegram.private(ALICE).text("/posts");
    let mut running = Running::start(&telegram);
    assert_eq!(running.hears().await.ask, Ask::Posts);
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let telegram = Telegram::start().await;
    let alice = json!({"id": ALICE.id, "type": "private", "is_bot": false, "first_name": "Alice"});
    let unheard = json!({"message_id": 1, "from": alice, "chat": alice, "text": "/accounts"});
    let long = json!([{"update_id": 1, "message": unheard}]);
    telegram.fail_next("getUpdates", Fault::Long(long, 20 << 20));
    telegram.private(ALICE).text("/posts");
    let mut running = Running::start(&telegram);
    assert_eq!(running.hears().await.ask, Ask::Posts);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_token_is_said_clearly() {
    let telegram = Telegram::start().await;
    let mut settings = telegram.settings();
    settings.token = "110201543:another".into();
    let adapter = Adapter::new(&settings, Clock::system()).unwrap();
    let (inbox, _deliveries) = tokio::sync::mpsc::channel(1);
    for error in [error(adapter.check().await), error(adapter.run(inbox, CancellationToken::new()).await)] {
        assert!(matches!(error, ChatError::Refused(_)));
        assert!(error.to_string().contains("@BotFather"), "{error}");
    }
}

#[tokio::test]
async fn the_check_names_the_bot() {
    let telegram = Telegram::start().await;
    let mut settings = telegram.settings();
    let bot = adapter(&telegram);
    assert_eq!(bot.private_chat_link(), None);
    assert_eq!(bot.check().await.unwrap(), format!("@{BOT}"));
    settings.api_url.set_port(Some(1)).unwrap();
    settings.api_url.set_path("/bots/");
    let unreachable = Adapter::new(&settings, Clock::system()).unwrap();
    assert!(matches!(error(unreachable.check().await), ChatError::Trouble(_)));
    settings.api_url = "mailto:bot@example.org".parse().unwrap();
    error(Adapter::new(&settings, Clock::system()));
}

#[tokio::test]
async fn trouble_on_the_way_is_waited_out() {
    let telegram = Telegram::start().await;
    telegram.fail_next("getMe", Fault::Drop);
    telegram.fail_next("setMyCommands", Fault::Refuse(400, "Bad Request: no"));
    telegram.fail_next("getUpdates", Fault::Drop);
    telegram.fail_next("getUpdates", Fault::SlowDown(1));
    telegram.private(ALICE).text("/posts");
    let mut running = Running::start(&telegram);
    assert_eq!(running.hears().await.ask, Ask::Posts);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_webhook_left_behind_is_removed() {
    let telegram = Telegram::start().await;
    telegram.set_webhook();
    telegram.private(ALICE).text("/posts");
    let mut running = Running::start(&telegram);
    assert_eq!(running.hears().await.ask, Ask::Posts);
    let removals = telegram.calls("deleteWebhook");
    assert_ne!(removals[0].body["drop_pending_updates"], true);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_webhook_that_is_set_while_polling_goes_on_is_removed() {
    let telegram = Telegram::start().await;
    let mut running = Running::start(&telegram);
    telegram.private(ALICE).text("/posts");
    assert_eq!(running.hears().await.ask, Ask::Posts);
    telegram.set_webhook();
    // Ends the poll that is under way, if it is; the next is refused.
    telegram.private(ALICE).text("/posts");
    assert_eq!(running.hears().await.ask, Ask::Posts);
    telegram.private(ALICE).text("/help");
    assert_eq!(running.hears().await.ask, Ask::Help);
    assert!(telegram.webhook().is_none());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_program_with_the_same_bot_does_not_end_the_first() {
    let telegram = Telegram::start().await;
    let first = Running::start(&telegram);
    let polls =
        |telegram: &Telegram, count: usize| (telegram.calls("getUpdates").len() >= count).then_some(());
    telegram.wait_for(|telegram| polls(telegram, 1)).await;
    let second = Running::start(&telegram);
    telegram.wait_for(|telegram| polls(telegram, 2)).await;
    telegram.private(ALICE).text("/posts");
    let mut second = second;
    assert_eq!(second.hears().await.ask, Ask::Posts);
    assert!(!first.task.is_finished());
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

//! From the service to a chat.

use std::time::{Duration, Instant};

use toall::{
    account::{MessageRef, Place, Platform},
    chat::{Audience, ChatError, telegram::Telegram as Adapter},
    clock::Clock,
    post::PostId,
    words::{Deed, Message},
};

use super::{adapter, error};
use crate::telegram::{ALICE, BOB, Fault, Speaker, Telegram};

const NOON: i64 = 1_767_323_045_000;

fn place(speaker: &Speaker, message: i64) -> Place {
    Place {
        platform: Platform::Telegram,
        chat: speaker.chat().to_string(),
        thread: None,
        message: Some(message.to_string()),
        person: ALICE.id.to_string(),
        private: speaker.chat() > 0,
        interaction: None,
    }
}

#[tokio::test]
async fn an_answer_is_a_reply_with_buttons_and_no_markup() {
    let telegram = Telegram::start().await;
    let alice = telegram.private(ALICE);
    let place = place(&alice, alice.text("/posts"));
    let deed = Deed::Cancel(PostId(uuid::Uuid::max()));
    let message = Message::text("<b>Uploading</b> to @alice_makes until ")
        .time(1_767_323_045_000)
        .button("Cancel", deed.clone())
        .open("Open on X", "https://x.com/a")
        .open("Watch", "http://127.0.0.1:8080/upload/1");
    let bot = adapter(&telegram);
    let at = bot.say(&place, Audience::Asker, &message, Some("unused")).await.unwrap();
    let said = telegram.said(ALICE.id).pop().unwrap();
    assert_eq!((at.chat.as_str(), at.message), ("4201", said.id.to_string()));
    assert_eq!(
        said.text,
        "<b>Uploading</b> to @alice_makes until 03:04 UTC\nWatch: http://127.0.0.1:8080/upload/1"
    );
    assert_eq!(said.code, ["@alice_makes"]);
    assert_eq!(said.reply_to, place.message.as_ref().map(|id| id.parse().unwrap()));
    let buttons: Vec<_> = said.buttons.iter().map(|it| (it.label.as_str(), it.url.as_deref())).collect();
    assert_eq!(buttons, [("Cancel", None), ("Open on X", Some("https://x.com/a"))]);
    assert_eq!(said.buttons[0].data, Some(deed.to_string()));
    let sent = &telegram.calls("sendMessage")[0].body;
    assert!(sent.get("parse_mode").is_none());
    assert_eq!(sent["link_preview_options"]["is_disabled"], true);
}

#[tokio::test]
async fn an_answer_finds_its_topic_and_survives_a_deleted_question() {
    let telegram = Telegram::start().await;
    let topic = telegram.group(1, ALICE).topic(77);
    let asked = topic.text("/posts");
    let mut place = place(&topic, asked);
    place.thread = Some("77".into());
    telegram.delete(topic.chat(), asked);
    let message = Message::text("Here");
    let bot = adapter(&telegram);
    bot.say(&place, Audience::Everyone, &message, None).await.unwrap();
    let said = telegram.said(topic.chat()).pop().unwrap();
    assert_eq!((said.topic, said.reply_to), (Some(77), None));
    place.thread = Some("78".into());
    let shut = error(bot.say(&place, Audience::Everyone, &message, None).await);
    assert!(
        matches!(shut, ChatError::NeedsPrivateChat),
        "the topic is gone, and Alice was never met: {shut}"
    );
    telegram.private(ALICE);
    let at = bot.say(&place, Audience::Everyone, &message, None).await.unwrap();
    assert_eq!(at.chat, ALICE.id.to_string());
}

#[tokio::test]
async fn what_is_for_the_asker_alone_never_lands_in_the_group() {
    let telegram = Telegram::start().await;
    let group = telegram.group(1, ALICE);
    let place = place(&group, group.text("/connect twitter"));
    let bot = adapter(&telegram);
    let message = Message::text("Your link");
    let secret = async || bot.say(&place, Audience::Asker, &message, None).await;
    assert!(matches!(error(secret().await), ChatError::NeedsPrivateChat));
    telegram.private(ALICE);
    secret().await.unwrap();
    assert_eq!(telegram.said(ALICE.id).pop().unwrap().text, "Your link");
    telegram.block(ALICE);
    assert!(matches!(error(secret().await), ChatError::NeedsPrivateChat));
    assert!(telegram.said(group.chat()).is_empty());
    let mut stranger = place.clone();
    stranger.person = BOB.id.to_string();
    let unknown = bot.say(&stranger, Audience::Asker, &message, None).await;
    assert!(matches!(error(unknown), ChatError::NeedsPrivateChat));
}

#[tokio::test]
async fn an_edit_replaces_text_and_buttons() {
    let telegram = Telegram::start().await;
    let alice = telegram.private(ALICE);
    let place = place(&alice, alice.text("/posts"));
    let bot = adapter(&telegram);
    let first = Message::text("Uploading").button("Connect", Deed::Connect);
    let at = bot.say(&place, Audience::Everyone, &first, None).await.unwrap();
    let last = Message::text("Posted").open("Open on X", "https://x.com/a/status/1");
    for _ in 0..2 {
        // The second time nothing changes, which Telegram refuses and people do not care about.
        assert_eq!(bot.edit(&place, &at, &last).await.unwrap(), at);
    }
    bot.edit(&place, &at, &Message::text("Posted")).await.unwrap();
    let said = telegram.said(ALICE.id);
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].text.as_str(), said[0].buttons.len()), ("Posted", 0));

    telegram.delete(ALICE.id, at.message.parse().unwrap());
    let gone = error(bot.edit(&place, &at, &last).await);
    assert!(matches!(gone, ChatError::Gone(_)), "{gone}");
    let theirs = MessageRef { message: place.message.clone().unwrap(), ..at.clone() };
    let gone = error(bot.edit(&place, &theirs, &last).await);
    assert!(matches!(gone, ChatError::Gone(_)), "{gone}");
    let nonsense = MessageRef { message: "x".into(), ..at };
    let refused = error(bot.edit(&place, &nonsense, &last).await);
    assert!(matches!(refused, ChatError::Refused(_)), "{refused}");
}

#[tokio::test]
async fn a_group_that_became_a_supergroup_is_followed() {
    let telegram = Telegram::start().await;
    let group = telegram.group(1, ALICE);
    let place = place(&group, group.text("/posts"));
    let bot = adapter(&telegram);
    let message = Message::text("Here");
    let old = bot.say(&place, Audience::Everyone, &message, None).await.unwrap();
    telegram.migrate(group.chat(), -1_009_000_000_001);
    let at = bot.say(&place, Audience::Everyone, &message, None).await.unwrap();
    assert_eq!(at.chat, "-1009000000001");
    assert_eq!(telegram.said(-1_009_000_000_001)[0].reply_to, None);
    let gone = error(bot.edit(&place, &old, &Message::text("There")).await);
    assert!(matches!(gone, ChatError::Gone(_)), "{gone}");
    let moved = MessageRef { message: at.message.clone(), ..old };
    assert_eq!(bot.edit(&place, &moved, &Message::text("There")).await.unwrap(), at);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let telegram = Telegram::start().await;
    let group = telegram.group(1, ALICE);
    let place = place(&group, group.text("/posts"));
    let clock = Clock::by_hand(NOON);
    let bot = Adapter::new(&telegram.settings(), clock.clone()).unwrap();
    let message = Message::text("Here");
    let say = async || error(bot.say(&place, Audience::Everyone, &message, None).await);

    telegram.fail_next("sendMessage", Fault::SlowDown(7));
    assert!(matches!(say().await, ChatError::SlowDown(wait) if wait == Duration::from_secs(7)));
    let sent = telegram.calls("sendMessage").len();
    clock.set(NOON + 3_000);
    assert!(matches!(say().await, ChatError::SlowDown(wait) if wait == Duration::from_secs(4)));
    assert_eq!(telegram.calls("sendMessage").len(), sent, "the chat is left alone");
    clock.set(NOON + 7_000);
    telegram.fail_next("sendMessage", Fault::Drop);
    assert!(matches!(say().await, ChatError::Trouble(_)));
    let forbidden = "Bad Request: not enough rights to send text messages to the chat";
    telegram.fail_next("editMessageText", Fault::Refuse(400, forbidden));
    let at = MessageRef { chat: place.chat.clone(), message: "1".into() };
    let edited = bot.edit(&place, &at, &message).await;
    assert!(matches!(error(edited), ChatError::NeedsPrivateChat), "nor can Alice be written to");
    telegram.kick(group.chat());
    assert!(matches!(say().await, ChatError::NeedsPrivateChat));
    let mut private = place.clone();
    (private.private, private.chat) = (true, ALICE.id.to_string());
    telegram.private(ALICE);
    telegram.block(ALICE);
    let blocked = bot.say(&private, Audience::Everyone, &message, None).await;
    assert!(matches!(error(blocked), ChatError::Forbidden(_)));
    telegram.fail_next("sendMessage", Fault::Broken);
    // teloxide waits ten seconds on a server error before it says so.
    assert!(matches!(say().await, ChatError::Trouble(_)));
}

/// Many posts at once keep within Telegram's limit for the whole bot, and first words go before edits.
#[tokio::test(flavor = "multi_thread")]
async fn many_posts_at_once_stay_within_telegrams_limit() {
    // As on a busy evening: 200 posts in 5 s.
    let posts: u32 = std::env::var("TOALL_TEST_TELEGRAM_POSTS").map_or(20, |posts| posts.parse().unwrap());
    let telegram = Telegram::start().await;
    let bot = adapter(&telegram);
    telegram.enforce_limit();
    let said = (0..posts).map(|number| {
        let (bot, group) = (bot.clone(), telegram.group(i64::from(number) + 1, ALICE));
        let place = place(&group, group.text("/post"));
        async move {
            tokio::time::sleep(Duration::from_millis(25) * number).await;
            let begun = Instant::now();
            let at = bot.say(&place, Audience::Everyone, &Message::text("Waiting"), None).await;
            let waited = begun.elapsed();
            if let Ok(at) = at {
                let _ = bot.edit(&place, &at, &Message::text("Uploading")).await;
            }
            waited
        }
    });
    let mut waited = futures::future::join_all(said).await;
    waited.sort();
    let (all, over) = (2 * posts, telegram.over_limit());
    let (p50, p99) = (waited[waited.len() / 2], waited[waited.len() * 99 / 100]);
    println!("{over} of {all} refused; first words after {p50:?} (p50), {p99:?} (p99)");
    assert_eq!(over, 0, "of {all}");
    // Posts come faster than messages may go, so the queue grows while they do.
    assert!(p99 < Duration::from_secs(1) + Duration::from_millis(25) * posts, "{p99:?}");
}

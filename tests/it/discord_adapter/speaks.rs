//! What the bot says reaches people, wherever Discord lets it.

use std::time::Duration;

use serde_json::json;
use toall::{
    account::{MessageRef, Place},
    chat::{Audience, ChatError},
    words::{Deed, Message},
};

use super::{Bot, MINUTE, NOON, only};
use crate::discord::{Fault, Posted, World};

const NONCE: &str = "0192f3c4-0000-7000-8000-000000000000";

fn text(text: &str) -> Message {
    Message::text(text)
}

fn refers(at: &MessageRef, posted: &Posted) -> bool {
    at.chat == posted.channel.to_string() && at.message == posted.id.to_string()
}

impl Bot {
    /// Where alice said `/post`, in a channel where the bot may or may not write.
    async fn posting(&mut self, may_write: bool) -> Place {
        self.discord.world().let_bot_write("general", may_write);
        let place = self.asked("alice", "general", "post").await.at;
        let all = |world: &World| world.interactions.values().all(|asked| asked.acknowledged.is_some());
        self.discord.wait_for("the acknowledgement", |world| all(world).then_some(())).await;
        place
    }

    pub(super) async fn say(
        &self,
        to: &Place,
        audience: Audience,
        words: &str,
    ) -> Result<MessageRef, ChatError> {
        let message = text(words);
        self.adapter.say(to, audience, &message, Some(NONCE)).await
    }

    async fn edit(&self, place: &Place, at: &MessageRef, words: &str) -> Result<MessageRef, ChatError> {
        self.adapter.edit(place, at, &text(words)).await
    }

    fn fault(&self, on: (&'static str, &'static str), status: u16, body: serde_json::Value) {
        let fault = Fault { on, times: 1, status, body, done: false };
        self.discord.world().faults.push(fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_fills_the_place_that_waits_for_it() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    let at = bot.say(&place, Audience::Everyone, "Uploading").await.unwrap();
    // After a lost answer the same is said again: still one message.
    assert_eq!(bot.say(&place, Audience::Everyone, "Uploading").await.unwrap(), at);
    let posted = bot.only_message("general");
    assert!(refers(&at, &posted));
    assert_eq!(posted.shown(), "Uploading");

    let place = bot.asked("alice", "general", "accounts").await.at;
    let at = bot.say(&place, Audience::Asker, "Your accounts").await.unwrap();
    let posted = only(bot.discord.ephemeral("alice"));
    assert!(refers(&at, &posted));
    assert_eq!(posted.shown(), "Your accounts");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_answer_to_a_public_command_stays_private() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    bot.say(&place, Audience::Asker, "Link an account first").await.unwrap();
    assert!(bot.discord.messages("general").is_empty());
    assert_eq!(only(bot.discord.ephemeral("alice")).shown(), "Link an account first");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_answer_to_a_press_leaves_the_message_alone() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    let status = text("Uploading").button("Cancel", Deed::Cancel(NONCE.parse().unwrap()));
    bot.adapter.say(&place, Audience::Everyone, &status, None).await.unwrap();
    let status = bot.only_message("general");
    assert_eq!(status.labels(), ["Cancel"]);
    bot.discord.press("bob", status.id, "Cancel").await;
    let press = bot.heard().await.at;
    bot.say(&press, Audience::Asker, "Only alice can").await.unwrap();
    assert_eq!(only(bot.discord.ephemeral("bob")).shown(), "Only alice can");
    assert_eq!(bot.only_message("general").shown(), "Uploading");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_edits_its_own_message_as_long_as_it_likes() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    let at = bot.say(&place, Audience::Everyone, "Uploading").await.unwrap();
    for (minutes, words) in [(1, "Processing"), (600, "Posted")] {
        bot.clock.set(NOON + minutes * MINUTE);
        assert_eq!(bot.edit(&place, &at, words).await.unwrap(), at);
        assert_eq!(bot.only_message("general").shown(), words);
    }
    assert!(bot.discord.dms("alice").is_empty());
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_only_the_token_can_edit_moves_before_the_token_dies() {
    let mut bot = Bot::start().await;
    let place = bot.posting(false).await;
    let at = bot.say(&place, Audience::Everyone, "Uploading").await.unwrap();
    bot.clock.set(NOON + 13 * MINUTE);
    assert_eq!(bot.edit(&place, &at, "Processing").await.unwrap(), at);
    assert_eq!(bot.only_message("general").shown(), "Processing");

    bot.clock.set(NOON + 14 * MINUTE);
    let moved = bot.edit(&place, &at, "Still processing").await.unwrap();
    assert!(refers(&moved, &only(bot.discord.dms("alice"))));
    assert_eq!(bot.only_message("general").shown(), "This goes on in a direct message.");

    bot.clock.set(NOON + 60 * MINUTE);
    assert_eq!(bot.edit(&place, &moved, "Posted").await.unwrap(), moved);
    assert_eq!(only(bot.discord.dms("alice")).shown(), "Posted");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_repeated_makes_one_direct_message() {
    let mut bot = Bot::start().await;
    let place = bot.posting(false).await;
    let at = bot.say(&place, Audience::Everyone, "Uploading").await.unwrap();
    bot.clock.set(NOON + 20 * MINUTE);
    let moved = bot.edit(&place, &at, "Posted").await.unwrap();
    assert_eq!(bot.edit(&place, &at, "Posted").await.unwrap(), moved);
    assert_eq!(only(bot.discord.dms("alice")).shown(), "Posted");
    assert_eq!(bot.only_message("general").shown(), "Uploading");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_message_is_edited_by_its_token() {
    let mut bot = Bot::start().await;
    let place = bot.asked("alice", "general", "connect").await.at;
    let at = bot.say(&place, Audience::Asker, "Link your account").await.unwrap();
    assert_eq!(bot.edit(&place, &at, "Linked").await.unwrap(), at);
    assert_eq!(only(bot.discord.ephemeral("alice")).shown(), "Linked");
    // A follow-up is ephemeral though its interaction is not.
    let place = bot.posting(true).await;
    let at = bot.say(&place, Audience::Asker, "One moment").await.unwrap();
    assert_eq!(bot.edit(&place, &at, "Done").await.unwrap(), at);
    assert_eq!(bot.discord.ephemeral("alice")[1].shown(), "Done");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_token_the_bot_writes_once_in_the_channel_or_directly() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    bot.discord.world().messages.clear();
    bot.clock.set(NOON + 20 * MINUTE);
    let at = bot.say(&place, Audience::Everyone, "Posted").await.unwrap();
    assert_eq!(bot.say(&place, Audience::Everyone, "Posted").await.unwrap(), at);
    assert!(refers(&at, &bot.only_message("general")));

    bot.clock.set(NOON + 40 * MINUTE);
    bot.discord.world().let_bot_write("general", false);
    let at = bot.say(&place, Audience::Everyone, "Posted").await.unwrap();
    assert!(refers(&at, &only(bot.discord.dms("alice"))));

    bot.clock.set(NOON + 60 * MINUTE);
    bot.say(&place, Audience::Asker, "For you").await.unwrap();
    assert_eq!(bot.discord.dms("alice")[1].shown(), "For you");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_died_early_is_no_dead_end() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    bot.discord.world().interactions.clear();
    bot.discord.world().messages.clear();
    bot.say(&place, Audience::Everyone, "Uploading").await.unwrap();
    assert_eq!(bot.only_message("general").shown(), "Uploading");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_is_gone() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    let at = bot.say(&place, Audience::Everyone, "Uploading").await.unwrap();
    bot.discord.world().messages.clear();
    for minutes in [1, 20] {
        bot.clock.set(NOON + minutes * MINUTE);
        let answer = bot.edit(&place, &at, "Posted").await;
        assert!(matches!(answer, Err(ChatError::Gone(_))), "{answer:?}");
    }
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_takes_no_direct_messages_is_said_to_be_out_of_reach() {
    let mut bot = Bot::start().await;
    let place = bot.posting(false).await;
    {
        let mut world = bot.discord.world();
        let direct = world.direct("alice");
        world.channels.get_mut(&direct).unwrap().bot_may_write = false;
    }
    bot.clock.set(NOON + 20 * MINUTE);
    let answer = bot.say(&place, Audience::Everyone, "Posted").await;
    assert!(matches!(answer, Err(ChatError::Forbidden(_))), "{answer:?}");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_sorted_by_what_can_be_done() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    let at = bot.say(&place, Audience::Everyone, "Uploading").await.unwrap();

    bot.fault(("PATCH", "/messages/"), 429, json!({ "message": "slow", "retry_after": 42.5 }));
    let answer = bot.edit(&place, &at, "Processing").await;
    assert!(
        matches!(answer, Err(ChatError::SlowDown(pause)) if pause == Duration::from_millis(42_500)),
        "{answer:?}"
    );
    // A short pause is waited out.
    bot.fault(("PATCH", "/messages/"), 429, json!({ "message": "slow", "retry_after": 0.05 }));
    bot.edit(&place, &at, "Processing").await.unwrap();

    bot.fault(("PATCH", "/messages/"), 502, json!(null));
    let answer = bot.edit(&place, &at, "Posted").await;
    assert!(matches!(answer, Err(ChatError::Trouble(_))), "{answer:?}");
    bot.fault(("PATCH", "/messages/"), 401, json!({ "code": 0, "message": "401: Unauthorized" }));
    let answer = bot.edit(&place, &at, "Posted").await;
    assert!(matches!(answer, Err(ChatError::Refused(_))), "{answer:?}");
    let invalid = json!({ "code": 50035, "message": "Invalid Form Body", "errors": { "content": "long" } });
    bot.fault(("PATCH", "/messages/"), 400, invalid);
    let answer = bot.edit(&place, &at, "Posted").await.unwrap_err().to_string();
    assert!(answer.contains("Invalid Form Body") && answer.contains("long"), "{answer}");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_takes_the_buttons_away() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    let status = text("Uploading").button("Cancel", Deed::Cancel(NONCE.parse().unwrap()));
    let at = bot.adapter.say(&place, Audience::Everyone, &status, None).await.unwrap();
    let done = text("Posted to @alice_makes\n")
        .link("https://x.com/alice_makes/status/1")
        .open("Open on X", "https://x.com/alice_makes/status/1");
    bot.adapter.edit(&place, &at, &done).await.unwrap();
    let posted = bot.only_message("general");
    assert_eq!(posted.shown(), "Posted to @alice_makes\nhttps://x.com/alice_makes/status/1");
    assert_eq!(posted.labels(), ["Open on X"]);
    bot.stop().await;
}

/// Discord says with other statuses than 403, too, that the bot may not write, as in an archived thread.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_takes_no_messages_is_left_for_a_direct_one() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    for (at, code) in [50008, 50024, 50083, 160_005].into_iter().enumerate() {
        bot.clock.set(NOON + 20 * MINUTE * i64::try_from(at + 1).unwrap());
        let archived = json!({ "code": code, "message": "Thread is archived" });
        let channel = bot.discord.world().channel("general");
        bot.fault(
            ("POST", Box::leak(format!("/channels/{channel}/messages").into_boxed_str())),
            400,
            archived,
        );
        let said = bot.adapter.say(&place, Audience::Everyone, &text("Posted"), None).await.unwrap();
        assert!(refers(&said, bot.discord.dms("alice").last().unwrap()), "{code}");
        assert_eq!(bot.discord.dms("alice").len(), at + 1);
    }
    bot.stop().await;
}

/// A message that can no longer be edited is gone as far as its status is concerned: the outcome is sent anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_edited_is_gone() {
    let mut bot = Bot::start().await;
    let place = bot.posting(true).await;
    let at = bot.say(&place, Audience::Everyone, "Uploading").await.unwrap();
    bot.clock.set(NOON + 20 * MINUTE);
    for code in [30046, 50005, 50021] {
        let refused = json!({ "code": code, "message": "Cannot edit this message" });
        bot.fault(("PATCH", "/messages/"), 400, refused);
        let edited = bot.edit(&place, &at, "Posted").await;
        assert!(matches!(edited, Err(ChatError::Gone(_))), "{edited:?}");
    }
    bot.stop().await;
}

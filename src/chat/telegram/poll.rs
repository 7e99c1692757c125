//! Long polling: nothing is confirmed to Telegram before it is stored here.

use std::{collections::HashSet, mem::Discriminant, sync::OnceLock, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use teloxide::{
    Bot, RequestError,
    payloads::AnswerCallbackQuerySetters,
    requests::{JsonRequest, Requester},
    types::BotCommand,
};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    error::sort,
    understand::understand,
    wire::{CallbackQuery, GetMe, GetUpdates, Update},
};
use crate::{
    chat::{Ask, ChatError, Delivery, Inbox},
    words,
};

/// Seconds that Telegram may hold a request; shorter than the silence the client bears.
const LONG_POLL: u32 = 25;
/// Chats whose messages are handled at the same time.
const CHATS_AT_ONCE: usize = 16;
/// How long a stop waits for what was already handed over.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long something other than a post may keep what comes after it waiting.
const ANSWERED: Duration = Duration::from_secs(3);
/// How long a button may keep the rest waiting for its acknowledgement.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);

const COMMANDS: [(&str, &str); 11] = [
    ("post", "Publish a video: as its caption, or in reply to it"),
    ("connect", "Link an X account: /connect twitter"),
    ("accounts", "Show the linked accounts"),
    ("disconnect", "Unlink an account"),
    ("posts", "Show the latest posts"),
    ("cancel", "Cancel a post that waits"),
    ("upload", "Get a link for a big video"),
    ("web", "See accounts and posts in the browser"),
    ("token", "Make an API token"),
    ("tokens", "List your API tokens, to end one"),
    ("help", "How this works"),
];

/// Receives until `stop`, or until nobody listens to `inbox` any more.
///
/// Tells `name` what the bot is called as soon as it knows.
pub(super) async fn run(
    bot: &Bot,
    name: &OnceLock<String>,
    inbox: &Inbox,
    stop: &CancellationToken,
) -> Result<(), ChatError> {
    let mut spell = Spell::default();
    let me = loop {
        match stop.run_until_cancelled(start(bot)).await {
            None => return Ok(()),
            Some(Ok(me)) => break me,
            Some(Err(error @ ChatError::Refused(_))) => return Err(error),
            Some(Err(error)) => spell.wait_out(&error, stop).await,
        }
    };
    let me = name.get_or_init(|| me);
    info!(bot = %me, "receiving from Telegram");
    let mut offset = 0;
    loop {
        let batch = match stop.run_until_cancelled(poll(bot, offset, LONG_POLL)).await {
            None => return Ok(()),
            Some(Ok(batch)) => batch,
            Some(Err(error)) => {
                spell.wait_out(&sort(error), stop).await;
                continue;
            }
        };
        spell.end();
        let next = after(&batch);
        let patience = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            delivered = deliver(bot, batch, me, inbox) => if delivered.is_err() {
                return Ok(());
            },
            () = patience => return Ok(()),
        }
        // Not compared with the old offset: after a quiet week numbers start anywhere (Bot API, `Update`).
        offset = next.unwrap_or(offset);
        if stop.is_cancelled() {
            // The next poll would have confirmed the batch; without it people are answered twice.
            let _ = timeout(LAST_WORDS, poll(bot, offset, 0)).await;
            return Ok(());
        }
    }
}

async fn start(bot: &Bot) -> Result<String, ChatError> {
    let me = who(bot).await?;
    // A webhook left behind would keep polling from working; without one this does nothing.
    bot.delete_webhook().await.map_err(sort)?;
    let commands = COMMANDS.map(|(command, says)| BotCommand::new(command, says));
    if let Err(error) = bot.set_my_commands(commands).await.map_err(sort) {
        warn!(%error, "Telegram did not take the list of commands; they work all the same");
    }
    Ok(me)
}

/// The bot's user name, without the `@`.
pub(super) async fn who(bot: &Bot) -> Result<String, ChatError> {
    let me = JsonRequest::new(bot.clone(), GetMe {}).await;
    Ok(me.map_err(sort)?.username)
}

async fn poll(bot: &Bot, offset: i64, timeout: u32) -> Result<Vec<Value>, RequestError> {
    let allowed_updates = ["message", "callback_query"];
    let request = GetUpdates { offset, timeout, allowed_updates };
    JsonRequest::new(bot.clone(), request).await
}

/// The offset that confirms a batch, if there is anything in it.
fn after(batch: &[Value]) -> Option<i64> {
    let ids = batch.iter().filter_map(|update| update["update_id"].as_i64());
    ids.max().map(|last| last.saturating_add(1))
}

/// Nobody listens any more.
struct Closed;

/// Hands over a batch, in order within a chat, and returns when all of it is stored.
async fn deliver(bot: &Bot, batch: Vec<Value>, me: &str, inbox: &Inbox) -> Result<(), Closed> {
    let mut chats: Vec<(Option<i64>, Vec<Update>)> = Vec::new();
    for update in batch {
        let id = update["update_id"].as_i64();
        let Ok(update) = serde_json::from_value::<Update>(update) else {
            warn!(update = id, "Telegram sent something unreadable; left out");
            continue;
        };
        let chat = update.chat();
        match chats.iter_mut().find(|(known, _)| *known == chat) {
            Some((_, updates)) => updates.push(update),
            None => chats.push((chat, vec![update])),
        }
    }
    stream::iter(chats)
        .map(Ok)
        .try_for_each_concurrent(CHATS_AT_ONCE, async |(_, updates)| {
            for update in &updates {
                hand_over(bot, update, me, inbox).await?;
            }
            Ok(())
        })
        .await
}

async fn hand_over(bot: &Bot, update: &Update, me: &str, inbox: &Inbox) -> Result<(), Closed> {
    let incoming = understand(update, me);
    let understood = incoming.is_some();
    let hand_over = async {
        let Some(incoming) = incoming else {
            return Ok(());
        };
        let (done, stored) = oneshot::channel();
        let is_post = matches!(incoming.ask, Ask::Post { .. });
        let delivery = Delivery { incoming, done };
        inbox.send(delivery).await.map_err(|_| Closed)?;
        // Dropped unsent, it is not stored: Telegram must not hear that it was received.
        let stored = async { stored.await.map_err(|_| Closed) };
        match is_post {
            true => stored.await,
            // A slow answer to one must not keep everybody else from being heard.
            false => timeout(ANSWERED, stored).await.unwrap_or(Ok(())),
        }
    };
    let acknowledge = async {
        if let Some(query) = &update.callback_query {
            acknowledge(bot, query, understood).await;
        }
    };
    tokio::join!(hand_over, acknowledge).0
}

/// Ends the waiting sign on a pressed button.
async fn acknowledge(bot: &Bot, query: &CallbackQuery, understood: bool) {
    let mut answer = bot.answer_callback_query(query.id.clone().into());
    if !understood {
        answer = answer.text(words::BUTTON_OUT_OF_DATE);
    }
    match timeout(ACKNOWLEDGE, answer).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(error = %sort(error), "a button was not acknowledged"),
        Err(_) => debug!("a button was not acknowledged in time"),
    }
}

/// A run of failures with no success between them: each kind is said once, and each wait is longer.
#[derive(Default)]
struct Spell {
    failures: u32,
    said: HashSet<Discriminant<ChatError>>,
}

impl Spell {
    async fn wait_out(&mut self, error: &ChatError, stop: &CancellationToken) {
        if self.said.insert(std::mem::discriminant(error)) {
            warn!(%error, "Telegram cannot be received from; trying on");
        }
        let pause = self.pause(error);
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }

    fn pause(&mut self, error: &ChatError) -> Duration {
        let doubled = Duration::from_millis(500 << self.failures.min(7));
        self.failures = self.failures.saturating_add(1);
        match error {
            ChatError::SlowDown(wait) => (*wait).clamp(Duration::from_secs(1), Duration::from_secs(300)),
            // Another program polls, or the token was withdrawn: hurry mends neither.
            ChatError::Refused(_) => Duration::from_secs(30),
            _ => doubled.mul_f64(0.5 + fastrand::f64() / 2.0),
        }
    }

    fn end(&mut self) {
        if self.failures > 0 {
            info!("receiving from Telegram again");
        }
        *self = Spell::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds_and_start_anew() {
        let trouble = ChatError::Trouble("no connection".into());
        let mut spell = Spell::default();
        let pauses: Vec<Duration> = (0..20).map(|_| spell.pause(&trouble)).collect();
        assert!(pauses[0] <= Duration::from_millis(500));
        assert!(pauses[19] >= Duration::from_secs(32) && pauses[19] <= Duration::from_secs(64));
        spell.end();
        assert!(spell.pause(&trouble) <= Duration::from_millis(500));
    }

    #[test]
    fn a_second_poller_is_waited_out_slowly_and_a_given_pause_is_kept() {
        let mut spell = Spell::default();
        let conflict = ChatError::Refused("another program".into());
        assert_eq!(spell.pause(&conflict), Duration::from_secs(30));
        let slow = ChatError::SlowDown(Duration::from_secs(17));
        assert_eq!(spell.pause(&slow), Duration::from_secs(17));
    }

    #[test]
    fn commands_are_such_as_telegram_takes() {
        for (command, says) in COMMANDS {
            assert!((1..=32).contains(&command.len()), "{command}");
            assert!(command.bytes().all(|b| b.is_ascii_lowercase()), "{command}");
            assert!((1..=256).contains(&says.chars().count()), "{command}");
        }
    }
}

//! Long polling: nothing is confirmed to Telegram before it is stored here.

use std::{sync::OnceLock, time::Duration};

use serde_json::value::RawValue;
use teloxide::{Bot, RequestError, payloads::DeleteWebhook};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    album::{ALBUM_IS_WHOLE, Albums},
    call::call,
    deliver::{deliver, read},
    error::{self, sort},
    hello::introduce,
    spell::Spell,
    understand::understand,
    wire::{GetUpdates, Numbered, UPDATES, Update},
};
use crate::{
    chat::{ChatError, Inbox},
    health::Part,
};

/// Seconds that Telegram may hold a request; shorter than the silence the client bears.
const LONG_POLL: u32 = 25;
/// Updates that Telegram sends at once at most (Bot API, `getUpdates`).
const MAX_BATCH: usize = 100;
/// How long a stop waits for what was already handed over.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Receives until `stop`, or until nobody listens to `inbox` any more.
///
/// Tells `name` what the bot is called as soon as it knows.
pub(super) async fn run(
    bot: &Bot,
    name: &OnceLock<String>,
    albums: &Albums,
    part: &Part,
    inbox: &Inbox,
    stop: &CancellationToken,
) -> Result<(), ChatError> {
    let mut spell = Spell::new(part);
    let me = loop {
        match stop.run_until_cancelled(start(bot)).await {
            None => return Ok(()),
            Some(Ok(me)) => break me,
            Some(Err(error @ ChatError::Refused(_))) => return Err(error),
            Some(Err(error)) => spell.wait_out(&error, stop).await,
        }
    };
    spell.end();
    let me = name.get_or_init(|| me);
    info!(bot = %me, "receiving from Telegram");
    let mut offset = 0;
    loop {
        let batch = match stop.run_until_cancelled(poll_whole(bot, offset, me)).await {
            None => return Ok(()),
            Some(Ok(batch)) => batch,
            // Withdrawn meanwhile.
            Some(Err(error)) if error::is_wrong_token(&error) => return Err(sort(error)),
            Some(Err(error)) => {
                let error = match error::is_webhook(&error) {
                    // A process in webhook mode, which is about to be replaced, has set it again.
                    true => forget_webhook(bot).await.err().unwrap_or_else(|| {
                        ChatError::Trouble("another program had set a webhook; it is taken away".to_owned())
                    }),
                    false => sort(error),
                };
                spell.wait_out(&error, stop).await;
                continue;
            }
        };
        spell.end();
        let next = after(&batch);
        let updates = batch.iter().filter_map(|update| read(update.get().as_bytes()));
        let patience = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            delivered = deliver(bot, albums, updates, me, inbox) => if delivered.is_err() {
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
    let me = introduce(bot).await?;
    forget_webhook(bot).await?;
    Ok(me)
}

/// Takes a webhook away, which would keep polling from working; without one this does nothing. What waits stays.
async fn forget_webhook(bot: &Bot) -> Result<(), ChatError> {
    call(bot, &DeleteWebhook::new()).await.map_err(sort)?;
    Ok(())
}

/// Each update as it came, so that one that cannot be read does not hide the others.
async fn poll(bot: &Bot, offset: i64, timeout: u32) -> Result<Vec<Box<RawValue>>, RequestError> {
    call(bot, &GetUpdates { offset, timeout, allowed_updates: UPDATES }).await
}

/// As [`poll`]. A batch that ends within an album is asked for once more, after the rest has had time to arrive:
/// Telegram answers as soon as there is one update, and each file of an album is an update of its own.
async fn poll_whole(bot: &Bot, offset: i64, me: &str) -> Result<Vec<Box<RawValue>>, RequestError> {
    let batch = poll(bot, offset, LONG_POLL).await?;
    if batch.len() >= MAX_BATCH || !ends_within_album(&batch, me) {
        return Ok(batch);
    }
    tokio::time::sleep(ALBUM_IS_WHOLE).await;
    // Nothing is confirmed yet, so this brings the same again with what came after.
    poll(bot, offset, 0).await
}

/// True if the last update is part of an album that a post is asked for with.
fn ends_within_album(batch: &[Box<RawValue>], me: &str) -> bool {
    let album = |update: &Update| update.message.as_ref()?.media_group_id.clone();
    let mut updates = batch.iter().rev().map_while(|update| read(update.get().as_bytes())).peekable();
    let Some(last) = updates.peek().and_then(album) else { return false };
    updates
        .take_while(|update| album(update).as_ref() == Some(&last))
        .any(|update| understand(&update, me).is_some())
}

/// The offset that confirms a batch, if there is anything in it.
fn after(batch: &[Box<RawValue>]) -> Option<i64> {
    let numbered = batch.iter().filter_map(|update| serde_json::from_str::<Numbered>(update.get()).ok());
    numbered.map(|update| update.update_id).max().map(|last| last.saturating_add(1))
}

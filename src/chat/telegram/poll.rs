//! Long polling: nothing is confirmed to Telegram before it is stored here.

use std::{sync::OnceLock, time::Duration};

use serde_json::value::RawValue;
use teloxide::{Bot, RequestError, payloads::DeleteWebhook};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    album::{Albums, lacks_video},
    backoff::Spell,
    call::call,
    deliver::{deliver, read},
    error::{self, sort},
    identify::introduce,
    wire::{GetUpdates, Numbered, UPDATES, Update},
};
use crate::{
    chat::{ChatError, Inbox},
    health::Part,
};

/// Seconds that Telegram may hold a request; shorter than the silence the client bears.
const LONG_POLL: u32 = 25;
/// Time in which the other files of an album follow the one with the command. A poll may end between any two of them.
const ALBUM_ARRIVES: Duration = Duration::from_millis(500);
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
    // Updates that the poll before held back until the rest of their albums is there.
    let mut held: Vec<i64> = Vec::new();
    loop {
        let batch = match stop.run_until_cancelled(poll(bot, offset, LONG_POLL)).await {
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
        let mut updates: Vec<_> = batch.iter().map(|update| read(update.get().as_bytes())).collect();
        for update in updates.iter().flatten() {
            albums.note(update);
        }
        let is_new = |at: usize| numbers(&batch[at..=at]).all(|number| !held.contains(&number));
        let waits = |update: &Option<Update>| update.as_ref().is_some_and(|update| lacks_video(update, me));
        let ready = (0..updates.len()).find(|&at| waits(&updates[at]) && is_new(at));
        let ready = ready.unwrap_or(updates.len());
        held = numbers(&batch[ready..]).collect();
        updates.truncate(ready);
        let next = after(&batch[..ready]);
        let updates = updates.into_iter().flatten();
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
        if !held.is_empty() {
            // Not confirmed, so the next poll brings them again, with what has come in meanwhile.
            let _ = stop.run_until_cancelled(tokio::time::sleep(ALBUM_ARRIVES)).await;
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

/// The offset that confirms a batch, if there is anything in it.
fn after(batch: &[Box<RawValue>]) -> Option<i64> {
    numbers(batch).max().map(|last| last.saturating_add(1))
}

fn numbers(batch: &[Box<RawValue>]) -> impl Iterator<Item = i64> {
    let numbered = batch.iter().filter_map(|update| serde_json::from_str::<Numbered>(update.get()).ok());
    numbered.map(|update| update.update_id)
}

//! From updates, however they came, to the inbox.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use teloxide::{
    Bot,
    payloads::{AnswerCallbackQuery, AnswerCallbackQuerySetters},
};
use tokio::{sync::oneshot, time::timeout};
use tracing::{debug, warn};

use super::{
    album::Albums,
    call::call,
    error::sort,
    parse::understand,
    wire::{CallbackQuery, Numbered, Update},
};
use crate::{
    chat::{Ask, Delivery, Inbox, Incoming},
    words,
};

/// Chats whose messages are handled at the same time.
const CHATS_AT_ONCE: usize = 16;
/// How long something other than a post may keep what comes after it waiting.
const ANSWERED: Duration = Duration::from_secs(3);
/// How long a button may keep the rest waiting for its acknowledgement.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);

/// Nobody listens any more.
pub(super) struct Closed;

/// Reads one update. One that cannot be read is left out: sent again, it would be as unreadable.
pub(super) fn read(update: &[u8]) -> Option<Update> {
    match serde_json::from_slice(update) {
        Ok(update) => Some(update),
        Err(_) => {
            let id = serde_json::from_slice::<Numbered>(update).ok().map(|update| update.update_id);
            warn!(update = id, "Telegram sent something unreadable; left out");
            None
        }
    }
}

/// Hands over a batch, in order within a chat, and returns when all of it is stored.
pub(super) async fn deliver(
    bot: &Bot,
    albums: &Albums,
    batch: impl IntoIterator<Item = Update>,
    me: &str,
    inbox: &Inbox,
) -> Result<(), Closed> {
    let mut chats: Vec<(Option<i64>, Vec<Update>)> = Vec::new();
    for update in batch {
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
                hand_over(bot, albums, update, me, inbox).await?;
            }
            Ok(())
        })
        .await
}

async fn hand_over(
    bot: &Bot,
    albums: &Albums,
    update: &Update,
    me: &str,
    inbox: &Inbox,
) -> Result<(), Closed> {
    let mut incoming = understand(update, me);
    let left_out = incoming.as_mut().is_some_and(|incoming| albums.complete(update, incoming));
    let rest = incoming.clone().filter(|_| left_out);
    let rest = rest.map(|incoming| Incoming { ask: Ask::RestOfAlbum, ..incoming });
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
    tokio::join!(hand_over, acknowledge).0?;
    if let Some(incoming) = rest {
        // Nothing to store, and nothing to wait for.
        let delivery = Delivery { incoming, done: oneshot::channel().0 };
        inbox.send(delivery).await.map_err(|_| Closed)?;
    }
    Ok(())
}

/// Ends the waiting sign on a pressed button.
async fn acknowledge(bot: &Bot, query: &CallbackQuery, understood: bool) {
    let mut answer = AnswerCallbackQuery::new(query.id.clone().into());
    if !understood {
        answer = answer.text(words::BUTTON_OUT_OF_DATE);
    }
    match timeout(ACKNOWLEDGE, call(bot, &answer)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(error = %sort(error), "a button was not acknowledged"),
        Err(_) => debug!("a button was not acknowledged in time"),
    }
}

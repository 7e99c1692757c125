//! Keeps people told: writes each post's status message, and sends notices.
//!
//! A status is a view of its row. The newest text wins, edits in between collapse, and one that a chat did not
//! take is tried again until the last state stands there.

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{POLL, RECOVERY, Worker, chain, insist, verdict::backoff};
use crate::{
    chat::{Audience, ChatError},
    post::{Post, PostId, State},
    store::{Notice, StatusJob, StoreError},
    words::{self, Links, Pace},
};

/// How long a chat service may take to answer.
const CHAT_TAKES: Duration = Duration::from_secs(20);
/// What is written at once.
const BATCH: u32 = 50;
const PARALLEL: usize = 8;
/// Tries for a message that nobody will miss much: one about a post that is not over.
const TRIES_MEANWHILE: u32 = 5;
/// Tries for a message that says how it ended: with delays of up to ten minutes, more than a day.
const TRIES_FINAL: u32 = 160;
/// Runs until `stop`, and then once more, so that what the last steps found is said.
pub(super) async fn run(worker: Worker, stop: CancellationToken) {
    let mut changes = worker.store.changes();
    let mut memory = Memory::default();
    loop {
        let stopping = stop.is_cancelled();
        changes.mark_unchanged();
        let now = worker.clock.now_ms();
        let wrote = match pass(&worker, &mut memory, now).await {
            Ok(wrote) => wrote,
            Err(error) => {
                tracing::error!(error = chain(&error), "messages could not be worked through");
                if stopping {
                    return;
                }
                stop.run_until_cancelled(tokio::time::sleep(RECOVERY)).await;
                continue;
            }
        };
        if stopping {
            return;
        }
        let due = worker.store.next_message_due().await.ok().flatten();
        // What is due and was not given to us is another's to write.
        let due = due.filter(|due| wrote || *due > now);
        let due = due.map_or(now + POLL, |due| due.clamp(now + 1, now + POLL));
        tokio::select! {
            _ = changes.changed() => {}
            () = worker.clock.sleep_until(due) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What is remembered between passes; losing it costs a little politeness, nothing else.
#[derive(Default)]
struct Memory {
    /// When a message in each chat may be edited again.
    chats: HashMap<String, i64>,
    /// Until when each chat that asked to be left alone is.
    silences: HashMap<String, i64>,
    /// When each post in flight was first seen at its present state, and how far it was.
    paces: HashMap<PostId, (State, Pace)>,
}

/// Writes what is due. True when there was anything.
async fn pass(worker: &Worker, memory: &mut Memory, now: i64) -> Result<bool, StoreError> {
    memory.chats.retain(|_, at| *at > now);
    memory.silences.retain(|_, until| *until > now);
    let mut due = worker.store.due_statuses(now, BATCH).await?;
    let mut wrote = !due.is_empty();
    // Where only one message of a chat may be edited, an outcome goes before progress.
    due.sort_by_key(|job| !matters(&job.post));
    let mut jobs = Vec::new();
    for job in due {
        let chat = chat_of(&job);
        let silence = memory.silences.get(&chat).copied();
        let turn = memory.chats.get(&chat).copied().filter(|_| job.shown_at.is_some());
        if let Some(at) = silence.or(turn) {
            if let Err(error) = worker.store.status_not_before(&job, at).await {
                tracing::error!(post = %job.post.id, error = chain(&error), "a status could not be put off");
            }
            continue;
        }
        memory.chats.insert(chat, now + ms(worker.chats.pause(job.place.platform)));
        let pace = memory.pace(&job, now);
        jobs.push((job, pace));
    }
    let silences: Vec<Option<(String, i64)>> = stream::iter(jobs)
        .map(async |(job, pace)| match show(worker, &job, pace, now).await {
            Ok(silence) => silence.map(|wait| (chat_of(&job), now + ms(wait))),
            Err(error) => {
                tracing::error!(post = %job.post.id, error = chain(&error), "a status could not be kept");
                None
            }
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    memory.silences.extend(silences.into_iter().flatten());
    let notices = worker.store.due_notices(now, BATCH).await?;
    wrote |= !notices.is_empty();
    stream::iter(notices)
        .for_each_concurrent(PARALLEL, |notice| async move {
            if let Err(error) = send(worker, &notice, now).await {
                tracing::error!(error = chain(&error), "a notice could not be kept");
            }
        })
        .await;
    Ok(wrote)
}

impl Memory {
    /// How fast a post advances, where that can be said.
    fn pace(&mut self, job: &StatusJob, now: i64) -> Option<Pace> {
        let Some(done) = words::bytes_done(&job.post) else {
            self.paces.remove(&job.post.id);
            return None;
        };
        let (state, since) =
            self.paces.entry(job.post.id).or_insert((job.post.state, Pace { at: now, bytes: done }));
        if *state != job.post.state {
            (*state, *since) = (job.post.state, Pace { at: now, bytes: done });
        }
        Some(*since)
    }
}

/// The chat that a status stands in, or will.
fn chat_of(job: &StatusJob) -> String {
    let chat = job.shown_at.as_ref().map_or(&job.place.chat, |at| &at.chat);
    format!("{}:{chat}", job.place.platform.as_str())
}

/// Whether people wait for what a status says now.
fn matters(post: &Post) -> bool {
    post.state.is_over() || post.state == State::NeedsUser
}

/// Writes a status, and says how long its chat wants to be left alone, if it does.
async fn show(
    worker: &Worker,
    job: &StatusJob,
    pace: Option<Pace>,
    now: i64,
) -> Result<Option<Duration>, StoreError> {
    let Some(account) = worker.store.account(&job.post.account).await? else { return Ok(None) };
    let link = job.post.x_post_id.as_deref().map(|id| worker.x.post_link(&account.username, id).to_string());
    let profile = worker.x.profile_link(&account.username).to_string();
    let links = Links { profile: &profile, post: link.as_deref() };
    let message = words::status(&job.post, &account, links, pace, now);
    // A service that knows the name of a message may take a new one for the one that somebody deleted.
    let nonce = match job.deleted {
        0 => job.post.id.to_string(),
        deleted => format!("{}:{deleted}", job.post.id),
    };
    // Whoever slept here would write what another may be writing.
    if !job.turn.lasts(CHAT_TAKES) {
        worker.store.status_not_before(job, now).await?;
        return Ok(None);
    }
    let told = async {
        match &job.shown_at {
            Some(at) => worker.chats.edit(&job.place, at, &message).await,
            None => worker.chats.say(&job.place, Audience::Everyone, &message, Some(&nonce)).await,
        }
    };
    let result = in_time(told).await;
    metrics::counter!("toall_chat_edits_total", "ok" => if result.is_ok() { "yes" } else { "no" })
        .increment(1);
    let not_before = now + ms(worker.chats.pause(job.place.platform));
    let matters = matters(&job.post);
    let tries = if matters { TRIES_FINAL } else { TRIES_MEANWHILE };
    match result {
        // Said is said: forgetting it would have it said again.
        Ok(at) => {
            let shown = insist(|| worker.store.status_shown(job, Some(&at), not_before, leave_at(job, now)));
            if let Err(error) = shown.await {
                tracing::error!(error = chain(&error), "a shown status cannot be stored");
            }
        }
        Err(ChatError::SlowDown(wait)) => {
            worker.store.status_later(job, now + ms(wait), false).await?;
            return Ok(Some(wait));
        }
        // Somebody deleted the message: progress is not wanted there, the outcome is.
        Err(ChatError::Gone(_)) if job.shown_at.is_some() && !matters => {
            worker.store.status_shown(job, job.shown_at.as_ref(), not_before, None).await?;
        }
        Err(ChatError::Gone(_)) if job.shown_at.is_some() && job.attempts < tries => {
            worker.store.status_later(job, now, true).await?;
        }
        // What is missing may come back: a permission by a change of roles, a blocked chat by being opened again.
        Err(error) if job.attempts < tries => {
            tracing::warn!(post = %job.post.id, %error, "the status could not be shown yet");
            worker.store.status_later(job, now + ms(backoff(job.attempts + 1)), false).await?;
        }
        Err(error) => {
            tracing::warn!(post = %job.post.id, %error, "the status cannot be shown");
            worker.store.status_shown(job, job.shown_at.as_ref(), not_before, None).await?;
        }
    }
    Ok(None)
}

/// One slow chat must not keep the others waiting.
async fn in_time<T>(told: impl Future<Output = Result<T, ChatError>>) -> Result<T, ChatError> {
    let timed = tokio::time::timeout(CHAT_TAKES, told).await;
    timed.unwrap_or_else(|_| Err(ChatError::Trouble("no answer in time".to_owned())))
}

/// When a status must be written once more though nothing changed: before the token dies that alone can edit it,
/// so that it moves to a direct message.
fn leave_at(job: &StatusJob, now: i64) -> Option<i64> {
    let interaction = job.place.interaction.as_ref()?;
    let stays = interaction.bot_may_write || job.post.state.is_over() || interaction.expires_at <= now;
    (!stays).then_some(interaction.expires_at)
}

async fn send(worker: &Worker, notice: &Notice, now: i64) -> Result<(), StoreError> {
    // Another will have it when our turn is over.
    if !notice.turn.lasts(CHAT_TAKES) {
        return Ok(());
    }
    let told = worker.chats.say(&notice.place, Audience::Asker, &notice.message, Some(&notice.id));
    match in_time(told).await {
        Ok(_) => {
            if let Err(error) = insist(|| worker.store.notice_done(&notice.id)).await {
                tracing::error!(error = chain(&error), "a delivered notice cannot be removed");
            }
            Ok(())
        }
        Err(ChatError::SlowDown(wait)) => worker.store.notice_later(notice, now + ms(wait)).await,
        Err(ChatError::Trouble(_)) if notice.attempts < TRIES_FINAL => {
            worker.store.notice_later(notice, now + ms(backoff(notice.attempts + 1))).await
        }
        Err(error) => {
            tracing::warn!(%error, "a notice cannot be sent");
            worker.store.notice_done(&notice.id).await
        }
    }
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 2)
}

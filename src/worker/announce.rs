//! Keeps people told: writes each post's status message, and sends notices.
//!
//! A status is a view of its row. The newest text wins, edits in between collapse, and one that a chat did not
//! take is tried again until the last state stands there.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{POLL, RECOVERY, Worker, chain, insist, verdict::backoff};
use crate::{
    account::Platform,
    chat::{Audience, ChatError},
    post::{Post, PostId, State},
    store::{Notice, StatusJob, StoreError, Topics},
    words::{self, Links, Message, Pace},
};

/// How long a chat service may take to answer.
const CHAT_TAKES: Duration = Duration::from_secs(20);
/// Messages of one platform that are written at once.
const PARALLEL: usize = 16;
/// Messages of one chat that are written at once, so that a chat that hangs leaves room for the others.
const PER_CHAT: usize = 4;
/// Delay for a message whose chat has no room.
const CHAT_BUSY_MS: i64 = 250;
/// Delay before the next look at a message that is due and was not given to us.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Time in which a chat may still carry out an edit that it did not answer.
const LATE_EDIT_MS: i64 = 60_000;
/// Posts that are remembered at most.
const REMEMBERED: usize = 1_000;
/// Tries for a message that nobody will miss much: one about a post that is not over.
const TRIES_MEANWHILE: u32 = 5;
/// Tries for a message that says how it ended: with delays of up to ten minutes, more than a day.
const TRIES_FINAL: u32 = 160;

/// Runs until `stop`, and then once more, so that what the last steps found is said. The platforms share nothing: one
/// that hangs delays no other.
pub(super) async fn run(worker: Worker, stop: CancellationToken) {
    let platforms = Platform::ALL.map(|platform| run_on(&worker, platform, &stop));
    futures::future::join_all(platforms).await;
}

async fn run_on(worker: &Worker, platform: Platform, stop: &CancellationToken) {
    let mut changes = worker.store.changes_of(Topics::messages(platform));
    let mut memory = Memory::default();
    let mut writing = JoinSet::new();
    loop {
        let stopping = stop.is_cancelled();
        changes.mark_unchanged();
        let now = worker.clock.now_ms();
        // One look for all there is to say: most changes concern none of it.
        let begun = async {
            let due = worker.store.next_message_due_on(platform).await?;
            let took = due.is_some_and(|due| due <= now)
                && begin(worker, platform, &mut memory, &mut writing, now).await?;
            Ok::<_, StoreError>((due, took))
        };
        let (due, took) = match begun.await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::error!(error = chain(&error), "messages could not be worked through");
                if stopping {
                    return;
                }
                stop.run_until_cancelled(tokio::time::sleep(RECOVERY)).await;
                continue;
            }
        };
        if took && writing.len() < PARALLEL {
            continue;
        }
        if stopping {
            match writing.join_next().await {
                Some(written) => memory.learn(written.ok(), worker.clock.now_ms()),
                None => return,
            }
            continue;
        }
        // A message that is due and was not given to us is being written, here or by another process, or its row is
        // locked for a moment.
        let passed_over = due.is_some_and(|due| due <= now);
        let due = due.filter(|due| *due > now);
        let due = due.map_or(now + POLL, |due| due.clamp(now + 1, now + POLL));
        let full = writing.len() >= PARALLEL;
        tokio::select! {
            _ = changes.changed(), if !full => {}
            Some(written) = writing.join_next(), if !writing.is_empty() => {
                memory.learn(written.ok(), worker.clock.now_ms());
            }
            () = worker.clock.sleep_until(due), if !full => {}
            () = tokio::time::sleep(LOOK_AGAIN), if passed_over && !full => {}
            () = stop.cancelled(), if !full => {}
        }
    }
}

/// Outcome of writing one message.
struct Written {
    chat: String,
    /// The status that was written, with the epoch under which that was.
    status: Option<(PostId, i64, Shown)>,
}

/// State kept between messages; losing it costs a little politeness, nothing else.
#[derive(Default)]
struct Memory {
    /// When a message in each chat may be edited again.
    chats: HashMap<String, i64>,
    /// Until when each chat that asked to be left alone is.
    silences: HashMap<String, i64>,
    /// How many messages of each chat are being written.
    busy: HashMap<String, usize>,
    /// When each post in flight was first seen at its present state, and how far it was.
    paces: HashMap<PostId, (State, Pace)>,
    /// The text of each status as it was last written here.
    shown: HashMap<PostId, (i64, Message)>,
    /// Posts whose chat did not answer an edit, which may be carried out later.
    unanswered: HashSet<PostId>,
}

/// Starts writing what is due, as far as there is room. True when anything was due.
async fn begin(
    worker: &Worker,
    platform: Platform,
    memory: &mut Memory,
    writing: &mut JoinSet<Written>,
    now: i64,
) -> Result<bool, StoreError> {
    memory.forget(now);
    let room =
        |writing: &JoinSet<Written>| u32::try_from(PARALLEL.saturating_sub(writing.len())).unwrap_or(0);
    if room(writing) == 0 {
        return Ok(false);
    }
    let notices = worker.store.due_notices(platform, now, room(writing)).await?;
    let mut took = !notices.is_empty();
    for notice in notices {
        let chat = format!("{}:{}", platform.as_str(), notice.place.chat);
        if memory.is_busy(&chat) {
            worker.store.notice_not_before(&notice, now + CHAT_BUSY_MS).await?;
            continue;
        }
        memory.enter(&chat);
        let worker = worker.clone();
        writing.spawn(async move {
            match AssertUnwindSafe(send(&worker, &notice, now)).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(error = chain(&error), "a notice could not be kept");
                    give_back(|| worker.store.notice_not_before(&notice, now + ms(RECOVERY))).await;
                }
                Err(_) => {
                    tracing::error!(notice = notice.id, "a notice could not be sent");
                    give_back(|| worker.store.notice_later(&notice, now + ms(RECOVERY))).await;
                }
            }
            Written { chat, status: None }
        });
    }
    if room(writing) == 0 {
        return Ok(took);
    }
    let mut due = worker.store.due_statuses(platform, now, room(writing)).await?;
    took |= !due.is_empty();
    // Where only one message of a chat may be edited, an outcome goes before progress.
    due.sort_by_key(|job| !matters(&job.post));
    for job in due {
        let chat = chat_of(&job);
        let silence = memory.silences.get(&chat).copied();
        let turn = memory.chats.get(&chat).copied().filter(|_| job.shown_at.is_some());
        let full = memory.is_busy(&chat).then_some(now + CHAT_BUSY_MS);
        if let Some(at) = silence.or(turn).or(full) {
            if let Err(error) = worker.store.status_not_before(&job, at).await {
                tracing::error!(post = %job.post.id, error = chain(&error), "a status could not be put off");
            }
            continue;
        }
        memory.chats.insert(chat.clone(), now + ms(worker.chats.pause(job.place.platform)));
        memory.enter(&chat);
        let pace = memory.pace(&job, now);
        let before = memory.shown.remove(&job.post.id);
        // Another process wrote in between if the epoch rose by more than our own turn.
        let before = before.filter(|(epoch, _)| *epoch + 1 == job.epoch).map(|(_, message)| message);
        let former = Former { progress: before, unanswered: memory.unanswered.remove(&job.post.id) };
        let worker = worker.clone();
        writing.spawn(async move {
            let post = job.post.id;
            let shown = match AssertUnwindSafe(show(&worker, &job, pace, former, now)).catch_unwind().await {
                Ok(Ok(shown)) => Some(shown),
                Ok(Err(error)) => {
                    tracing::error!(%post, error = chain(&error), "a status could not be kept");
                    give_back(|| worker.store.status_not_before(&job, now + ms(RECOVERY))).await;
                    None
                }
                Err(_) => {
                    tracing::error!(%post, "a status could not be written");
                    give_back(|| worker.store.status_later(&job, now + ms(RECOVERY), false)).await;
                    None
                }
            };
            Written { chat, status: shown.map(|shown| (post, job.epoch, shown)) }
        });
    }
    Ok(took)
}

/// Ends the turn of a message that came to nothing, so that it need not run out before the next try.
async fn give_back<F: Future<Output = Result<(), StoreError>>>(put_off: impl FnMut() -> F) {
    // A turn that ran out needs no end.
    if let Ok(Err(error)) = tokio::time::timeout(CHAT_TAKES, insist(put_off)).await {
        tracing::error!(error = chain(&error), "a message waits until its turn runs out");
    }
}

impl Memory {
    fn is_busy(&self, chat: &str) -> bool {
        self.busy.get(chat).is_some_and(|writing| *writing >= PER_CHAT)
    }

    fn enter(&mut self, chat: &str) {
        *self.busy.entry(chat.to_owned()).or_default() += 1;
    }

    /// Takes note of a message that was written; `None` when its task was aborted.
    fn learn(&mut self, written: Option<Written>, now: i64) {
        let Some(Written { chat, status }) = written else { return };
        if let Some(writing) = self.busy.get_mut(&chat) {
            *writing = writing.saturating_sub(1);
        }
        let Some((post, epoch, shown)) = status else { return };
        if let Some(wait) = shown.silence {
            self.silences.insert(chat, now + ms(wait));
        }
        if let Some(message) = shown.progress {
            self.shown.insert(post, (epoch, message));
        }
        if shown.unanswered {
            self.unanswered.insert(post);
        }
    }

    /// Drops what is over, and keeps what another process may have finished from growing.
    fn forget(&mut self, now: i64) {
        self.chats.retain(|_, at| *at > now);
        self.silences.retain(|_, until| *until > now);
        self.busy.retain(|_, writing| *writing > 0);
        if self.paces.len() > REMEMBERED {
            self.paces.clear();
        }
        if self.shown.len() > REMEMBERED {
            self.shown.clear();
        }
        if self.unanswered.len() > REMEMBERED {
            self.unanswered.clear();
        }
    }

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

/// Outcome of writing a status.
#[derive(Default)]
struct Shown {
    /// How long its chat asked to be left alone.
    silence: Option<Duration>,
    /// The text that was written, if it is about progress.
    progress: Option<Message>,
    /// The chat may still carry out an edit that it did not answer.
    unanswered: bool,
}

/// How a status was written before.
struct Former {
    /// The text about progress that was written last.
    progress: Option<Message>,
    /// The chat may still carry out an edit that it did not answer.
    unanswered: bool,
}

/// Writes a status.
async fn show(
    worker: &Worker,
    job: &StatusJob,
    pace: Option<Pace>,
    former: Former,
    now: i64,
) -> Result<Shown, StoreError> {
    let Some(account) = worker.store.account(&job.post.account).await? else { return Ok(Shown::default()) };
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
        return Ok(Shown::default());
    }
    let not_before = now + ms(worker.chats.pause(job.place.platform));
    let matters = matters(&job.post);
    // Somebody may have deleted the message, which only an edit finds out. That may wait while nobody waits for the text.
    // An interaction's token may be about to end, and then the same text must move.
    let unchanged = job.shown_at.is_some() && former.progress.as_ref() == Some(&message);
    if unchanged && !matters && job.place.interaction.is_none() {
        let shown = worker.store.status_shown(job, job.shown_at.as_ref(), not_before, leave_at(job, now));
        let progress = shown.await?.then_some(message);
        return Ok(Shown { progress, unanswered: former.unanswered, silence: None });
    }
    let told = async {
        match &job.shown_at {
            Some(at) => worker.chats.edit(&job.place, at, &message).await,
            None => worker.chats.say(&job.place, Audience::Everyone, &message, Some(&nonce)).await,
        }
    };
    let (answered, result) = match tokio::time::timeout(CHAT_TAKES, told).await {
        Ok(result) => (true, result),
        Err(_) => (false, Err(ChatError::Trouble("no answer in time".to_owned()))),
    };
    let unanswered = former.unanswered || !answered;
    metrics::counter!("toall_chat_edits_total", "ok" => if result.is_ok() { "yes" } else { "no" })
        .increment(1);
    let tries = if matters { TRIES_FINAL } else { TRIES_MEANWHILE };
    match result {
        // Said is said: forgetting it would have it said again.
        Ok(at) => {
            // An edit that was not answered may overwrite an outcome, so the outcome is written once more.
            let repeat = (matters && former.unanswered).then_some(now + LATE_EDIT_MS);
            let again = leave_at(job, now).or(repeat);
            let shown = insist(|| worker.store.status_shown(job, Some(&at), not_before, again));
            let newest = shown.await.unwrap_or_else(|error| {
                tracing::error!(error = chain(&error), "a shown status cannot be stored");
                false
            });
            let unanswered = former.unanswered && !matters;
            return Ok(Shown {
                progress: (newest && !matters).then_some(message),
                unanswered,
                silence: None,
            });
        }
        Err(ChatError::SlowDown(wait)) => {
            worker.store.status_later(job, now + ms(wait), false).await?;
            return Ok(Shown { silence: Some(wait), unanswered, progress: None });
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
    Ok(Shown { unanswered, ..Shown::default() })
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
    let told = worker.chats.say(&notice.place, notice.audience, &notice.message, Some(&notice.id));
    match in_time(told).await {
        Ok(_) => {
            if let Err(error) = insist(|| worker.store.notice_done(notice)).await {
                tracing::error!(error = chain(&error), "a delivered notice cannot be removed");
            }
            Ok(())
        }
        Err(ChatError::SlowDown(wait)) => worker.store.notice_later(notice, now + ms(wait)).await,
        // As with an outcome: a permission may come back, and a blocked chat may be opened again.
        Err(error) if notice.attempts < TRIES_FINAL => {
            tracing::warn!(%error, "a notice could not be sent yet");
            worker.store.notice_later(notice, now + ms(backoff(notice.attempts + 1))).await
        }
        Err(error) => {
            tracing::warn!(%error, "a notice cannot be sent");
            worker.store.notice_given_up(notice).await
        }
    }
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// A post that another process finished is never heard of again.
    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memory = Memory::default();
        for number in 0..10_000_i64 {
            let (post, chat) =
                (PostId(Uuid::from_u128(number.unsigned_abs().into())), format!("chat {number}"));
            memory.forget(number);
            memory.chats.insert(chat.clone(), number + 10);
            memory.paces.insert(post, (State::Uploading, Pace { at: number, bytes: 0 }));
            memory.enter(&chat);
            let shown = Shown {
                silence: Some(Duration::from_millis(10)),
                progress: Some(Message::text("Uploading")),
                unanswered: true,
            };
            memory.learn(Some(Written { chat, status: Some((post, 1, shown)) }), number);
            let maps = [memory.chats.len(), memory.silences.len(), memory.busy.len(), memory.paces.len()];
            let sets = [memory.shown.len(), memory.unanswered.len()];
            assert!(maps.iter().chain(&sets).all(|len| *len <= REMEMBERED + 1), "{maps:?} {sets:?}");
        }
    }
}

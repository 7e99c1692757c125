//! Copies the file from the chat into staging.

use std::sync::atomic::Ordering::Relaxed;
use std::{sync::atomic::AtomicU64, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Next, StepError, Worker, verdict::backoff};
use crate::{
    chat::ChatError,
    post::{Failure, Kind, Party, Post, State, Waiting},
    staging::{PutError, StagingError},
    store::Lease,
    ticket::hex,
    video::MAX_BYTES,
};

/// How often the row learns how far the copy is.
const PROGRESS_EVERY: Duration = Duration::from_millis(1_000);

/// Longest pause that a chat can ask for: it may name any number.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// A file that the chat does not find is gone when it is missed so often, and for so long, in milliseconds.
const GONE_AFTER_TRIES: u32 = 5;
const GONE_AFTER_MS: i64 = 10 * 60_000;

/// Streams the file through, hashing on the way. Begun again, it starts over: the key is the same, the last one wins.
pub(super) async fn stage(
    worker: &Worker,
    lease: &Lease,
    post: &mut Post,
    stop: &CancellationToken,
) -> Result<Next, StepError> {
    if post.attachment.kind == Kind::Upload {
        return Err(StepError::Fail(Failure::StagingLost));
    }
    let key = post.object_key.as_deref().ok_or(StepError::Fail(Failure::StagingLost))?;
    let download = match worker.chats.fetch(&post.attachment).await {
        Ok(download) => download,
        Err(ChatError::SlowDown(wait)) => {
            let wait = wait.clamp(Duration::from_secs(1), LONGEST_PAUSE);
            let until = worker.clock.now_ms() + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2);
            post.waiting = Some(Waiting::Trouble { with: Party::Chat, until });
            return Ok(Next::Go(State::Staging, wait));
        }
        Err(ChatError::NotFound(why)) => return not_found(post, &why, worker.clock.now_ms()),
        Err(error) => return Err(from_chat(error)),
    };
    if download.bytes.is_some_and(|bytes| bytes > MAX_BYTES) {
        return Err(StepError::Fail(Failure::FileTooLarge { limit: MAX_BYTES }));
    }
    let daily = worker.limits.bytes_per_person_per_day;
    let left = match daily {
        None => MAX_BYTES,
        Some(limit) => worker.store.bytes_left(lease, limit, worker.clock.now_ms()).await?,
    };
    if let (Some(bytes), Some(limit)) = (download.bytes, daily)
        && bytes > limit
    {
        return Err(StepError::Fail(Failure::LargerThanADay { limit }));
    }
    let most = left.min(MAX_BYTES);
    let copied = AtomicU64::new(0);
    let stored = tokio::select! {
        stored = worker.staging.put_stream(key, download.body, most, |bytes| copied.store(bytes, Relaxed)) => {
            stored.map_err(|error| match (error, daily) {
                // Received up to a whole day's bytes: a day without others would not do either.
                (PutError::TooLarge { limit }, Some(daily)) if limit < MAX_BYTES && limit >= daily => {
                    StepError::Fail(Failure::LargerThanADay { limit: daily })
                }
                (PutError::TooLarge { limit }, Some(daily)) if limit < MAX_BYTES => {
                    StepError::Fail(Failure::DayFull { limit: daily })
                }
                (error, _) => from_put(error),
            })?
        }
        error = report(worker, lease, &copied) => return Err(error),
        () = stop.cancelled() => return Ok(Next::Stopped),
    };
    // Another of theirs may have come in meanwhile.
    if let Some(limit) = daily
        && !worker.store.count_bytes(lease, stored.bytes, limit, worker.clock.now_ms()).await?
    {
        return Err(StepError::Fail(Failure::DayFull { limit }));
    }
    let sha256 = hex(&stored.digests.sha256());
    if post.sha256.as_ref().is_some_and(|former| *former != sha256) {
        // What X has is of another file.
        post.media = None;
    }
    worker.store.keep_digests(lease, stored.digests.as_bytes()).await?;
    post.bytes = Some(stored.bytes);
    post.sha256 = Some(sha256);
    Ok(Next::Go(State::Inspecting, Duration::ZERO))
}

/// Writes the progress down, until that shows that the lease is lost.
async fn report(worker: &Worker, lease: &Lease, copied: &AtomicU64) -> StepError {
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    let mut written = 0;
    loop {
        tick.tick().await;
        let bytes = copied.load(Relaxed);
        if bytes > written {
            if let Err(error) = worker.store.staged_so_far(lease, bytes, worker.clock.now_ms()).await {
                return error.into();
            }
            written = bytes;
        }
    }
}

/// A chat may not find a file for a while, or may have deleted it: only one that is missed again and again is gone.
fn not_found(post: &mut Post, why: &str, now: i64) -> Result<Next, StepError> {
    let (since, tries) = match post.waiting {
        Some(Waiting::FileNotFound { since, tries, .. }) => (since, tries.saturating_add(1)),
        _ => (now, 1),
    };
    tracing::warn!(tries, why, "the chat does not find the file");
    if tries >= GONE_AFTER_TRIES && now - since >= GONE_AFTER_MS {
        return Err(StepError::Fail(Failure::FileGone));
    }
    let wait = backoff(tries);
    let until = now + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2);
    post.waiting = Some(Waiting::FileNotFound { since, tries, until });
    Ok(Next::Go(State::Staging, wait))
}

fn from_chat(error: ChatError) -> StepError {
    match error {
        ChatError::Gone(_)
        | ChatError::NotFound(_)
        | ChatError::Forbidden(_)
        | ChatError::NeedsPrivateChat
        | ChatError::Refused(_) => StepError::Fail(Failure::FileGone),
        ChatError::TooLarge { limit } => StepError::Fail(Failure::FileTooLarge { limit }),
        ChatError::ForeignFile => StepError::Fail(Failure::ForeignFile),
        error @ (ChatError::SlowDown(_) | ChatError::Trouble(_)) => {
            StepError::Trouble { with: Party::Chat, why: error.to_string() }
        }
    }
}

fn from_put(error: PutError<ChatError>) -> StepError {
    match error {
        PutError::Source(error) => from_chat(error),
        PutError::TooLarge { limit } => StepError::Fail(Failure::FileTooLarge { limit }),
        PutError::Empty => StepError::Fail(Failure::FileEmpty),
        PutError::Storage(error) => from_staging(error),
    }
}

/// Storage comes back by itself; a file that it lost or damaged is copied anew.
pub(super) fn from_staging(error: StagingError) -> StepError {
    match error {
        StagingError::Missing | StagingError::WrongSize | StagingError::Damaged => {
            StepError::Lost { why: error.to_string() }
        }
        error => StepError::Trouble { with: Party::Staging, why: error.to_string() },
    }
}

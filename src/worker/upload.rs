//! Sends the staged file to X in segments, several at once, straight from storage.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use secrecy::SecretString;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Next, StepError, Worker,
    access_token::Access,
    belief::session_refused,
    inspect::digests_of,
    parallelism::{Leave, Sent},
    process::follow,
    stage::from_staging,
};
use crate::{
    post::{Failure, Media, Party, Post, State},
    staging::Digests,
    store::{Lease, Need},
    twitter::{XError, call},
};

/// Upload sessions that one post may use up before it is given up: some days, by `belief::between_sessions`.
const MAX_SESSIONS: u32 = 100;
const MIB: u64 = 1024 * 1024;
/// X counts segments from 0 to 999 (OpenAPI, `segment_index`).
const MAX_SEGMENTS: u64 = 1_000;
/// A session with less than this left is not begun or gone on with.
const EXPIRY_MARGIN_MS: i64 = 10 * 60_000;

/// Opens a session at X, or goes on with the one the post has, sends what X has not acknowledged, and finalizes.
pub(super) async fn upload(
    worker: &Worker,
    lease: &Lease,
    post: &mut Post,
    stop: &CancellationToken,
) -> Result<Next, StepError> {
    let (Some(key), Some(total)) = (post.object_key.clone(), post.bytes) else {
        return Err(StepError::Fail(Failure::StagingLost));
    };
    let Some(digests) = stop.run_until_cancelled(digests_of(worker, lease, post, &key, total)).await else {
        return Ok(Next::Stopped);
    };
    let digests = digests?;
    let now = worker.clock.now_ms();
    let access = Access::new(worker, lease);
    let media = match post.media.take() {
        Some(media) if media.expires_at.is_none_or(|at| at - now > EXPIRY_MARGIN_MS) => media,
        _ => open(worker, lease, &access, post, chunk_for(total, post.chunk_bytes)).await?,
    };
    post.media = Some(media.clone());

    let done = worker.store.segments_done(&media.id).await?;
    let segments = media.segments(total);
    let missing: Vec<u32> = (0..segments).filter(|segment| done.binary_search(segment).is_err()).collect();
    if missing.is_empty() {
        // An earlier try sent everything and died before it knew what finalize answered.
        if let Some(next) = finalized_before(worker, &access, post).await? {
            return Ok(next);
        }
    }
    if !missing.is_empty() {
        let calls = i64::try_from(missing.len()).unwrap_or(i64::MAX);
        let account = &lease.account;
        worker.allotted(Need { call: call::APPEND, account, step: State::Uploading, calls }).await?;
    }
    // No segment is begun once the service stops or one has failed. Those on their way are still sent to the end, since
    // cutting them off would send their bytes twice.
    let over = AtomicBool::new(false);
    let is_over = || stop.is_cancelled() || over.load(Relaxed);
    let own = Arc::new(Semaphore::new(1));
    let (access, media, own, is_over) = (&access, &media, &own, &is_over);
    let file = (&*key, &digests);
    let mut sends = stream::iter(missing)
        .map(|segment| async move {
            if is_over() {
                return Ok(None);
            }
            let leave = worker.running.segments.begin(own).await;
            if is_over() {
                return Ok(None);
            }
            send(worker, access, file, media, segment, span(media, segment, total), leave).await.map(Some)
        })
        .buffer_unordered(worker.settings.upload_parallelism);
    let (acknowledgements, mut acknowledged) = mpsc::unbounded_channel();
    let sending = async {
        let mut unsent = None;
        while let Some(outcome) = sends.next().await {
            match outcome {
                Ok(segment) => {
                    let Some(segment) = segment else { continue };
                    post.refused_since = None;
                    // The other end stays until this one is gone.
                    let _ = acknowledgements.send(segment);
                }
                Err(error) => {
                    over.store(true, Relaxed);
                    unsent.get_or_insert(error);
                }
            }
        }
        drop(acknowledgements);
        unsent
    };
    // Beside the sends and never after them: a send may hold the connection that the write waits for. What X acknowledges
    // during one write shares the next, so that a kill costs no more than if each had its own.
    let writing = async {
        let mut unwritten = None;
        let mut batch = Vec::new();
        while acknowledged.recv_many(&mut batch, MAX_SEGMENTS as usize).await > 0 {
            let now = worker.clock.now_ms();
            if let Err(error) = worker.store.segments_acknowledged(lease, &media.id, &batch, now).await {
                over.store(true, Relaxed);
                unwritten.get_or_insert(Unsent::Step(error.into()));
            }
            batch.clear();
        }
        unwritten
    };
    let (unsent, unwritten) = tokio::join!(sending, writing);
    let unsent = unwritten.or(unsent);
    drop(sends);
    match unsent {
        None => {}
        Some(Unsent::TooLarge) => {
            let smaller = smaller(media.chunk_bytes, total)
                .ok_or(StepError::Fail(Failure::PartsTooLarge { bytes: media.chunk_bytes.min(total) }))?;
            tracing::info!(chunk = smaller, "X found a chunk too large");
            post.media = Some(open(worker, lease, access, post, smaller).await?);
            return Ok(Next::Go(State::Uploading, Duration::ZERO));
        }
        Some(Unsent::Refused(token, error)) => {
            return Err(session_refused(access, post, &token, error, worker.clock.now_ms()).await);
        }
        Some(Unsent::Step(error)) => return Err(error),
    }
    if stop.is_cancelled() && worker.store.segments_done(&media.id).await?.len() < segments as usize {
        return Ok(Next::Stopped);
    }
    finalize(worker, access, post).await
}

/// The rule of X's documentation: 4 MiB, more only where a thousand segments would not do. A post keeps the size that
/// its `former` upload came down to.
fn chunk_for(total: u64, former: Option<u64>) -> u64 {
    let chunk = (4 * MIB).max(total.div_ceil(MAX_SEGMENTS));
    former
        .filter(|former| *former > 0 && total.div_ceil(*former) <= MAX_SEGMENTS)
        .map_or(chunk, |former| chunk.min(former))
}

/// Chunk size to try after X found one too large: 2 MiB, 1 MiB, and the smallest of which a thousand hold the file.
fn smaller(chunk: u64, total: u64) -> Option<u64> {
    let smallest = MIB.max(total.div_ceil(MAX_SEGMENTS));
    [2 * MIB, MIB, smallest].into_iter().find(|size| *size < chunk && *size >= smallest)
}

fn span(media: &Media, segment: u32, total: u64) -> Range<u64> {
    let start = u64::from(segment) * media.chunk_bytes;
    start..(start + media.chunk_bytes).min(total)
}

async fn open(
    worker: &Worker,
    lease: &Lease,
    access: &Access<'_>,
    post: &mut Post,
    chunk_bytes: u64,
) -> Result<Media, StepError> {
    let (Some(total), Some(media_type)) = (post.bytes, &post.media_type) else {
        return Err(StepError::Fail(Failure::StagingLost));
    };
    if post.sessions >= MAX_SESSIONS {
        return Err(StepError::Fail(Failure::GaveUp { on: Party::X }));
    }
    let token = access.token_for(call::INITIALIZE).await?;
    let session = match worker.x.initialize(&token, media_type, total).await {
        Ok(session) => session,
        Err(error) => {
            post.media = None;
            return Err(session_refused(access, post, &token, error, worker.clock.now_ms()).await);
        }
    };
    let now = worker.clock.now_ms();
    let media = Media {
        id: session.id,
        expires_at: expiry(now, session.expires_after),
        chunk_bytes,
        segments_done: 0,
    };
    worker.store.start_media(lease, &media, now).await?;
    post.chunk_bytes = Some(chunk_bytes);
    post.sessions += 1;
    post.refused_since = None;
    post.processing_since = None;
    post.processing_percent = None;
    Ok(media)
}

fn expiry(now: i64, after: Option<Duration>) -> Option<i64> {
    after.map(|after| now.saturating_add(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)))
}

/// Why a segment did not reach X.
enum Unsent {
    TooLarge,
    /// By X, with the token that was used.
    Refused(SecretString, XError),
    Step(StepError),
}

/// Sends one segment, and returns it once X has it.
async fn send(
    worker: &Worker,
    access: &Access<'_>,
    (key, digests): (&str, &Arc<Digests>),
    media: &Media,
    segment: u32,
    span: Range<u64>,
    leave: Leave<'_>,
) -> Result<u32, Unsent> {
    let token = access.token_for(call::APPEND).await.map_err(Unsent::Step)?;
    let length = span.end - span.start;
    // A damaged block never reaches X as part of a whole segment.
    let body = worker.staging.read_checked(key, span, digests).await;
    let body = body.map_err(|error| Unsent::Step(from_staging(error)))?;
    let sent = worker.x.append(&token, &media.id, segment, length, body).await;
    leave.report(match &sent {
        Ok(()) => Sent::Whole { bytes: length },
        Err(XError::Stalled | XError::Unreachable(_)) => Sent::Stuck,
        Err(XError::RateLimited(_) | XError::Trouble(_)) => Sent::Refused,
        Err(_) => Sent::Unrelated,
    });
    worker.heard_of_day(call::APPEND).await;
    match sent {
        Ok(()) => {}
        Err(XError::TooLarge(_)) => return Err(Unsent::TooLarge),
        Err(error) => return Err(Unsent::Refused(token, error)),
    }
    metrics::counter!("toall_segments_total").increment(1);
    metrics::counter!("toall_upload_bytes_total").increment(length);
    Ok(segment)
}

async fn finalize(worker: &Worker, access: &Access<'_>, post: &mut Post) -> Result<Next, StepError> {
    let Some(media) = &mut post.media else { return Ok(Next::Go(State::Uploading, Duration::ZERO)) };
    let token = access.token_for(call::FINALIZE).await?;
    match worker.x.finalize(&token, &media.id).await {
        Ok(status) => {
            let now = worker.clock.now_ms();
            media.expires_at = expiry(now, status.expires_after).or(media.expires_at);
            follow(post, status.processing, now)
        }
        Err(error) => Err(session_refused(access, post, &token, error, worker.clock.now_ms()).await),
    }
}

/// What X says about an upload that may have been finalized; `None` when that is still to be done.
async fn finalized_before(
    worker: &Worker,
    access: &Access<'_>,
    post: &mut Post,
) -> Result<Option<Next>, StepError> {
    let Some(media) = &post.media else { return Ok(None) };
    let token = access.token_for(call::STATUS).await?;
    match worker.x.status(&token, &media.id).await {
        // Before finalize X has nothing to say: an absent `processing_info` proves nothing here.
        Ok(status) if status.silent => Ok(None),
        Ok(status) => follow(post, status.processing, worker.clock.now_ms()).map(Some),
        Err(XError::SignedOut) => Err(access.sorted(&token, XError::SignedOut).await),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_follow_the_rule() {
        assert_eq!(chunk_for(1, None), 4 * MIB);
        assert_eq!(chunk_for(4_000 * MIB, None), 4 * MIB);
        let large = 8_000_000_000;
        assert!(chunk_for(large, None) > 4 * MIB);
        assert!(large.div_ceil(chunk_for(large, None)) <= MAX_SEGMENTS);
        assert_eq!(chunk_for(100 * MIB, Some(MIB)), MIB);
        assert_eq!(chunk_for(MIB, Some(8 * MIB)), 4 * MIB);
        assert_eq!(chunk_for(large, Some(MIB)), chunk_for(large, None), "a thousand would not hold it");

        assert_eq!(smaller(4 * MIB, 100 * MIB), Some(2 * MIB));
        assert_eq!(smaller(2 * MIB, 100 * MIB), Some(MIB));
        assert_eq!(smaller(MIB, 100 * MIB), None);
        // A thousand chunks of 1 MiB would not hold these, so the last try is just large enough.
        let large = 1_500_000_000;
        assert_eq!(smaller(4 * MIB, large), Some(2 * MIB));
        assert_eq!(smaller(2 * MIB, large), Some(1_500_000));
        assert_eq!(smaller(1_500_000, large), None);
        assert_eq!(smaller(4 * MIB, 3_000 * MIB), Some(3_000 * MIB / 1_000));
        assert_eq!(smaller(5_000_000, 5_000_000_000), None, "the first size is the smallest");
    }
}

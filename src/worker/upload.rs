//! Sends the staged file to X in segments, several at once, straight from storage.

use std::{ops::Range, time::Duration};

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{Next, StepError, Worker, access::Access, process::follow, stage::from_staging};
use crate::{
    post::{Failure, Media, Party, Post, State},
    store::{Lease, Need},
    twitter::{XError, call},
};

/// Upload sessions that one post may use up before X is thought never to keep one.
const MAX_SESSIONS: u32 = 12;
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
    let resumed = missing.is_empty();
    if resumed {
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
    // Those in flight when the service stops are let finish; no other is begun.
    let mut sends = stream::iter(missing.into_iter().take_while(|_| !stop.is_cancelled()))
        .map(|segment| send(worker, lease, &access, &key, &media, segment, span(&media, segment, total)))
        .buffer_unordered(worker.settings.upload_parallelism);
    let mut sent = Ok(());
    while let Some(outcome) = sends.next().await {
        if let Err(error) = outcome {
            sent = Err(error);
            break;
        }
    }
    drop(sends);
    match sent {
        Ok(()) => {}
        Err(Unsent::TooLarge) => {
            let smaller = smaller(media.chunk_bytes, total).ok_or_else(|| {
                StepError::Fail(Failure::Refused {
                    detail: "it takes no part of this video, however small. Try again later.".to_owned(),
                })
            })?;
            tracing::info!(chunk = smaller, "X found a chunk too large");
            post.media = Some(open(worker, lease, &access, post, smaller).await?);
            return Ok(Next::Go(State::Uploading, Duration::ZERO));
        }
        Err(Unsent::Gone) => return Err(forgotten(post)),
        Err(Unsent::Step(error)) => return Err(error),
    }
    if stop.is_cancelled() && worker.store.segments_done(&media.id).await?.len() < segments as usize {
        return Ok(Next::Stopped);
    }
    match finalize(worker, &access, post).await {
        // X may not take a second finalize of what it has finalized, and forgotten how.
        Err(StepError::Fail(_)) if resumed => Err(forgotten(post)),
        outcome => outcome,
    }
}

/// The rule of X's documentation: 4 MiB, more only where a thousand segments would not do. A post keeps the size that
/// its `former` upload came down to.
fn chunk_for(total: u64, former: Option<u64>) -> u64 {
    let chunk = (4 * MIB).max(total.div_ceil(MAX_SEGMENTS));
    former
        .filter(|former| *former > 0 && total.div_ceil(*former) <= MAX_SEGMENTS)
        .map_or(chunk, |former| chunk.min(former))
}

/// What to try after X found a chunk too large: 2 MiB, then 1 MiB, while a thousand of them hold the file.
fn smaller(chunk: u64, total: u64) -> Option<u64> {
    [2 * MIB, MIB].into_iter().find(|size| *size < chunk && total.div_ceil(*size) <= MAX_SEGMENTS)
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
        Err(error) => return Err(access.sorted(&token, error).await),
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
    Gone,
    Step(StepError),
}

async fn send(
    worker: &Worker,
    lease: &Lease,
    access: &Access<'_>,
    key: &str,
    media: &Media,
    segment: u32,
    span: Range<u64>,
) -> Result<(), Unsent> {
    let token = access.token_for(call::APPEND).await.map_err(Unsent::Step)?;
    let length = span.end - span.start;
    let body = worker.staging.read(key, span).await.map_err(|error| Unsent::Step(from_staging(error)))?;
    let sent = worker.x.append(&token, &media.id, segment, length, body).await;
    worker.heard_of_day(call::APPEND).await;
    match sent {
        Ok(()) => {}
        Err(XError::TooLarge(_)) => return Err(Unsent::TooLarge),
        Err(XError::UploadGone | XError::NotFound) => return Err(Unsent::Gone),
        Err(error) => return Err(Unsent::Step(access.sorted(&token, error).await)),
    }
    metrics::counter!("toall_segments_total").increment(1);
    metrics::counter!("toall_upload_bytes_total").increment(length);
    let written = worker.store.segment_done(lease, &media.id, segment, worker.clock.now_ms()).await;
    written.map_err(|error| Unsent::Step(error.into()))
}

fn forgotten(post: &mut Post) -> StepError {
    post.media = None;
    StepError::Back { to: State::Uploading, why: "X does not know this upload".to_owned() }
}

async fn finalize(worker: &Worker, access: &Access<'_>, post: &mut Post) -> Result<Next, StepError> {
    let Some(media) = &mut post.media else { return Err(forgotten(post)) };
    let token = access.token_for(call::FINALIZE).await?;
    match worker.x.finalize(&token, &media.id).await {
        Ok(status) => {
            let now = worker.clock.now_ms();
            media.expires_at = expiry(now, status.expires_after).or(media.expires_at);
            follow(post, status.processing, now)
        }
        Err(XError::UploadGone | XError::NotFound | XError::IncompleteUpload) => Err(forgotten(post)),
        Err(error) => Err(access.sorted(&token, error).await),
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
        assert_eq!(smaller(4 * MIB, 3_000 * MIB), None, "a thousand chunks of 2 MiB would not hold it");
    }
}

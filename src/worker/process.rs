//! Waits for X to finish with the video.

use std::time::Duration;

use super::{Next, StepError, Worker, access_token::Access, belief::session_refused};
use crate::{
    post::{Failure, Post, State},
    store::Lease,
    twitter::{Processing, call},
};

/// When X does not say how long to wait.
const DEFAULT_WAIT: Duration = Duration::from_secs(3);
/// X may name any wait: shorter ones would press it, longer ones would look like a post that is stuck.
const WAITS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// How long X may work on one video: an hour, and as long again as the video lasts.
const PATIENCE_MS: i64 = 3_600_000;

/// Asks X how far it is.
pub(super) async fn process(worker: &Worker, lease: &Lease, post: &mut Post) -> Result<Next, StepError> {
    let Some(media) = &post.media else { return Ok(Next::Go(State::Uploading, Duration::ZERO)) };
    let access = Access::new(worker, lease);
    let token = access.token_for(call::STATUS).await?;
    match worker.x.status(&token, &media.id).await {
        Ok(status) => follow(post, status.processing, worker.clock.now_ms()),
        Err(error) => Err(session_refused(&access, post, &token, error, worker.clock.now_ms()).await),
    }
}

/// What follows from X's word on a video, now that all of it is there.
pub(super) fn follow(post: &mut Post, processing: Processing, now: i64) -> Result<Next, StepError> {
    let since = *post.processing_since.get_or_insert(now);
    post.refused_since = None;
    match processing {
        Processing::Ready if post.options.describe_video() => Ok(Next::Go(State::Describing, Duration::ZERO)),
        Processing::Ready => Ok(Next::Go(State::Publishing, Duration::ZERO)),
        Processing::Pending { percent, check_after } => {
            let length = i64::try_from(post.duration_ms.unwrap_or(0)).unwrap_or(0);
            if now - since > PATIENCE_MS + length {
                return Err(StepError::Fail(Failure::ProcessingTooLong));
            }
            post.processing_percent = percent.or(post.processing_percent);
            post.attempt = 0;
            post.waiting = None;
            let wait = check_after.unwrap_or(DEFAULT_WAIT).clamp(*WAITS.start(), *WAITS.end());
            Ok(Next::Go(State::Processing, wait))
        }
        Processing::Failed(error) => {
            let reason = [error.name, error.message]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(": ");
            Err(StepError::Fail(Failure::MediaRejected { reason }))
        }
    }
}

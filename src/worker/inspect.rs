//! Looks into the staged file: whether it is a video, and one that X takes.

use std::{ops::Range, sync::Arc, time::Duration};

use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::{Next, StepError, Worker, access_token::Access, stage::from_staging, tier};
use crate::{
    account::Tier,
    caption::{self, Caption, CaptionError},
    post::{Failure, Note, Post, State},
    staging::{Digests, StagingError},
    store::Lease,
    ticket::hex,
    video::{Inspection, Limits, Refusal, Video, judge},
    words,
};

/// Reads the few ranges that say what the file is, and holds it and the caption against what the account may post.
///
/// A file that its person put into storage is read as a whole first: from here on it is known what it was.
pub(super) async fn inspect(
    worker: &Worker,
    lease: &Lease,
    post: &mut Post,
    stop: &CancellationToken,
) -> Result<Next, StepError> {
    let (Some(key), Some(total)) = (post.object_key.clone(), post.bytes) else {
        return Err(StepError::Fail(Failure::StagingLost));
    };
    if post.sha256.is_none() {
        let known = digests_of(worker, lease, post, &key, total);
        let Some(known) = stop.run_until_cancelled(known).await else { return Ok(Next::Stopped) };
        known?;
    }
    let mut read = Vec::new();
    let video = match look_into(worker, &key, total, &mut read).await? {
        Ok(video) => video,
        Err(refusal) => {
            // Of a damaged file it says nothing about what was sent.
            let digests = digests_of(worker, lease, post, &key, total).await?;
            compare(worker, &key, &digests, read).await?;
            return Err(refused(refusal));
        }
    };
    let tier = match worker.store.account(&post.account).await? {
        Some(account) if needs_premium(post, &video) => {
            tier::current(worker, &Access::new(worker, lease), &account).await
        }
        Some(account) => account.tier,
        None => Tier::Free,
    };
    if let Err(CaptionError::TooLong { weighted, limit }) =
        Caption::parse(&post.caption, caption::limit_for(tier))
    {
        return Err(StepError::Fail(Failure::CaptionTooLong { weighted, limit }));
    }
    let limits = match tier {
        Tier::Premium | Tier::PremiumPlus => Limits::PREMIUM,
        Tier::Free | Tier::Basic => Limits::STANDARD,
    };
    let warnings = judge(&video, total, &limits).map_err(refused)?;
    post.notes.retain(|note| !matches!(note, Note::Video { .. }));
    post.notes.extend(warnings.iter().map(|warning| Note::Video { warning: words::warning(warning) }));
    post.media_type = Some(video.container.media_type().to_owned());
    post.duration_ms = video.duration.and_then(|length| u64::try_from(length.as_millis()).ok());
    Ok(Next::Go(State::Uploading, Duration::ZERO))
}

/// Whether the caption or the length of the video is more than an account without a subscription may post.
fn needs_premium(post: &Post, video: &Video) -> bool {
    video.duration.is_some_and(|length| length > Limits::STANDARD.max_duration)
        || caption::count(&post.caption).weighted > caption::LIMIT
}

/// Reads what says what the file is, and keeps which ranges those were.
async fn look_into(
    worker: &Worker,
    key: &str,
    total: u64,
    read: &mut Vec<Range<u64>>,
) -> Result<Result<Video, Refusal>, StepError> {
    let mut inspection = match Inspection::new(total) {
        Ok(inspection) => inspection,
        Err(refusal) => return Ok(Err(refusal)),
    };
    loop {
        let wanted = inspection.wanted();
        let body = worker.staging.read(key, wanted.clone()).await.map_err(from_staging)?;
        let bytes = body
            .try_fold(Vec::new(), async |mut all, chunk| {
                all.extend_from_slice(&chunk);
                Ok(all)
            })
            .await
            .map_err(from_staging)?;
        read.push(wanted);
        match inspection.feed(&bytes) {
            Ok(Some(video)) => return Ok(Ok(video)),
            Ok(None) => {}
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}

/// Compares these ranges of the file with what was stored.
async fn compare(
    worker: &Worker,
    key: &str,
    digests: &Arc<Digests>,
    ranges: Vec<Range<u64>>,
) -> Result<(), StepError> {
    for range in ranges {
        let body = worker.staging.read_checked(key, range, digests).await.map_err(from_staging)?;
        body.try_for_each(async |_| Ok(())).await.map_err(from_staging)?;
    }
    Ok(())
}

/// The digests of the post's file: those stored, else made of the file, if it still is the one that the post is of.
pub(super) async fn digests_of(
    worker: &Worker,
    lease: &Lease,
    post: &mut Post,
    key: &str,
    total: u64,
) -> Result<Arc<Digests>, StepError> {
    if post.sha256.is_some()
        && let Some(stored) = worker.store.digests(post.id).await?
        && let Some(digests) = Digests::from_bytes(stored, total)
    {
        return Ok(Arc::new(digests));
    }
    let digests = worker.staging.digests(key, total).await.map_err(from_staging)?;
    let sha256 = hex(&digests.sha256());
    if post.sha256.as_ref().is_some_and(|known| *known != sha256) {
        return Err(from_staging(StagingError::Damaged));
    }
    worker.store.keep_digests(lease, digests.as_bytes()).await?;
    post.sha256 = Some(sha256);
    Ok(Arc::new(digests))
}

fn refused(refusal: Refusal) -> StepError {
    StepError::Fail(Failure::VideoRefused { reason: words::refusal(&refusal) })
}

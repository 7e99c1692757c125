//! Looks into the staged file: whether it is a video, and one that X takes.

use std::time::Duration;

use futures::TryStreamExt;

use super::{Next, StepError, Worker, access::Access, stage::from_staging, tier};
use crate::{
    account::Tier,
    caption::{self, Caption, CaptionError},
    post::{Failure, Note, Post, State},
    store::Lease,
    video::{Inspection, Limits, Refusal, Video, judge},
    words,
};

/// Reads the few ranges that say what the file is, and holds it and the caption against what the account may post.
pub(super) async fn inspect(worker: &Worker, lease: &Lease, post: &mut Post) -> Result<Next, StepError> {
    let (Some(key), Some(total)) = (&post.object_key, post.bytes) else {
        return Err(StepError::Fail(Failure::StagingLost));
    };
    let video = look_into(worker, key, total).await?;
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

async fn look_into(worker: &Worker, key: &str, total: u64) -> Result<Video, StepError> {
    let mut inspection = Inspection::new(total).map_err(refused)?;
    loop {
        let body = worker.staging.read(key, inspection.wanted()).await.map_err(from_staging)?;
        let bytes = body
            .try_fold(Vec::new(), async |mut all, chunk| {
                all.extend_from_slice(&chunk);
                Ok(all)
            })
            .await
            .map_err(from_staging)?;
        if let Some(video) = inspection.feed(&bytes).map_err(refused)? {
            return Ok(video);
        }
    }
}

fn refused(refusal: Refusal) -> StepError {
    StepError::Fail(Failure::VideoRefused { reason: words::refusal(&refusal) })
}

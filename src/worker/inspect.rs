//! Looks into the staged file: whether it is a video, and one that X takes.

use std::time::Duration;

use futures::TryStreamExt;

use super::{Next, StepError, Worker, stage::from_staging};
use crate::{
    account::Tier,
    post::{Failure, Post, State},
    video::{Inspection, Limits, Refusal, Video, judge},
    words,
};

/// Reads the few ranges that say what the file is, and holds it against what the account may post.
pub(super) async fn inspect(worker: &Worker, post: &mut Post) -> Result<Next, StepError> {
    let (Some(key), Some(total)) = (&post.object_key, post.bytes) else {
        return Err(StepError::Fail(Failure::StagingLost));
    };
    let account = worker.store.account(&post.account).await?;
    let limits = match account.map(|account| account.tier) {
        Some(Tier::Premium | Tier::PremiumPlus) => Limits::PREMIUM,
        _ => Limits::STANDARD,
    };
    let video = look_into(worker, key, total).await?;
    let warnings = judge(&video, total, &limits).map_err(refused)?;
    if !warnings.is_empty() {
        tracing::info!(?warnings, "X may not like this video");
    }
    post.media_type = Some(video.container.media_type().to_owned());
    post.duration_ms = video.duration.and_then(|length| u64::try_from(length.as_millis()).ok());
    Ok(Next::Go(State::Uploading, Duration::ZERO))
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

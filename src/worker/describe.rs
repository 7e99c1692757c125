//! Tells X what the options say about the video itself: its alternative text, and what to warn of before it is shown.

use std::time::Duration;

use super::{
    Next, StepError, Worker,
    access_token::Access,
    belief::{repeated, send_again},
};
use crate::{
    post::{Failure, Note, Party, Post, Sensitive, State},
    store::Lease,
    twitter::{XError, call},
};

/// Sends both in one call, which X bills; repeating it changes nothing.
///
/// Whether X takes an alternative text for a video is not documented. A post goes out without it, and says so; it
/// does not go out without the warning that its person wanted.
pub(super) async fn describe(worker: &Worker, lease: &Lease, post: &mut Post) -> Result<Next, StepError> {
    let done = Ok(Next::Go(State::Publishing, Duration::ZERO));
    let Some(media) = &post.media else { return Ok(Next::Go(State::Uploading, Duration::ZERO)) };
    let given_up = post.notes.contains(&Note::AltTextNotTaken);
    let alt_text = post.options.alt_text.as_deref().filter(|_| !given_up);
    let sensitive = post.options.sensitive;
    if alt_text.is_none() && !sensitive.any() {
        return done;
    }
    let access = Access::new(worker, lease);
    let token = access.token_for(call::METADATA).await?;
    match worker.x.describe(&token, &media.id, alt_text, sensitive).await {
        Ok(()) => {
            post.refused_since = None;
            done
        }
        Err(error @ (XError::UploadGone | XError::NotFound | XError::InvalidMedia)) => {
            repeated(&mut post.refused_since, &error, worker.clock.now_ms())?;
            match (worker.x.status(&token, &media.id).await, &error) {
                (Err(XError::UploadGone | XError::NotFound), _) => {
                    Err(send_again(post, "X has forgotten the upload".to_owned()))
                }
                // The upload is fine and this endpoint is away, which is no word on the warning.
                (_, XError::UploadGone | XError::NotFound) if alt_text.is_none() => {
                    Err(StepError::Trouble { with: Party::X, why: error.to_string() })
                }
                _ => without(post, alt_text.is_some(), sensitive),
            }
        }
        // With a reason, it is X that judges; without, an edge or an outage.
        Err(error @ XError::Refused { .. }) if is_explained(&error) => {
            repeated(&mut post.refused_since, &error, worker.clock.now_ms())?;
            without(post, alt_text.is_some(), sensitive)
        }
        Err(XError::NotPermitted { .. }) => without(post, alt_text.is_some(), sensitive),
        // X keeps this one call from the app: no reason to hold up what does not need it.
        Err(XError::WrongToken | XError::AccessLevel) => {
            access.closed_to_app(call::METADATA).await;
            without(post, alt_text.is_some(), sensitive)
        }
        Err(error) => Err(access.sorted(&token, error).await),
    }
}

fn is_explained(error: &XError) -> bool {
    matches!(error, XError::Refused { status, detail } if status.is_client_error() && !detail.is_empty())
}

/// What follows when X does not take what it was told.
fn without(post: &mut Post, had_alt_text: bool, sensitive: Sensitive) -> Result<Next, StepError> {
    if !had_alt_text {
        return Err(StepError::Fail(Failure::WarningNotTaken));
    }
    post.notes.push(Note::AltTextNotTaken);
    post.attempt = 0;
    post.refused_since = None;
    // The text may have been all that X minded.
    let next = if sensitive.any() { State::Describing } else { State::Publishing };
    Ok(Next::Go(next, Duration::ZERO))
}

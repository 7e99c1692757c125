//! When a refusal by X counts. X has answered 400, 401 and 404 for minutes and hours to what it took before and after
//! (its incidents of May 2025, January and June 2026), so such an answer counts once it is repeated a while later.

use std::time::Duration;

use secrecy::SecretString;

use super::{StepError, access_token::Access, verdict::backoff};
use crate::{
    post::{Failure, Post, State},
    twitter::XError,
};

/// Time after which a repeated refusal counts: longer than a minute's trouble, and soon enough for a person whose account
/// must be connected again.
const REPEATED_AFTER_MS: i64 = 90_000;

/// Goes on only if X's refusal counts: `since` is when it was first heard, which this sets.
pub(super) fn repeated(
    since: &mut Option<i64>,
    why: &dyn std::fmt::Display,
    now: i64,
) -> Result<(), StepError> {
    // A clock that was set back must not make this wait longer.
    let first = since.map_or(now, |since| since.min(now));
    *since = Some(first);
    let until = first + REPEATED_AFTER_MS;
    if now < until { Err(StepError::Unconfirmed { until, why: why.to_string() }) } else { Ok(()) }
}

/// Outcome of a call about the post's upload session that X refused, or about beginning one.
///
/// A repeated refusal ends the session, and the video is sent again. It becomes the verdict on the post when X refuses
/// a second session as well, and says why.
pub(super) async fn session_refused(
    access: &Access<'_>,
    post: &mut Post,
    used: &SecretString,
    error: XError,
    now: i64,
) -> StepError {
    let why = error.to_string();
    let verdict = match error {
        XError::UploadGone | XError::NotFound | XError::InvalidMedia | XError::IncompleteUpload => None,
        error => match access.sorted(used, error).await {
            StepError::Fail(failure @ Failure::Refused { .. }) => Some(failure),
            other => return other,
        },
    };
    if let Err(unconfirmed) = repeated(&mut post.refused_since, &why, now) {
        return unconfirmed;
    }
    match verdict {
        Some(failure) if post.refused_sessions > 0 || post.media.is_none() => StepError::Fail(failure),
        _ => {
            post.refused_sessions = post.refused_sessions.saturating_add(1);
            send_again(post, why)
        }
    }
}

/// Gives up the post's upload session.
pub(super) fn send_again(post: &mut Post, why: String) -> StepError {
    post.media = None;
    post.refused_since = None;
    StepError::Back { to: State::Uploading, why }
}

/// The pause before the session after so many: 5 s, 10 s, 20 s … 10 min, then by ten minutes more up to an hour, since X
/// may have to be sent the whole video again.
pub(super) fn between_sessions(sessions: u32) -> Duration {
    const QUICK: u32 = 8;
    backoff(sessions.min(QUICK)) + Duration::from_secs(600) * sessions.saturating_sub(QUICK).min(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_counts_once_it_is_repeated_later() {
        let mut since = None;
        for now in [0, 1, 89_999] {
            let outcome = repeated(&mut since, &"gone", now);
            assert!(matches!(outcome, Err(StepError::Unconfirmed { until: 90_000, .. })), "{outcome:?}");
        }
        repeated(&mut since, &"gone", 90_000).unwrap();
        // The clock was set back by a day.
        let outcome = repeated(&mut since, &"gone", -86_400_000);
        assert!(matches!(outcome, Err(StepError::Unconfirmed { until: -86_310_000, .. })), "{outcome:?}");
    }
    #[test]
    fn sessions_are_begun_ever_less_often() {
        let minutes = |sessions| between_sessions(sessions).as_secs() / 60;
        assert_eq!(between_sessions(1).as_secs(), 5);
        assert!((10..13).contains(&minutes(8)), "{}", minutes(8));
        assert!((60..63).contains(&minutes(100)), "{}", minutes(100));
    }
}

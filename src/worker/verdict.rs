//! What follows from a step that did not work.

use std::time::Duration;

use super::{StepError, Worker, belief::between_sessions};
use crate::post::{Failure, Party, Post, State, Waiting};

/// How often a step that meets trouble is tried: with delays of up to ten minutes, about nine hours.
const MAX_ATTEMPTS: u32 = 60;
/// Tries of a look that did not work, after which the person is asked all the same.
const MAX_LOOKS: u32 = 8;
/// A post in doubt does not keep its account waiting longer than this for X to let us look.
const MAX_DOUBT: Duration = Duration::from_secs(5 * 60);

impl Worker {
    /// What follows from an error: the post's new state, and how long to wait before it is looked at again.
    pub(super) fn verdict(
        &self,
        post: &mut Post,
        error: &StepError,
        now: i64,
    ) -> (&'static str, Option<Duration>) {
        let until = |after: Duration| now + i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2);
        let fail = |post: &mut Post, failure: Failure| {
            metrics::counter!("toall_posts_total", "outcome" => "failed", "code" => failure.code())
                .increment(1);
            post.state = State::Failed;
            post.waiting = None;
            post.failure = Some(failure);
            ("failed", None)
        };
        if post.intent_at.is_some() {
            return self.doubt(post, error, now);
        }
        match error {
            StepError::Fail(failure) => fail(post, failure.clone()),
            StepError::Trouble { with, .. } => {
                post.attempt = post.attempt.saturating_add(1);
                if post.attempt > MAX_ATTEMPTS {
                    return fail(post, Failure::GaveUp { on: *with });
                }
                let after = backoff(post.attempt);
                post.waiting = Some(Waiting::Trouble { with: *with, until: until(after) });
                ("trouble", Some(after))
            }
            StepError::Back { to, .. } => {
                post.attempt = post.attempt.saturating_add(1);
                post.state = *to;
                if post.attempt > MAX_ATTEMPTS {
                    return fail(post, Failure::GaveUp { on: Party::X });
                }
                // Once is an expired session; more often is an incident.
                let tries = post.attempt.max(post.sessions.saturating_sub(1));
                let at_once = tries <= 1 && *to == State::Uploading;
                let after = if at_once { Duration::ZERO } else { between_sessions(tries) };
                post.waiting = (!at_once).then(|| Waiting::Trouble { with: Party::X, until: until(after) });
                ("back", Some(after))
            }
            StepError::Parked { until, why } => {
                post.waiting = Some(why.waiting(*until));
                (why.as_str(), Some(parked_for(*until, now)))
            }
            StepError::Unconfirmed { until, .. } => {
                post.waiting = Some(Waiting::Trouble { with: Party::X, until: *until });
                ("unconfirmed", Some(parked_for(*until, now)))
            }
            StepError::SignedOut => {
                post.waiting = Some(Waiting::Reconnect);
                // Due, yet on a lane that rests until the account is linked again.
                ("signed_out", Some(Duration::ZERO))
            }
            StepError::Stopping => ("stopped", Some(Duration::ZERO)),
            StepError::Store(_) => ("store", Some(backoff(1))),
        }
    }

    /// What follows from an error about a post that may be on X: it is never failed, and not kept waiting for ever.
    fn doubt(&self, post: &mut Post, error: &StepError, now: i64) -> (&'static str, Option<Duration>) {
        post.attempt = post.attempt.saturating_add(1);
        let (after, waiting) = match error {
            // Sure to be said of the attempt at hand, and not to be mended by waiting.
            StepError::Fail(failure) if post.state != State::NeedsUser => {
                ask(post);
                post.failure = Some(failure.clone());
                return ("unsure", Some(MAX_DOUBT));
            }
            StepError::Parked { until, why } => (parked_for(*until, now), why.waiting(*until)),
            StepError::Unconfirmed { until, .. } => (parked_for(*until, now), Waiting::Looking),
            StepError::SignedOut => (Duration::ZERO, Waiting::Reconnect),
            StepError::Back { to, .. } if post.state != State::NeedsUser => {
                post.state = *to;
                (backoff(post.attempt.max(post.sessions)), Waiting::Looking)
            }
            _ => (backoff(post.attempt), Waiting::Looking),
        };
        // What the person wants posted again waits as any other post does.
        let out_of_patience = post.attempt > MAX_LOOKS || (after > MAX_DOUBT && !post.resend);
        if post.state != State::NeedsUser && !out_of_patience {
            post.waiting = Some(waiting);
            return ("doubt", Some(after));
        }
        ask(post);
        ("unsure", (post.attempt <= MAX_ATTEMPTS).then_some(after))
    }
}

/// 5 s, 10 s, 20 s … 10 min, each up to a fifth longer, so that many do not come back at once.
pub(super) fn backoff(attempt: u32) -> Duration {
    let wait = Duration::from_secs(5 << attempt.saturating_sub(1).min(7)).min(Duration::from_secs(600));
    wait + jitter(wait / 5)
}

/// Until a closed door opens, and a moment longer, so that not all knock at once.
fn parked_for(until: i64, now: i64) -> Duration {
    Duration::from_millis(until.saturating_sub(now).max(0).unsigned_abs()) + jitter(Duration::from_secs(2))
}

fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

/// Leaves it to the person to say whether the post is on X.
pub(super) fn ask(post: &mut Post) {
    // What X has not finished cannot be described when the person wants the post made again.
    if post.options.describe_video() && matches!(post.state, State::Uploading | State::Processing) {
        post.media = None;
    }
    post.state = State::NeedsUser;
    post.waiting = None;
    post.resend = false;
    post.looks = 0;
}

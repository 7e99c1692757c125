//! What follows from a step that did not work.

use std::time::Duration;

use super::{StepError, Worker, belief::between_sessions};
use crate::{
    post::{Failure, Kind, Party, Post, State, Waiting},
    store::Lease,
    words,
};

/// How long a post waits for an outage that others share to end.
const OUTAGE_PATIENCE_MS: i64 = 7 * 24 * 3_600_000;
/// How long a post waits for an error that no other post has.
const OWN_PATIENCE_MS: i64 = 24 * 3_600_000;
/// Trouble of this age is no hiccup: the operators are told.
const OUTAGE_AFTER_MS: i64 = 10 * 60_000;
/// Tries of a look that did not work, after which the person is asked.
const MAX_LOOKS: u32 = 8;
/// Tries of a look after the person was asked.
const MAX_LATE_LOOKS: u32 = 60;
/// A post in doubt does not keep its account waiting longer than this for X to let us look.
const MAX_DOUBT: Duration = Duration::from_secs(5 * 60);

/// Pauses before a file that storage lost or damaged is fetched again.
const REFETCHES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3_600)];

/// The incident that the storage does not work.
pub(super) const STORAGE: &str = "storage";

impl Worker {
    /// Decides what follows from an error: the post's new state, and how long to wait before it is looked at again.
    pub(super) async fn verdict(
        &self,
        lease: &Lease,
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
            StepError::Trouble { with, .. } => match self.patience(lease, post, *with, now).await {
                None => fail(post, Failure::GaveUp { on: *with }),
                Some(after) => {
                    post.waiting = Some(Waiting::Trouble { with: *with, until: until(after) });
                    ("trouble", Some(after))
                }
            },
            StepError::Back { to, .. } => {
                post.state = *to;
                let Some(after) = self.patience(lease, post, Party::X, now).await else {
                    return fail(post, Failure::GaveUp { on: Party::X });
                };
                // Once is an expired session; more often is an incident.
                let tries = post.attempt.max(post.sessions.saturating_sub(1));
                let at_once = tries <= 1 && *to == State::Uploading;
                let after = if at_once { Duration::ZERO } else { after.max(between_sessions(tries)) };
                post.waiting = (!at_once).then(|| Waiting::Trouble { with: Party::X, until: until(after) });
                ("back", Some(after))
            }
            StepError::Lost { .. } => match refetch(post) {
                None => {
                    self.operator_told(STORAGE, &words::operator_storage()).await;
                    fail(post, Failure::StagingLost)
                }
                Some(after) => {
                    let trouble = Waiting::Trouble { with: Party::Staging, until: until(after) };
                    post.waiting = (!after.is_zero()).then_some(trouble);
                    ("lost", Some(after))
                }
            },
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
            StepError::Store(error) if error.is_permanent() => fail(post, Failure::Internal),
            StepError::Store(_) => ("store", Some(backoff(1))),
        }
    }

    /// Counts an error, and returns how long to wait before the next try; `None` when it has lasted for too long.
    ///
    /// An outage that other posts share may take days, and ends by itself. While other posts are published, what keeps
    /// this one is its own.
    async fn patience(&self, lease: &Lease, post: &mut Post, with: Party, now: i64) -> Option<Duration> {
        post.attempt = post.attempt.saturating_add(1);
        let since = *post.trouble_since.get_or_insert(now);
        let age = now.saturating_sub(since);
        if age >= OUTAGE_PATIENCE_MS {
            return None;
        }
        // A database that does not answer says nothing about the post.
        if age >= OWN_PATIENCE_MS && self.store.others_posted(lease, since).await.unwrap_or(false) {
            return None;
        }
        if age >= OUTAGE_AFTER_MS && with == Party::Staging {
            self.operator_told(STORAGE, &words::operator_storage()).await;
        }
        Some(backoff_for(post.attempt, age))
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
            StepError::Lost { .. } if post.state != State::NeedsUser => match refetch(post) {
                None => {
                    ask(post);
                    post.failure = Some(Failure::StagingLost);
                    return ("unsure", Some(MAX_DOUBT));
                }
                Some(after) => (after, Waiting::Looking),
            },
            _ => (backoff(post.attempt), Waiting::Looking),
        };
        // What the person wants posted again waits as any other post does.
        let out_of_patience = post.attempt > MAX_LOOKS || (after > MAX_DOUBT && !post.resend);
        if post.state != State::NeedsUser && !out_of_patience {
            post.waiting = Some(waiting);
            return ("doubt", Some(after));
        }
        ask(post);
        ("unsure", (post.attempt <= MAX_LATE_LOOKS).then_some(after))
    }
}

/// Sends a post whose file storage lost or damaged back to fetch it again, after the pause that is returned. `None` when
/// nobody else has the file, or storage has lost every copy so far.
fn refetch(post: &mut Post) -> Option<Duration> {
    let after = *REFETCHES.get(usize::try_from(post.refetches).ok()?)?;
    if post.attachment.kind == Kind::Upload {
        return None;
    }
    post.refetches += 1;
    post.state = State::Staging;
    Some(after)
}

/// 5 s, 10 s, 20 s … 10 min, each up to a fifth longer, so that many do not come back at once.
pub(super) fn backoff(attempt: u32) -> Duration {
    backoff_for(attempt, 0)
}

/// The same for trouble that has lasted for `age` milliseconds: the longer it has lasted, the longer the pause, up to an
/// hour.
fn backoff_for(attempt: u32, age: i64) -> Duration {
    let longest = Duration::from_millis(age.max(0).unsigned_abs() / 8)
        .clamp(Duration::from_secs(600), Duration::from_secs(3_600));
    let wait = Duration::from_secs(5 << attempt.saturating_sub(1).min(10)).min(longest);
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

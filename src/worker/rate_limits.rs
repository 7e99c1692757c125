//! What X has closed for a while: asked before a step talks to X, written down when X says so.
//!
//! A rate limit concerns one kind of call, of one account or of all, as the headers say. Spent credits, a spending
//! limit and an app that is not enrolled concern everything, and only the operator can mend them. A look for a post
//! in doubt asks nobody: it may always be tried.

use super::{StepError, Worker};
use crate::{
    post::{Pause, State},
    store::{Lease, StoreError},
    twitter::{Limit, Reopens},
    words::{self, Message},
};

/// The scopes that concern a call for an account, to be compared and kept.
fn scopes(lease: &Lease, call: &str) -> [String; 2] {
    [format!("call:{call}"), format!("account:{}:{call}", lease.account)]
}

impl Worker {
    /// Goes on only when nothing is closed that this call needs.
    pub(super) async fn admitted(&self, lease: &Lease, call: &'static str) -> Result<(), StepError> {
        let now = self.clock.now_ms();
        match self.store.closed(&scopes(lease, call), lease.post.id, now).await? {
            None => Ok(()),
            Some(closed) => Err(StepError::Parked { until: closed.until, why: closed.why }),
        }
    }

    /// Writes down a rate limit, for exactly what it concerns.
    pub(super) async fn limited(&self, lease: &Lease, limit: Limit) -> StepError {
        let now = self.clock.now_ms();
        let [app, account] = scopes(lease, limit.call);
        let close = async {
            let mut until = None;
            if let Some(reopens) = limit.app(now) {
                until = Some(self.store.shut(&app, Pause::RateLimit, reopens.at(), now).await?);
            }
            // Headers that blame nobody say least: the account that met them waits, and nobody else.
            let of_account = limit.account(now);
            if until.is_none() || of_account.is_some() {
                let at = of_account.and_then(Reopens::at);
                until = until.max(Some(self.store.shut(&account, Pause::RateLimit, at, now).await?));
            }
            Ok::<_, StoreError>(until.unwrap_or(now))
        };
        match close.await {
            Ok(until) => StepError::Parked { until, why: Pause::RateLimit },
            Err(error) => error.into(),
        }
    }

    /// Writes down that an account has made its posts of the day. X rarely says when it may make more.
    pub(super) async fn limited_for_the_day(&self, lease: &Lease, limit: Limit) -> StepError {
        let now = self.clock.now_ms();
        let [_, account] = scopes(lease, limit.call);
        let at = limit.account(now).and_then(Reopens::at);
        match self.store.shut(&account, Pause::DailyLimit, at, now).await {
            Ok(until) => StepError::Parked { until, why: Pause::DailyLimit },
            Err(error) => error.into(),
        }
    }

    /// Pauses everything, and tells the operators.
    pub(super) async fn paused(&self, lease: &Lease, why: Pause) -> StepError {
        // A look that came late: what it looks for is a publication.
        let step = match lease.post.state {
            State::NeedsUser => State::Publishing,
            state => state,
        };
        let message = words::operator_paused(why);
        match self.store.pause(why, step, &self.operators, &message, self.clock.now_ms()).await {
            Ok(until) => StepError::Parked { until, why },
            Err(error) => error.into(),
        }
    }

    /// After a step of this post worked: if X had refused just that to the whole app, it does no more.
    pub(super) async fn worked(&self, lease: &Lease, next: State) {
        let order =
            [State::Uploading, State::Processing, State::Describing, State::Publishing, State::Posted];
        let place = |state| order.iter().position(|known| *known == state);
        let forward = place(lease.post.state).zip(place(next)).is_some_and(|(from, to)| from < to);
        if !forward {
            return;
        }
        let (post, now) = (lease.post.id, self.clock.now_ms());
        let message = words::operator_resumed();
        if let Err(error) = self.store.resume(post, lease.post.state, &self.operators, &message, now).await {
            // The pause has an end: another post will try.
            tracing::warn!(%error, "a pause could not be ended");
        }
    }

    /// Tells the operators, once until [`Worker::operator_told_of_end`], of what stops some posts and not all.
    pub(super) async fn operator_told(&self, incident: &str, message: &Message) {
        let told = self.store.begin_incident(incident, &self.operators, message, self.clock.now_ms()).await;
        if let Err(error) = told {
            tracing::warn!(incident, %error, "the operator could not be told");
        }
    }

    /// Tells the operators that it is over, if it was.
    pub(super) async fn operator_told_of_end(&self, incident: &str, message: &Message) {
        let told = self.store.end_incident(incident, &self.operators, message, self.clock.now_ms()).await;
        if let Err(error) = told {
            tracing::warn!(incident, %error, "the operator could not be told");
        }
    }

    /// Forgets what is long over.
    pub(super) async fn tend_limits(&self, now: i64) -> Result<(), StoreError> {
        self.store.prune_limits(now).await?;
        self.store.prune_incidents(now).await
    }
}

//! The app's 24 hours at X, which all accounts and all processes share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{StepError, Worker};
use crate::{store::Need, twitter::AppDay};

/// What X says is written down when it is so many hundredths less than what was before: a segment costs no write of its
/// own while there is plenty.
const STEP: u32 = 100;
/// With fewer hundredths left than this, every word of X counts.
const SCARCE: u32 = 6;

/// What this process last wrote down, by call.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<HashMap<&'static str, AppDay>>>);

impl Kept {
    /// Whether this is to be written down; then it counts as written.
    fn is_news(&self, call: &'static str, day: AppDay) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hundredth = day.total / STEP;
        let news = kept.get(call).is_none_or(|kept| {
            day.remaining <= hundredth * SCARCE
                || day.remaining.abs_diff(kept.remaining) >= hundredth
                || day.resets_at.abs_diff(kept.resets_at) >= 60_000
        });
        if news {
            kept.insert(call, day);
        }
        news
    }
}

impl Worker {
    /// Goes on only when the app's day has room for this, and it is the account's turn.
    pub(super) async fn allotted(&self, need: Need<'_>) -> Result<(), StepError> {
        match self.store.use_day(need, self.clock.now_ms()).await? {
            None => Ok(()),
            Some(closed) => Err(StepError::Parked { until: closed.until, why: closed.why }),
        }
    }

    /// The call that this was for never reached X.
    pub(super) async fn unused(&self, need: Need<'_>) {
        if let Err(error) = self.store.unused(need, self.clock.now_ms()).await {
            tracing::warn!(%error, "a call that was not made still counts");
        }
    }

    /// As [`Worker::heard_of_day`], beside what is to be written down first.
    pub(super) fn heard_of_day_meanwhile(&self, call: &'static str) {
        let worker = self.clone();
        self.running.tasks.spawn(async move { worker.heard_of_day(call).await });
    }

    /// Has every process know what X just said is left for a call.
    pub(super) async fn heard_of_day(&self, call: &'static str) {
        let Some(day) = self.x.app_day(call, self.clock.now_ms()) else { return };
        if !self.running.days.is_news(call, day) {
            return;
        }
        if let Err(error) = self.store.keep_day(call, day.total, day.remaining, day.resets_at).await {
            tracing::warn!(%error, "what X has left for the app could not be written down");
        }
    }
}

//! What time it is: the machine's clock, or one that a test turns by hand.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

/// A source of the current time in Unix milliseconds. Cheap to clone; clones agree.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<watch::Sender<i64>>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Clock(None)
    }

    /// A clock that stands at `now_ms` until [`Clock::set`] turns it.
    pub fn by_hand(now_ms: i64) -> Self {
        Clock(Some(Arc::new(watch::Sender::new(now_ms))))
    }

    /// Unix milliseconds.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(hands) => *hands.borrow(),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Turns a clock made by [`Clock::by_hand`] forward to `now_ms`; never back, and never the machine's.
    pub fn set(&self, now_ms: i64) {
        if let Some(hands) = &self.0 {
            hands.send_if_modified(|now| {
                let later = now_ms > *now;
                *now = (*now).max(now_ms);
                later
            });
        }
    }

    /// Returns once [`Clock::now_ms`] is at or past `due_ms`.
    pub async fn sleep_until(&self, due_ms: i64) {
        match &self.0 {
            Some(hands) => {
                let mut hands = hands.subscribe();
                // The sender lives in `self`, so this cannot fail.
                let _ = hands.wait_for(|now| *now >= due_ms).await;
            }
            None => {
                let left = due_ms.saturating_sub(self.now_ms()).max(0);
                tokio::time::sleep(Duration::from_millis(left.unsigned_abs())).await;
            }
        }
    }
}

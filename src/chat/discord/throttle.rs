//! A pause that Discord asks of the whole process.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The end of the pause that a global 429 asked for. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Throttle(Arc<Mutex<Option<Instant>>>);

impl Throttle {
    /// Pauses all requests for this long from now on; a longer pause that is under way stays.
    pub(super) fn pause(&self, pause: Duration) {
        let end = Some(Instant::now() + pause);
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(end);
    }

    /// Waits out a pause of at most `patience`; a longer one is returned.
    pub(super) async fn wait(&self, patience: Duration) -> Result<(), Duration> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = until else { return Ok(()) };
        match until.saturating_duration_since(Instant::now()) {
            left if left > patience => Err(left),
            _ => {
                sleep_until(until).await;
                Ok(())
            }
        }
    }
}

//! Writing down what was found, while the database is in trouble.

use std::time::Duration;

use super::{RECOVERY, Worker, chain};
use crate::store::{Lease, StoreError};

impl Worker {
    /// Writes what a step found, tried while the lease lasts: a full disk gets room again, a locked file is let go.
    /// After that the step is done again by whoever claims the lane.
    pub(super) async fn write_down<F: Future<Output = Result<(), StoreError>>>(
        &self,
        lease: &Lease,
        mut write: impl FnMut() -> F,
    ) {
        let mut pause = Duration::from_millis(250);
        loop {
            match write().await {
                Ok(()) => return,
                Err(StoreError::LeaseLost) => {
                    tracing::info!("the lease was lost; nothing is written");
                    return;
                }
                Err(error @ StoreError::Database(_)) if lease.holds_for(pause, self.clock.now_ms()) => {
                    tracing::warn!(error = chain(&error), "what the step found cannot be written down yet");
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "what the step found could not be written down");
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECOVERY);
        }
    }
}

/// Writes down what nobody else knows: tried until it is written.
pub(super) async fn insist<T, F: Future<Output = Result<T, StoreError>>>(mut write: impl FnMut() -> F) -> T {
    let mut pause = Duration::from_millis(50);
    loop {
        match write().await {
            Ok(done) => return done,
            Err(error) => {
                tracing::error!(error = chain(&error), "what was learnt cannot be written down yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

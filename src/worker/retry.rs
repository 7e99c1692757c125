//! Writing down what was found, while the database is in trouble.

use std::time::Duration;

use super::{RECOVERY, Worker, chain};
use crate::store::{Lease, StoreError};

impl Worker {
    /// Writes what a step found, tried while the lease lasts: a full disk gets room again, a locked file is let go.
    /// After that the step is done again by the next holder of the lane.
    ///
    /// # Errors
    /// When the database refuses it for good.
    pub(super) async fn write_down<F: Future<Output = Result<(), StoreError>>>(
        &self,
        lease: &Lease,
        mut write: impl FnMut() -> F,
    ) -> Result<(), StoreError> {
        let mut pause = Duration::from_millis(250);
        loop {
            match write().await {
                Ok(()) => return Ok(()),
                Err(StoreError::LeaseLost) => {
                    tracing::info!("the lease was lost; nothing is written");
                    return Ok(());
                }
                Err(error) if error.is_permanent() => return Err(error),
                Err(error @ StoreError::Database(_)) if lease.holds_for(pause, self.clock.now_ms()) => {
                    tracing::warn!(error = chain(&error), "what the step found cannot be written down yet");
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "what the step found could not be written down");
                    return Ok(());
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECOVERY);
        }
    }
}

/// Writes down what nobody else knows: tried until it is written.
///
/// # Errors
/// When the database refuses it for good.
pub(super) async fn insist<T, F: Future<Output = Result<T, StoreError>>>(
    mut write: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let mut pause = Duration::from_millis(50);
    loop {
        match write().await {
            Err(error) if !error.is_permanent() => {
                tracing::error!(error = chain(&error), "what was learnt cannot be written down yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            written => return written,
        }
    }
}

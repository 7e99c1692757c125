//! Trouble that is waited out.

use std::{collections::HashSet, mem::Discriminant, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{chat::ChatError, health::Part};

/// A run of failures with no success between them: each kind is logged once, and each wait is longer.
#[derive(Default)]
pub(super) struct Spell {
    /// Told how Telegram is doing.
    part: Part,
    failures: u32,
    said: HashSet<Discriminant<ChatError>>,
}

impl Spell {
    pub(super) fn new(part: &Part) -> Spell {
        Spell { part: part.clone(), ..Spell::default() }
    }

    pub(super) async fn wait_out(&mut self, error: &ChatError, stop: &CancellationToken) {
        self.part.fails();
        if self.said.insert(std::mem::discriminant(error)) {
            warn!(%error, "Telegram cannot be received from; trying on");
        }
        let pause = self.pause(error);
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }

    fn pause(&mut self, error: &ChatError) -> Duration {
        let doubled = Duration::from_millis(500 << self.failures.min(7));
        self.failures = self.failures.saturating_add(1);
        match error {
            ChatError::SlowDown(wait) => (*wait).clamp(Duration::from_secs(1), Duration::from_secs(300)),
            // Another program polls, or the token was withdrawn: hurry mends neither.
            ChatError::Refused(_) => Duration::from_secs(30),
            _ => doubled.mul_f64(0.5 + fastrand::f64() / 2.0),
        }
    }

    pub(super) fn end(&mut self) {
        if self.failures > 0 {
            info!("receiving from Telegram again");
        }
        self.part.works();
        *self = Spell::new(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds_and_start_anew() {
        let trouble = ChatError::Trouble("no connection".into());
        let mut spell = Spell::default();
        let pauses: Vec<Duration> = (0..20).map(|_| spell.pause(&trouble)).collect();
        assert!(pauses[0] <= Duration::from_millis(500));
        assert!(pauses[19] >= Duration::from_secs(32) && pauses[19] <= Duration::from_secs(64));
        spell.end();
        assert!(spell.pause(&trouble) <= Duration::from_millis(500));
    }

    #[test]
    fn a_second_poller_is_waited_out_slowly_and_a_given_pause_is_kept() {
        let mut spell = Spell::default();
        let conflict = ChatError::Refused("another program".into());
        assert_eq!(spell.pause(&conflict), Duration::from_secs(30));
        let slow = ChatError::SlowDown(Duration::from_secs(17));
        assert_eq!(spell.pause(&slow), Duration::from_secs(17));
    }
}

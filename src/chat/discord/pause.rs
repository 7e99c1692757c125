//! Pauses between tries that grow, until one lasted.

use std::time::Duration;

use crate::{chat::ChatError, clock::Clock};

/// What lived so long, in milliseconds, is followed by another try without much of a pause.
const LASTED_MS: i64 = 10 * 60_000;
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The pauses of one thing that is tried again and again.
pub(super) struct Pauses {
    next: Duration,
    began: i64,
}

impl Pauses {
    pub(super) fn new() -> Pauses {
        Pauses { next: FIRST, began: 0 }
    }

    /// A try begins.
    pub(super) fn begin(&mut self, clock: &Clock) {
        self.began = clock.now_ms();
    }

    /// The try has failed so: how long to wait before the next.
    pub(super) fn after(&mut self, error: &ChatError, clock: &Clock) -> Duration {
        if clock.now_ms() - self.began > LASTED_MS {
            self.next = FIRST;
        }
        let pause = match error {
            ChatError::SlowDown(asked) => self.next.max(*asked),
            _ => self.next,
        };
        self.next = (self.next * 2).min(LONGEST);
        pause
    }
}

//! Telegram's limits for a bot that writes: 30 messages a second in all (Bot API FAQ, "My bot is hitting limits"), and
//! whatever a 429 says about one chat.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use teloxide::types::ChatId;
use tokio::sync::watch;

/// Messages a second, and those that may go out at once: together below 30 in any second.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(24).expect("not zero");
const AT_ONCE: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// A chat is left alone for an hour at most, whatever a 429 says.
const LONGEST_SILENCE_MS: i64 = 3_600_000;

/// Shared by everything that this process writes as one bot.
pub(super) struct Pace {
    whole: DefaultDirectRateLimiter,
    /// Hands the next message on in the order of arrival.
    queue: tokio::sync::Mutex<()>,
    /// New messages that wait. Edits let them go first.
    waiting: watch::Sender<usize>,
    /// Until when each chat asked to be left alone, in Unix milliseconds.
    silences: Mutex<HashMap<ChatId, i64>>,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace {
            whole: RateLimiter::direct(Quota::per_second(PER_SECOND).allow_burst(AT_ONCE)),
            queue: tokio::sync::Mutex::default(),
            waiting: watch::Sender::new(0),
            silences: Mutex::default(),
        }
    }

    /// Waits until a new message may be sent.
    pub(super) async fn send(&self) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waits = Waits(&self.waiting);
        self.turn().await;
    }

    /// Waits until an edit may be sent.
    pub(super) async fn edit(&self) {
        // The sender lives as long as `self`, so the wait ends by the condition alone.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
        self.turn().await;
    }

    async fn turn(&self) {
        let _first = self.queue.lock().await;
        while let Err(not_yet) = self.whole.check() {
            tokio::time::sleep(not_yet.wait_time_from(DefaultClock::default().now())).await;
        }
    }

    /// How long a chat still asks to be left alone.
    pub(super) fn silence(&self, chat: ChatId, now: i64) -> Option<Duration> {
        let mut silences = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
        silences.retain(|_, until| *until > now);
        silences.get(&chat).map(|until| Duration::from_millis(until.abs_diff(now)))
    }

    /// Leaves a chat alone for as long as a 429 asks for.
    pub(super) fn silence_for(&self, chat: ChatId, wait: Duration, now: i64) {
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).min(LONGEST_SILENCE_MS);
        let until = now.saturating_add(wait);
        self.silences.lock().unwrap_or_else(PoisonError::into_inner).insert(chat, until);
    }
}

/// Counts one message that waits, also when its future is dropped.
struct Waits<'a>(&'a watch::Sender<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_new_message_goes_before_edits_that_wait() {
        let pace = Arc::new(Pace::new());
        for _ in 0..AT_ONCE.get() {
            pace.send().await;
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks = ["edit", "edit", "send", "send"].map(|kind| {
            let (pace, order) = (pace.clone(), order.clone());
            async move {
                match kind {
                    "send" => pace.send().await,
                    _ => pace.edit().await,
                }
                order.lock().unwrap().push(kind);
            }
        });
        // The sends come first in the poll order, as the edits would otherwise find nobody waiting.
        futures::future::join_all(tasks.into_iter().rev()).await;
        assert_eq!(*order.lock().unwrap(), ["send", "send", "edit", "edit"]);
    }

    #[test]
    fn a_silence_ends_by_the_clock() {
        let pace = Pace::new();
        pace.silence_for(ChatId(1), Duration::from_secs(5), 0);
        assert_eq!(pace.silence(ChatId(1), 2_000), Some(Duration::from_secs(3)));
        assert_eq!(pace.silence(ChatId(2), 2_000), None);
        assert_eq!(pace.silence(ChatId(1), 5_000), None);
        pace.silence_for(ChatId(1), Duration::from_secs(u64::from(u32::MAX)), 0);
        assert_eq!(pace.silence(ChatId(1), LONGEST_SILENCE_MS), None);
    }
}

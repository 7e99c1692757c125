//! The current time: from the machine's clock, or from one that a test sets by hand.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

/// A source of the current time in Unix milliseconds. Cheap to clone; all clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<watch::Sender<i64>>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Clock(None)
    }

    /// A clock that shows `now_ms` until [`Clock::set`] changes it.
    pub fn by_hand(now_ms: i64) -> Self {
        Clock(Some(Arc::new(watch::Sender::new(now_ms))))
    }

    /// The current time in Unix milliseconds.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(hands) => *hands.borrow(),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Moves a clock made by [`Clock::by_hand`] forward to `now_ms`. Never moves it back, and never sets the machine's.
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
                // `self` owns the sender, so the channel cannot close during the wait.
                let _ = hands.wait_for(|now| *now >= due_ms).await;
            }
            None => {
                let left = due_ms.saturating_sub(self.now_ms()).max(0);
                tokio::time::sleep(Duration::from_millis(left.unsigned_abs())).await;
            }
        }
    }
}

/// A calendar month, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Month {
    /// Year and month, as `2026-11`.
    pub name: String,
    /// Its first moment, in Unix milliseconds.
    pub begins: i64,
    /// The first moment of the next.
    pub ends: i64,
}

impl Month {
    /// Returns the month that contains `now_ms` (Unix milliseconds).
    pub fn of(now_ms: i64) -> Month {
        let utc = jiff::tz::TimeZone::UTC;
        let date = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(utc.clone()).date();
        let begin = |date: jiff::civil::Date| {
            let zoned = date.first_of_month().to_zoned(utc.clone());
            zoned.map_or(now_ms, |zoned| zoned.timestamp().as_millisecond())
        };
        // The last month of the calendar's range has no successor.
        let next = date.last_of_month().tomorrow().map_or(i64::MAX, begin);
        Month { name: date.strftime("%Y-%m").to_string(), begins: begin(date), ends: next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_utcs_own() {
        let ms = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let december = Month {
            name: "2026-12".to_owned(),
            begins: ms("2026-12-01T00:00:00Z"),
            ends: ms("2027-01-01T00:00:00Z"),
        };
        assert_eq!(Month::of(ms("2026-12-01T00:00:00Z")), december);
        assert_eq!(Month::of(ms("2026-12-31T23:59:59.999Z")), december);
        assert_eq!(Month::of(ms("2028-02-29T12:00:00Z")).ends, ms("2028-03-01T00:00:00Z"));
        Month::of(i64::MIN);
        Month::of(i64::MAX);
    }
}

//! How long a rate limit lasts.

use reqwest::header::HeaderMap;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// The families of limits X reports, and the prefix of their headers.
const FAMILIES: [(Window, &str); 3] = [
    (Window::QuarterHour, "x-rate-limit"),
    (Window::AppDay, "x-app-limit-24hour"),
    (Window::UserDay, "x-user-limit-24hour"),
];

/// Which of X's limits is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The endpoint's 15 minutes.
    QuarterHour,
    /// What the whole app may do in 24 hours.
    AppDay,
    /// What one account may do in 24 hours.
    UserDay,
    /// X did not say.
    Unknown,
}

/// A rate limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub window: Window,
    /// Unix milliseconds, as X said; hence any number.
    resets_at: Option<i64>,
}

impl Limit {
    /// When to try again, in Unix milliseconds: at the reset, yet 1 second to 24 hours from `now_ms`;
    /// after 15 minutes when X named none.
    pub fn until_ms(&self, now_ms: i64) -> i64 {
        let wait = match self.resets_at {
            Some(at) => at.saturating_sub(now_ms).clamp(SECOND, DAY),
            None => 15 * MINUTE,
        };
        now_ms.saturating_add(wait)
    }

    /// Takes the latest reset among the families that are used up: a 24-hour block can come while the
    /// 15-minute window has room.
    pub(super) fn from_headers(headers: &HeaderMap) -> Limit {
        let number = |family: &str, what: &str| number(headers, family, what);
        FAMILIES
            .into_iter()
            .filter(|(_, family)| number(family, "remaining").is_some_and(|left| left <= 0))
            .filter_map(|(window, family)| Some((window, number(family, "reset")?.saturating_mul(SECOND))))
            .max_by_key(|(_, resets_at)| *resets_at)
            .map_or(Limit { window: Window::Unknown, resets_at: None }, |(window, resets_at)| Limit {
                window,
                resets_at: Some(resets_at),
            })
    }
}

fn number(headers: &HeaderMap, family: &str, what: &str) -> Option<i64> {
    headers.get(format!("{family}-{what}"))?.to_str().ok()?.trim().parse().ok()
}

/// What the whole app may still do of one kind in its 24 hours, where X says.
pub(super) fn left_of_app_day(headers: &HeaderMap) -> Option<u32> {
    u32::try_from(number(headers, "x-app-limit-24hour", "remaining")?.max(0)).ok()
}

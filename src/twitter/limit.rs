//! Whom a rate limit concerns, and how long it lasts.

use reqwest::header::HeaderMap;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// The families of limits that concern the account whose token was used, by the prefix of their headers: the
/// endpoint's 15 minutes, and the account's 24 hours.
const ACCOUNT: [&str; 2] = ["x-rate-limit", "x-user-limit-24hour"];
/// What the whole app may do in 24 hours.
const APP: [&str; 1] = ["x-app-limit-24hour"];

/// A rate limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The request that was one too many: its verb and path template.
    pub call: &'static str,
    account: Spent,
    app: Spent,
}

/// Whether a family of limits is used up, and until when: Unix milliseconds as X said, hence any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spent {
    No,
    Until(i64),
    Unsaid,
}

impl Limit {
    /// Until when the account may not make this call, in Unix milliseconds; `None` when the account is not meant.
    pub fn account_until(&self, now_ms: i64) -> Option<i64> {
        self.account.until(now_ms)
    }

    /// Until when nobody may make this call with this app.
    pub fn app_until(&self, now_ms: i64) -> Option<i64> {
        self.app.until(now_ms)
    }

    /// Every family that is used up counts for what it concerns: a 24-hour block can come while the 15-minute
    /// window has room.
    pub(super) fn from_headers(call: &'static str, headers: &HeaderMap) -> Limit {
        Limit { call, account: spent(headers, &ACCOUNT), app: spent(headers, &APP) }
    }
}

impl Spent {
    /// The reset, yet 1 second to 24 hours from `now_ms`; 15 minutes when X names none.
    fn until(self, now_ms: i64) -> Option<i64> {
        let wait = match self {
            Spent::No => return None,
            Spent::Until(at) => at.saturating_sub(now_ms).clamp(SECOND, DAY),
            Spent::Unsaid => 15 * MINUTE,
        };
        Some(now_ms.saturating_add(wait))
    }
}

/// The latest reset among those families that are used up.
fn spent(headers: &HeaderMap, families: &[&str]) -> Spent {
    let number = |family: &str, what: &str| number(headers, family, what);
    let used_up = families.iter().filter(|family| number(family, "remaining").is_some_and(|left| left <= 0));
    let resets: Vec<Option<i64>> = used_up.map(|family| number(family, "reset")).collect();
    match resets.iter().flatten().max() {
        Some(at) => Spent::Until(at.saturating_mul(SECOND)),
        None if resets.is_empty() => Spent::No,
        None => Spent::Unsaid,
    }
}

fn number(headers: &HeaderMap, family: &str, what: &str) -> Option<i64> {
    headers.get(format!("{family}-{what}"))?.to_str().ok()?.trim().parse().ok()
}

/// What the whole app may do of one kind in its 24 hours, as X said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppDay {
    pub total: u32,
    pub remaining: u32,
    /// When it has all of it again, in Unix milliseconds: at most 24 hours away.
    pub resets_at: i64,
}

impl AppDay {
    pub(super) fn from_headers(headers: &HeaderMap, now_ms: i64) -> Option<AppDay> {
        let of = |what| number(headers, APP[0], what);
        let count = |value: i64| u32::try_from(value.max(0)).ok();
        Some(AppDay {
            total: count(of("limit")?)?,
            remaining: left_of_app_day(headers)?,
            resets_at: Spent::Until(of("reset")?.saturating_mul(SECOND)).until(now_ms)?,
        })
    }
}

/// What the whole app may still do of one kind in its 24 hours, where X says.
pub(super) fn left_of_app_day(headers: &HeaderMap) -> Option<u32> {
    u32::try_from(number(headers, APP[0], "remaining")?.max(0)).ok()
}

//! Scope and duration of a rate limit.

use reqwest::header::{DATE, HeaderMap};

const SECOND: i64 = 1_000;
const DAY: i64 = 24 * 3_600 * SECOND;

/// The families of limits that concern the account whose token was used, by the prefix of their headers: the
/// endpoint's 15 minutes, and the account's 24 hours.
const ACCOUNT: [&str; 2] = ["x-rate-limit", "x-user-limit-24hour"];
/// The limits that concern the whole app, by the prefix of their headers: its 24 hours.
const APP: [&str; 1] = ["x-app-limit-24hour"];

/// A rate limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The refused request: its verb and path template.
    pub call: &'static str,
    account: Spent,
    app: Spent,
}

/// State of a family of limits, as an answer from X shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spent {
    No,
    /// Used up until `reset`, which may be any number. X answered at `said_at`. Both are Unix milliseconds by X's
    /// clock.
    Until {
        reset: i64,
        said_at: Option<i64>,
    },
    /// Used up; X does not name the end.
    Unsaid,
}

/// End of a closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopens {
    /// Unix milliseconds by our clock, at most 24 hours away.
    At(i64),
    /// X names no time, or a past one.
    Unsaid,
}

impl Reopens {
    /// The time, if X named one.
    pub fn at(self) -> Option<i64> {
        match self {
            Reopens::At(at) => Some(at),
            Reopens::Unsaid => None,
        }
    }
}

impl Limit {
    /// Time when the account may make this call again; `None` if the limit does not concern the account.
    pub fn account(&self, now_ms: i64) -> Option<Reopens> {
        self.account.reopens(now_ms)
    }

    /// Time when the app may make this call again for any account; `None` if the limit does not concern the app.
    pub fn app(&self, now_ms: i64) -> Option<Reopens> {
        self.app.reopens(now_ms)
    }

    /// Reads every family of limits, since a 24-hour limit can be used up while the 15-minute window still has room.
    pub(super) fn from_headers(call: &'static str, headers: &HeaderMap) -> Limit {
        Limit { call, account: spent(headers, &ACCOUNT), app: spent(headers, &APP) }
    }
}

impl Spent {
    /// Computes the end by our clock. `reset` and `said_at` come from X's clock, so their difference is right even if
    /// our clock is wrong.
    fn reopens(self, now_ms: i64) -> Option<Reopens> {
        let wait = match self {
            Spent::No => return None,
            Spent::Until { reset, said_at } => reset.saturating_sub(said_at.unwrap_or(now_ms)),
            Spent::Unsaid => 0,
        };
        Some(match wait {
            1.. => Reopens::At(now_ms.saturating_add(wait.clamp(SECOND, DAY))),
            // A reset in the past would make the caller retry at once, in a loop of refusals.
            _ => Reopens::Unsaid,
        })
    }
}

/// Builds the state from a reset time in epoch seconds.
fn until(at: i64, headers: &HeaderMap) -> Spent {
    Spent::Until { reset: at.saturating_mul(SECOND), said_at: said_at(headers) }
}

/// The time at X, from its `Date` header (RFC 9110 section 6.6.1).
fn said_at(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_millisecond())
}

/// The latest reset among those families that are used up.
fn spent(headers: &HeaderMap, families: &[&str]) -> Spent {
    let number = |family: &str, what: &str| number(headers, family, what);
    let used_up = families.iter().filter(|family| number(family, "remaining").is_some_and(|left| left <= 0));
    let resets: Vec<Option<i64>> = used_up.map(|family| number(family, "reset")).collect();
    match resets.iter().flatten().max() {
        Some(at) => until(*at, headers),
        None if resets.is_empty() => Spent::No,
        None => Spent::Unsaid,
    }
}

fn number(headers: &HeaderMap, family: &str, what: &str) -> Option<i64> {
    headers.get(format!("{family}-{what}"))?.to_str().ok()?.trim().parse().ok()
}

/// The app's 24-hour limit for one kind of call, as X last reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppDay {
    pub total: u32,
    pub remaining: u32,
    /// Time when the limit is full again, in Unix milliseconds; at most 24 hours away.
    pub resets_at: i64,
}

impl AppDay {
    pub(super) fn from_headers(headers: &HeaderMap, now_ms: i64) -> Option<AppDay> {
        let of = |what| number(headers, APP[0], what);
        let count = |value: i64| u32::try_from(value.max(0)).ok();
        Some(AppDay {
            total: count(of("limit")?)?,
            remaining: left_of_app_day(headers)?,
            resets_at: until(of("reset")?, headers).reopens(now_ms)?.at()?,
        })
    }
}

/// Remaining calls of one kind for the whole app in its 24 hours, if X reports them.
pub(super) fn left_of_app_day(headers: &HeaderMap) -> Option<u32> {
    u32::try_from(number(headers, APP[0], "remaining")?.max(0)).ok()
}

//! How often one caller may ask.

use std::{
    collections::HashMap,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};

use crate::{
    account::{Person, PersonRef},
    web::error::{Problem, Refusal},
};

/// Requests at once, after which they come back one by one.
const BURST: NonZeroU32 = NonZeroU32::new(300).unwrap();
/// Requests that come back each minute.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(1_200).unwrap();
/// Callers that were not heard of lately are forgotten each so many requests.
const TIDY_EVERY: u64 = 1_000;

/// Counts the requests of each person, by whatever token or browser they come.
pub(in crate::web) struct Limits {
    limiter: RateLimiter<PersonRef, HashMapStateStore<PersonRef>, DefaultClock, StateInformationMiddleware>,
    taken: AtomicU64,
}

impl Default for Limits {
    fn default() -> Self {
        let quota = Quota::per_minute(PER_MINUTE).allow_burst(BURST);
        Limits { limiter: RateLimiter::keyed(quota).with_middleware(), taken: AtomicU64::new(0) }
    }
}

/// A request that may go on, and how many more may.
pub(super) struct Pass {
    left: u32,
}

/// One request too many.
pub(super) struct TooMany {
    seconds: u64,
}

impl Limits {
    /// Takes one request off those that a person may send.
    pub(super) fn take(&self, person: &Person) -> Result<Pass, TooMany> {
        if self.taken.fetch_add(1, Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(&PersonRef::from(person)) {
            Ok(state) => Ok(Pass { left: state.remaining_burst_capacity() }),
            Err(until) => Err(TooMany { seconds: seconds(&until) }),
        }
    }
}

/// Wrong tokens that one address may send within [`WRONG_TOKENS_SPAN`].
const MAX_WRONG_TOKENS: u32 = 60;
const WRONG_TOKENS_SPAN: Duration = Duration::from_secs(60);
/// Addresses remembered at once. When there are more, those whose span is over are forgotten, or else all: a guess costs
/// a query then, which is less than memory without end.
const MAX_ADDRESSES: usize = 10_000;

/// Counts the wrong tokens of each address, so that guessing costs no database query.
#[derive(Default)]
pub(in crate::web) struct WrongTokens {
    by_address: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl WrongTokens {
    /// Tells whether an address has sent too many of late.
    pub(super) fn are_too_many(&self, client: IpAddr) -> bool {
        let by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        by_address
            .get(&client)
            .is_some_and(|(since, count)| since.elapsed() < WRONG_TOKENS_SPAN && *count >= MAX_WRONG_TOKENS)
    }

    pub(super) fn count(&self, client: IpAddr) {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if by_address.len() >= MAX_ADDRESSES {
            by_address.retain(|_, (since, _)| since.elapsed() < WRONG_TOKENS_SPAN);
            if by_address.len() >= MAX_ADDRESSES {
                by_address.clear();
            }
        }
        let (since, count) = by_address.entry(client).or_insert((Instant::now(), 0));
        if since.elapsed() >= WRONG_TOKENS_SPAN {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
    }
}

fn seconds(until: &NotUntil<<DefaultClock as Clock>::Instant>) -> u64 {
    let wait = until.wait_time_from(DefaultClock::default().now());
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// `RateLimit-Policy` and `RateLimit` as in the IETF's draft-ietf-httpapi-ratelimit-headers, version 10.
fn tell(mut response: Response, left: u32, wait: u64) -> Response {
    let policy = format!("\"requests\";q={BURST};w={}", 60 * BURST.get() / PER_MINUTE.get());
    let state = format!("\"requests\";r={left};t={wait}");
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

impl Pass {
    /// Says in the answer how many more requests may come.
    pub(super) fn told(self, response: Response) -> Response {
        tell(response, self.left, if self.left == 0 { 1 } else { 0 })
    }
}

impl IntoResponse for TooMany {
    fn into_response(self) -> Response {
        let mut response = tell(Problem::from(Refusal::TOO_MANY_REQUESTS).into_response(), 0, self.seconds);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.seconds));
        response
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn wrong_tokens_from_everywhere_take_bounded_memory() {
        let wrong = WrongTokens::default();
        let addresses = (0..25_000_u128).map(|number| IpAddr::from(Ipv6Addr::from(number)));
        for address in addresses {
            wrong.count(address);
            assert!(wrong.by_address.lock().unwrap().len() <= MAX_ADDRESSES);
        }
        let last = IpAddr::from(Ipv6Addr::from(24_999_u128));
        for _ in 0..MAX_WRONG_TOKENS {
            wrong.count(last);
        }
        assert!(wrong.are_too_many(last));
    }
}

//! How often one caller may ask.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
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

use crate::web::error::{Problem, Refusal};

/// Requests at once, after which they come back one by one.
const BURST: NonZeroU32 = NonZeroU32::new(300).unwrap();
/// Requests that come back each minute.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(1_200).unwrap();
/// Callers that were not heard of lately are forgotten each so many requests.
const TIDY_EVERY: u64 = 1_000;

/// Counts the requests of each caller.
pub(in crate::web) struct Limits {
    limiter: RateLimiter<String, HashMapStateStore<String>, DefaultClock, StateInformationMiddleware>,
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
    /// Takes one request off what `caller` may ask.
    pub(super) fn take(&self, caller: &str) -> Result<Pass, TooMany> {
        if self.taken.fetch_add(1, Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(&caller.to_owned()) {
            Ok(state) => Ok(Pass { left: state.remaining_burst_capacity() }),
            Err(until) => Err(TooMany { seconds: seconds(&until) }),
        }
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

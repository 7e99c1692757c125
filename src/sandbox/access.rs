//! Authorisation of calls: the bearer token, its scopes, and the limits per user.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    answer::Answer,
    fault::Call,
    state::{X, epoch_secs},
};

/// Length of X's windows.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Length of those that concern the whole app.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The user a request was accepted for.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) user_id: String,
}

/// Requests of one kind by one user in the current window.
pub(super) struct Window {
    opened: SystemTime,
    used: u32,
}

/// Requirements of a call: scopes from X's OpenAPI, requests per user and window from
/// docs.x.com/x-api/fundamentals/rate-limits.
fn needs(call: Call) -> (&'static [&'static str], u32) {
    match call {
        Call::Me => (&["tweet.read", "users.read"], 75),
        Call::Timeline => (&["tweet.read", "users.read"], 900),
        Call::CreatePost => (&["tweet.read", "tweet.write", "users.read"], 100),
        Call::Initialize | Call::Append | Call::Finalize => (&["media.write"], 1_875),
        Call::Status => (&["media.write"], 1_000),
        Call::Metadata => (&["media.write"], 500),
        // The OAuth endpoints know their clients by other means.
        Call::Token | Call::Refresh | Call::Revoke => (&[], u32::MAX),
    }
}

/// Lets only a good token through, and writes the limits on every answer.
pub(super) async fn check(State(x): State<Arc<X>>, mut request: Request, next: Next) -> Response {
    let Some(call) = request.extensions().get::<Call>().copied() else {
        // A known path with a method X does not have there: the router answers 405.
        return next.run(request).await;
    };
    let (scopes, limit) = needs(call);
    let caller = match caller(&x, request.headers(), scopes) {
        Ok(caller) => caller,
        Err(answer) => return answer.into_response(),
    };
    let (used, reset) = count(&x, call, &caller.user_id, WINDOW);
    let of_app = x.settings.app_day.iter().find(|(of, _)| *of == call).map(|(_, limit)| {
        let (used, reset) = count(&x, call, "", DAY);
        (*limit, used, reset)
    });
    let spent = of_app.is_some_and(|(limit, used, _)| used > limit);
    let mut response = if spent || x.settings.enforce_rate_limits && used > limit {
        Answer::too_many_requests().into_response()
    } else {
        request.extensions_mut().insert(caller.clone());
        next.run(request).await
    };
    let remaining = if x.settings.enforce_rate_limits { limit.saturating_sub(used) } else { limit };
    let headers = response.headers_mut();
    headers.insert("x-rate-limit-limit", HeaderValue::from(limit));
    headers.insert("x-rate-limit-remaining", HeaderValue::from(remaining));
    headers.insert("x-rate-limit-reset", HeaderValue::from(reset));
    if let Some((limit, used, reset)) = of_app {
        headers.insert("x-app-limit-24hour-limit", HeaderValue::from(limit));
        headers.insert("x-app-limit-24hour-remaining", HeaderValue::from(limit.saturating_sub(used)));
        headers.insert("x-app-limit-24hour-reset", HeaderValue::from(reset));
    }
    response.extensions_mut().insert(caller);
    response
}

fn caller(x: &X, headers: &HeaderMap, scopes: &[&str]) -> Result<Caller, Answer> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(Answer::unauthorized)?;
    let now = x.now();
    let world = x.world();
    let grant = world
        .grants
        .iter()
        .find(|grant| grant.access.as_deref() == Some(token) && now < grant.access_expires)
        .ok_or_else(Answer::unauthorized)?;
    if world.user(&grant.user_id).is_none_or(|user| user.suspended) {
        return Err(Answer::suspended());
    }
    let granted = |scope: &&str| grant.scope.split(' ').any(|granted| granted == *scope);
    if !scopes.iter().all(granted) {
        return Err(Answer::forbidden());
    }
    Ok(Caller { user_id: grant.user_id.clone() })
}

/// Counts the request: how many there were in this window, and when it ends in epoch seconds.
fn count(x: &X, call: Call, user: &str, length: Duration) -> (u32, u64) {
    let now = x.now();
    let mut world = x.world();
    let window = world.windows.entry((call, user.to_owned())).or_insert(Window { opened: now, used: 0 });
    if now >= window.opened + length {
        *window = Window { opened: now, used: 0 };
    }
    window.used += 1;
    (window.used, epoch_secs(window.opened + length))
}

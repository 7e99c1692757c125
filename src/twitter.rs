//! X's API, version 2: signing in, uploading a video, posting it, and finding it again.
//!
//! Every request leaves through [`send`]. Nothing here repeats a request or follows a redirect: what a failure
//! means for the next attempt is in the error, and the caller decides.

mod error;
mod limit;
mod media;
mod metadata;
mod oauth;
mod posts;
#[cfg(test)]
mod tests;
mod users;
mod watched;

pub use error::XError;
pub use limit::{AppDay, Limit, Reopens};
pub use media::{Media, MediaStatus, Processing, ProcessingError};
pub use oauth::{Authorize, Insufficient, OAuthError};
pub use posts::CreateError;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::{Client, RequestBuilder, Response, StatusCode, header::HeaderMap, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use url::Url;

use crate::{config, network};

/// Timeout of a call that carries no video. A shutdown waits 17 seconds, so it does not cut off a creation or a
/// token refresh.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest accepted answer; a page of 100 posts is far smaller.
const ANSWER_LIMIT: usize = 1024 * 1024;
/// Number of bytes read of an error's body.
const PROBLEM_LIMIT: usize = 64 * 1024;

/// The requests made with an account's token, as the log and X's limits name them.
pub mod call {
    pub const INITIALIZE: &str = "POST /2/media/upload/initialize";
    pub const APPEND: &str = "POST /2/media/upload/{id}/append";
    pub const FINALIZE: &str = "POST /2/media/upload/{id}/finalize";
    pub const STATUS: &str = "GET /2/media/upload";
    pub const METADATA: &str = "POST /2/media/metadata";
    pub const CREATE: &str = "POST /2/tweets";
    pub const TIMELINE: &str = "GET /2/users/{id}/tweets";
    pub const ME: &str = "GET /2/users/me";
}

/// A client of X for one app. Clones share connections.
#[derive(Clone)]
pub struct X {
    http: Client,
    settings: Arc<config::Twitter>,
    redirect_uri: Url,
    /// Timeout of a call that carries no video.
    patience: Duration,
    /// Time after which an upload without progress fails.
    stall: Duration,
    /// The newest headers about the app's 24-hour limits, by call.
    days: Arc<Mutex<HashMap<&'static str, HeaderMap>>>,
}

/// The settings do not make a valid client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{0} is not a web address that paths can be added to")]
    Address(&'static str),
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

impl X {
    /// Makes a client without opening a connection. `redirect_uri` must match the one registered with the app exactly.
    pub fn new(settings: &config::Twitter, redirect_uri: Url) -> Result<X, SetupError> {
        for (name, url) in [("twitter.api_url", &settings.api_url), ("twitter.web_url", &settings.web_url)] {
            if url.cannot_be_a_base() {
                return Err(SetupError::Address(name));
            }
        }
        // HTTP/1.1 gives each parallel chunk its own connection, and so its own congestion window. X may already have
        // closed a connection that was idle for long; a post lost on it would have an unknown outcome.
        let http = network::client();
        // By default the system ends a connection after 30 seconds without progress, but it does not count the small
        // steps of a slow line as progress. `watched` watches uploads instead.
        #[cfg(target_os = "linux")]
        let http = http.tcp_user_timeout(None::<Duration>);
        let http = http
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(20))
            .user_agent(concat!("toall/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(SetupError::Client)?;
        Ok(X {
            http,
            settings: Arc::new(settings.clone()),
            redirect_uri,
            patience: CALL_TIMEOUT,
            stall: media::STALL,
            days: Arc::default(),
        })
    }

    /// Returns the newest 24-hour limit of the app that X sent to this process, for calls that create a post or append
    /// a segment. `None` if X sent nothing new since the previous call of this function.
    pub fn app_day(&self, call: &'static str, now_ms: i64) -> Option<AppDay> {
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        AppDay::from_headers(&days.remove(call)?, now_ms)
    }

    fn heard(&self, answer: &Answer) {
        if limit::left_of_app_day(&answer.headers).is_some() {
            let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
            days.insert(answer.call, answer.headers.clone());
        }
    }

    /// URL of an API path; each segment is escaped.
    fn at(&self, path: &[&str]) -> Url {
        extended(&self.settings.api_url, path)
    }

    fn get(&self, url: Url, access: &SecretString) -> RequestBuilder {
        self.http.get(url).bearer_auth(access.expose_secret()).timeout(self.patience)
    }

    fn post(&self, url: Url, access: &SecretString) -> RequestBuilder {
        self.http.post(url).bearer_auth(access.expose_secret()).timeout(self.patience)
    }
}

/// Appends path segments to `base`; a trailing slash of `base` makes no difference.
fn extended(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// An answer from X, read completely.
struct Answer {
    /// Verb and path template, for the log and for errors whose meaning depends on the endpoint.
    call: &'static str,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Sends a request and reads the answer, whatever its status. Every request to X goes through here.
///
/// Logs what X's support asks for, but no text by a person and no secret.
async fn send(call: &'static str, request: RequestBuilder) -> Result<Answer, XError> {
    let began = Instant::now();
    let count = |status: &str| {
        metrics::counter!("toall_x_requests_total", "call" => call, "status" => status.to_owned())
            .increment(1);
    };
    let unreachable = |error: reqwest::Error| {
        let error = error.without_url();
        tracing::debug!(call, %error, "no answer from X");
        XError::Unreachable(error)
    };
    let mut response = request.send().await.map_err(|error| {
        count("none");
        unreachable(error)
    })?;
    let status = response.status();
    let headers = response.headers().clone();
    metrics::histogram!("toall_x_request_seconds", "call" => call).record(began.elapsed());
    count(status.as_str());
    let id = |name| headers.get(name).and_then(|value| value.to_str().ok());
    tracing::debug!(
        call,
        status = status.as_u16(),
        transaction = id("x-transaction-id"),
        ray = id("cf-ray"),
        "X answered"
    );

    let limit = if status.is_success() { ANSWER_LIMIT } else { PROBLEM_LIMIT };
    let body = match read(&mut response, limit).await {
        Ok(Some(body)) => body,
        // If the explanation of a refusal is lost or too long, its status is enough to sort it.
        Ok(None) | Err(_) if !status.is_success() => Vec::new(),
        Ok(None) => return Err(XError::Garbled("it is too long")),
        Err(error) => return Err(unreachable(error)),
    };
    Ok(Answer { call, status, headers, body })
}

/// Reads the body; `None` if it exceeds `limit` bytes.
async fn read(response: &mut Response, limit: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

impl Answer {
    /// Returns the answer if its status is a success.
    fn accepted(self) -> Result<Answer, XError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(error::sort(self.call, self.status, &self.headers, &self.body))
    }

    /// Returns the `data` of an accepted answer. A 2xx may contain `errors` instead
    /// (docs.x.com, x-api/fundamentals/response-codes-and-errors).
    fn data<T: DeserializeOwned>(&self) -> Result<T, XError> {
        #[derive(Deserialize)]
        struct Envelope<T> {
            data: Option<T>,
        }
        match serde_json::from_slice::<Envelope<T>>(&self.body) {
            Ok(Envelope { data: Some(data) }) => Ok(data),
            Ok(Envelope { data: None }) => Err(error::sort_partial(self.call, &self.headers, &self.body)),
            // serde's message may quote the body.
            Err(_) => Err(XError::Garbled("it is not of the documented shape")),
        }
    }
}

/// Parses an id of X: digits, kept as text because they exceed 2^53.
fn id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let id = String::deserialize(from)?;
    if id.is_empty() || id.len() > 20 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(serde::de::Error::custom("not an id"));
    }
    Ok(id)
}

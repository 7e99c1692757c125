//! The HTTP face: the return from X's consent page, the API, and what operators ask.

mod accounts;
mod api;
mod assets;
mod error;
mod health;
mod oauth;
mod pages;
mod prometheus;
mod reach;
mod server;
mod session;
mod shares;
mod sign_in;
mod staging;
#[cfg(test)]
mod tests;
mod upload;
mod webhooks;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};
use tracing::Instrument;
use url::Url;
use uuid::Uuid;

use crate::{
    health::Health,
    intake::Intake,
    staging::{Staging, embedded::Door},
};
use error::{ErrorPage, Problem, Refusal};
use server::ClientAddress;

pub use prometheus::{install_recorder, serve_metrics};
pub use reach::{REACH_BYTES, REACH_HEADER, REACH_OWNER, REACH_PATH, reach_router};
pub use server::{ServerLimits, serve};
pub use webhooks::Door as ChatDoor;

/// The longest request body read, in bytes: a form of ours is far below.
const MAX_BODY: usize = 16 * 1024;

/// What the web part works with. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    pub intake: Intake,
    pub staging: Staging,
    /// The way into the embedded storage, when that is used.
    pub door: Option<Door>,
    /// Where chats bring what people ask.
    pub chats: Vec<ChatDoor>,
    /// How the parts of this process are doing.
    pub health: Health,
    /// How browsers reach this part. A proxy that serves it under a path takes that path off.
    pub public_url: Url,
    /// Ends what would otherwise stay open.
    pub stop: CancellationToken,
}

/// What every handler shares.
struct Site {
    intake: Intake,
    parts: health::Parts,
    limits: api::Limits,
    wrong_tokens: api::WrongTokens,
    /// Files that people are sending to the embedded storage, by the key of their users.
    sending: shares::Shares<String>,
    streams: api::Streams,
    door: Option<Door>,
    public_url: Url,
    stop: CancellationToken,
    /// What a path needs in front to be reached by browsers; empty, or `/some/path`.
    base: String,
    /// The origin of our pages, as browsers name it (RFC 6454).
    public_origin: String,
}

/// All routes.
pub fn router(web: Web) -> Router {
    let site = Arc::new(Site {
        parts: health::Parts::new(&web.intake, web.staging, web.chats.clone(), web.health),
        limits: api::Limits::default(),
        wrong_tokens: api::WrongTokens::default(),
        sending: shares::Shares::new(staging::MAX_SENDING_PER_PERSON),
        streams: api::Streams::default(),
        door: web.door,
        stop: web.stop,
        base: web.public_url.path().trim_end_matches('/').to_owned(),
        public_origin: web.public_url.origin().ascii_serialization(),
        public_url: web.public_url,
        intake: web.intake,
    });
    let api = api::router(&site);
    let chats = webhooks::router(web.chats);
    let staging = staging::router(&site);
    let reach = reach::reach_router(site.intake.store.vault());
    let pages = Router::new()
        .route("/", get(|| async { pages::start() }))
        // A HEAD would use up the code without showing anybody the question.
        .route(
            "/api/social/callback",
            get(oauth::returned)
                .head(|| async { ([(header::ALLOW, "GET,POST")], ErrorPage(Refusal::METHOD)) })
                .post(oauth::confirm),
        )
        .route("/api/social/callback/refuse", post(oauth::refuse))
        .route("/upload", get(upload::show))
        .route("/upload/{ticket}", get(sign_in::upload).post(sign_in::enter_upload))
        .route("/accounts", get(accounts::show).post(accounts::act))
        .route("/accounts/link", get(accounts::link))
        .route("/accounts/{ticket}", get(sign_in::accounts).post(sign_in::enter_accounts))
        .route("/sign-out", post(sign_in::leave))
        .route("/assets/{edition}/{name}", get(assets::file).layer(CompressionLayer::new()))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(|| async { ErrorPage(Refusal::METHOD) })
        .fallback(missing)
        .layer(CatchPanicLayer::custom(|_| ErrorPage(Refusal::OUR_FAULT).into_response()));
    api.merge(pages.layer(DefaultBodyLimit::max(MAX_BODY)))
        .merge(staging)
        .merge(reach)
        .merge(chats)
        .layer(middleware::from_fn(guard))
        .layer(middleware::from_fn(observe))
        .with_state(site)
}

async fn missing(uri: Uri) -> Response {
    match uri.path().starts_with("/api/") {
        true => Problem::from(Refusal::NO_ROUTE).into_response(),
        false => ErrorPage(Refusal::NO_ROUTE).into_response(),
    }
}

/// Headers that every answer carries. Pages bring a wider policy of their own.
async fn guard(request: Request, next: Next) -> Response {
    const GUARDS: [(HeaderName, &str); 5] = [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in GUARDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

/// Names each request, logs it and counts it.
///
/// Only the route's pattern is told: queries hold codes and states, and paths may hold tickets.
async fn observe(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let client = request.extensions().get::<ClientAddress>().map(|client| client.address);
    let span = tracing::info_span!("http", id, method, route, client = client.map(tracing::field::display));
    let began = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;

    let (status, took) = (response.status(), began.elapsed());
    span.in_scope(|| tracing::debug!(status = status.as_u16(), ms = took.as_millis(), "answered"));
    let labels = [("method", method.to_owned()), ("route", route)];
    metrics::histogram!("toall_http_request_seconds", &labels).record(took);
    let [method, route] = labels;
    let labels = [method, route, ("status", status.as_str().to_owned())];
    metrics::counter!("toall_http_requests_total", &labels).increment(1);
    // Hyphenated hexadecimal is a valid header value.
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

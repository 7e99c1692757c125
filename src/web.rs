//! The HTTP face: the return from X's consent page, the API, and what operators ask.

mod api;
mod error;
mod oauth;
mod ops;
mod pages;
mod prometheus;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use url::Url;
use uuid::Uuid;

use crate::{intake::Intake, staging::Staging};
use error::{ErrorPage, Problem, Refusal};

pub use prometheus::{install_recorder, serve_metrics};
pub use server::serve;

/// The longest request body read, in bytes: a form of ours is far below.
const MAX_BODY: usize = 16 * 1024;

/// What the web part works with. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    pub intake: Intake,
    pub staging: Staging,
    /// How browsers reach this part. A proxy that serves it under a path takes that path off.
    pub public_url: Url,
}

/// What every handler shares.
struct Site {
    intake: Intake,
    readiness: ops::Readiness,
    /// What a path needs in front to be reached by browsers; empty, or `/some/path`.
    base: String,
}

/// All routes.
pub fn router(web: Web) -> Router {
    let site = Arc::new(Site {
        readiness: ops::Readiness::new(web.intake.store.clone(), web.staging),
        base: web.public_url.path().trim_end_matches('/').to_owned(),
        intake: web.intake,
    });
    let api = Router::new()
        .route("/api/social/connect/twitter", get(api::connect))
        .route("/api/social/accounts", get(api::accounts))
        .route("/api/social/accounts/{account_id}", delete(api::disconnect))
        .method_not_allowed_fallback(|| async { Problem(Refusal::METHOD) })
        .layer(CatchPanicLayer::custom(|_| Problem(Refusal::OUR_FAULT).into_response()));
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
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ops::ready))
        .method_not_allowed_fallback(|| async { ErrorPage(Refusal::METHOD) })
        .fallback(missing)
        .layer(CatchPanicLayer::custom(|_| ErrorPage(Refusal::OUR_FAULT).into_response()));
    api.merge(pages)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(guard))
        .layer(middleware::from_fn(observe))
        .with_state(site)
}

async fn missing(uri: Uri) -> Response {
    match uri.path().starts_with("/api/") {
        true => Problem(Refusal::NO_ROUTE).into_response(),
        false => ErrorPage(Refusal::NO_ROUTE).into_response(),
    }
}

/// Headers that every answer carries. Pages bring a wider policy of their own.
async fn guard(request: Request, next: Next) -> Response {
    const GUARDS: [(HeaderName, &str); 6] = [
        (header::CACHE_CONTROL, "no-store"),
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
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let span = tracing::info_span!("http", id, method, route);
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

//! The API for programs that act for a person, by a token the person made in chat, and for our own pages.

mod accounts;
mod caller;
mod caption;
mod events;
mod json;
mod openapi;
mod options;
mod posts;
mod refusals;
mod status;
mod throttle;
mod uploads;

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::DefaultBodyLimit, middleware, response::IntoResponse, routing::get};
use jiff::Timestamp;
use tower_http::{catch_panic::CatchPanicLayer, timeout::RequestBodyTimeoutLayer};
use utoipa::openapi::Server;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Site,
    error::{Problem, Refusal},
};

pub(super) use events::Streams;
pub(super) use throttle::{Limits, WrongTokens};

/// The longest request body read, in bytes: the longest text taken, each character escaped, with room to spare.
const MAX_BODY: usize = 512 * 1024;
/// How long a body may bring nothing.
const BODY_IDLE: Duration = Duration::from_secs(15);

/// The routes of the API, each with its description.
pub(super) fn router(site: &Arc<Site>) -> Router<Arc<Site>> {
    let (routes, mut description) = described().split_for_parts();
    // Programs that read the description call the paths below this.
    description.servers = Some(vec![Server::new(site.public_url.as_str().trim_end_matches('/'))]);
    let description = Arc::new(description);
    routes
        .route_layer(middleware::from_fn_with_state(site.clone(), caller::admit))
        .route(openapi::PATH, get(move || async move { openapi::shown(&description) }))
        .method_not_allowed_fallback(|| async { Problem::from(Refusal::METHOD) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(RequestBodyTimeoutLayer::new(BODY_IDLE))
        .layer(CatchPanicLayer::custom(|_| Problem::from(Refusal::OUR_FAULT).into_response()))
}

/// Whatever is registered here is described, and the other way round.
fn described() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(accounts::connect))
        .routes(routes!(accounts::accounts))
        .routes(routes!(accounts::disconnect))
        .routes(routes!(uploads::begin))
        .routes(routes!(uploads::sign_parts, uploads::parts_done))
        .routes(routes!(uploads::complete))
        .routes(routes!(uploads::discard))
        .routes(routes!(posts::post))
        .routes(routes!(posts::recent))
        .routes(routes!(posts::cancel))
        .routes(routes!(posts::retry))
        .routes(routes!(posts::confirm))
        .routes(routes!(posts::post_again))
        .routes(routes!(status::status))
        .routes(routes!(events::events))
        .routes(routes!(caption::count))
}

/// What most calls come to.
type Answer<T> = Result<Json<T>, Problem>;

/// A moment in Unix milliseconds, as RFC 3339. Only a clock centuries off leaves the range.
fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

//! Where chats bring what people ask: Telegram's webhook and Discord's interactions endpoint.
//!
//! Anybody can call these. Who does not show that it is the chat gets a bare 401, and nothing is done.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;

use crate::chat::{
    Inbox,
    discord::{Answer, Discord},
    telegram::Telegram,
};

/// The longest update read, in bytes; a message with what it replies to stays far below.
const MAX_UPDATE: usize = 1024 * 1024;
/// The longest interaction read, in bytes: its signature can be looked at only once it is there, so this is what
/// anybody can make us keep.
const MAX_INTERACTION: usize = 256 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A way in, with where what comes in goes.
#[derive(Clone)]
pub enum Door {
    /// `POST /telegram/webhook`.
    Telegram(Telegram, Inbox),
    /// `POST /discord/interactions`.
    Discord(Discord, Inbox),
}

impl Door {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Door::Telegram(..) => "telegram",
            Door::Discord(..) => "discord",
        }
    }

    /// Whether this process has learnt from the chat what it must know to take anything.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Door::Telegram(telegram, _) => telegram.is_open(),
            Door::Discord(discord, _) => discord.is_open(),
        }
    }
}

pub(super) fn router<S: Clone + Send + Sync + 'static>(doors: Vec<Door>) -> Router<S> {
    let open = |door| match door {
        Door::Telegram(telegram, inbox) => Router::new()
            .route("/telegram/webhook", post(update))
            .layer(DefaultBodyLimit::max(MAX_UPDATE))
            .with_state((telegram, inbox)),
        Door::Discord(discord, inbox) => Router::new()
            .route("/discord/interactions", post(interaction))
            .layer(DefaultBodyLimit::max(MAX_INTERACTION))
            .with_state((discord, inbox)),
    };
    let routes = doors.into_iter().map(open).fold(Router::new(), Router::merge);
    routes.layer(CatchPanicLayer::new())
}

/// Telegram counts an update as received when it is answered with a 2xx, and brings it again otherwise. So 200 follows
/// what is stored, and also what nobody could ever read.
async fn update(State((telegram, inbox)): State<(Telegram, Inbox)>, request: Request) -> StatusCode {
    let shown = request.headers().get("x-telegram-bot-api-secret-token");
    if !shown.is_some_and(|secret| telegram.sent(secret.as_bytes())) {
        return StatusCode::UNAUTHORIZED;
    }
    let update = match whole(request).await {
        Ok(update) => update,
        Err(StatusCode::PAYLOAD_TOO_LARGE) => {
            tracing::warn!("Telegram sent something longer than any message; left out");
            return StatusCode::OK;
        }
        Err(status) => return status,
    };
    match telegram.receive(&update, &inbox).await {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn interaction(State((discord, inbox)): State<(Discord, Inbox)>, request: Request) -> Response {
    let headers = request.headers().clone();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(signature), Some(timestamp)) = (text("x-signature-ed25519"), text("x-signature-timestamp"))
    else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let body = match whole(request).await {
        Ok(body) => body,
        Err(status) => return status.into_response(),
    };
    match discord.receive(signature, timestamp, &body, &inbox) {
        Answer::Pong => Json(json!({ "type": 1 })).into_response(),
        Answer::Accepted => StatusCode::ACCEPTED.into_response(),
        Answer::Forged => StatusCode::UNAUTHORIZED.into_response(),
        Answer::Unreadable => StatusCode::BAD_REQUEST.into_response(),
        Answer::NotNow => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// Reads a body, as far as the route allows and within [`BODY_TIME`].
async fn whole(request: Request) -> Result<Bytes, StatusCode> {
    match timeout(BODY_TIME, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(refusal)) => Err(refusal.status()),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

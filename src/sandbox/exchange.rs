//! The log of API requests and answers, and the layer that keeps it.

use std::{sync::Arc, time::Instant};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use serde_json::Value;
use url::form_urlencoded;

use super::{
    access::Caller,
    answer::Answer,
    fault::{Call, Struck, under_fault},
    state::X,
};

/// How many exchanges are kept.
const KEPT: usize = 8_192;
/// Largest body of a request other than an append, and of any answer kept.
const MAX_BODY: usize = 1 << 20;
/// Form fields whose value the log may show.
const PLAIN_FIELDS: [&str; 4] = ["grant_type", "redirect_uri", "client_id", "token_type_hint"];

/// One API request with its answer. Tokens, codes and media bytes are left out.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When the request's head had arrived.
    pub started: Instant,
    /// When the answer was ready.
    pub finished: Instant,
    /// Which call it was; `None` for a path that X does not have.
    pub call: Option<Call>,
    /// `GET`, `POST`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded, in order.
    pub query: Vec<(String, String)>,
    /// Content type of the request.
    pub content_type: Option<String>,
    /// Body of the request.
    pub sent: Sent,
    /// User of the request's token, if the token was accepted.
    pub user_id: Option<String>,
    /// `None` when the connection was dropped instead.
    pub status: Option<u16>,
    /// The answer, when it was JSON.
    pub answer: Option<Value>,
    /// True if an injected fault made or changed the answer.
    pub faulted: bool,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub enum Sent {
    /// No body.
    Nothing,
    /// JSON; base64 media is emptied.
    Json(Value),
    /// A form; secret values are emptied.
    Form(Vec<(String, String)>),
    /// The parts of a multipart body.
    Multipart(Vec<Part>),
    /// Something none of the calls takes.
    Other,
}

/// A part of a multipart body.
#[derive(Clone, Debug)]
pub struct Part {
    /// The field's name.
    pub name: String,
    /// Size of the value.
    pub bytes: u64,
    /// The value, unless it is a file.
    pub text: Option<String>,
}

/// Waits the latency, lets faults strike, and writes the exchange down.
///
/// The work goes on in a task of its own: X finishes what was asked even if the client leaves.
pub(super) async fn record(State(x): State<Arc<X>>, request: Request, next: Next) -> Response {
    match tokio::spawn(answer(x.clone(), request, next)).await {
        Ok(response) => dated(&x, response),
        Err(_) => Answer::html(500).into_response(),
    }
}

/// Stamps the answer with the simulator's own time, which X's other times are to be read by.
fn dated(x: &X, mut response: Response) -> Response {
    let now = Timestamp::try_from(x.now()).unwrap_or_default();
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap_or_default();
    if let Ok(date) = HeaderValue::try_from(date) {
        response.headers_mut().entry(header::DATE).or_insert(date);
    }
    response
}

async fn answer(x: Arc<X>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    if !x.settings.latency.is_zero() {
        tokio::time::sleep(x.settings.latency).await;
    }
    let (mut parts, body) = request.into_parts();
    let mut call = Call::of(&parts.method, parts.uri.path());
    let mut exchange = Exchange {
        started,
        finished: started,
        call,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
        content_type: content_type(&parts.headers),
        sent: Sent::Nothing,
        user_id: None,
        status: None,
        answer: None,
        faulted: false,
    };
    let mut response = if call == Some(Call::Append) {
        // Streamed, and struck only once the segment is known: its handler does both.
        parts.extensions.insert(Call::Append);
        next.run(Request::from_parts(parts, body)).await
    } else {
        let Ok(bytes) = to_bytes(body, MAX_BODY).await else {
            return Answer::empty(413).into_response();
        };
        if call == Some(Call::Token) && is_refresh(&bytes) {
            call = Some(Call::Refresh);
            exchange.call = call;
        }
        if let Some(call) = call {
            parts.extensions.insert(call);
        }
        exchange.sent = sent(exchange.content_type.as_deref(), &bytes);
        let act = next.run(Request::from_parts(parts, Body::from(bytes)));
        under_fault(&x, call, None, act).await
    };
    if let Some(sent) = response.extensions_mut().remove::<Sent>() {
        exchange.sent = sent;
    }
    exchange.user_id = response.extensions_mut().remove::<Caller>().map(|caller| caller.user_id);
    let struck = response.extensions().get::<Struck>().copied();
    exchange.faulted = struck.is_some();
    let response = match struck {
        Some(Struck::Dropped) => response,
        _ => {
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, MAX_BODY).await.unwrap_or_default();
            exchange.status = Some(parts.status.as_u16());
            exchange.answer = serde_json::from_slice(&bytes).ok().map(without_tokens);
            Response::from_parts(parts, Body::from(bytes))
        }
    };
    exchange.finished = Instant::now();
    let mut world = x.world();
    if world.exchanges.len() == KEPT {
        world.exchanges.pop_front();
    }
    world.exchanges.push_back(exchange);
    drop(world);
    x.changed();
    response
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.to_owned())
}

fn is_refresh(form: &Bytes) -> bool {
    pairs(form).contains(&("grant_type".to_owned(), "refresh_token".to_owned()))
}

fn sent(content_type: Option<&str>, body: &Bytes) -> Sent {
    if body.is_empty() {
        return Sent::Nothing;
    }
    match content_type.map(|kind| kind.split(';').next().unwrap_or_default()) {
        Some("application/json") => serde_json::from_slice(body).map_or(Sent::Other, Sent::Json),
        Some("application/x-www-form-urlencoded") => {
            let mut fields = pairs(body);
            for (name, value) in &mut fields {
                if !PLAIN_FIELDS.contains(&name.as_str()) {
                    value.clear();
                }
            }
            Sent::Form(fields)
        }
        _ => Sent::Other,
    }
}

fn without_tokens(mut answer: Value) -> Value {
    for name in ["access_token", "refresh_token"] {
        if let Some(token) = answer.get_mut(name) {
            *token = Value::String(String::new());
        }
    }
    answer
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// The decoded query of a URI.
pub(super) fn query_pairs(uri: &Uri) -> Vec<(String, String)> {
    pairs(uri.query().unwrap_or_default().as_bytes())
}

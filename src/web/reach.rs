//! How `toall check` finds out that a body of 2 MB, sent to the public address, arrives at this installation.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::StreamExt;

use crate::store::Vault;

/// The path below `public_url`.
pub const REACH_PATH: &str = "/reach";
/// Header with a random text, sealed with the key of the installation.
pub const REACH_HEADER: &str = "x-toall-reach";
/// Owner that the text is sealed for, so that no other sealed value passes for one.
pub const REACH_OWNER: &str = "reach";
/// Bytes of the body that is sent: above what proxies allow unless told otherwise.
pub const REACH_BYTES: usize = 2_000_000;

/// Answers with the text, unsealed, once the whole body has arrived: this proves that the key is the same.
///
/// A text that does not open is refused before the body is read, so nobody without the key can send one.
pub fn reach_router<S: Clone + Send + Sync + 'static>(vault: Arc<Vault>) -> Router<S> {
    Router::new().route(REACH_PATH, post(answer)).layer(DefaultBodyLimit::disable()).with_state(vault)
}

async fn answer(
    State(vault): State<Arc<Vault>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Vec<u8>, StatusCode> {
    let sealed = headers.get(REACH_HEADER).and_then(|sealed| URL_SAFE_NO_PAD.decode(sealed).ok());
    let opened = sealed.and_then(|sealed| vault.open(&sealed, REACH_OWNER).ok());
    let text = opened.ok_or(StatusCode::NOT_FOUND)?;
    let mut body = body.into_data_stream();
    let mut arrived = 0;
    while let Some(chunk) = body.next().await {
        arrived += chunk.map_err(|_| StatusCode::BAD_REQUEST)?.len();
        if arrived > REACH_BYTES {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
    match arrived == REACH_BYTES {
        true => Ok(text),
        false => Err(StatusCode::BAD_REQUEST),
    }
}

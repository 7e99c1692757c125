//! `POST /2/media/upload/{id}/append`: one segment, streamed to disk.

use std::sync::Arc;

use axum::{
    Extension,
    body::to_bytes,
    extract::{FromRequest, Multipart, Path, Request, State, multipart::Field},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;

use super::{
    access::Caller,
    answer::{Answer, data},
    disk::{Received, segment_path},
    exchange::{Part, Sent},
    fault::{Call, under_fault},
    media::{expires_at, no_session},
    request::{has_type, invalid_body, json_body},
    state::X,
};

/// Highest `segment_index`.
const MAX_SEGMENT: u32 = 999;
/// Longest value of a text part, in bytes.
const MAX_TEXT: usize = 64;

/// A segment as it came in.
struct Segment {
    index: u32,
    media: Received,
}

/// The handler: receives the segment, then stores it unless a fault strikes.
pub(super) async fn append(
    State(x): State<Arc<X>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let mut sent = Sent::Nothing;
    let id = id.parse().unwrap_or_default();
    let segment = match receive(&x, request, &mut sent).await {
        Ok(segment) => segment,
        Err(answer) => {
            let mut response = answer.into_response();
            response.extensions_mut().insert(sent);
            return response;
        }
    };
    let index = segment.index;
    let act = async { store(&x, id, &caller, segment).unwrap_or_else(IntoResponse::into_response) };
    let mut response = under_fault(&x, Some(Call::Append), Some(index), act).await;
    response.extensions_mut().insert(sent);
    response
}

async fn receive(x: &X, request: Request, sent: &mut Sent) -> Result<Segment, Answer> {
    if has_type(request.headers(), "multipart/form-data") {
        receive_multipart(x, request, sent).await
    } else {
        receive_json(x, request, sent).await
    }
}

async fn receive_multipart(x: &X, request: Request, sent: &mut Sent) -> Result<Segment, Answer> {
    let broken = |_| invalid_body("The multipart body is broken.");
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|_| invalid_body("The multipart body is broken."))?;
    let mut parts = Vec::new();
    let mut index = None;
    let mut media = None;
    while let Some(field) = multipart.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "media" {
            let received = file(x, field).await?;
            parts.push(Part { name, bytes: received.bytes, text: None });
            media = Some(received);
        } else {
            let text = text(field).await?;
            if name == "segment_index" {
                index = text.parse().ok();
            }
            parts.push(Part { name, bytes: text.len() as u64, text: Some(text) });
        }
    }
    *sent = Sent::Multipart(parts.clone());
    let known = |part: &&Part| part.name == "media" || part.name == "segment_index";
    if let Some(unknown) = parts.iter().find(|part| !known(part)) {
        let message = format!("The part {} is not known.", unknown.name);
        return Err(invalid_body(&message));
    }
    checked(x, index, media)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Append {
    segment_index: u32,
    media: String,
}

async fn receive_json(x: &X, request: Request, sent: &mut Sent) -> Result<Segment, Answer> {
    let (parts, body) = request.into_parts();
    // Base64 takes four bytes for three.
    let limit = usize::try_from(x.world().max_chunk.saturating_mul(2)).unwrap_or(usize::MAX);
    let body = to_bytes(body, limit).await.map_err(|_| Answer::empty(413))?;
    let append: Append = json_body(&parts.headers, &body)?;
    *sent = Sent::Json(json!({"segment_index": append.segment_index, "media": ""}));
    let bytes = STANDARD.decode(append.media).map_err(|_| invalid_body("media is not base64."))?;
    let mut media = Received::new(x).await?;
    media.write(&bytes).await?;
    media.flush().await?;
    checked(x, Some(append.segment_index), Some(media))
}

fn checked(x: &X, index: Option<u32>, media: Option<Received>) -> Result<Segment, Answer> {
    let media = media.ok_or_else(|| invalid_body("media is missing."))?;
    if media.bytes > x.world().max_chunk {
        return Err(Answer::empty(413));
    }
    let index = index
        .filter(|index| *index <= MAX_SEGMENT)
        .ok_or_else(|| invalid_body("segment_index has to be between 0 and 999."))?;
    Ok(Segment { index, media })
}

/// Puts the segment in its place; a segment sent again replaces the earlier one.
fn store(x: &X, id: u64, caller: &Caller, segment: Segment) -> Result<Response, Answer> {
    let now = x.now();
    let bytes = segment.media.bytes;
    let mut world = x.world();
    let media = world
        .media
        .get_mut(&id)
        .filter(|media| media.is_open_to(&caller.user_id, now))
        .ok_or_else(no_session)?;
    if media.is_finalized() {
        return Err(invalid_body("The upload is finalized already."));
    }
    segment.media.keep_as(segment_path(x, id, segment.index)).map_err(|_| Answer::html(500))?;
    media.segments.insert(segment.index, bytes);
    Ok(data(json!({"expires_at": expires_at(media)})))
}

/// Streams the file part; bytes beyond the limit are counted and let go.
async fn file(x: &X, mut field: Field<'_>) -> Result<Received, Answer> {
    let mut received = Received::new(x).await?;
    let broken = |_| invalid_body("The multipart body is broken.");
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        received.write(&chunk).await?;
    }
    received.flush().await?;
    Ok(received)
}

async fn text(mut field: Field<'_>) -> Result<String, Answer> {
    let mut text = Vec::new();
    let broken = |_| invalid_body("The multipart body is broken.");
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_TEXT {
            return Err(invalid_body("A text part is too long."));
        }
    }
    String::from_utf8(text).map_err(|_| invalid_body("A text part is not UTF-8."))
}

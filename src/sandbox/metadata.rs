//! `POST /2/media/metadata`: what is known of a medium besides its bytes.

use std::sync::Arc;

use axum::{Extension, body::Bytes, extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    access::Caller,
    answer::{Answer, data},
    request::json_body,
    state::X,
};

/// Characters of an alternative text (OpenAPI 2.167).
const ALT_TEXT_LIMIT: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Describe {
    id: String,
    metadata: Option<Metadata>,
}

/// The metadata fields that concern a post. X documents more; to send one of those, extend the simulator first.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    alt_text: Option<AltText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitive_media_warning: Option<Warning>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AltText {
    text: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Warning {
    #[serde(default)]
    adult_content: bool,
    #[serde(default)]
    graphic_violence: bool,
    #[serde(default)]
    other: bool,
}

/// The handler. X does not document whether the medium has to be processed; here it has to be finalized.
pub(super) async fn describe(
    State(x): State<Arc<X>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    let asked: Describe = json_body(&headers, &body)?;
    let alt_text = asked.metadata.as_ref().and_then(|metadata| metadata.alt_text.as_ref());
    if let Some(alt_text) = alt_text.filter(|alt_text| alt_text.text.chars().count() > ALT_TEXT_LIMIT) {
        let message = format!("The alternative text may have at most {ALT_TEXT_LIMIT} characters.");
        return Err(Answer::invalid_request("metadata.alt_text.text", &alt_text.text, &message));
    }
    let now = x.now();
    let mut world = x.world();
    let id: u64 = asked
        .id
        .parse()
        .map_err(|_| Answer::invalid_request("id", &asked.id, "id has to match ^[0-9]{1,19}$"))?;
    let media = world
        .media
        .get_mut(&id)
        .filter(|media| media.is_open_to(&caller.user_id, now) && media.is_finalized())
        .ok_or_else(|| Answer::empty(404))?;
    let mut answer = json!({"id": asked.id});
    if let Some(metadata) = asked.metadata {
        media.metadata = serde_json::to_value(metadata).unwrap_or(Value::Null);
        answer["associated_metadata"] = media.metadata.clone();
    }
    Ok(data(answer))
}

//! The one way to call a method of the Bot API.
//!
//! teloxide's own sender reads an answer however long it is, waits ten seconds after each 5xx, and reads JSON through a
//! buffer that an update nested deeper than 128 levels overflows, so that the batch with it would come for ever.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use teloxide::{
    ApiError, Bot, RequestError,
    requests::Payload,
    types::{ChatId, Seconds},
};

/// The longest answer read, in bytes: a hundred updates, the most at a time, of the longest messages stay far below.
const ANSWER_LIMIT: usize = 16 << 20;

/// An answer, as it stands in "Making requests" of the Bot API.
#[derive(Deserialize)]
struct Answer<T> {
    result: Option<T>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u32>,
    migrate_to_chat_id: Option<i64>,
}

/// Sends a request and reads what answers it.
pub(super) async fn call<P>(bot: &Bot, request: &P) -> Result<P::Output, RequestError>
where
    P: Payload + Serialize,
    P::Output: DeserializeOwned,
{
    let mut url = bot.api_url();
    // `Telegram::new` has refused addresses that take no segments.
    if let Ok(mut path) = url.path_segments_mut() {
        path.push(&format!("bot{}", bot.token())).push(P::NAME);
    }
    let mut response = bot.client().post(url).json(request).send().await?;
    let mut answer = Vec::new();
    while let Some(bytes) = response.chunk().await? {
        if answer.len() + bytes.len() > ANSWER_LIMIT {
            return Err(unreadable(serde::de::Error::custom("the answer is too long")));
        }
        answer.extend_from_slice(&bytes);
    }
    let answer: Answer<P::Output> = serde_json::from_slice(&answer).map_err(unreadable)?;
    match answer {
        Answer { result: Some(result), .. } => Ok(result),
        Answer { parameters: Some(Parameters { retry_after: Some(seconds), .. }), .. } => {
            Err(RequestError::RetryAfter(Seconds::from_seconds(seconds)))
        }
        Answer { parameters: Some(Parameters { migrate_to_chat_id: Some(chat), .. }), .. } => {
            Err(RequestError::MigrateToChatId(ChatId(chat)))
        }
        Answer { description, .. } => {
            let refusal = serde_json::from_value::<ApiError>(json!(description.unwrap_or_default()));
            Err(refusal.map_or_else(unreadable, RequestError::Api))
        }
    }
}

/// Without what could not be read: it may be somebody's words.
fn unreadable(source: serde_json::Error) -> RequestError {
    RequestError::InvalidJson { source: Arc::new(source), raw: "".into() }
}

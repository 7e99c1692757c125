//! What a text weighs and costs, so that every counter says the same.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Answer,
    accounts::account_named,
    caller::Caller,
    json::{Body, require},
    openapi::Problems,
};
use crate::{
    caption::{self, Caption, CaptionError},
    web::{Site, error::Refusal},
};

/// What X bills for a post, and for one whose text has a link (<https://docs.x.com/x-api/getting-started/pricing>).
const PRICE: &str = "0.015";
const PRICE_WITH_LINK: &str = "0.200";

/// Characters of a text that are counted; no account may post nearly as many.
const MAX_TEXT: usize = 40_000;

/// A text to be counted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CaptionAsked {
    #[schema(max_length = 40000, example = "First wave of the year")]
    text: String,
    /// Whose limit counts; without it, that of an account without Premium.
    #[schema(example = "twitter:2244994945")]
    account_id: Option<String>,
}

/// What a text weighs and costs.
#[derive(Serialize, ToSchema)]
pub(super) struct CaptionCount {
    /// Characters as X counts them: links 23, emoji and CJK 2.
    length: u32,
    limit: u32,
    /// Negative when the text is too long.
    remaining: i64,
    valid: bool,
    /// How many links X makes of it.
    links: u32,
    /// What X bills whoever runs this service, in US dollars.
    #[schema(example = "0.015")]
    price_usd: &'static str,
    /// Why it is not valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Counts a text as X does.
#[utoipa::path(post, path = "/api/social/caption", tag = "posts", operation_id = "countCaption",
    request_body = CaptionAsked, responses((status = 200, body = CaptionCount), Problems))]
pub(super) async fn count(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Body(asked): Body<CaptionAsked>,
) -> Answer<CaptionCount> {
    require(asked.text.chars().count() <= MAX_TEXT, "text has at most 40,000 characters.")?;
    let limit = match &asked.account_id {
        None => caption::LIMIT,
        Some(id) => {
            let id = account_named(id).ok_or(Refusal::NOT_LINKED)?;
            let accounts = site.intake.store.accounts(&caller.person).await?;
            let account = accounts.iter().find(|account| account.id == id).ok_or(Refusal::NOT_LINKED)?;
            caption::limit_for(account.tier)
        }
    };
    let count = caption::count(&asked.text);
    let reason = Caption::parse(asked.text, limit).err().map(|error| match error {
        CaptionError::TooLong { .. } => format!("Shorten it by {}.", count.over(limit)),
        CaptionError::Cashtags(_) => "X takes one cashtag in a post. Keep one $ symbol.".to_owned(),
        CaptionError::Refused { position, .. } => {
            format!("Character {position} is an invisible one that X does not accept. Remove it.")
        }
    });
    Ok(Json(CaptionCount {
        length: count.weighted,
        limit,
        remaining: i64::from(limit) - i64::from(count.weighted),
        valid: reason.is_none(),
        links: count.links,
        price_usd: if count.links > 0 { PRICE_WITH_LINK } else { PRICE },
        reason,
    }))
}

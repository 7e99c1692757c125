//! `GET /2/users/{id}/tweets`: what somebody posted.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    me::USER_FIELDS,
    posts::Post,
    request::Query,
    state::{World, X},
};

/// The fields one may ask for (OpenAPI 2.167); those the simulator has nothing for stay absent.
const POST_FIELDS: [&str; 31] = [
    "article",
    "article_title",
    "attachments",
    "card_uri",
    "community_id",
    "context_annotations",
    "conversation_id",
    "created_at",
    "display_text_range",
    "edit_controls",
    "entities",
    "geo",
    "id",
    "lang",
    "matched_media_notes",
    "media_metadata",
    "non_public_metrics",
    "note_post",
    "note_request_suggestions",
    "organic_metrics",
    "paid_partnership",
    "possibly_sensitive",
    "promoted_metrics",
    "public_metrics",
    "reply_settings",
    "scopes",
    "source",
    "suggested_source_links",
    "suggested_source_links_with_counts",
    "text",
    "withheld",
];
const MEDIA_FIELDS: [&str; 13] = [
    "alt_text",
    "duration_ms",
    "height",
    "media_key",
    "non_public_metrics",
    "organic_metrics",
    "preview_image_url",
    "promoted_metrics",
    "public_metrics",
    "type",
    "url",
    "variants",
    "width",
];

/// `GET /2/users/{id}/tweets`
pub(super) async fn user_posts(
    State(x): State<Arc<X>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Answer> {
    let asked = Asked::of(&uri)?;
    let now = x.now();
    let world = x.world();
    if world.user(&id).is_none() {
        return Ok(nobody(&id));
    }
    let seen = |post: &&Post| {
        post.user_id == id
            && post.is_older_than(world.visibility_delay, now)
            && asked.start.is_none_or(|start| post.created_at >= start)
            && asked.end.is_none_or(|end| post.created_at < end)
            && asked.since.is_none_or(|since| post.id > since)
            && asked.until.is_none_or(|until| post.id < until)
    };
    let mut newest_first = world.posts.iter().rev().filter(seen).peekable();
    let page: Vec<_> = newest_first.by_ref().take(asked.most).collect();
    let mut meta = json!({"result_count": page.len()});
    // Without posts X leaves out `data` and the ids.
    let (Some(first), Some(last)) = (page.first(), page.last()) else {
        return Ok(Json(json!({"meta": meta})).into_response());
    };
    meta["newest_id"] = json!(first.id.to_string());
    meta["oldest_id"] = json!(last.id.to_string());
    if newest_first.peek().is_some() {
        meta["next_token"] = json!(base32hex(last.id));
    }
    let posts: Vec<_> = page.iter().map(|post| post_json(&world, post, &asked)).collect();
    let mut body = json!({"data": posts, "meta": meta});
    if asked.expand_media {
        let media: Vec<_> =
            page.iter().flat_map(|post| &post.media).map(|id| media_json(&x, &world, *id, &asked)).collect();
        if !media.is_empty() {
            body["includes"] = json!({"media": media});
        }
    }
    Ok(Json(body).into_response())
}

/// The query, checked.
struct Asked {
    start: Option<SystemTime>,
    end: Option<SystemTime>,
    since: Option<u64>,
    until: Option<u64>,
    most: usize,
    expand_media: bool,
    attachments: bool,
    created_at: bool,
    media_fields: Vec<String>,
}

impl Asked {
    fn of(uri: &Uri) -> Result<Self, Answer> {
        let query = Query::of(
            uri,
            &[
                "max_results",
                "pagination_token",
                "start_time",
                "end_time",
                "since_id",
                "until_id",
                "exclude",
                "post.fields",
                // The spelling of the prose documentation.
                "tweet.fields",
                "expansions",
                "user.fields",
                "media.fields",
                "poll.fields",
                "place.fields",
            ],
        )?;
        query.list("exclude", &["replies", "retweets"])?;
        query.list("user.fields", &USER_FIELDS)?;
        let expansions = query.list("expansions", &["attachments.media_keys", "author_id"])?;
        let mut post_fields = query.list("post.fields", &POST_FIELDS)?;
        post_fields.extend(query.list("tweet.fields", &POST_FIELDS)?);
        let media_fields = query.list("media.fields", &MEDIA_FIELDS)?;
        let parsed = |name: &str, parse: &dyn Fn(&str) -> Option<u64>| match query.get(name) {
            None => Ok(None),
            Some(value) => parse(value)
                .map(Some)
                .ok_or_else(|| Answer::invalid_request(name, value, &format!("The `{name}` is not valid."))),
        };
        let decimal = |value: &str| value.parse().ok();
        let most = parsed("max_results", &|value| decimal(value).filter(|most| (5..=100).contains(most)))?;
        let since = parsed("since_id", &decimal)?;
        let until = parsed("until_id", &decimal)?;
        let before = parsed("pagination_token", &|token| u64::from_str_radix(token, 32).ok())?;
        let expand_media = expansions.contains(&"attachments.media_keys");
        Ok(Self {
            start: time(&query, "start_time")?,
            end: time(&query, "end_time")?,
            since,
            until: before.or(until),
            most: most.map_or(10, |most| most as usize),
            expand_media,
            attachments: expand_media || post_fields.contains(&"attachments"),
            created_at: post_fields.contains(&"created_at"),
            media_fields: media_fields.into_iter().map(str::to_owned).collect(),
        })
    }
}

fn time(query: &Query, name: &str) -> Result<Option<SystemTime>, Answer> {
    let Some(value) = query.get(name) else {
        return Ok(None);
    };
    let parsed: Timestamp = value.parse().map_err(|_| {
        Answer::invalid_request(name, value, &format!("The `{name}` is not an RFC 3339 time."))
    })?;
    Ok(Some(parsed.into()))
}

fn post_json(world: &World, post: &Post, asked: &Asked) -> Value {
    let mut shown = json!({
        "id": post.id.to_string(),
        "text": post.stored_text(),
        "edit_history_post_ids": [post.id.to_string()],
    });
    if asked.created_at {
        let time = Timestamp::try_from(post.created_at).unwrap_or_default();
        shown["created_at"] = json!(format!("{time:.3}"));
    }
    if asked.attachments && !post.media.is_empty() {
        let known = post.media.iter().filter_map(|id| world.media.get(id));
        let keys: Vec<_> = known.map(|media| media.key().to_owned()).collect();
        shown["attachments"] = json!({"media_keys": keys});
    }
    shown
}

fn media_json(x: &X, world: &World, id: u64, asked: &Asked) -> Value {
    let Some(media) = world.media.get(&id) else {
        return Value::Null;
    };
    let mut shown = json!({"media_key": media.key(), "type": media.kind()});
    if asked.media_fields.iter().any(|field| field == "variants") && media.kind() != "photo" {
        shown["variants"] = json!([{
            "bit_rate": 0,
            "content_type": media.media_type,
            "url": format!("{}/media/{id}", x.url),
        }]);
    }
    shown
}

/// 200 with `errors` alone, as X answers for a user who is not there.
fn nobody(id: &str) -> Response {
    Json(json!({"errors": [{
        "type": "https://api.x.com/2/problems/resource-not-found",
        "title": "Not Found Error",
        "detail": format!("Could not find user with id: [{id}]."),
        "resource_type": "user",
        "resource_id": id,
        "parameter": "id",
        "value": id,
    }]}))
    .into_response()
}

/// A number in the digits of base32hex (RFC 4648, section 7).
fn base32hex(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.extend(char::from_digit((number % 32) as u32, 32));
        number /= 32;
    }
    digits.iter().rev().collect()
}

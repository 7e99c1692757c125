//! `POST /2/tweets`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    access::Caller,
    answer::{Answer, data},
    request::{invalid_body, json_body},
    state::{World, X},
    text,
};

/// A post as it is kept.
pub(super) struct Post {
    pub(super) id: u64,
    pub(super) user_id: String,
    pub(super) text: String,
    pub(super) media: Vec<u64>,
    pub(super) reply_settings: Option<String>,
    pub(super) made_with_ai: bool,
    pub(super) paid_partnership: bool,
    pub(super) created_at: SystemTime,
}

impl Post {
    /// Returns true if the post is at least this old; accepts any duration.
    pub(super) fn is_older_than(&self, age: Duration, now: SystemTime) -> bool {
        now.duration_since(self.created_at).is_ok_and(|past| past >= age)
    }

    /// The text as the API gives it back.
    pub(super) fn stored_text(&self) -> String {
        text::stored(&self.text, self.id, !self.media.is_empty())
    }
}

/// The fields X takes (OpenAPI 2.167); those that only have to be accepted stay JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreatePost {
    #[serde(default)]
    text: String,
    media: Option<Media>,
    reply_settings: Option<String>,
    poll: Option<Value>,
    quote_tweet_id: Option<String>,
    reply: Option<Value>,
    card_uri: Option<String>,
    direct_message_deep_link: Option<String>,
    #[serde(rename = "community_id")]
    _community_id: Option<String>,
    #[serde(rename = "edit_options")]
    _edit_options: Option<Value>,
    #[serde(rename = "for_super_followers_only")]
    _for_super_followers_only: Option<bool>,
    #[serde(rename = "geo")]
    _geo: Option<Value>,
    made_with_ai: Option<bool>,
    #[serde(rename = "nullcast")]
    _nullcast: Option<bool>,
    paid_partnership: Option<bool>,
    #[serde(rename = "share_with_followers")]
    _share_with_followers: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Media {
    media_ids: Vec<String>,
    #[serde(rename = "tagged_user_ids")]
    _tagged_user_ids: Option<Vec<String>>,
    #[serde(rename = "title")]
    _title: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "embeddable")]
    _embeddable: Option<bool>,
    #[serde(rename = "preview_media_id")]
    _preview_media_id: Option<String>,
    #[serde(rename = "call_to_actions")]
    _call_to_actions: Option<Value>,
}

/// Accepted values for restricting replies; the field is left out if everyone may reply.
const REPLY_SETTINGS: [&str; 4] = ["following", "mentionedUsers", "subscribers", "verified"];

/// The handler.
pub(super) async fn create(
    State(x): State<Arc<X>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    let asked: CreatePost = json_body(&headers, &body)?;
    let exclusive = [
        asked.media.is_some(),
        asked.poll.is_some(),
        asked.quote_tweet_id.is_some(),
        asked.card_uri.is_some(),
        asked.direct_message_deep_link.is_some(),
    ];
    if exclusive.into_iter().filter(|given| *given).count() > 1 {
        return Err(invalid_body(
            "Only one of media, poll, quote_tweet_id, card_uri and direct_message_deep_link may be given.",
        ));
    }
    if asked.text.is_empty() && !exclusive.contains(&true) {
        return Err(invalid_body("text is required unless media is given."));
    }
    if let Some(word) = asked.reply_settings.as_deref().filter(|word| !REPLY_SETTINGS.contains(word)) {
        let message = format!("reply_settings is not one of [{}]", REPLY_SETTINGS.join(","));
        return Err(Answer::invalid_request("reply_settings", word, &message));
    }
    // Closed to self-serve apps: replies unless summoned, and quotes.
    if asked.reply.is_some() || asked.quote_tweet_id.is_some() {
        return Err(Answer::not_permitted());
    }
    let id = x.next_id();
    let now = x.now();
    let mut world = x.world();
    let media = match &asked.media {
        Some(media) => attached(&world, &media.media_ids, &caller, now)?,
        None => Vec::new(),
    };
    let subscription = world.user(&caller.user_id).map(|user| user.subscription);
    if !subscription.is_some_and(|subscription| text::fits(&asked.text, subscription)) {
        return Err(Answer::not_permitted());
    }
    if text::has_many_cashtags(&asked.text) {
        return Err(Answer::forbidden_because("A post may have a maximum of one cashtag."));
    }
    let post = Post {
        id,
        user_id: caller.user_id,
        text: asked.text,
        media,
        reply_settings: asked.reply_settings,
        made_with_ai: asked.made_with_ai.unwrap_or_default(),
        paid_partnership: asked.paid_partnership.unwrap_or_default(),
        created_at: now,
    };
    let again = |old: &Post| {
        old.user_id == post.user_id
            && old.text == post.text
            && old.media == post.media
            && !old.is_older_than(x.settings.duplicate_window, now)
    };
    if world.posts.iter().any(again) {
        return Err(Answer::duplicate_content());
    }
    let answer = data(json!({
        "id": id.to_string(),
        "text": post.stored_text(),
        "edit_history_post_ids": [id.to_string()],
    }));
    world.posts.push(post);
    Ok((StatusCode::CREATED, answer).into_response())
}

/// A post that its author makes in X's own app.
pub(super) fn by_hand(x: &X, username: &str, text: &str) {
    let (id, created_at) = (x.next_id(), x.now());
    let mut world = x.world();
    if let Some(user_id) = world.user_named(username).map(|user| user.id.clone()) {
        world.posts.push(Post {
            id,
            user_id,
            text: text.to_owned(),
            media: Vec::new(),
            made_with_ai: false,
            paid_partnership: false,
            reply_settings: None,
            created_at,
        });
    }
}

/// The media of the post, if each is the caller's own, for posts, and processed.
fn attached(world: &World, ids: &[String], caller: &Caller, now: SystemTime) -> Result<Vec<u64>, Answer> {
    const NAME: &str = "media.media_ids";
    let value = ids.join(",");
    if ids.is_empty() || ids.len() > 4 {
        return Err(Answer::invalid_request(
            NAME,
            &value,
            "media_ids takes a minimum of 1 and a maximum of 4 items.",
        ));
    }
    let invalid = || Answer::invalid_request(NAME, &value, "Your media IDs are invalid.");
    let mut found = Vec::new();
    let mut photos = 0;
    for id in ids {
        let id: u64 = id.parse().map_err(|_| invalid())?;
        let media = world.media.get(&id).ok_or_else(invalid)?;
        if !media.is_open_to(&caller.user_id, now) || !media.is_ready(now) || !media.for_posts() {
            return Err(invalid());
        }
        photos += u32::from(media.kind() == "photo");
        found.push(id);
    }
    if found.len() > 1 && photos as usize != found.len() {
        return Err(Answer::invalid_request(
            NAME,
            &value,
            "A post takes one video, one GIF, or up to 4 photos.",
        ));
    }
    Ok(found)
}

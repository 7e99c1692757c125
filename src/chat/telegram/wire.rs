//! The requests whose answers teloxide reads too strictly.
//!
//! teloxide 0.17 empties a message whose video has no `mime_type`, which Telegram may leave out, and
//! refuses a `getMe` without the newest flags, which an older local Bot API server gives. Here only
//! what is used is read, and everything that may be absent is.

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use teloxide::requests::Payload;

/// `getMe`.
#[derive(Serialize)]
pub(super) struct GetMe {}

impl Payload for GetMe {
    type Output = Me;
    const NAME: &'static str = "GetMe";
}

/// The bot itself.
#[derive(Deserialize)]
pub(super) struct Me {
    /// Without the `@`.
    pub username: String,
}

/// A request of teloxide's that posts or edits a message, with only the place read from the answer:
/// a message that was sent but not understood would be sent again.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Briefly<P>(pub P);

impl<P: Payload> Payload for Briefly<P> {
    type Output = Sent;
    const NAME: &'static str = P::NAME;
}

/// A message of the bot's, as it now stands.
#[derive(Deserialize)]
pub(super) struct Sent {
    pub message_id: i64,
    pub chat: Chat,
}

/// The kinds of update that the bot asks for.
pub(super) const UPDATES: [&str; 3] = ["message", "edited_message", "callback_query"];

/// `getUpdates`. Each update is read by itself, so that one that cannot be does not hide the others.
#[derive(Serialize)]
pub(super) struct GetUpdates {
    pub offset: i64,
    /// Seconds to hold the request while there is nothing.
    pub timeout: u32,
    pub allowed_updates: [&'static str; 3],
}

impl Payload for GetUpdates {
    type Output = Vec<Box<RawValue>>;
    const NAME: &'static str = "GetUpdates";
}

/// `setWebhook`.
#[derive(Serialize)]
pub(super) struct SetWebhook<'a> {
    pub url: &'a str,
    pub secret_token: &'a str,
    pub max_connections: u8,
    pub allowed_updates: [&'static str; 3],
}

impl Payload for SetWebhook<'_> {
    type Output = bool;
    const NAME: &'static str = "SetWebhook";
}

/// `getWebhookInfo`.
#[derive(Serialize)]
pub(super) struct GetWebhookInfo {}

impl Payload for GetWebhookInfo {
    type Output = WebhookInfo;
    const NAME: &'static str = "GetWebhookInfo";
}

/// How the webhook fares.
#[derive(Deserialize)]
pub(super) struct WebhookInfo {
    /// Empty when there is none.
    pub url: String,
    pub pending_update_count: u64,
    /// Unix seconds.
    pub last_error_date: Option<i64>,
    pub last_error_message: Option<String>,
}

/// The number of an update, whatever else is in it.
#[derive(Deserialize)]
pub(super) struct Numbered {
    pub update_id: i64,
}

/// Something that happened, if it is of a kind that was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Update {
    pub message: Option<Message>,
    pub edited_message: Option<Message>,
    pub callback_query: Option<CallbackQuery>,
}

impl Update {
    /// The chat it happened in, if in one.
    pub fn chat(&self) -> Option<i64> {
        let pressed = || self.callback_query.as_ref()?.message.as_ref();
        let message = self.message.as_ref().or(self.edited_message.as_ref()).or_else(pressed);
        message.map(|message| message.chat.id)
    }
}

/// A pressed button.
#[derive(Debug, Deserialize)]
pub(super) struct CallbackQuery {
    pub id: String,
    pub from: User,
    /// Little more than its id and chat if it is old.
    pub message: Option<Message>,
    pub data: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub message_id: i64,
    pub from: Option<User>,
    /// Set when a chat speaks: a channel, or a group's anonymous administrator.
    pub sender_chat: Option<IgnoredAny>,
    pub chat: Chat,
    pub message_thread_id: Option<i64>,
    #[serde(default)]
    pub is_topic_message: bool,
    /// Whether it is a channel's post that Telegram copied to the channel's group.
    #[serde(default)]
    pub is_automatic_forward: bool,
    pub forward_origin: Option<IgnoredAny>,
    pub via_bot: Option<IgnoredAny>,
    /// Names the album that it is part of.
    pub media_group_id: Option<String>,
    pub reply_to_message: Option<Box<Message>>,
    /// What it replies to in another chat.
    pub external_reply: Option<Media>,
    pub text: Option<String>,
    pub caption: Option<String>,
    #[serde(default)]
    pub entities: Vec<Entity>,
    #[serde(default)]
    pub caption_entities: Vec<Entity>,
    #[serde(flatten)]
    pub media: Media,
}

/// A part of a text that means more than its characters.
#[derive(Debug, Deserialize)]
pub(super) struct Entity {
    #[serde(rename = "type")]
    pub kind: String,
    /// In UTF-16 units, as `length`.
    pub offset: usize,
    pub length: usize,
    pub url: Option<String>,
}

/// The files of a message.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Media {
    pub video: Option<File>,
    pub animation: Option<File>,
    pub video_note: Option<File>,
    pub document: Option<File>,
    pub audio: Option<File>,
    pub voice: Option<File>,
    pub sticker: Option<File>,
    /// The same picture in several sizes.
    pub photo: Option<Vec<File>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub id: i64,
    pub is_bot: bool,
    pub first_name: String,
    pub last_name: Option<String>,
    pub username: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Chat {
    pub id: i64,
    /// `private`, `group`, `supergroup` or `channel`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Chat {
    /// Whether the bot and one person are alone here.
    pub fn is_private(&self) -> bool {
        self.kind == "private"
    }
}

/// A file of any kind.
#[derive(Debug, Deserialize)]
pub(super) struct File {
    pub file_id: String,
    pub file_name: Option<String>,
    pub mime_type: Option<String>,
    pub file_size: Option<u64>,
    pub width: Option<u32>,
}

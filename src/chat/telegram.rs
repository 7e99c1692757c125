//! Telegram, over teloxide's types: updates in, by polling or by a webhook; messages and files out.

mod album;
mod backoff;
mod call;
mod deliver;
mod error;
mod file;
mod identify;
mod pace;
mod parse;
mod poll;
mod render;
mod webhook;
mod wire;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use secrecy::ExposeSecret;
use teloxide::{
    Bot, RequestError,
    payloads::{EditMessageText, EditMessageTextSetters, GetChatMember, SendMessage, SendMessageSetters},
    types::{ChatId, LinkPreviewOptions, MessageId, ReplyMarkup, ReplyParameters, Seconds, ThreadId, UserId},
};
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

pub use self::webhook::Webhook;

use self::{
    album::Albums,
    call::call,
    pace::Pace,
    render::{Outgoing, render},
    webhook::Proof,
    wire::{Briefly, Sent},
};
use crate::{
    account::{Group, MessageRef, Place},
    chat::{Audience, ChatError, Download, Inbox},
    clock::Clock,
    config,
    health::Part,
    post::Attachment,
    words::Message,
};

/// What Telegram's own Bot API server lets a bot download: `MAX_DOWNLOAD_FILE_SIZE = 20 << 20` in
/// `Client.h` of tdlib/telegram-bot-api ("up to 20MB", Bot API, `getFile`).
const CLOUD_FILE_BYTES: u64 = 20 << 20;
/// The size of file a local Bot API server is used for (Bot API, "Using a Local Bot API Server").
const LOCAL_FILE_BYTES: u64 = 2_000 << 20;
/// Silence on a connection after which it is given up.
const STALLED: Duration = Duration::from_secs(30);
/// How long a request other than a download may take in all, long polls included.
const ANSWERED: Duration = Duration::from_secs(60);
/// A local server answers `getFile` only once it has the whole file.
const LOCAL_GET_FILE: Duration = Duration::from_secs(600);

/// The Telegram bot. Cheap to clone.
///
/// It has no `Debug`: teloxide's would print the token.
#[derive(Clone)]
pub struct Telegram {
    bot: Bot,
    /// The same bot with the patience that `getFile` needs.
    files: Bot,
    /// Whether Telegram's own servers are at the other end, not a local Bot API server.
    cloud: bool,
    clock: Clock,
    albums: Albums,
    pace: Arc<Pace>,
    /// What Telegram shows at the webhook.
    proof: Proof,
    /// The bot's user name without the `@`, once Telegram has said it.
    name: Arc<OnceLock<String>>,
    /// Whether Telegram can be received from.
    part: Part,
}

impl Telegram {
    /// Prepares the bot; nothing is sent yet. `clock` only tells today from another day in messages.
    ///
    /// # Errors
    /// [`ChatError::Refused`] for an API address that requests cannot be sent to.
    pub fn new(settings: &config::Telegram, clock: Clock) -> Result<Telegram, ChatError> {
        let mut api_url = settings.api_url.clone();
        // teloxide appends segments, and panics where there can be none.
        api_url
            .path_segments_mut()
            .map_err(|()| ChatError::Refused("telegram.api_url is not an http address".into()))?
            .pop_if_empty();
        let cloud = api_url.host() == Some(Host::Domain("api.telegram.org"));
        let bot = |client: reqwest::ClientBuilder| -> Result<Bot, ChatError> {
            let built = client.build();
            let client = built.map_err(|_| ChatError::Trouble("no HTTPS client could be set up".into()))?;
            Ok(Bot::with_client(settings.token.expose_secret(), client).set_api_url(api_url.clone()))
        };
        Ok(Telegram {
            bot: bot(client(STALLED).timeout(ANSWERED))?,
            files: bot(client(if cloud { STALLED } else { LOCAL_GET_FILE }))?,
            cloud,
            clock,
            albums: Albums::default(),
            pace: Arc::new(Pace::new()),
            proof: Proof::new(&settings.token),
            name: Arc::default(),
            part: Part::default(),
        })
    }

    /// Asks Telegram who the bot is and returns its `@name`.
    ///
    /// # Errors
    /// [`ChatError::Refused`] if Telegram does not know the token.
    pub async fn check(&self) -> Result<String, ChatError> {
        Ok(format!("@{}", identify::who(&self.bot).await?))
    }

    /// Whether messages can be received from Telegram.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Receives messages until `stop`. What was received is confirmed to Telegram only after
    /// every delivery was answered, so a crash in between makes Telegram send it again.
    ///
    /// # Errors
    /// [`ChatError::Refused`] if Telegram does not know the token (any more). Other trouble is waited out.
    pub async fn run(&self, inbox: Inbox, stop: CancellationToken) -> Result<(), ChatError> {
        poll::run(&self.bot, &self.name, &self.albums, &self.part, &inbox, &stop).await
    }

    /// Has Telegram bring updates to `url`, where every process that serves it hands them to [`Telegram::receive`].
    /// Sets it again when another program has changed it. Trouble is waited out until `stop`.
    ///
    /// # Errors
    /// [`ChatError::Refused`] if Telegram knows no such token, or cannot call such an address.
    pub async fn run_webhook(&self, url: &Url, stop: &CancellationToken) -> Result<(), ChatError> {
        webhook::run(&self.bot, &self.proof, &self.name, &self.part, url, &self.clock, stop).await
    }

    /// What Telegram says about its webhook.
    ///
    /// # Errors
    /// What Telegram answered, sorted.
    pub async fn webhook(&self) -> Result<Webhook, ChatError> {
        webhook::info(&self.bot).await
    }

    /// Whether a request that shows this as its `X-Telegram-Bot-Api-Secret-Token` comes from Telegram.
    pub fn sent(&self, secret: &[u8]) -> bool {
        self.proof.is(secret)
    }

    /// Whether [`Telegram::receive`] can take anything yet.
    pub fn is_open(&self) -> bool {
        self.name.get().is_some()
    }

    /// Takes an update that the webhook brought: true once it is stored, or is none of ours; false when Telegram is to
    /// bring it again, here or elsewhere, since this process stops or does not know yet who it is.
    pub async fn receive(&self, update: &[u8], inbox: &Inbox) -> bool {
        match self.name.get() {
            Some(me) => webhook::receive(&self.bot, &self.albums, update, me, inbox).await.is_ok(),
            None => false,
        }
    }

    /// Sends a message as a reply to the one that asked. `nonce` is not used:
    /// Telegram has no way to refuse a second copy.
    ///
    /// # Errors
    /// [`ChatError::NeedsPrivateChat`] when the asker of a group never opened a chat with the bot;
    /// otherwise what Telegram answered, sorted.
    pub async fn say(
        &self,
        to: &Place,
        audience: Audience,
        message: &Message,
        _nonce: Option<&str>,
    ) -> Result<MessageRef, ChatError> {
        let outgoing = render(message, self.clock.now_ms());
        if audience == Audience::Asker && !to.private {
            return self.tell(&to.person, &outgoing).await;
        }
        let chat = ChatId(number(&to.chat)?);
        let sent = match self.send(chat, Some(to), &outgoing).await {
            // The group became a supergroup, where the old message ids mean nothing.
            Err(RequestError::MigrateToChatId(chat)) => self.send(chat, None, &outgoing).await,
            sent => sent,
        };
        match sent.map_err(error::sort) {
            Ok(sent) => Ok(sent.into()),
            // The bot was removed or silenced, or the topic or the group is no more.
            Err(ChatError::Forbidden(_) | ChatError::Gone(_)) if !to.private => {
                self.tell(&to.person, &outgoing).await
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces a message of ours. One that already reads the same counts as replaced. From a group where the bot may
    /// no longer write, it moves to the asker's private chat, and the returned reference names the new one.
    ///
    /// # Errors
    /// [`ChatError::Gone`] if the message was deleted or can no longer be edited.
    pub async fn edit(
        &self,
        place: &Place,
        at: &MessageRef,
        message: &Message,
    ) -> Result<MessageRef, ChatError> {
        let outgoing = render(message, self.clock.now_ms());
        let mut chat = ChatId(number(&at.chat)?);
        let id = MessageId(number(&at.message)?);
        let mut edited = self.replace(chat, id, &outgoing).await;
        if let Err(RequestError::MigrateToChatId(moved)) = edited {
            chat = moved;
            edited = self.replace(chat, id, &outgoing).await;
        }
        let stays = MessageRef { chat: chat.to_string(), message: at.message.clone() };
        match edited {
            Ok(_) => Ok(stays),
            Err(refusal) if error::is_not_modified(&refusal) => Ok(stays),
            Err(refusal) => match error::sort(refusal) {
                ChatError::Forbidden(_) if !place.private && at.chat != place.person => {
                    self.tell(&place.person, &outgoing).await
                }
                error => Err(error),
            },
        }
    }

    /// Writes to a person in private.
    async fn tell(&self, person: &str, outgoing: &Outgoing) -> Result<MessageRef, ChatError> {
        let sent = self.send(ChatId(number(person)?), None, outgoing).await;
        Ok(sent.map_err(error::sort_direct)?.into())
    }

    /// See [`Chats::is_member`](super::Chats::is_member).
    pub async fn is_member(&self, person: &str, group: &Group) -> Result<bool, ChatError> {
        let Group::TelegramChat(chat) = group else {
            return Err(ChatError::Refused("not a group of Telegram".to_owned()));
        };
        let unreadable = |_| ChatError::Refused("not an id of Telegram".to_owned());
        let (chat, person) = (chat.parse().map_err(unreadable)?, person.parse().map_err(unreadable)?);
        match call::call(&self.bot, &GetChatMember::new(ChatId(chat), UserId(person))).await {
            Ok(member) => Ok(member.is_present()),
            Err(error) if error::is_no_member(&error) => Ok(false),
            Err(error) => Err(error::sort(error)),
        }
    }

    /// Fetches a file: over HTTP, or from disk where a local Bot API server put it.
    ///
    /// # Errors
    /// [`ChatError::TooLarge`] above what the server serves, [`ChatError::Gone`] if it has no such file.
    pub async fn fetch(&self, file: &Attachment) -> Result<Download, ChatError> {
        file::fetch(&self.files, self.cloud, &file.source).await
    }

    /// An address that opens a private chat with the bot (`t.me`, Telegram's "Deep links"), once
    /// [`Telegram::run`] has learnt the bot's name.
    pub fn private_chat_link(&self) -> Option<String> {
        Some(format!("https://t.me/{}?start=hello", self.name.get()?))
    }

    /// The largest file this server hands to bots, in bytes.
    pub fn max_file_bytes(&self) -> Option<u64> {
        Some(if self.cloud { CLOUD_FILE_BYTES } else { LOCAL_FILE_BYTES })
    }

    async fn send(
        &self,
        chat: ChatId,
        reply_in: Option<&Place>,
        outgoing: &Outgoing,
    ) -> Result<Sent, RequestError> {
        let mut request = SendMessage::new(chat, &outgoing.text)
            .entities(outgoing.entities.clone())
            .link_preview_options(no_preview());
        if let Some(keyboard) = &outgoing.keyboard {
            request = request.reply_markup(ReplyMarkup::InlineKeyboard(keyboard.clone()));
        }
        let id = |text: &Option<String>| text.as_deref().and_then(|id| number(id).ok());
        if let Some(thread) = reply_in.and_then(|place| id(&place.thread)) {
            request = request.message_thread_id(ThreadId(MessageId(thread)));
        }
        if let Some(message) = reply_in.and_then(|place| id(&place.message)) {
            let reply = ReplyParameters::new(MessageId(message));
            request = request.reply_parameters(reply.allow_sending_without_reply());
        }
        self.heed(chat)?;
        self.pace.send().await;
        self.learn(chat, call(&self.bot, &Briefly(request)).await)
    }

    /// Refuses at once what Telegram would refuse: a 429 names how long the chat is closed.
    fn heed(&self, chat: ChatId) -> Result<(), RequestError> {
        let Some(wait) = self.pace.silence(chat, self.clock.now_ms()) else { return Ok(()) };
        let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        Err(RequestError::RetryAfter(Seconds::from_seconds(seconds)))
    }

    /// Takes note of how long a chat asks to be left alone.
    fn learn(&self, chat: ChatId, answer: Result<Sent, RequestError>) -> Result<Sent, RequestError> {
        if let Err(RequestError::RetryAfter(wait)) = &answer {
            self.pace.silence_for(chat, wait.duration(), self.clock.now_ms());
        }
        answer
    }

    async fn replace(&self, chat: ChatId, id: MessageId, outgoing: &Outgoing) -> Result<Sent, RequestError> {
        let mut request = EditMessageText::new(chat, id, &outgoing.text)
            .entities(outgoing.entities.clone())
            .link_preview_options(no_preview());
        // Without a keyboard in the edit, Telegram takes the old one away.
        if let Some(keyboard) = &outgoing.keyboard {
            request = request.reply_markup(keyboard.clone());
        }
        self.heed(chat)?;
        self.pace.edit().await;
        self.learn(chat, call(&self.bot, &Briefly(request)).await)
    }
}

impl From<Sent> for MessageRef {
    fn from(sent: Sent) -> MessageRef {
        MessageRef { chat: sent.chat.id.to_string(), message: sent.message_id.to_string() }
    }
}

/// A client that gives up on silence, and never carries the token elsewhere.
fn client(patience: Duration) -> reqwest::ClientBuilder {
    crate::network::client()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(patience)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
}

fn no_preview() -> LinkPreviewOptions {
    LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    }
}

fn number<N: std::str::FromStr>(id: &str) -> Result<N, ChatError> {
    id.parse().map_err(|_| ChatError::Refused("the stored id is not one of Telegram's".into()))
}

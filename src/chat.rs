//! Chats: what people ask comes in as [`Incoming`]; what they read goes out by [`Chats`].

pub mod console;
pub mod discord;
pub mod telegram;

use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::{mpsc, oneshot};

pub use crate::account::Audience;
use crate::{
    account::{Group, MessageRef, Person, Place, Platform},
    post::{Attachment, Options},
    words::{Deed, Message},
};
use console::Console;
use discord::Discord;
use telegram::Telegram;

/// Something a person asked for in a chat.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub from: Person,
    pub at: Place,
    pub ask: Ask,
    /// What the person is seen to be in by asking there: the Discord server first, then their roles; or the Telegram
    /// group. Nothing in a private chat.
    pub groups: Vec<Group>,
}

/// What can be asked. Words that follow a command are as typed, trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `/connect WHAT`; the word may be missing or unknown.
    Connect {
        what: String,
    },
    /// `/post`, with the file of the message or of the message it replies to.
    Post {
        caption: String,
        options: Options,
        /// The user name of the linked account that it goes to; empty for the one the person prefers.
        account: String,
        file: Option<Attachment>,
        /// Names the message or interaction: `discord:{interaction}` or `telegram:{chat}:{message}`.
        dedupe_key: String,
    },
    /// A form that asks for the caption was opened about a file. Nothing is answered.
    Form {
        /// Names the form among those of its person.
        key: String,
        file: Attachment,
    },
    /// That form was sent: as [`Ask::Post`] with its file.
    Filled {
        key: String,
        caption: String,
        dedupe_key: String,
    },
    /// *Post to X* was chosen for a message of another person's, by someone who does not moderate there.
    SomebodyElses,
    /// A command of somebody who writes in the name of a group or channel, so nobody knows who it is.
    Anonymous,
    /// A post was asked for with an album, of which only the video is posted.
    RestOfAlbum,
    /// The text of a message was edited that had asked for a post.
    Edit {
        caption: String,
        /// As [`Ask::Post`] had it.
        dedupe_key: String,
    },
    Posts,
    Accounts,
    /// `/disconnect`, perhaps with the `@name` of an account.
    Disconnect {
        what: String,
    },
    Cancel,
    Upload,
    /// `/web`: the person's accounts and posts in a browser.
    Web,
    /// `/token`, perhaps with a name for it.
    Token {
        name: String,
    },
    Tokens,
    Help,
    Start,
    /// `/claim CODE`, or Telegram's `/start CODE`: makes the sender an operator.
    Claim {
        code: String,
    },
    /// A button was pressed.
    Press(Deed),
    /// A command that nobody taught us; without the slash. Only said where it was surely meant for this bot.
    Unknown {
        command: String,
    },
}

/// An [`Incoming`] on its way to whoever handles it.
///
/// Sending on `done` says that what had to be stored is stored: only then may a chat tell its service that the
/// message was received. Dropped unsent, it was not: the message must come again.
#[derive(Debug)]
pub struct Delivery {
    pub incoming: Incoming,
    pub done: oneshot::Sender<()>,
}

/// Where adapters deliver.
pub type Inbox = mpsc::Sender<Delivery>;

/// A file on its way from a chat.
pub struct Download {
    /// As the service declares it, if it does.
    pub bytes: Option<u64>,
    pub body: BoxStream<'static, Result<Bytes, ChatError>>,
}

/// What a chat service answered, sorted by what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// Asked to slow down.
    #[error("the chat asks to wait {0:?}")]
    SlowDown(Duration),
    /// The message, channel or file is no longer there.
    #[error("it is no longer there: {0}")]
    Gone(String),
    /// The bot may not write there: removed, blocked, or missing a permission.
    #[error("the bot may not do that there: {0}")]
    Forbidden(String),
    /// Telegram lets a bot write in private only to people who opened the chat first.
    #[error("the person has not opened a private chat with the bot")]
    NeedsPrivateChat,
    /// The service does not find the file just now. Only when that repeats, it is gone.
    #[error("the file cannot be found: {0}")]
    NotFound(String),
    /// The file is larger than this chat serves; the limit in bytes.
    #[error("the file is larger than the {limit} bytes this chat serves")]
    TooLarge { limit: u64 },
    /// The file's address is not one of the chat's own media hosts.
    #[error("the file is not on one of the chat's own hosts")]
    ForeignFile,
    /// The service is in trouble or out of reach; trying again may help.
    #[error("the chat service could not be reached: {0}")]
    Trouble(String),
    /// The request was refused for a reason that trying again will not mend.
    #[error("the chat service refused: {0}")]
    Refused(String),
}

/// One chat service.
#[derive(Clone)]
pub enum Chat {
    Discord(Discord),
    Telegram(Telegram),
    Console(Console),
}

impl Chat {
    fn platform(&self) -> Platform {
        match self {
            Chat::Discord(_) => Platform::Discord,
            Chat::Telegram(_) => Platform::Telegram,
            Chat::Console(_) => Platform::Console,
        }
    }
}

/// The chats this process speaks, by platform.
#[derive(Clone, Default)]
pub struct Chats(Vec<Chat>);

impl Chats {
    pub fn new(chats: impl IntoIterator<Item = Chat>) -> Self {
        Chats(chats.into_iter().collect())
    }

    fn on(&self, platform: Platform) -> Result<&Chat, ChatError> {
        self.0
            .iter()
            .find(|chat| chat.platform() == platform)
            .ok_or_else(|| ChatError::Trouble(format!("{} is not configured", platform.title())))
    }

    /// Sends a message and returns where it stands.
    ///
    /// `nonce` names the message for services that can refuse a second copy (Discord's `enforce_nonce`).
    pub async fn say(
        &self,
        to: &Place,
        audience: Audience,
        message: &Message,
        nonce: Option<&str>,
    ) -> Result<MessageRef, ChatError> {
        match self.on(to.platform)? {
            Chat::Discord(discord) => discord.say(to, audience, message, nonce).await,
            Chat::Telegram(telegram) => telegram.say(to, audience, message, nonce).await,
            Chat::Console(console) => console.say(to, audience, message).await,
        }
    }

    /// Replaces a message of ours. Returns where it stands now: on Discord it may have moved to a direct message.
    pub async fn edit(
        &self,
        place: &Place,
        at: &MessageRef,
        message: &Message,
    ) -> Result<MessageRef, ChatError> {
        match self.on(place.platform)? {
            Chat::Discord(discord) => discord.edit(place, at, message).await,
            Chat::Telegram(telegram) => telegram.edit(place, at, message).await,
            Chat::Console(console) => console.edit(at, message).await,
        }
    }

    /// Asks a chat whether a person is in the group `via`, which they showed at `place`: on Discord the server of a role.
    ///
    /// # Errors
    /// When the chat cannot say.
    pub async fn is_member(&self, person: &Person, place: &Group, via: &Group) -> Result<bool, ChatError> {
        match self.on(person.platform)? {
            Chat::Discord(discord) => discord.is_member(&person.id, place, via).await,
            Chat::Telegram(telegram) => telegram.is_member(&person.id, via).await,
            Chat::Console(console) => console.is_member(&person.id).await,
        }
    }

    /// Fetches a file.
    pub async fn fetch(&self, file: &Attachment) -> Result<Download, ChatError> {
        match self.on(file.platform)? {
            Chat::Discord(discord) => discord.fetch(file).await,
            Chat::Telegram(telegram) => telegram.fetch(file).await,
            Chat::Console(console) => console.fetch(file).await,
        }
    }

    /// An address that opens a private chat with the bot, where the platform has such addresses.
    pub fn private_chat_link(&self, platform: Platform) -> Option<String> {
        match self.on(platform).ok()? {
            Chat::Telegram(telegram) => telegram.private_chat_link(),
            Chat::Discord(_) | Chat::Console(_) => None,
        }
    }

    /// How long to leave a chat alone between two edits. Telegram allows about one message a second in a chat
    /// (Bot API FAQ), Discord five edits in five seconds in a channel.
    pub fn pause(&self, platform: Platform) -> Duration {
        match platform {
            Platform::Discord | Platform::Telegram => Duration::from_millis(1_500),
            Platform::Console => Duration::from_millis(50),
        }
    }

    /// The largest file, in bytes, that a platform serves to bots, where it has a limit.
    pub fn max_file_bytes(&self, platform: Platform) -> Option<u64> {
        match self.on(platform).ok()? {
            Chat::Telegram(telegram) => telegram.max_file_bytes(),
            Chat::Discord(_) | Chat::Console(_) => None,
        }
    }
}

//! Every sentence people read, from values to messages. The one place to translate.

use std::{fmt, str::FromStr};

use crate::{account::AccountId, post::PostId};

/// A chat message: what it says and what can be pressed under it.
///
/// Nothing in it is markup; each chat's adapter escapes what its service would interpret.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    pub text: Vec<Span>,
    pub buttons: Vec<Button>,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Span {
    /// Plain text, ours or anybody's; newlines count.
    Text(String),
    /// An address that opens.
    Link(String),
    /// A moment in Unix milliseconds, shown in the reader's own time where the chat can.
    Time(i64),
}

/// A button under a message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Button {
    pub label: String,
    pub act: Act,
}

/// What a button does.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Act {
    /// Opens an address.
    Open(String),
    /// Tells the service to do something.
    Do(Deed),
}

/// What a pressed button asks for. Its text form fits the 64 bytes of Telegram's `callback_data`
/// (Bot API, `InlineKeyboardButton`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Deed {
    Cancel(PostId),
    Retry(PostId),
    /// The person says that the post is not on X and is to be made again.
    PostAgain(PostId),
    /// The person says that the post is on X.
    ItIsThere(PostId),
    /// Starts linking an X account.
    Connect,
    Disconnect(AccountId),
    /// Makes an account the one that `/post` publishes to.
    Prefer(AccountId),
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Cancel(id) => write!(f, "cancel:{id}"),
            Deed::Retry(id) => write!(f, "retry:{id}"),
            Deed::PostAgain(id) => write!(f, "again:{id}"),
            Deed::ItIsThere(id) => write!(f, "there:{id}"),
            Deed::Connect => write!(f, "connect"),
            Deed::Disconnect(id) => write!(f, "disconnect:{id}"),
            Deed::Prefer(id) => write!(f, "prefer:{id}"),
        }
    }
}

/// A button payload that this version did not write.
#[derive(Debug, thiserror::Error)]
#[error("unknown button")]
pub struct UnknownDeed;

impl FromStr for Deed {
    type Err = UnknownDeed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (verb, object) = text.split_once(':').unwrap_or((text, ""));
        let post = || object.parse::<PostId>().map_err(|_| UnknownDeed);
        let account = || {
            let digits = (1..=20).contains(&object.len()) && object.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| AccountId(object.to_owned())).ok_or(UnknownDeed)
        };
        Ok(match verb {
            "cancel" => Deed::Cancel(post()?),
            "retry" => Deed::Retry(post()?),
            "again" => Deed::PostAgain(post()?),
            "there" => Deed::ItIsThere(post()?),
            "connect" if object.is_empty() => Deed::Connect,
            "disconnect" => Deed::Disconnect(account()?),
            "prefer" => Deed::Prefer(account()?),
            _ => return Err(UnknownDeed),
        })
    }
}

impl Message {
    /// A message of plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Message { text: vec![Span::Text(text.into())], buttons: Vec::new() }
    }

    /// Adds plain text.
    pub fn then(mut self, text: impl Into<String>) -> Self {
        self.text.push(Span::Text(text.into()));
        self
    }

    /// Adds an address.
    pub fn link(mut self, url: impl Into<String>) -> Self {
        self.text.push(Span::Link(url.into()));
        self
    }

    /// Adds a moment, in Unix milliseconds.
    pub fn time(mut self, at: i64) -> Self {
        self.text.push(Span::Time(at));
        self
    }

    /// Adds a button that opens an address.
    pub fn open(mut self, label: &str, url: impl Into<String>) -> Self {
        self.buttons.push(Button { label: label.to_owned(), act: Act::Open(url.into()) });
        self
    }

    /// Adds a button that does something.
    pub fn button(mut self, label: &str, deed: Deed) -> Self {
        self.buttons.push(Button { label: label.to_owned(), act: Act::Do(deed) });
        self
    }
}

//! Every sentence people read, from values to messages. The one place to translate.

mod browser;
mod failed;
mod limits;
mod linking;
mod operator;
mod replies;
mod status;
#[cfg(test)]
mod tests;
mod tokens;
mod video;

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::{account::AccountId, post::PostId};

pub use browser::BROWSER;
pub use failed::{failure, may_retry};
pub use limits::*;
pub use linking::*;
pub use operator::*;
pub use replies::*;
pub use status::{Links, Pace, bytes_done, posted_twice, state_line, status, waits_for};
pub use tokens::{
    Browser, api_token, api_tokens, signed_out_of, token_ended, too_many_tokens, with_browsers,
};
pub use video::{refusal, warning};

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
    /// Something to copy, such as a token.
    Code(String),
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
    /// Asks for a link to the upload page.
    Upload,
    Disconnect(AccountId),
    /// Asks whether to end the connections of everybody else to an account.
    AskEndOthers(AccountId),
    /// Ends the connections of everybody else to an account.
    EndOthers(AccountId),
    /// Makes an account the one that `/post` publishes to.
    Prefer(AccountId),
    /// Ends an API token.
    RevokeToken(Uuid),
    /// Signs a browser out.
    SignOut(Uuid),
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Cancel(id) => write!(f, "cancel:{id}"),
            Deed::Retry(id) => write!(f, "retry:{id}"),
            Deed::PostAgain(id) => write!(f, "again:{id}"),
            Deed::ItIsThere(id) => write!(f, "there:{id}"),
            Deed::Connect => write!(f, "connect"),
            Deed::Upload => write!(f, "upload"),
            Deed::Disconnect(id) => write!(f, "disconnect:{id}"),
            Deed::AskEndOthers(id) => write!(f, "ask_others:{id}"),
            Deed::EndOthers(id) => write!(f, "others:{id}"),
            Deed::Prefer(id) => write!(f, "prefer:{id}"),
            Deed::RevokeToken(id) => write!(f, "revoke:{id}"),
            Deed::SignOut(id) => write!(f, "sign_out:{id}"),
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
            "upload" if object.is_empty() => Deed::Upload,
            "disconnect" => Deed::Disconnect(account()?),
            "ask_others" => Deed::AskEndOthers(account()?),
            "others" => Deed::EndOthers(account()?),
            "prefer" => Deed::Prefer(account()?),
            "revoke" => Deed::RevokeToken(object.parse().map_err(|_| UnknownDeed)?),
            "sign_out" => Deed::SignOut(object.parse().map_err(|_| UnknownDeed)?),
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

    /// Adds something to copy.
    pub fn code(mut self, text: impl Into<String>) -> Self {
        self.text.push(Span::Code(text.into()));
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

/// A size in bytes as people write it: `84 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..10_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        10_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// The length of a video: `0:42`, `1:02:03`.
fn length(ms: u64) -> String {
    // To the nearest second, as players show it.
    let seconds = (ms.saturating_add(500) / 1_000).max(1);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A stretch of time, roughly: `6 s`, `3 min`, `2 h`.
fn span(ms: i64) -> String {
    match ms.max(0).unsigned_abs().div_ceil(1_000) {
        seconds @ 0..90 => format!("{seconds} s"),
        seconds @ 90..5_400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3_600)),
    }
}

/// A file name as its sender wrote it, on one line and not endless.
fn file_name(name: &str) -> String {
    // Bidirectional overrides (Unicode UAX #9) could make one name look like another.
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let name: String = name.chars().filter(|c| !c.is_control() && !turns(*c)).collect();
    match name.trim() {
        "" => "video".to_owned(),
        name if name.chars().count() > 60 => {
            let head: String = name.chars().take(59).collect();
            format!("{head}…")
        }
        name => name.to_owned(),
    }
}

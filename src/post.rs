//! A post: what a person asked to publish, how far it has come, and why it stopped if it did.

mod note;
mod options;
mod pause;
mod quota;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::{AccountId, Person, Place, Platform};

pub use note::Note;
pub use options::{ALT_TEXT_LIMIT, AltTextTooLong, Options, Replies, Sensitive};
pub use pause::Pause;
pub use quota::{CONNECTION_PRICE, Mills, OverLimit, PRICE, PRICE_WITH_LINK};

/// A post's id: a UUIDv7, so ids sort by the time people asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PostId(pub Uuid);

impl fmt::Display for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for PostId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(PostId)
    }
}

/// Where a post stands. The row's state is the pipeline: each working state names the step that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(description = "Where a post stands.")]
pub enum State {
    /// The file is to be copied from the chat to staging.
    Staging,
    /// The staged file is to be looked into.
    Inspecting,
    /// The file is to be sent to X in segments.
    Uploading,
    /// X has the file and works on it.
    Processing,
    /// X is to be told what the options say about the video itself: its alternative text, what to warn of.
    Describing,
    /// The post is to be made, or (with an intent written) may already have been.
    Publishing,
    /// The post is on X.
    Posted,
    /// Nobody but the person can know whether the post is on X.
    NeedsUser,
    Failed,
    Canceled,
}

impl State {
    /// In the order a post goes through them.
    pub const ALL: [State; 10] = [
        State::Staging,
        State::Inspecting,
        State::Uploading,
        State::Processing,
        State::Describing,
        State::Publishing,
        State::Posted,
        State::NeedsUser,
        State::Failed,
        State::Canceled,
    ];

    /// The word stored in the database and shown to programs.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Staging => "staging",
            State::Inspecting => "inspecting",
            State::Uploading => "uploading",
            State::Processing => "processing",
            State::Describing => "describing",
            State::Publishing => "publishing",
            State::Posted => "posted",
            State::NeedsUser => "needs_user",
            State::Failed => "failed",
            State::Canceled => "canceled",
        }
    }

    /// Tells whether the step that comes next moves a whole file, which may take minutes.
    pub fn is_transfer(self) -> bool {
        matches!(self, State::Staging | State::Uploading)
    }

    /// Whether nothing more will happen unless a person acts.
    pub fn is_over(self) -> bool {
        matches!(self, State::Posted | State::Failed | State::Canceled)
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        State::ALL.into_iter().find(|state| state.as_str() == word).ok_or(UnknownState)
    }
}

/// A stored state that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown post state")]
pub struct UnknownState;

/// A file that came with a chat message, not fetched yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub platform: Platform,
    /// What the chat's adapter needs to fetch it: a Discord attachment URL, a Telegram file id, a path.
    pub source: String,
    /// As the sender named it; for reading only, never a path.
    pub name: String,
    /// As the chat says; the truth is counted on the way.
    pub bytes: Option<u64>,
    /// As the chat says; the truth is found by looking inside.
    pub content_type: Option<String>,
    pub kind: Kind,
}

/// What the chat calls a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Video,
    /// A short silent video that Telegram calls a GIF.
    Animation,
    /// Telegram's round video.
    VideoNote,
    /// A file of any other type; it may be a video all the same.
    File,
    Photo,
    Voice,
    Audio,
    Sticker,
    /// A file that its person put into storage themselves; there is nothing to fetch.
    Upload,
}

impl Kind {
    /// Whether such a file can be a video at all.
    pub fn may_be_video(self) -> bool {
        matches!(self, Kind::Video | Kind::Animation | Kind::VideoNote | Kind::File | Kind::Upload)
    }
}

/// A request to post, complete and checked, not stored yet.
#[derive(Clone, Debug)]
pub struct NewPost {
    pub id: PostId,
    /// Shared by the posts that were asked for at once; a post from a chat has its own id here.
    pub request: Uuid,
    /// Names the chat message that asked, so that a redelivered message makes no second post.
    pub dedupe_key: String,
    pub person: Person,
    pub account: AccountId,
    pub caption: String,
    pub options: Options,
    pub attachment: Attachment,
    /// The file, when it is in storage already: its key and its length in bytes.
    pub staged: Option<(String, u64)>,
    /// Where the status is shown; `None` when a program asked.
    pub place: Option<Place>,
}

/// A stored post.
#[derive(Clone, Debug)]
pub struct Post {
    pub id: PostId,
    /// Shared by the posts that were asked for at once.
    pub request: Uuid,
    pub user: String,
    pub account: AccountId,
    pub caption: String,
    pub options: Options,
    pub attachment: Attachment,
    pub state: State,
    /// Errors since the last progress.
    pub attempt: u32,
    /// When the first of them came, in Unix milliseconds.
    pub trouble_since: Option<i64>,
    /// Where the staged file is, while there is one.
    pub object_key: Option<String>,
    /// Bytes in staging: all of them from `Inspecting` on, those copied so far before.
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    /// As found inside the file, and said to X.
    pub media_type: Option<String>,
    pub duration_ms: Option<u64>,
    pub media: Option<Media>,
    /// The size of the chunks sent last, in bytes. A later upload takes no larger ones: X has found those too large.
    pub chunk_bytes: Option<u64>,
    /// When X began to process the media, in Unix milliseconds.
    pub processing_since: Option<i64>,
    /// How far X says it is, 0 to 100.
    pub processing_percent: Option<u8>,
    /// Upload sessions begun since the post was accepted or tried again.
    pub sessions: u32,
    /// When X first refused the present session, or to begin one, in Unix milliseconds.
    pub refused_since: Option<i64>,
    /// Sessions given up because X kept refusing them.
    pub refused_sessions: u32,
    /// Times the file was fetched again because storage lost or damaged it.
    pub refetches: u32,
    /// When the last attempt to post was begun whose outcome is not known. While set, the post may be on X.
    pub intent_at: Option<i64>,
    /// When the first such attempt was begun: a look for the post must reach back to here.
    pub first_intent_at: Option<i64>,
    /// Attempts to post that were begun.
    pub intents: u32,
    /// The person wants it posted again if one more look finds nothing.
    pub resend: bool,
    /// Looks at the account's timeline since the intent that found nothing.
    pub looks: u32,
    pub x_post_id: Option<String>,
    pub failure: Option<Failure>,
    /// What its person is to know besides.
    pub notes: Vec<Note>,
    /// Why the post waits and until when, if it waits for anything but its turn.
    pub waiting: Option<Waiting>,
    pub created_at: i64,
}

impl Post {
    /// Moves moments that lie after `now` back to it. A clock that was ahead has written them, and what is judged by
    /// the time since then would be judged too late.
    pub(crate) fn known_by(mut self, now: i64) -> Post {
        let moments = [
            &mut self.trouble_since,
            &mut self.processing_since,
            &mut self.refused_since,
            &mut self.intent_at,
            &mut self.first_intent_at,
        ];
        for at in moments.into_iter().flatten() {
            *at = now.min(*at);
        }
        if let Some(Waiting::FileNotFound { since, .. }) = &mut self.waiting {
            *since = now.min(*since);
        }
        self
    }
}

/// An upload session at X.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub id: String,
    /// Unix milliseconds after which X may have forgotten it.
    pub expires_at: Option<i64>,
    pub chunk_bytes: u64,
    /// How many segments X has acknowledged.
    pub segments_done: u32,
}

impl Media {
    /// How many segments a file of `total` bytes makes.
    pub fn segments(&self, total: u64) -> u32 {
        u32::try_from(total.div_ceil(self.chunk_bytes.max(1))).unwrap_or(u32::MAX)
    }
}

/// Why a post waits. `until` is in Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Waiting {
    /// X asked for a pause.
    RateLimit { until: i64 },
    /// X, the chat or staging is in trouble; tried again then.
    Trouble { with: Party, until: i64 },
    /// The chat has not found the file since `since`, in so many tries.
    FileNotFound { since: i64, tries: u32, until: i64 },
    /// The app's X credits ran out.
    Credits { until: i64 },
    /// The operator's limit for the billing cycle at X is reached.
    SpendCap { until: i64 },
    /// The operator's X app may not use this API.
    NotEnrolled { until: i64 },
    /// The operator's plan at X allows no more posts this month.
    PostCap { until: i64 },
    /// The account has made as many posts as X lets it make in a day.
    DailyLimit { until: i64 },
    /// The account must be linked again.
    Reconnect,
    /// The account's owner ended this person's connection to it.
    ConnectionEnded,
    /// The answer to the creation was lost; looking for the post.
    Looking,
    /// Something that a later version wrote.
    #[serde(other)]
    Unknown,
}

impl Waiting {
    /// True for what every post of the account waits for alike.
    pub fn is_for_the_account(&self) -> bool {
        match self {
            Waiting::RateLimit { .. }
            | Waiting::Trouble { with: Party::X | Party::Staging, .. }
            | Waiting::Credits { .. }
            | Waiting::SpendCap { .. }
            | Waiting::NotEnrolled { .. }
            | Waiting::PostCap { .. }
            | Waiting::DailyLimit { .. } => true,
            Waiting::Trouble { with: Party::Chat, .. }
            | Waiting::FileNotFound { .. }
            | Waiting::Reconnect
            | Waiting::ConnectionEnded
            | Waiting::Looking
            | Waiting::Unknown => false,
        }
    }

    /// Whether it is for the whole app to be let in again, and so may end before its time.
    pub fn is_for_the_app(&self) -> bool {
        matches!(
            self,
            Waiting::Credits { .. }
                | Waiting::SpendCap { .. }
                | Waiting::NotEnrolled { .. }
                | Waiting::PostCap { .. }
        )
    }
}

/// Somebody the service depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    X,
    Chat,
    Staging,
}

/// Why a post ended without being published. The tag is the stable `code` that programs see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Failure {
    /// The chat no longer serves the file.
    FileGone,
    FileEmpty,
    FileTooLarge {
        limit: u64,
    },
    /// More than the person may still send today, found while it was received.
    DayFull {
        limit: u64,
    },
    /// More than a person may send in a whole day.
    LargerThanADay {
        limit: u64,
    },
    /// Not a video, or one that X does not take; why, in plain words.
    VideoRefused {
        reason: String,
    },
    /// The file's address is not the chat's own.
    ForeignFile,
    /// The staged copy vanished or was damaged before it was posted.
    StagingLost,
    /// X took the file and could not work with it; X's own words.
    MediaRejected {
        reason: String,
    },
    /// X never finished with the file.
    ProcessingTooLong,
    /// The text is longer than the account may post, in weighted characters.
    CaptionTooLong {
        weighted: u32,
        limit: u32,
    },
    /// X already has the same post.
    Duplicate,
    /// The account may post at most this long; unknown when X does not say.
    TooLongForAccount {
        minutes: Option<u32>,
    },
    /// X keeps the account from posting until its owner has answered a notice there.
    AccountRestricted,
    /// The link lacks a permission that posting needs.
    MissingPermission,
    /// X does not allow a link in the text.
    LinkRefused,
    /// X allows one cashtag a post.
    TooManyCashtags,
    /// X did not take the warning that the person wanted shown before the video.
    WarningNotTaken,
    /// X refused the smallest parts that the video can be sent in, of this many bytes.
    PartsTooLarge {
        bytes: u64,
    },
    /// X refused for a reason of its own, in its words.
    Refused {
        detail: String,
    },
    /// The account was disconnected while the post waited.
    Disconnected,
    /// The operator blocked the person while the post waited.
    Blocked,
    /// Somebody was out of reach for too long.
    GaveUp {
        on: Party,
    },
    /// The step died several times without a word.
    CrashLoop,
    /// What the step found cannot be stored, however often it is tried.
    Internal,
    /// Something that a later version wrote.
    #[serde(other)]
    Unknown,
}

impl Failure {
    /// The stable code that programs see, as `file_gone`.
    pub fn code(&self) -> String {
        let tagged = serde_json::to_value(self).unwrap_or_default();
        tagged["code"].as_str().unwrap_or("unknown").to_owned()
    }
}

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

    /// Returns true if the next step moves a whole file, which may take minutes.
    pub fn is_transfer(self) -> bool {
        matches!(self, State::Staging | State::Uploading)
    }

    /// Returns true if nothing more happens unless a person acts.
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
    /// Reference with which the chat's adapter fetches the file: a Discord attachment URL, a Telegram file id, a path.
    pub source: String,
    /// The sender's name for the file; shown to people, never used as a path.
    pub name: String,
    /// Size as reported by the chat; the actual bytes are counted during download.
    pub bytes: Option<u64>,
    /// Type as reported by the chat; the inspection determines the actual type.
    pub content_type: Option<String>,
    pub kind: Kind,
}

/// Kind of a file, as the chat labels it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Video,
    /// A short silent video that Telegram calls a GIF.
    Animation,
    /// Telegram's round video.
    VideoNote,
    /// A file of any other type; it may still be a video.
    File,
    Photo,
    Voice,
    Audio,
    Sticker,
    /// A file that the person uploaded to storage directly; there is nothing to fetch.
    Upload,
}

impl Kind {
    /// Returns true if such a file can be a video.
    pub fn may_be_video(self) -> bool {
        matches!(self, Kind::Video | Kind::Animation | Kind::VideoNote | Kind::File | Kind::Upload)
    }
}

/// A complete and validated request to post that is not stored yet.
#[derive(Clone, Debug)]
pub struct NewPost {
    pub id: PostId,
    /// Shared by the posts that were asked for at once; a post from a chat has its own id here.
    pub request: Uuid,
    /// Key of the requesting chat message, so that a redelivered message creates no second post.
    pub dedupe_key: String,
    pub person: Person,
    pub account: AccountId,
    pub caption: String,
    pub options: Options,
    pub attachment: Attachment,
    /// Key and length in bytes of a file that is already in storage.
    pub staged: Option<(String, u64)>,
    /// Place where the status is shown; `None` if a program made the request.
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
    /// Time of the first of these errors, in Unix milliseconds.
    pub trouble_since: Option<i64>,
    /// Key of the staged file, while it exists.
    pub object_key: Option<String>,
    /// Bytes in staging: the whole file from `Inspecting` on, the bytes copied so far before that.
    pub bytes: Option<u64>,
    pub sha256: Option<String>,
    /// Media type found by the inspection; also sent to X.
    pub media_type: Option<String>,
    pub duration_ms: Option<u64>,
    pub media: Option<Media>,
    /// Size in bytes of the chunks sent last. A later upload uses no larger chunks, because X has refused those.
    pub chunk_bytes: Option<u64>,
    /// Time when X began to process the media, in Unix milliseconds.
    pub processing_since: Option<i64>,
    /// Processing progress reported by X, 0 to 100.
    pub processing_percent: Option<u8>,
    /// Number of upload sessions begun since the post was accepted or retried.
    pub sessions: u32,
    /// Time when X first refused the current session, or refused to begin one, in Unix milliseconds.
    pub refused_since: Option<i64>,
    /// Number of sessions abandoned because X kept refusing them.
    pub refused_sessions: u32,
    /// Number of times the file was fetched again because storage lost or damaged it.
    pub refetches: u32,
    /// Start of the latest creation attempt with an unknown outcome. While this is set, the post may be on X.
    pub intent_at: Option<i64>,
    /// Start of the first such attempt. A search for the post must reach back to this time.
    pub first_intent_at: Option<i64>,
    /// Number of creation attempts begun.
    pub intents: u32,
    /// True if the person wants the post sent again in case one more search finds nothing.
    pub resend: bool,
    /// Number of searches of the account's timeline since the intent that found nothing.
    pub looks: u32,
    pub x_post_id: Option<String>,
    pub failure: Option<Failure>,
    /// Remarks for the person that do not stop the post.
    pub notes: Vec<Note>,
    /// Reason and end of the wait, if the post waits for anything but its turn.
    pub waiting: Option<Waiting>,
    pub created_at: i64,
}

impl Post {
    /// Moves times after `now` back to `now`. A clock that ran ahead wrote them, and deadlines computed from them
    /// would be reached too late.
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
    /// Time in Unix milliseconds after which X may have dropped the session.
    pub expires_at: Option<i64>,
    pub chunk_bytes: u64,
    /// Number of segments that X has acknowledged.
    pub segments_done: u32,
}

impl Media {
    /// Number of segments in a file of `total` bytes.
    pub fn segments(&self, total: u64) -> u32 {
        u32::try_from(total.div_ceil(self.chunk_bytes.max(1))).unwrap_or(u32::MAX)
    }
}

/// Reason why a post waits. `until` is in Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Waiting {
    /// X asked for a pause.
    RateLimit { until: i64 },
    /// X, the chat or staging is failing; the worker retries at `until`.
    Trouble { with: Party, until: i64 },
    /// The chat has not found the file since `since`, in `tries` attempts.
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
    /// X's answer to the creation was lost; the worker is searching for the post.
    Looking,
    /// A value written by a newer version.
    #[serde(other)]
    Unknown,
}

impl Waiting {
    /// Returns true if the reason applies to every post of the account.
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

    /// Returns true if X has paused the whole app. Such a wait may end before `until`.
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

/// An external system that the service depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    X,
    Chat,
    Staging,
}

/// Reason why a post ended unpublished. The tag is the stable `code` that programs see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Failure {
    /// The chat no longer serves the file.
    FileGone,
    FileEmpty,
    FileTooLarge {
        limit: u64,
    },
    /// The video exceeds what the person may still send today; found during download.
    DayFull {
        limit: u64,
    },
    /// The video exceeds what a person may send in a whole day.
    LargerThanADay {
        limit: u64,
    },
    /// Not a video, or one that X does not accept; with the reason in plain words.
    VideoRefused {
        reason: String,
    },
    /// The file's address is not the chat's own.
    ForeignFile,
    /// The staged copy vanished or was damaged before it was posted.
    StagingLost,
    /// X accepted the file but could not process it; with X's own words.
    MediaRejected {
        reason: String,
    },
    /// X did not finish processing the file in time.
    ProcessingTooLong,
    /// The text is longer than the account may post, in weighted characters.
    CaptionTooLong {
        weighted: u32,
        limit: u32,
    },
    /// X already has the same post.
    Duplicate,
    /// The video is longer than the account may post; the limit is unknown if X does not name it.
    TooLongForAccount {
        minutes: Option<u32>,
    },
    /// X blocks the account from posting until its owner has answered a notice on X.
    AccountRestricted,
    /// The link lacks a permission that posting needs.
    MissingPermission,
    /// X does not allow a link in the text.
    LinkRefused,
    /// X allows one cashtag a post.
    TooManyCashtags,
    /// X refused the content warning that the person asked for.
    WarningNotTaken,
    /// X refused even the smallest possible chunks, of this many bytes.
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
    /// An external system was unreachable for too long.
    GaveUp {
        on: Party,
    },
    /// The step crashed several times without reporting an error.
    CrashLoop,
    /// The step's outcome cannot be stored, and a retry would not change that.
    Internal,
    /// A value written by a newer version.
    #[serde(other)]
    Unknown,
}

impl Failure {
    /// The stable code that programs see, such as `file_gone`.
    pub fn code(&self) -> String {
        let tagged = serde_json::to_value(self).unwrap_or_default();
        tagged["code"].as_str().unwrap_or("unknown").to_owned()
    }
}

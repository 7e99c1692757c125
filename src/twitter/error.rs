//! Errors from X, sorted by their remedy.
//!
//! X sends explanations in several shapes (docs.x.com, x-api/fundamentals/response-codes-and-errors, and what clients
//! report): a problem, a problem with `errors`, legacy `errors` with codes, HTML from the edge, or nothing at all.

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use super::Limit;

/// Reason why a call to X failed.
#[derive(Debug, thiserror::Error)]
pub enum XError {
    /// 401. A single one proves little: the caller must refresh the token and retry first.
    #[error("X refused the sign-in")]
    SignedOut,
    /// 402. The operator's prepaid credits are used up.
    #[error("the X app has no credits left")]
    OutOfCredits,
    /// The app has reached the operator's spending cap for this billing cycle.
    #[error("the X app has reached its spending cap")]
    SpendCap,
    /// The app has read as many posts as its plan allows for this day or month.
    #[error("the X app has reached its read cap")]
    ReadCap,
    #[error("X asks to wait")]
    RateLimited(Limit),
    /// The account has made as many posts as X lets it make in a day.
    #[error("the account has reached its daily limit")]
    DailyLimit(Limit),
    /// The app has made as many posts as its plan allows for this month.
    #[error("the X app has reached its cap on posts")]
    PostCap,
    /// The app is outside the package or environment that may call this.
    #[error("the X app is not enrolled for this API")]
    NotEnrolled,
    /// The call needs a person's token and got an app-only one, or the reverse.
    #[error("X wants another kind of token here")]
    WrongToken,
    /// Legacy code 453: the app's access level covers only a subset of endpoints.
    #[error("the X app's access level does not cover this")]
    AccessLevel,
    /// The token lacks `media.write`; the account must be linked again.
    #[error("the permission to upload is missing")]
    MissingScope,
    /// The same text was posted recently, perhaps by an attempt whose answer was lost.
    #[error("X has this post already")]
    Duplicate,
    /// The account may not post a video of this length.
    #[error("the video is too long for this account")]
    TooLong {
        /// The account's limit, if X named it.
        minutes: Option<u32>,
    },
    /// The account is suspended, locked or barred from this feature; its owner must open X.
    #[error("X restricts this account: {detail}")]
    AccountRestricted { detail: String },
    #[error("X does not allow a link in the text")]
    InvalidUrl,
    #[error("X allows one cashtag in a post")]
    TooManyCashtags,
    /// X's catch-all refusal of a post: for its length, media, mentions, or the account.
    #[error("X refused this post: {detail}")]
    NotPermitted { detail: String },
    /// The account may not see the requested object.
    #[error("X does not let this account see that")]
    Hidden,
    /// The media ids of a post are unusable: unprocessed, expired, or another account's.
    #[error("X does not take this video yet, or no longer")]
    InvalidMedia,
    /// Finalize found bytes missing.
    #[error("X is missing a part of the upload")]
    IncompleteUpload,
    /// X does not know the upload session: it expired, or X's upload service has an outage.
    #[error("X does not know this upload")]
    UploadGone,
    #[error("X does not know what was asked for")]
    NotFound,
    /// 413 or 431: smaller chunks may pass.
    #[error("X found the request too large ({0})")]
    TooLarge(StatusCode),
    /// Any other refusal; `detail` is X's own sentence, safe to display, possibly empty.
    #[error("X refused ({status}): {detail}")]
    Refused { status: StatusCode, detail: String },
    /// X has an outage: 5xx, or an answer that no healthy server gives.
    #[error("X is in trouble ({0})")]
    Trouble(StatusCode),
    #[error("X could not be reached")]
    Unreachable(#[source] reqwest::Error),
    /// A chunk stopped moving half-way.
    #[error("the upload to X stood still")]
    Stalled,
    /// The bytes to upload could not be read; X is not at fault.
    #[error("the video could not be read")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("X gave an answer we cannot use: {0}")]
    Garbled(&'static str),
}

/// Sorts an answer that is not a success. `call` is verb and path template.
pub(super) fn sort(call: &'static str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> XError {
    Problem::read(body).sorted(call, status, headers)
}

/// Sorts a success without `data`: by the status in its first error, if that is one.
pub(super) fn sort_partial(call: &'static str, headers: &HeaderMap, body: &[u8]) -> XError {
    let problem = Problem::read(body);
    match problem.status {
        Some(status) => problem.sorted(call, status, headers),
        None if problem.kind == "resource-not-found" => XError::NotFound,
        None if problem.shown.is_empty() => XError::Garbled("it holds no data"),
        None => XError::Refused { status: StatusCode::OK, detail: problem.shown },
    }
}

/// The decisive parts of an explanation, independent of its shape.
#[derive(Default)]
struct Problem {
    /// Last path segment of `type`; the host is ignored because X has changed it before.
    kind: String,
    /// The status inside a partial error.
    status: Option<StatusCode>,
    /// Legacy code.
    code: Option<i64>,
    /// The whole explanation in lower case, for keyword matching.
    said: String,
    /// The most informative sentence, safe to display.
    shown: String,
}

impl Problem {
    fn read(body: &[u8]) -> Problem {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Problem::default();
        };
        let nested = value.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let layers = || std::iter::once(&value).chain(nested.iter().take(10));
        let texts = |name: &'static str| layers().filter_map(move |layer| layer.get(name)?.as_str());

        let kind = texts("type").next().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default();
        let said: Vec<_> = ["title", "detail", "reason", "message", "error", "error_description"]
            .into_iter()
            .flat_map(texts)
            .collect();
        let shown = ["message", "detail", "error_description", "title", "error"]
            .into_iter()
            .find_map(|name| texts(name).find(|text| !text.trim().is_empty()));
        Problem {
            kind: kind.to_owned(),
            status: layers()
                .find_map(|layer| layer.get("status")?.as_u64())
                .and_then(|status| StatusCode::from_u16(status.try_into().ok()?).ok())
                .filter(|status| status.is_client_error() || status.is_server_error()),
            code: layers().find_map(|layer| layer.get("code")?.as_i64()),
            said: said.join("\n").to_lowercase(),
            shown: tidy(shown.unwrap_or_default()),
        }
    }

    fn sorted(self, call: &'static str, status: StatusCode, headers: &HeaderMap) -> XError {
        let on_media = call.contains("/2/media/");
        match status.as_u16() {
            403 if self.is_daily_limit() => XError::DailyLimit(Limit::from_headers(call, headers)),
            401 => XError::SignedOut,
            402 if self.says("spend cap") || self.says("spendcapreached") => XError::SpendCap,
            402 => XError::OutOfCredits,
            403 => self.forbidden(call, on_media),
            404 if on_media => XError::UploadGone,
            404 if self.kind == "resource-not-found" => XError::NotFound,
            // A 404 without a body comes from X's edge, not from the API. Outages have looked like this for hours.
            404 if self.said.is_empty() => XError::Trouble(status),
            404 => XError::NotFound,
            413 | 431 => XError::TooLarge(status),
            429 if self.kind == "usage-capped" || self.says("usage cap") => usage_cap(call),
            429 => XError::RateLimited(Limit::from_headers(call, headers)),
            400 if self.rejects_media() => XError::InvalidMedia,
            400 if self.says("segments do not add up") => XError::IncompleteUpload,
            400..500 => XError::Refused { status, detail: self.shown },
            _ => XError::Trouble(status),
        }
    }

    /// Sorts a 403. X uses it for a dozen unrelated problems; some differ only in their wording.
    fn forbidden(self, call: &str, on_media: bool) -> XError {
        match self.kind.as_str() {
            "credits" | "credits-depleted" => return XError::OutOfCredits,
            "client-forbidden" => return XError::NotEnrolled,
            "unsupported-authentication" => return XError::WrongToken,
            "usage-capped" => return usage_cap(call),
            "duplicate-rules" => return XError::Duplicate,
            "user-suspended" => return XError::AccountRestricted { detail: self.shown },
            "not-authorized-for-resource" => return XError::Hidden,
            _ => {}
        }
        if self.says("spendcapreached") || self.says("spend cap") {
            XError::SpendCap
        } else if self.says("client-not-enrolled") {
            XError::NotEnrolled
        } else if self.code == Some(453) || self.says("subset of") && self.says("endpoints") {
            XError::AccessLevel
        } else if self.says("duplicate content") || self.code == Some(187) {
            XError::Duplicate
        } else if self.says("video longer than") {
            XError::TooLong { minutes: minutes(&self.said) }
        } else if self.says("invalid url") {
            XError::InvalidUrl
        } else if self.says("cashtag") {
            XError::TooManyCashtags
        } else if self.restricts_account() {
            XError::AccountRestricted { detail: self.shown }
        } else if self.says("not permitted to perform this action") {
            XError::NotPermitted { detail: self.shown }
        } else if on_media && self.shown.eq_ignore_ascii_case("forbidden") {
            XError::MissingScope
        } else {
            XError::Refused { status: StatusCode::FORBIDDEN, detail: self.shown }
        }
    }

    /// Returns true for legacy code 185, *User is over daily status update limit*, or version 2's wording of it.
    fn is_daily_limit(&self) -> bool {
        self.code == Some(185) || self.says("daily") && self.says("limit") && !self.says("cap")
    }

    fn says(&self, words: &str) -> bool {
        self.said.contains(words)
    }

    /// Returns true if X refuses the media. Reads the detail sentence only, because the title of every such problem is
    /// *Invalid Request*.
    fn rejects_media(&self) -> bool {
        let shown = self.shown.to_lowercase();
        (shown.contains("media id") || shown.contains("media_id")) && shown.contains("invalid")
    }

    /// Returns true if X restricts the account. Matches whole words, so that *blocked* is not read as *locked*.
    fn restricts_account(&self) -> bool {
        let word = |wanted: &str| self.said.split(|c: char| !c.is_alphanumeric()).any(|word| word == wanted);
        self.says("not permitted to access this feature") || word("suspended") || word("locked")
    }
}

/// Tells X's two usage caps apart by the call, since X gives the caps on reads and on posts the same name.
fn usage_cap(call: &str) -> XError {
    if call.starts_with("GET ") { XError::ReadCap } else { XError::PostCap }
}

/// Returns the number before the word *minutes*.
fn minutes(said: &str) -> Option<u32> {
    let (_, limit) = said.split_once("longer than")?;
    let mut words = limit.split_whitespace();
    let number = words.next()?.parse().ok()?;
    words.next()?.starts_with("minute").then_some(number)
}

/// Makes a sentence from X safe to display: one line, at most 300 characters, no terminal control sequences and
/// no change of reading direction.
pub(super) fn tidy(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let line: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || steers(c)).filter(|word| !word.is_empty()).collect();
    line.join(" ").chars().take(300).collect()
}

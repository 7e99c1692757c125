//! What the API refuses, each with a stable code.

use axum::http::StatusCode;

use crate::{
    caption::CaptionError,
    intake::UploadError,
    post::OverLimit,
    staging::StagingError,
    web::error::{Problem, Refusal},
    words::{self, Span},
};

use super::moment;

/// One line of the table below.
const fn refusal(status: StatusCode, code: &'static str, why: &'static str, remedy: &'static str) -> Refusal {
    Refusal { status, code, title: "", why, remedy }
}

impl Refusal {
    pub(super) const INVALID: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid_request",
        "The body is not what this address takes.",
        "Compare it with GET /api/openapi.json.",
    );
    pub(super) const INVALID_QUERY: Refusal = refusal(
        StatusCode::BAD_REQUEST,
        "invalid_query",
        "The query is not what this address takes.",
        "Compare it with GET /api/openapi.json.",
    );
    pub(super) const INVALID_HEADER: Refusal = refusal(
        StatusCode::BAD_REQUEST,
        "invalid_idempotency_key",
        "An Idempotency-Key has 1 to 255 visible ASCII characters.",
        "Draw a new UUID for each post, and send the same one when you send the same post again.",
    );
    pub(super) const NOT_JSON: Refusal = refusal(
        StatusCode::BAD_REQUEST,
        "not_json",
        "The body is not JSON.",
        "Send one JSON object as the body.",
    );
    pub(super) const NO_JSON_TYPE: Refusal = refusal(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "The body does not say that it is JSON.",
        "Send the header `Content-Type: application/json`.",
    );
    pub(super) const BODY_TOO_LARGE: Refusal = refusal(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        "The body is larger than anything this address takes.",
        "Send files to the address that POST /api/social/upload-url gives, not here.",
    );
    pub(super) const BODY_CUT_SHORT: Refusal = refusal(
        StatusCode::REQUEST_TIMEOUT,
        "too_slow",
        "The body did not arrive whole.",
        "Send the request again.",
    );
    pub(super) const TOO_MANY_REQUESTS: Refusal = refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_requests",
        "You send more requests than one person may.",
        "Wait as long as Retry-After says. To follow a post, use its events instead of asking again and again.",
    );
    pub(super) const BUSY: Refusal = refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "Too many people are following posts at this moment.",
        "Ask for GET /api/social/uploads/{request_id} every few seconds instead.",
    );
    pub(super) const TOO_MANY_STREAMS: Refusal = refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_streams",
        "You already follow as many posts as one person may at once.",
        "Close one of your event streams, or ask for GET /api/social/uploads/{request_id} every few seconds.",
    );
    pub(super) const TOO_MANY_WRONG_TOKENS: Refusal = refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_wrong_tokens",
        "Too many requests with a wrong token came from your address.",
        "Wait a minute. Then send /token in your chat for a token that works.",
    );
    pub(super) const NO_UPLOAD: Refusal = refusal(
        StatusCode::NOT_FOUND,
        "upload_not_found",
        "There is no upload of yours with this s3_key. It was posted, deleted, or is older than 24 hours.",
        "Begin a new one with POST /api/social/upload-url.",
    );
    pub(super) const NOT_VIDEO: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "not_a_video",
        "That content type is no video.",
        "Upload an MP4 or MOV video, with the content type video/mp4 or video/quicktime.",
    );
    pub(super) const EMPTY_FILE: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "file_empty",
        "The file is empty.",
        "Upload the video again.",
    );
    pub(super) const FILE_TOO_LARGE: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "file_too_large",
        "The file is too large.",
        "Up to 5 GiB go in one piece, more with \"multipart\": true; X takes at most 8,388,608,000 bytes.",
    );
    pub(super) const SIZE_NEEDED: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "size_needed",
        "An upload in parts must say how large the file is.",
        "Add \"size\" in bytes.",
    );
    pub(super) const TOO_MANY_UPLOADS: Refusal = refusal(
        StatusCode::CONFLICT,
        "too_many_uploads",
        "You have 20 uploads that are not posted yet.",
        "Post some, or delete some with DELETE /api/social/upload?s3_key=...",
    );
    pub(super) const NOT_IN_PARTS: Refusal = refusal(
        StatusCode::CONFLICT,
        "not_in_parts",
        "This upload takes no parts: it was begun in one piece, or is complete.",
        "Go on with POST /api/social/upload-complete or POST /api/social/post.",
    );
    pub(super) const NO_PART: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "no_such_part",
        "The upload has no part with this number.",
        "Parts are numbered from 1; POST /api/social/upload-url said how many there are.",
    );
    pub(super) const INCOMPLETE: Refusal = refusal(
        StatusCode::CONFLICT,
        "upload_incomplete",
        "The file has not arrived whole.",
        "Send what is missing: GET /api/social/upload-parts says what has arrived.",
    );
    pub(super) const OTHER_SIZE: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "size_mismatch",
        "The file is not as large as was said.",
        "Delete the upload, and begin a new one with the true size.",
    );
    pub(super) const NOT_LINKED: Refusal = refusal(
        StatusCode::NOT_FOUND,
        "account_not_linked",
        "You have not linked this account.",
        "GET /api/social/accounts lists yours; GET /api/social/connect/twitter links another.",
    );
    pub(super) const RECONNECT: Refusal = refusal(
        StatusCode::CONFLICT,
        "reconnect_needed",
        "X no longer lets this service post to the account.",
        "Link it again by GET /api/social/connect/twitter. The upload is kept meanwhile.",
    );
    pub(super) const CAPTION_TOO_LONG: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "caption_too_long",
        "The caption is too long for the account.",
        "Shorten it; POST /api/social/caption counts as X does.",
    );
    pub(super) const TOO_MANY_CASHTAGS: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "too_many_cashtags",
        "The caption has more than one cashtag, and X takes one in a post.",
        "Keep one $ symbol.",
    );
    pub(super) const CAPTION_REFUSED: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "caption_refused",
        "The caption holds a character that X does not accept.",
        "Remove it.",
    );
    pub(super) const ALT_TEXT_TOO_LONG: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "alt_text_too_long",
        "The alternative text is longer than the 1,000 characters that X takes.",
        "Shorten it.",
    );
    pub(super) const OTHER_REQUEST: Refusal = refusal(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency_conflict",
        "This Idempotency-Key came with another request before.",
        "Draw a new key for each new post.",
    );
    pub(super) const NO_REQUEST: Refusal = refusal(
        StatusCode::NOT_FOUND,
        "request_not_found",
        "You asked for no posts under this id.",
        "Use the request_id that POST /api/social/post gave; GET /api/social/posts lists yours.",
    );
    pub(super) const NO_POST: Refusal = refusal(
        StatusCode::NOT_FOUND,
        "post_not_found",
        "You have no post with this id.",
        "GET /api/social/posts lists yours.",
    );
    pub(super) const TOO_LATE: Refusal = refusal(
        StatusCode::CONFLICT,
        "too_late",
        "That no longer applies: the post has moved on.",
        "GET /api/social/posts shows how it stands.",
    );
    pub(super) const OVER_LIMIT: Refusal = refusal(
        StatusCode::CONFLICT,
        "over_limit",
        "Whoever runs this service limits posts, and there is no room for this one now.",
        "Wait as the detail says, then send it again. The upload is kept meanwhile.",
    );
    pub(super) const STORAGE: Refusal = refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "storage_unavailable",
        "The storage of this service has a problem at the moment.",
        "Try again in a minute. What was uploaded is kept.",
    );
}

impl Refusal {
    /// All that the API answers with, for its description.
    pub(super) const OF_API: &[Refusal] = &[
        Refusal::UNAUTHENTICATED,
        Refusal::NOT_ADMITTED,
        Refusal::NO_ACCOUNT,
        Refusal::METHOD,
        Refusal::OUR_FAULT,
        Refusal::INVALID,
        Refusal::INVALID_QUERY,
        Refusal::INVALID_HEADER,
        Refusal::NOT_JSON,
        Refusal::NO_JSON_TYPE,
        Refusal::BODY_TOO_LARGE,
        Refusal::BODY_CUT_SHORT,
        Refusal::TOO_MANY_REQUESTS,
        Refusal::BUSY,
        Refusal::TOO_MANY_STREAMS,
        Refusal::TOO_MANY_WRONG_TOKENS,
        Refusal::NO_UPLOAD,
        Refusal::NOT_VIDEO,
        Refusal::EMPTY_FILE,
        Refusal::FILE_TOO_LARGE,
        Refusal::SIZE_NEEDED,
        Refusal::TOO_MANY_UPLOADS,
        Refusal::NOT_IN_PARTS,
        Refusal::NO_PART,
        Refusal::INCOMPLETE,
        Refusal::OTHER_SIZE,
        Refusal::NOT_LINKED,
        Refusal::RECONNECT,
        Refusal::CAPTION_TOO_LONG,
        Refusal::TOO_MANY_CASHTAGS,
        Refusal::CAPTION_REFUSED,
        Refusal::ALT_TEXT_TOO_LONG,
        Refusal::OTHER_REQUEST,
        Refusal::NO_REQUEST,
        Refusal::NO_POST,
        Refusal::TOO_LATE,
        Refusal::OVER_LIMIT,
        Refusal::STORAGE,
    ];
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let said = error.to_string();
        match error {
            UploadError::NoUpload => Refusal::NO_UPLOAD.into(),
            UploadError::NotVideo(_) => Refusal::NOT_VIDEO.into(),
            UploadError::Empty => Refusal::EMPTY_FILE.into(),
            UploadError::TooLarge { bytes, limit } => Problem::from(Refusal::FILE_TOO_LARGE).with(format!(
                "The file is {}; at most {} go this way.",
                words::size(bytes),
                words::size(limit)
            )),
            UploadError::SizeNeeded => Refusal::SIZE_NEEDED.into(),
            UploadError::TooMany => Refusal::TOO_MANY_UPLOADS.into(),
            UploadError::NotInParts => Refusal::NOT_IN_PARTS.into(),
            UploadError::NoPart(number) => {
                Problem::from(Refusal::NO_PART).with(format!("The upload has no part {number}."))
            }
            UploadError::Incomplete { missing } if missing.is_empty() => {
                Problem::from(Refusal::INCOMPLETE).with("Nothing has arrived.".to_owned())
            }
            UploadError::Incomplete { missing } => {
                let some: Vec<_> = missing.iter().take(10).map(ToString::to_string).collect();
                let more = if missing.len() > some.len() { ", …" } else { "" };
                Problem::from(Refusal::INCOMPLETE).with(format!(
                    "{} parts have not arrived whole: {}{more}.",
                    missing.len(),
                    some.join(", ")
                ))
            }
            UploadError::OtherSize { declared, found } => Problem::from(Refusal::OTHER_SIZE)
                .with(format!("The file has {found} bytes, not {declared} as was said.")),
            UploadError::NotLinked(id) => {
                Problem::from(Refusal::NOT_LINKED).with(format!("You have not linked twitter:{id}."))
            }
            UploadError::Reconnect(account) => Problem::from(Refusal::RECONNECT)
                .with(format!("X no longer lets this service post to @{}.", account.username)),
            UploadError::Caption(error) => caption_problem(&error),
            UploadError::AltText(_) => Refusal::ALT_TEXT_TOO_LONG.into(),
            UploadError::Over(over) => over.into(),
            UploadError::OtherRequest => Refusal::OTHER_REQUEST.into(),
            UploadError::Staging(StagingError::Full) => {
                tracing::error!(error = said, "storage is full");
                Refusal::STORAGE.into()
            }
            UploadError::Staging(_) => {
                tracing::error!(error = said, "storage did not do what an upload needs");
                Refusal::STORAGE.into()
            }
            UploadError::Store(error) => Problem::from(error),
        }
    }
}

impl From<OverLimit> for Problem {
    fn from(over: OverLimit) -> Self {
        let said = words::over_limit(&over).text.into_iter().map(|span| match span {
            Span::Text(text) | Span::Link(text) | Span::Code(text) => text,
            Span::Time(at) => moment(at),
        });
        Problem::from(Refusal::OVER_LIMIT).with(said.collect())
    }
}

fn caption_problem(error: &CaptionError) -> Problem {
    match error {
        CaptionError::TooLong { weighted, limit } => {
            Problem::from(Refusal::CAPTION_TOO_LONG).with(format!(
                "The caption is {weighted} of {limit} characters as X counts them (links count 23, emoji and CJK 2)."
            ))
        }
        CaptionError::Cashtags(count) => Problem::from(Refusal::TOO_MANY_CASHTAGS)
            .with(format!("The caption has {count} cashtags, and X takes one in a post.")),
        CaptionError::Refused { position, .. } => Problem::from(Refusal::CAPTION_REFUSED)
            .with(format!("Character {position} of the caption is an invisible one that X does not accept.")),
    }
}

//! Scripts and the stylesheet of the larger pages, which come with the program.

use std::{fmt::Write, sync::LazyLock};

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::error::{ErrorPage, Refusal};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const FILES: [(&str, &str, &str); 16] = [
    ("accounts.js", SCRIPT, include_str!("assets/accounts.js")),
    ("api.js", SCRIPT, include_str!("assets/api.js")),
    ("app.css", "text/css; charset=utf-8", include_str!("assets/app.css")),
    ("caption.js", SCRIPT, include_str!("assets/caption.js")),
    ("door.js", SCRIPT, include_str!("assets/door.js")),
    ("form.js", SCRIPT, include_str!("assets/form.js")),
    ("memory.js", SCRIPT, include_str!("assets/memory.js")),
    ("notice.js", SCRIPT, include_str!("assets/notice.js")),
    ("picker.js", SCRIPT, include_str!("assets/picker.js")),
    ("publish.js", SCRIPT, include_str!("assets/publish.js")),
    ("room.js", SCRIPT, include_str!("assets/room.js")),
    ("sending.js", SCRIPT, include_str!("assets/sending.js")),
    ("status.js", SCRIPT, include_str!("assets/status.js")),
    ("transfer.js", SCRIPT, include_str!("assets/transfer.js")),
    ("upload.js", SCRIPT, include_str!("assets/upload.js")),
    ("words.js", SCRIPT, include_str!("assets/words.js")),
];

/// Names what all files together hold, so that a browser may keep them for good: modules name each other relative
/// to where they lie.
static EDITION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, _, text) in FILES {
        hash.update(name);
        hash.update(text);
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
});

/// Where a file lies, below the address of the service.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{}/{name}", *EDITION)
}

/// `GET /assets/{edition}/{name}`
pub(super) async fn file(
    asked: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, ErrorPage> {
    let Path((edition, name)) = asked.map_err(|_| ErrorPage(Refusal::NO_ROUTE))?;
    let found = FILES.iter().find(|(known, ..)| *known == name && edition == *EDITION);
    let Some((_, kind, text)) = found else { return Err(ErrorPage(Refusal::NO_ROUTE)) };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, *text).into_response())
}

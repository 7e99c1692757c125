//! What the requests of the service are called, in plans and tables.

use axum::http::{Method, Uri};

/// X's requests.
pub fn of_x(_: &Method, uri: &Uri) -> &'static str {
    let path = uri.path();
    let last = path.rsplit('/').next().unwrap_or_default();
    match (last, path) {
        ("initialize", _) => "X initialize",
        ("append", _) => "X append",
        ("finalize", _) => "X finalize",
        ("upload", _) => "X status",
        (_, "/2/tweets") => "X create",
        ("tweets", _) => "X look",
        ("token", _) => "X token",
        _ => "X other",
    }
}

/// Telegram's.
pub fn of_telegram(_: &Method, uri: &Uri) -> &'static str {
    match uri.path().rsplit('/').next().unwrap_or_default().to_lowercase().as_str() {
        "getupdates" => "chat getUpdates",
        "sendmessage" => "chat sendMessage",
        "editmessagetext" => "chat editMessageText",
        "answercallbackquery" => "chat answerCallbackQuery",
        "getfile" => "chat getFile",
        _ if uri.path().starts_with("/file") => "chat download",
        _ => "chat other",
    }
}

/// Discord's.
pub fn of_discord(method: &Method, uri: &Uri) -> &'static str {
    let path = uri.path();
    match (method.as_str(), path.rsplit('/').next().unwrap_or_default()) {
        ("POST", "callback") => "chat callback",
        ("PATCH", "@original") => "chat original",
        ("PATCH", _) => "chat edit",
        ("POST", "messages") => "chat message",
        _ if path.starts_with("/attachments") => "chat download",
        _ => "chat other",
    }
}

/// A bucket's.
pub fn of_s3(method: &Method, uri: &Uri) -> &'static str {
    let query = uri.query().unwrap_or_default();
    match method.as_str() {
        "PUT" if query.contains("partNumber") => "S3 part",
        "PUT" => "S3 put",
        "POST" if query.contains("uploadId") => "S3 complete",
        "POST" => "S3 open",
        "GET" if query.contains("list-type") || query.contains("uploads") => "S3 list",
        "GET" => "S3 read",
        "DELETE" => "S3 delete",
        _ => "S3 other",
    }
}

//! Telegram's refusals, sorted by what can be done about them.
//!
//! Nothing of the request gets into the result: request addresses hold the bot's token, and so do
//! teloxide's network errors when `api_url` has a path. Telegram's own descriptions do not.

use std::time::Duration;

use teloxide::{ApiError, RequestError};

use super::CLOUD_FILE_BYTES;
use crate::chat::ChatError;

/// Longest piece of a description that is passed on, in characters.
const DESCRIPTION_CHARS: usize = 300;

/// Sorts what any method may answer.
pub(super) fn sort(error: RequestError) -> ChatError {
    match error {
        RequestError::RetryAfter(wait) => ChatError::SlowDown(wait.duration()),
        RequestError::Network(error) => ChatError::Trouble(network(&error)),
        RequestError::InvalidJson { .. } => ChatError::Trouble("Telegram's answer could not be read".into()),
        RequestError::Io(_) => ChatError::Trouble("the connection broke".into()),
        RequestError::MigrateToChatId(_) => ChatError::Gone("the group moved again".into()),
        RequestError::Api(ApiError::InvalidToken) => ChatError::Refused(
            "Telegram does not know this bot token. Copy it again from @BotFather into telegram.token".into(),
        ),
        RequestError::Api(error) => sort_description(description(&error)),
    }
}

/// Sorts the answer to a message for a person who asked in a group.
pub(super) fn sort_direct(error: RequestError) -> ChatError {
    match sort(error) {
        ChatError::Forbidden(reason) if !reason.contains("user is deactivated") => {
            ChatError::NeedsPrivateChat
        }
        // A person whom the bot never met is unknown to it, not forbidden.
        ChatError::Gone(reason) if reason.contains("chat not found") => ChatError::NeedsPrivateChat,
        ChatError::Refused(reason) if reason.contains("PEER_ID_INVALID") => ChatError::NeedsPrivateChat,
        other => other,
    }
}

/// Sorts the answer to `getFile`.
pub(super) fn sort_file(error: RequestError) -> ChatError {
    match sort(error) {
        // Only servers not in local mode say so (tdlib/telegram-bot-api issue 343).
        ChatError::Refused(reason) if reason.contains("file is too big") => {
            ChatError::TooLarge { limit: CLOUD_FILE_BYTES }
        }
        ChatError::Refused(reason) if reason.contains("temporarily unavailable") => {
            ChatError::NotFound(reason)
        }
        ChatError::Refused(reason) if is_unknown_file(&reason) => ChatError::Gone(reason),
        other => other,
    }
}

/// Whether an edit was refused because the message already reads the same.
pub(super) fn is_not_modified(error: &RequestError) -> bool {
    match error {
        RequestError::Api(ApiError::MessageNotModified) => true,
        RequestError::Api(error) => description(error).contains("message is not modified"),
        _ => false,
    }
}

/// Whether Telegram knows no such token (any more).
pub(super) fn is_wrong_token(error: &RequestError) -> bool {
    matches!(error, RequestError::Api(ApiError::InvalidToken))
}

/// True when Telegram does not know the person as somebody who was ever in the group.
pub(super) fn is_no_member(error: &RequestError) -> bool {
    const NEVER_THERE: [&str; 3] = ["user not found", "PARTICIPANT_ID_INVALID", "member not found"];
    match error {
        RequestError::Api(error) => {
            let text = description(error);
            NEVER_THERE.iter().any(|words| text.contains(words))
        }
        _ => false,
    }
}

/// Whether polling was refused because there is a webhook.
pub(super) fn is_webhook(error: &RequestError) -> bool {
    matches!(error, RequestError::Api(error) if description(error).contains("webhook is active"))
}

/// What happened on the way, without the address that holds the token.
pub(super) fn network(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "Telegram did not answer in time".to_owned()
    } else if error.is_connect() {
        format!("no connection to Telegram: {}", crate::network::cause(error))
    } else {
        format!("the connection to Telegram broke: {}", crate::network::cause(error))
    }
}

fn description(error: &ApiError) -> String {
    match error {
        ApiError::Unknown(text) => text.chars().take(DESCRIPTION_CHARS).collect(),
        known => known.to_string(),
    }
}

// teloxide knows some descriptions as variants, several in wordings that Telegram no longer uses.
fn sort_description(text: String) -> ChatError {
    const GONE: [&str; 10] = [
        "chat not found",
        "message to edit not found",
        "message can't be edited",
        "MESSAGE_ID_INVALID",
        "message thread not found",
        "group is deactivated",
        "TOPIC_DELETED",
        "MESSAGE_EDIT_TIME_EXPIRED",
        "MESSAGE_AUTHOR_REQUIRED",
        "message is too old",
    ];
    // The bot may not write there, though the status is 400.
    const FORBIDDEN: [&str; 13] = [
        "not enough rights",
        "have no rights",
        "administrator rights",
        "CHAT_WRITE_FORBIDDEN",
        "CHAT_RESTRICTED",
        "CHAT_SEND_",
        "CHAT_GUEST_SEND_FORBIDDEN",
        "CHAT_ADMIN_REQUIRED",
        "USER_BANNED_IN_CHANNEL",
        "CHANNEL_PRIVATE",
        "TOPIC_CLOSED",
        "bot is not a member",
        "bot was kicked",
    ];
    const TROUBLE: [&str; 5] =
        ["Internal Server Error", "Bad Gateway", "Gateway Timeout", "Service Unavailable", "restart"];
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if text.starts_with("Forbidden") || text.starts_with("Unauthorized") || has(&FORBIDDEN) {
        ChatError::Forbidden(text)
    } else if text.starts_with("Too Many Requests") {
        ChatError::SlowDown(Duration::from_secs(5))
    } else if text.starts_with("Conflict") || text.contains("getUpdates") {
        ChatError::Refused(
            "another program receives this bot's messages. Stop it, or give it a bot of its own".into(),
        )
    } else if has(&GONE) {
        ChatError::Gone(text)
    } else if has(&TROUBLE) {
        ChatError::Trouble(text)
    } else {
        ChatError::Refused(text)
    }
}

fn is_unknown_file(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["file id", "file_id", "file identifier", "file not found", "file reference"]
        .iter()
        .any(|word| reason.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(description: &str) -> RequestError {
        let error = serde_json::from_value(serde_json::json!(description)).unwrap();
        RequestError::Api(error)
    }

    #[test]
    fn descriptions_are_sorted_by_what_can_be_done() {
        let cases = [
            ("Unauthorized", "Refused"),
            ("Not Found", "Refused"),
            ("Forbidden: bot was kicked from the supergroup chat", "Forbidden"),
            ("Forbidden: bot was blocked by the user", "Forbidden"),
            ("Bad Request: not enough rights to send text messages to the chat", "Forbidden"),
            ("Bad Request: have no rights to send a message", "Forbidden"),
            ("Bad Request: TOPIC_CLOSED", "Forbidden"),
            ("Bad Request: CHAT_RESTRICTED", "Forbidden"),
            ("Bad Request: CHAT_SEND_PLAIN_FORBIDDEN", "Forbidden"),
            ("Bad Request: need administrator rights in the channel chat", "Forbidden"),
            ("Bad Request: TOPIC_DELETED", "Gone"),
            ("Bad Request: MESSAGE_EDIT_TIME_EXPIRED", "Gone"),
            ("Bad Request: message to edit not found", "Gone"),
            ("Bad Request: message can't be edited", "Gone"),
            ("Bad Request: MESSAGE_ID_INVALID", "Gone"),
            ("Bad Request: chat not found", "Gone"),
            ("Internal Server Error", "Trouble"),
            ("Bad Gateway", "Trouble"),
            ("Too Many Requests: retry after 7", "SlowDown"),
            ("Bad Request: message text is empty", "Refused"),
        ];
        for (description, kind) in cases {
            let sorted = format!("{:?}", sort(answered(description)));
            assert!(sorted.starts_with(kind), "{description}: {sorted}");
        }
    }

    #[test]
    fn a_second_poller_is_named_as_such() {
        for description in [
            "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
        ] {
            let sorted = sort(answered(description)).to_string();
            assert!(sorted.contains("another program"), "{sorted}");
        }
    }

    #[test]
    fn a_person_the_bot_never_met_must_open_the_chat() {
        for description in [
            "Forbidden: bot can't initiate conversation with a user",
            "Unauthorized: bot can't initiate conversation with a user",
            "Forbidden: bot was blocked by the user",
            "Bad Request: chat not found",
            "Bad Request: PEER_ID_INVALID",
        ] {
            let sorted = sort_direct(answered(description));
            assert!(matches!(sorted, ChatError::NeedsPrivateChat), "{sorted:?}");
        }
        let deleted = sort_direct(answered("Forbidden: user is deactivated"));
        assert!(matches!(deleted, ChatError::Forbidden(_)));
    }

    #[test]
    fn files_that_are_too_big_or_unknown_are_told_apart() {
        assert!(matches!(
            sort_file(answered("Bad Request: file is too big")),
            ChatError::TooLarge { limit: 20_971_520 }
        ));
        for description in ["Bad Request: invalid file_id", "Bad Request: invalid file id"] {
            let sorted = sort_file(answered(description));
            assert!(matches!(sorted, ChatError::Gone(_)), "{sorted:?}");
        }
        let passing = "Bad Request: wrong file_id or the file is temporarily unavailable";
        assert!(matches!(sort_file(answered(passing)), ChatError::NotFound(_)));
    }

    #[test]
    fn what_could_not_be_parsed_is_not_repeated() {
        let source = serde_json::from_str::<()>("x").unwrap_err();
        let error = RequestError::InvalidJson { source: source.into(), raw: "somebody's words".into() };
        assert!(!format!("{:?}", sort(error)).contains("somebody"));
    }
}

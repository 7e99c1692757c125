//! API tokens, in the words of the chat.

use uuid::Uuid;

use super::{Deed, Message};
use crate::ticket::ApiToken;

/// Browsers that a list names: a message has room for as many buttons beside those of the tokens.
const LISTED: usize = 10;

/// `/token`: an API token, shown once.
pub fn api_token(token: &str) -> Message {
    Message::text("Your API token, shown this once:\n")
        .code(token)
        .then("\nPrograms that have it can act as you here. Keep it secret; /tokens lists yours, to end one.")
}

/// `/tokens`
pub fn api_tokens(tokens: &[ApiToken]) -> Message {
    if tokens.is_empty() {
        return Message::text("You have no API tokens. /token makes one.");
    }
    list(Message::text("Your API tokens:"), tokens)
}

/// *End it* on the page of accounts.
pub fn token_ended() -> Message {
    Message::text("The token is ended. Programs that use it are let in no more.")
}

/// `/token` by somebody who has as many as anybody may.
pub fn too_many_tokens(tokens: &[ApiToken]) -> Message {
    list(
        Message::text(format!("You have {} API tokens, the most there may be. End one first:", tokens.len())),
        tokens,
    )
}

/// A browser in which a person is signed in.
#[derive(Clone, Debug)]
pub struct Browser {
    pub id: Uuid,
    /// `Firefox on Linux`
    pub name: String,
    /// It may upload and post, and nothing else.
    pub uploads_only: bool,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub last_used_at: i64,
}

/// Adds the browsers in which a person is signed in.
pub fn with_browsers(mut message: Message, browsers: &[Browser]) -> Message {
    if browsers.is_empty() {
        return message;
    }
    message = message.then("\n\nSigned in with these browsers:");
    for browser in browsers.iter().take(LISTED) {
        let scope = if browser.uploads_only { " · uploads only" } else { "" };
        message = message.then(format!("\n{}{scope} · since ", browser.name)).time(browser.created_at);
        message = message.then(" · last used ").time(browser.last_used_at);
    }
    if browsers.len() > LISTED {
        message = message.then(format!("\nand {} more", browsers.len() - LISTED));
    }
    browsers.iter().take(LISTED).fold(message, |message, browser| {
        message.button(&format!("Sign out {}", browser.name), Deed::SignOut(browser.id))
    })
}

/// *Sign out* of another browser on the page of accounts.
pub fn signed_out_of() -> Message {
    Message::text("That browser is signed out.")
}

fn list(mut message: Message, tokens: &[ApiToken]) -> Message {
    for token in tokens {
        let name = match token.name.as_str() {
            "" => String::new(),
            name => format!("{name} · "),
        };
        message = message.then(format!("\n{name}ends in {} · made ", token.last4)).time(token.created_at);
        message = match token.last_used_at {
            Some(at) => message.then(" · last used ").time(at),
            None => message.then(" · never used"),
        };
    }
    tokens.iter().fold(message, |message, token| {
        message.button(&format!("End …{}", token.last4), Deed::RevokeToken(token.id))
    })
}

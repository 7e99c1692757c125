//! API tokens, in the words of the chat.

use super::{Deed, Message};
use crate::ticket::ApiToken;

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

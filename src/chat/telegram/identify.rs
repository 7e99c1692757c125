//! Who the bot is, and what Telegram is told that it can do.

use teloxide::{Bot, payloads::SetMyCommands, types::BotCommand};
use tracing::warn;

use super::{call::call, error::sort, wire::GetMe};
use crate::chat::ChatError;

const COMMANDS: [(&str, &str); 11] = [
    ("post", "Publish a video: as its caption, or in reply to it"),
    ("connect", "Link an X account: /connect twitter"),
    ("accounts", "Show the linked accounts"),
    ("disconnect", "Unlink an account"),
    ("posts", "Show the latest posts"),
    ("cancel", "Cancel a post that waits"),
    ("upload", "Get a link for a big video"),
    ("web", "See accounts and posts in the browser"),
    ("token", "Make an API token"),
    ("tokens", "List your API tokens, to end one"),
    ("help", "How this works"),
];

/// Tells Telegram the commands, and returns the bot's user name, without the `@`.
pub(super) async fn introduce(bot: &Bot) -> Result<String, ChatError> {
    let me = who(bot).await?;
    let commands = COMMANDS.map(|(command, says)| BotCommand::new(command, says));
    if let Err(error) = call(bot, &SetMyCommands::new(commands)).await.map_err(sort) {
        warn!(%error, "Telegram did not take the list of commands; they work all the same");
    }
    Ok(me)
}

/// The bot's user name, without the `@`.
pub(super) async fn who(bot: &Bot) -> Result<String, ChatError> {
    Ok(call(bot, &GetMe {}).await.map_err(sort)?.username)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_such_as_telegram_takes() {
        for (command, says) in COMMANDS {
            assert!((1..=32).contains(&command.len()), "{command}");
            assert!(command.bytes().all(|b| b.is_ascii_lowercase()), "{command}");
            assert!((1..=256).contains(&says.chars().count()), "{command}");
        }
    }
}

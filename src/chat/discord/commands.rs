//! The slash commands, as Discord is told of them.

use serde_json::{Value, json};
use serenity::{
    builder::{CreateCommand, CreateCommandOption},
    model::application::{CommandOptionType, InstallationContext, InteractionContext},
};

/// Everything for one bulk overwrite of the global commands.
pub(super) fn all() -> Value {
    let text = CommandOptionType::String;
    json!([
        command("connect", "Link the account you publish with").add_option(
            CreateCommandOption::new(text, "platform", "Where to publish")
                .required(true)
                .add_string_choice("X (Twitter)", "twitter"),
        ),
        command("post", "Publish a video")
            .add_option(
                CreateCommandOption::new(CommandOptionType::Attachment, "video", "The video").required(true),
            )
            .add_option(CreateCommandOption::new(text, "caption", "The text that goes with it")),
        command("accounts", "The accounts you have linked"),
        command("disconnect", "Unlink an account").add_option(CreateCommandOption::new(
            text,
            "account",
            "Which one, if you have several, such as @name"
        )),
        command("posts", "What you posted lately, and what is on its way"),
        command("upload", "A link for a video that is too large for the chat"),
        command("web", "Your accounts and posts in the browser"),
        command("token", "Make a token for the programming interface"),
        command("help", "What this bot can do"),
    ])
}

fn command(name: &str, description: &str) -> CreateCommand {
    CreateCommand::new(name)
        .description(description)
        .integration_types(vec![InstallationContext::Guild])
        .contexts(vec![InteractionContext::Guild, InteractionContext::BotDm])
}

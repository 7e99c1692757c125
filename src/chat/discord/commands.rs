//! The slash commands, as Discord is told of them.

use serde_json::{Value, json};
use serenity::{
    builder::{CreateCommand, CreateCommandOption},
    model::application::{CommandOptionType, CommandType, InstallationContext, InteractionContext},
};

use crate::post::ALT_TEXT_LIMIT;

use super::menu;

/// Everything for one bulk overwrite of the global commands.
pub(super) fn all() -> Value {
    let text = CommandOptionType::String;
    let yes_or_no = CommandOptionType::Boolean;
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
            .add_option(CreateCommandOption::new(text, "caption", "The text that goes with it"))
            .add_option(CreateCommandOption::new(
                text,
                "account",
                "Which account, if you have several, such as @name"
            ))
            .add_option(
                CreateCommandOption::new(text, "replies", "Who may reply; everyone unless you choose")
                    .add_string_choice("Accounts that the account follows", "following")
                    .add_string_choice("Accounts that the text mentions", "mentionedUsers")
                    .add_string_choice("Subscribers", "subscribers")
                    .add_string_choice("Verified accounts", "verified"),
            )
            .add_option(
                CreateCommandOption::new(text, "alt_text", "Describes the video to people who do not see it")
                    .max_length(ALT_TEXT_LIMIT),
            )
            .add_option(
                CreateCommandOption::new(
                    text,
                    "sensitive",
                    "What X should warn of before it shows the video"
                )
                .add_string_choice("Nudity or sexual content", "adult_content")
                .add_string_choice("Violence", "graphic_violence")
                .add_string_choice("Something else", "other"),
            )
            .add_option(CreateCommandOption::new(
                yes_or_no,
                "made_with_ai",
                "Declare that it was made with AI"
            ))
            .add_option(CreateCommandOption::new(
                yes_or_no,
                "paid_partnership",
                "Declare that it is a paid partnership",
            )),
        command("accounts", "The accounts you have linked"),
        command("disconnect", "Unlink an account").add_option(CreateCommandOption::new(
            text,
            "account",
            "Which one, if you have several, such as @name"
        )),
        command("posts", "What you posted lately, and what is on its way"),
        command("upload", "Upload a video that is too large for Discord"),
        command("web", "Your accounts and posts in the browser"),
        command("token", "Make a token for the programming interface").add_option(
            CreateCommandOption::new(text, "name", "What to call it, to know it by later").max_length(40),
        ),
        command("tokens", "List your tokens for the programming interface, to end one"),
        command("claim", "Become the operator of a new bot, with the code that toall printed")
            .add_option(CreateCommandOption::new(text, "code", "The code").required(true),),
        command("help", "What this bot can do"),
        everywhere(CreateCommand::new(menu::NAME).kind(CommandType::Message)),
    ])
}

fn command(name: &str, description: &str) -> CreateCommand {
    everywhere(CreateCommand::new(name).description(description))
}

/// On servers that have the bot, and in its direct messages.
fn everywhere(command: CreateCommand) -> CreateCommand {
    command
        .integration_types(vec![InstallationContext::Guild])
        .contexts(vec![InteractionContext::Guild, InteractionContext::BotDm])
}

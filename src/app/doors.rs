//! How a process hears the chats: it goes to them, or they come to its web part; by what is configured and which roles run.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Role, StartError};
use crate::{
    chat::{
        Inbox,
        discord::{Discord, Shards},
        telegram::Telegram,
    },
    config::{Config, DiscordMode, TelegramMode},
    web::ChatDoor,
};

/// What opens a chat's door, and a task behind each.
pub(super) struct Opening<'a> {
    pub config: &'a Config,
    pub roles: &'a [Role],
    pub inbox: &'a Inbox,
    pub stop: &'a CancellationToken,
    pub tasks: &'a mut JoinSet<Result<(), StartError>>,
}

impl Opening<'_> {
    /// Hears Discord; returns what the web part is to serve for that.
    pub fn discord(&mut self, discord: Discord) -> Option<ChatDoor> {
        let mode = self.config.discord.as_ref()?.mode;
        let (inbox, stop) = (self.inbox.clone(), self.stop.clone());
        let failed = |source| StartError::Chat { platform: "Discord", source };
        match mode {
            DiscordMode::Gateway if self.roles.contains(&Role::Chat) => {
                self.tasks.spawn(async move {
                    // Every shard: which process runs which is not shared out yet.
                    discord.run(inbox, &Shards::All, stop).await.map_err(failed)
                });
                None
            }
            DiscordMode::Http if self.roles.contains(&Role::Web) => {
                let url = self.config.discord_endpoint_url();
                let registered = discord.clone();
                self.tasks.spawn(async move { registered.run_endpoint(&url, &stop).await.map_err(failed) });
                Some(ChatDoor::Discord(discord, inbox))
            }
            DiscordMode::Gateway | DiscordMode::Http => None,
        }
    }

    /// Hears Telegram; returns what the web part is to serve for that.
    pub fn telegram(&mut self, telegram: Telegram) -> Option<ChatDoor> {
        let mode = self.config.telegram.as_ref()?.mode;
        let (inbox, stop) = (self.inbox.clone(), self.stop.clone());
        let failed = |source| StartError::Chat { platform: "Telegram", source };
        match mode {
            TelegramMode::Polling if self.roles.contains(&Role::Chat) => {
                self.tasks.spawn(async move { telegram.run(inbox, stop).await.map_err(failed) });
                None
            }
            TelegramMode::Webhook if self.roles.contains(&Role::Web) => {
                let url = self.config.telegram_webhook_url();
                let registered = telegram.clone();
                self.tasks
                    .spawn(async move { registered.register_webhook(&url, &stop).await.map_err(failed) });
                Some(ChatDoor::Telegram(telegram, inbox))
            }
            TelegramMode::Polling | TelegramMode::Webhook => None,
        }
    }
}

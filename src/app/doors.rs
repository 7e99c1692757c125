//! How a process hears the chats: it goes to them, or they come to its web part; by what is configured and which roles run.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Role, StartError, shards::Sharing};
use crate::{
    chat::{
        Inbox,
        discord::{Discord, Shards},
        telegram::Telegram,
    },
    clock::Clock,
    config::{Config, DiscordMode, TelegramMode},
    store::Store,
    web::ChatDoor,
};

/// What opens a chat's door, and a task behind each.
pub(super) struct Opening<'a> {
    pub config: &'a Config,
    pub roles: &'a [Role],
    pub store: &'a Store,
    pub clock: &'a Clock,
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
                let sharing =
                    Sharing { discord, store: self.store.clone(), clock: self.clock.clone(), inbox };
                self.tasks.spawn(async move {
                    let ran = match sharing.store.among_others().map(str::to_owned) {
                        None => sharing.discord.run(sharing.inbox, &Shards::All, stop).await,
                        Some(node) => sharing.run(&node, stop).await,
                    };
                    ran.map_err(failed)
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
                let (store, clock) = (self.store.clone(), self.clock.clone());
                self.tasks.spawn(async move {
                    // Telegram has one process poll at a time.
                    let ran = store.on_duty("telegram poller", &clock, &stop, |told| {
                        let (telegram, inbox) = (telegram.clone(), inbox.clone());
                        async move { telegram.run(inbox, told).await }
                    });
                    ran.await.map_err(failed)
                });
                None
            }
            TelegramMode::Webhook if self.roles.contains(&Role::Web) => {
                let url = self.config.telegram_webhook_url();
                let registered = telegram.clone();
                self.tasks.spawn(async move { registered.run_webhook(&url, &stop).await.map_err(failed) });
                Some(ChatDoor::Telegram(telegram, inbox))
            }
            TelegramMode::Polling | TelegramMode::Webhook => None,
        }
    }
}

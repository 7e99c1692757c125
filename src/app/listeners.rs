//! How a process hears the chats: it goes to them, or they come to its web part; by what is configured and which roles run.

use std::{convert::Infallible, time::Duration};

use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Role, shards::Sharing};
use crate::{
    account::PersonRef,
    chat::{
        ChatError, Inbox,
        discord::{Discord, Shards},
        telegram::Telegram,
    },
    clock::Clock,
    config::{Config, DiscordMode, TelegramMode},
    health::{Health, Part, supervise},
    store::{Store, StoreError},
    web::ChatDoor,
    words,
};

/// How long a chat that rejects its token is left alone before it is asked again. A rejection may be a mistake of the
/// chat's, so it ends without a restart, too.
const REJECTED_AGAIN: Duration = Duration::from_secs(10 * 60);

/// What opens a chat's door, and a task behind each.
pub(super) struct Opening<'a> {
    pub config: &'a Config,
    pub roles: &'a [Role],
    pub store: &'a Store,
    pub clock: &'a Clock,
    pub stop: &'a CancellationToken,
    pub health: &'a Health,
    pub tasks: &'a mut JoinSet<()>,
}

impl Opening<'_> {
    /// Hears Discord; returns what the web part is to serve for that.
    pub fn discord(&mut self, discord: Discord, inbox: Inbox) -> Option<ChatDoor> {
        let mode = self.config.discord.as_ref()?.mode;
        let stop = self.stop.clone();
        let chat = self.running("Discord", "discord", discord.part());
        match mode {
            DiscordMode::Gateway if self.roles.contains(&Role::Chat) => {
                let sharing =
                    Sharing { discord, store: self.store.clone(), clock: self.clock.clone(), inbox };
                self.tasks.spawn(async move {
                    let node = sharing.store.among_others().map(str::to_owned);
                    let run = || {
                        let (sharing, node, stop) = (sharing.clone(), node.clone(), stop.clone());
                        async move {
                            match node {
                                None => sharing.discord.run(sharing.inbox, &Shards::All, stop).await,
                                Some(node) => sharing.run(&node, stop).await,
                            }
                        }
                    };
                    chat.run(&stop, run).await;
                });
                None
            }
            DiscordMode::Http if self.roles.contains(&Role::Web) => {
                let url = self.config.discord_endpoint_url();
                let registered = discord.clone();
                self.tasks
                    .spawn(async move { chat.run(&stop, || registered.run_endpoint(&url, &stop)).await });
                Some(ChatDoor::Discord(discord, inbox))
            }
            DiscordMode::Gateway | DiscordMode::Http => None,
        }
    }

    /// Hears Telegram; returns what the web part is to serve for that.
    pub fn telegram(&mut self, telegram: Telegram, inbox: Inbox) -> Option<ChatDoor> {
        let mode = self.config.telegram.as_ref()?.mode;
        let stop = self.stop.clone();
        let chat = self.running("Telegram", "telegram", telegram.part());
        match mode {
            TelegramMode::Polling if self.roles.contains(&Role::Chat) => {
                let (store, clock) = (self.store.clone(), self.clock.clone());
                self.tasks.spawn(async move {
                    // Telegram lets one process poll at a time.
                    let run = || {
                        store.on_duty("telegram poller", &clock, &stop, |told| {
                            let (telegram, inbox) = (telegram.clone(), inbox.clone());
                            async move { telegram.run(inbox, told).await }
                        })
                    };
                    chat.run(&stop, run).await;
                });
                None
            }
            TelegramMode::Webhook if self.roles.contains(&Role::Web) => {
                let url = self.config.telegram_webhook_url();
                let registered = telegram.clone();
                self.tasks
                    .spawn(async move { chat.run(&stop, || registered.run_webhook(&url, &stop)).await });
                Some(ChatDoor::Telegram(telegram, inbox))
            }
            TelegramMode::Polling | TelegramMode::Webhook => None,
        }
    }

    fn running(&self, title: &'static str, name: &'static str, part: &Part) -> Running {
        self.health.add(name, part.clone());
        Running {
            title,
            name,
            part: part.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            operators: self.config.access.operators.clone(),
        }
    }
}

/// A chat that is received from, as long as it accepts its token.
struct Running {
    title: &'static str,
    name: &'static str,
    part: Part,
    store: Store,
    clock: Clock,
    operators: Vec<PersonRef>,
}

impl Running {
    /// Receives until `stop`. A chat that rejects its token is disabled and reported; everything else goes on.
    async fn run<F: Future<Output = Result<(), ChatError>>>(
        &self,
        stop: &CancellationToken,
        receive: impl Fn() -> F,
    ) {
        supervise(self.name, &self.part, stop, || self.receive(stop, &receive)).await;
    }

    async fn receive<F: Future<Output = Result<(), ChatError>>>(
        &self,
        stop: &CancellationToken,
        receive: impl Fn() -> F,
    ) {
        while !stop.is_cancelled() {
            let ended = tokio::select! {
                ended = receive() => ended,
                never = self.report_success() => match never {},
            };
            let Err(error) = ended else { return };
            self.part.disable();
            let title = self.title;
            tracing::error!(%error, "{title} is disabled; the rest of the service goes on");
            let message = words::operator_chat_rejected(title);
            let (incident, now) = (self.incident(), self.clock.now_ms());
            let told = self.store.begin_incident(&incident, &self.operators, &message, now);
            warn_unless_told(told.await);
            stop.run_until_cancelled(sleep(REJECTED_AGAIN)).await;
        }
    }

    /// Tells the operators that the chat accepts its token again, once it does.
    async fn report_success(&self) -> Infallible {
        self.part.until_it_works().await;
        let message = words::operator_chat_accepted(self.title);
        let (incident, now) = (self.incident(), self.clock.now_ms());
        let told = self.store.end_incident(&incident, &self.operators, &message, now);
        warn_unless_told(told.await);
        std::future::pending().await
    }

    fn incident(&self) -> String {
        format!("chat_rejected:{}", self.name)
    }
}

fn warn_unless_told(told: Result<(), StoreError>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the operators could not be told");
    }
}

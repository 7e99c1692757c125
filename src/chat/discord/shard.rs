//! One shard: a connection to the gateway that is resumed or replaced without touching the others.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use serenity::{
    Client, async_trait,
    client::{ClientBuilder, Context, EventHandler},
    gateway::{ConnectionStage, GatewayError, ShardStageUpdateEvent},
    model::{application::Interaction, gateway::GatewayIntents, id::ApplicationId},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    chat::{ChatError, Inbox},
    clock::Clock,
};

use super::{
    pause::Pauses,
    probe,
    receive::{Door, Hearing},
    rest::WRONG_TOKEN,
    turns::{NoTurn, Turns},
};

/// How long to wait for the goodbye to the gateway and for deliveries to be stored.
const LEAVE_WITHIN: Duration = Duration::from_secs(8);

/// How long a connection may be without a session, in milliseconds.
const GREETED_WITHIN_MS: i64 = 60_000;

/// How long a session may be lost before the log says why, in milliseconds: Discord ends connections now and then, and
/// serenity is back within a second or two.
const EXPLAIN_AFTER_MS: i64 = 5_000;

/// A shard of the gateway.
#[derive(Clone)]
pub(super) struct Shard {
    pub(super) id: u32,
    pub(super) total: u32,
    pub(super) application: ApplicationId,
    pub(super) hearing: Hearing,
    pub(super) turns: Arc<Turns>,
    pub(super) inbox: Inbox,
}

/// Why a shard came to an end.
pub(super) enum Ended {
    /// It was told to stop.
    Stopped,
    /// Discord takes no such token.
    Refused(ChatError),
    /// Discord recommends more shards by now.
    TooFew,
}

/// Why a connection broke.
enum Broken {
    ForNow(ChatError),
    ForGood(Ended),
}

impl Shard {
    /// Listens until `stop`, or until trying again cannot help.
    pub(super) async fn run(self, stop: CancellationToken) -> Ended {
        let (shard, clock) = (self.id, self.hearing.clock.clone());
        let mut pauses = Pauses::new();
        loop {
            pauses.begin(&clock);
            let error = match self.listen(&stop).await {
                Ok(()) => return Ended::Stopped,
                Err(Broken::ForGood(ended)) => return ended,
                Err(Broken::ForNow(error)) => error,
            };
            self.hearing.part.fails();
            tracing::warn!(shard, %error, "Discord is out of reach; trying again");
            let wait = pauses.after(&error, &clock);
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                return Ended::Stopped;
            }
        }
    }

    /// One client's life. serenity itself resumes or replaces a session that breaks.
    async fn listen(&self, stop: &CancellationToken) -> Result<(), Broken> {
        let (stage, stages) = watch::channel(ConnectionStage::Disconnected);
        let at_work = TaskTracker::new();
        let ear =
            Ear { hearing: self.hearing.clone(), inbox: self.inbox.clone(), stage, at_work: at_work.clone() };
        let Some(connected) = stop.run_until_cancelled(self.connect(ear)).await else {
            return Ok(());
        };
        let mut client = connected?;
        let url = client.ws_url.lock().await.clone();
        let manager = client.shard_manager.clone();
        let ended = stop
            .run_until_cancelled(async {
                tokio::select! {
                    ended = client.start_shard(self.id, self.total) => ended.map_err(sorted),
                    () = deaf(&self.hearing.clock, stages.clone()) => Err(trouble("the gateway says nothing")),
                    never = self.explain(&url, stages) => match never {},
                }
            })
            .await;
        at_work.close();
        let leave = async {
            manager.shutdown_all().await;
            at_work.wait().await;
        };
        if timeout(LEAVE_WITHIN, leave).await.is_err() {
            tracing::warn!(shard = self.id, "left Discord without a goodbye");
        }
        match ended {
            None | Some(Ok(())) if stop.is_cancelled() => Ok(()),
            None | Some(Ok(())) => Err(trouble("the gateway closed")),
            Some(Err(broken)) => Err(broken),
        }
    }

    /// Names the cause in the log whenever the session is lost for longer than usual. serenity tries again without a word.
    async fn explain(&self, url: &str, mut stages: watch::Receiver<ConnectionStage>) -> Infallible {
        let connected = |stage: &ConnectionStage| *stage == ConnectionStage::Connected;
        // Fails only once the client is gone, and this future with it.
        while stages.wait_for(connected).await.is_ok() && stages.wait_for(|it| !connected(it)).await.is_ok() {
            let late = self.hearing.clock.now_ms() + EXPLAIN_AFTER_MS;
            tokio::select! {
                _ = stages.wait_for(connected) => continue,
                () = self.hearing.clock.sleep_until(late) => {}
            }
            if let Err(error) = probe::reach(url).await {
                tracing::warn!(shard = self.id, %error, "the connection to Discord is lost; trying again");
            }
        }
        pending().await
    }

    /// Prepares a client of the shard's own, in its turn.
    async fn connect(&self, ear: Ear) -> Result<Client, Broken> {
        let url = self.turns.take(self.id).await.map_err(|no| match no {
            NoTurn::Yet(error) => Broken::ForNow(error),
            NoTurn::TooFew => Broken::ForGood(Ended::TooFew),
        })?;
        let http = self.hearing.rest.for_gateway(self.application);
        probe::reach(&url).await.map_err(Broken::ForNow)?;
        // Interactions come without any intent.
        let client = ClientBuilder::new_with_http(http, GatewayIntents::empty())
            .event_handler(ear)
            .await
            .map_err(|error| trouble(&error.to_string()))?;
        // The builder asks for the address too, and falls back to a fixed one when that fails.
        *client.ws_url.lock().await = url;
        Ok(client)
    }
}

fn trouble(what: &str) -> Broken {
    Broken::ForNow(ChatError::Trouble(what.to_owned()))
}

fn intents(code: u16) -> Broken {
    Broken::ForGood(Ended::Refused(ChatError::Refused(probe::intents_refused(code))))
}

fn sorted(error: serenity::Error) -> Broken {
    match error {
        serenity::Error::Gateway(GatewayError::InvalidAuthentication) => {
            Broken::ForGood(Ended::Refused(ChatError::Refused(WRONG_TOKEN.to_owned())))
        }
        serenity::Error::Gateway(GatewayError::InvalidGatewayIntents) => intents(4013),
        serenity::Error::Gateway(GatewayError::DisallowedGatewayIntents) => intents(4014),
        error => trouble(&error.to_string()),
    }
}

/// Returns once the gateway has left us without a session for too long. serenity waits for a greeting without end, as
/// long as its heartbeats are answered, and after a close that says the shards are too few (4010, 4011).
async fn deaf(clock: &Clock, mut stages: watch::Receiver<ConnectionStage>) {
    let connected = |stage: &ConnectionStage| *stage == ConnectionStage::Connected;
    loop {
        let until = clock.now_ms() + GREETED_WITHIN_MS;
        tokio::select! {
            greeted = stages.wait_for(connected) => if greeted.is_err() { return },
            () = clock.sleep_until(until) => return,
        }
        if stages.wait_for(|stage| !connected(stage)).await.is_err() {
            return;
        }
    }
}

/// Hears what serenity receives.
struct Ear {
    hearing: Hearing,
    inbox: Inbox,
    stage: watch::Sender<ConnectionStage>,
    at_work: TaskTracker,
}

#[async_trait]
impl EventHandler for Ear {
    async fn interaction_create(&self, _: Context, interaction: Interaction) {
        // Once closed, the service is leaving; nobody would answer.
        if !self.at_work.is_closed() {
            self.at_work.track_future(self.hearing.hear(interaction, Door::Gateway, &self.inbox)).await;
        }
    }

    async fn shard_stage_update(&self, _: Context, update: ShardStageUpdateEvent) {
        if update.new == ConnectionStage::Connected {
            self.hearing.part.works();
        }
        self.stage.send_replace(update.new);
    }
}

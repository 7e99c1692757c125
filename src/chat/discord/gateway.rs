//! The gateway: registers the commands, listens, acknowledges, delivers.

use std::{sync::Arc, time::Duration};

use serenity::{
    Client, async_trait,
    client::{ClientBuilder, Context, EventHandler},
    gateway::{ConnectionStage, GatewayError, ShardStageUpdateEvent},
    http::{LightMethod, Route},
    model::{
        application::Interaction,
        gateway::{BotGateway, GatewayIntents},
    },
};
use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    chat::{ChatError, Delivery, Inbox},
    clock::Clock,
};

use super::{
    commands,
    interaction::{self, Heard},
    menu::Forms,
    rest::{Problem, Rest, WRONG_TOKEN},
};

/// Discord forgets an interaction that is not acknowledged in 3 seconds; half a second is for the way.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(2500);

/// How long to wait for the goodbye to the gateway and for deliveries to be stored.
const LEAVE_WITHIN: Duration = Duration::from_secs(8);

/// How long a connection may be without a session, in milliseconds.
const GREETED_WITHIN_MS: i64 = 60_000;

/// A client that lived so long, in milliseconds, is followed by another without much of a pause.
const LASTED_MS: i64 = 10 * 60_000;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Listens until `stop`; returns an error only when trying again cannot help.
pub(super) async fn run(
    rest: &Rest,
    clock: &Clock,
    inbox: Inbox,
    stop: CancellationToken,
) -> Result<(), ChatError> {
    let forms = Forms::default();
    let stage = Arc::new(watch::Sender::new(ConnectionStage::Disconnected));
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let ear = Ear {
            rest: rest.clone(),
            clock: clock.clone(),
            inbox: inbox.clone(),
            forms: forms.clone(),
            stage: stage.clone(),
            at_work: TaskTracker::new(),
        };
        stage.send_replace(ConnectionStage::Disconnected);
        let began = clock.now_ms();
        let ended = listen(rest, ear, &stop).await;
        // One that lasted is no failure to connect.
        if clock.now_ms() - began > LASTED_MS {
            pause = FIRST_PAUSE;
        }
        let wait = match ended {
            Ok(()) => return Ok(()),
            Err(error @ ChatError::Refused(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "Discord is out of reach; trying again");
                match error {
                    ChatError::SlowDown(asked) => asked.max(pause),
                    _ => pause,
                }
            }
        };
        pause = (pause * 2).min(LONGEST_PAUSE);
        stop.run_until_cancelled(sleep(wait)).await;
    }
    Ok(())
}

/// One client's life. serenity itself resumes or replaces a session that breaks.
async fn listen(rest: &Rest, ear: Ear, stop: &CancellationToken) -> Result<(), ChatError> {
    let at_work = ear.at_work.clone();
    let (clock, stages) = (ear.clock.clone(), ear.stage.subscribe());
    let Some(connected) = stop.run_until_cancelled(connect(rest, ear)).await else {
        return Ok(());
    };
    let (mut client, shards) = connected?;
    let manager = client.shard_manager.clone();
    let ended = stop
        .run_until_cancelled(async {
            tokio::select! {
                ended = client.start_shards(shards) => ended.map_err(sorted),
                () = deaf(&clock, stages) => Err(ChatError::Trouble("the gateway says nothing".to_owned())),
            }
        })
        .await;
    at_work.close();
    let leave = async {
        manager.shutdown_all().await;
        at_work.wait().await;
    };
    if timeout(LEAVE_WITHIN, leave).await.is_err() {
        tracing::warn!("left Discord without a goodbye");
    }
    match ended {
        None | Some(Ok(())) if stop.is_cancelled() => Ok(()),
        None | Some(Ok(())) => Err(ChatError::Trouble("the gateway closed".to_owned())),
        Some(Err(error)) => Err(error),
    }
}

fn sorted(error: serenity::Error) -> ChatError {
    match error {
        serenity::Error::Gateway(GatewayError::InvalidAuthentication) => {
            ChatError::Refused(WRONG_TOKEN.to_owned())
        }
        error => ChatError::Trouble(error.to_string()),
    }
}

/// Returns once the gateway has left us without a session for too long. serenity waits for a greeting without end, as
/// long as its heartbeats are answered.
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

async fn connect(rest: &Rest, ear: Ear) -> Result<(Client, u32), ChatError> {
    let application_id = rest.application().await?;
    let route = Route::Commands { application_id };
    rest.send(route, LightMethod::Put, Some(&commands::all())).await?;
    let gateway: BotGateway = rest.json(Route::GatewayBot, LightMethod::Get, None).await?;
    // Interactions come without any intent.
    let client = ClientBuilder::new_with_http(rest.for_gateway(application_id), GatewayIntents::empty())
        .event_handler(ear)
        .await
        .map_err(|error| ChatError::Trouble(error.to_string()))?;
    // The builder asks for the address too, and falls back to a fixed one when that fails.
    *client.ws_url.lock().await = gateway.url;
    Ok((client, gateway.shards.max(1)))
}

/// Hears what serenity receives.
struct Ear {
    rest: Rest,
    clock: Clock,
    inbox: Inbox,
    forms: Forms,
    stage: Arc<watch::Sender<ConnectionStage>>,
    at_work: TaskTracker,
}

#[async_trait]
impl EventHandler for Ear {
    async fn interaction_create(&self, _: Context, interaction: Interaction) {
        // Once closed, the service is leaving; nobody would answer.
        if !self.at_work.is_closed() {
            self.at_work.track_future(self.hear(interaction)).await;
        }
    }

    async fn shard_stage_update(&self, _: Context, update: ShardStageUpdateEvent) {
        self.stage.send_replace(update.new);
    }
}

impl Ear {
    async fn hear(&self, interaction: Interaction) {
        let Some(heard) = interaction::read(interaction, &self.forms, self.clock.now_ms()) else {
            return;
        };
        // Unacknowledged, Discord tells the person that it failed: doing it all the same would have
        // them ask twice.
        if let Err(problem) = self.acknowledge(&heard).await {
            tracing::warn!(interaction = %heard.id, %problem, "not acknowledged, so not done");
            return;
        }
        let Some(incoming) = heard.incoming else { return };
        let (done, stored) = oneshot::channel();
        let delivery = Delivery { incoming, done };
        match self.inbox.send(delivery).await {
            // Resolves, by a message or by a drop, once it is stored.
            Ok(()) => drop(stored.await),
            Err(_) => tracing::warn!(interaction = %heard.id, "nobody takes what was asked"),
        }
    }

    async fn acknowledge(&self, heard: &Heard) -> Result<(), Problem> {
        let route = Route::InteractionResponse { interaction_id: heard.id, token: &heard.token };
        let persist = async {
            loop {
                match self.rest.send(route, LightMethod::Post, Some(&heard.callback)).await {
                    Err(Problem::Trouble(_)) => sleep(Duration::from_millis(100)).await,
                    // A redelivery after a resume, or a first try whose answer was lost.
                    Err(problem) if problem.is_already_acknowledged() => return Ok(()),
                    answer => return answer.map(drop),
                }
            }
        };
        timeout(ACKNOWLEDGE_WITHIN, persist)
            .await
            .unwrap_or_else(|_| Err(Problem::Trouble("no answer in time".to_owned())))
    }
}

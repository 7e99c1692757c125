//! Puts the parts together as the config says, runs them, and stops them in order.

pub mod backup;
pub mod check;
mod claim;
pub mod demo;
mod healthcheck;
mod installation;
mod listeners;
pub mod migrate;
pub mod reconcile;
pub mod rotate;
mod shards;
mod storage;
#[cfg(target_os = "linux")]
mod supervisor;

use std::{path::Path, time::Duration};

use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

pub use healthcheck::healthcheck;

use crate::{
    chat::{Chat, ChatError, Chats, console::Console, discord::Discord, telegram::Telegram},
    clock::Clock,
    config::{Config, KeyError, former_key, load_or_create_key},
    health::Health,
    intake::{Admission, Intake},
    staging::{Staging, StagingError, embedded},
    store::{OpenError, Store, StoreError, Vault},
    twitter::{SetupError, X},
    web::{self, Web},
    worker::{Running, Worker},
};

/// How long a stop may take before what is still running is left to the next start; with closing, 20 s in all.
const STOP_WITHIN: Duration = Duration::from_secs(17);
/// How long what comes in may take to end.
const CLOSE_DOORS_WITHIN: Duration = Duration::from_secs(5);
/// How long closing the database may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// Questions from chats that wait to be answered.
const INBOX: usize = 256;

/// A part of the service that a process may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// The Discord and Telegram bots.
    Chat,
    /// Logins, the HTTP API and the upload page.
    Web,
    /// What brings posts to X.
    Worker,
}

/// A running service.
pub struct App {
    pub store: Store,
    pub staging: Staging,
    health: Health,
    /// What comes in from outside; stopped first.
    doors: Doors,
    /// The pipeline; stopped once nothing comes in any more.
    worker: Option<JoinHandle<()>>,
    stop_worker: CancellationToken,
    embedded: Option<embedded::Server>,
}

struct Doors {
    stop: CancellationToken,
    /// Ends the intake, after all others: what a chat was told is taken is still to be dealt with.
    stop_intake: CancellationToken,
    /// None ends before it is told to, unless it panics. The intake is one of them.
    tasks: JoinSet<()>,
    inbox: mpsc::Sender<crate::chat::Delivery>,
}

/// Why the service cannot run. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Database(#[from] OpenError),
    #[error("The storage cannot be used. {0}")]
    Staging(#[from] StagingError),
    #[error(
        "The embedded storage under {folder} cannot be used: {source}. Give this user the right to write there."
    )]
    Embedded { folder: String, source: std::io::Error },
    #[error(
        "The embedded storage under {folder} is in use by another toall process. Stop that one first; for several \
         processes, name a bucket in [staging]."
    )]
    EmbeddedInUse { folder: String },
    #[error(
        "Only some parts are to run here (--role), and the others would run in processes that cannot read an embedded \
         storage. Name a bucket in [staging], the same for all of them; or leave out --role."
    )]
    SplitStorage,
    #[error(
        "Another process at this database keeps videos in {theirs}, and this one would keep them in {ours}: neither \
         could read the other's. Name one bucket in [staging] for all of them. If the other has just been stopped, \
         start this one again in a quarter of a minute."
    )]
    OtherStorage { ours: String, theirs: String },
    #[error(
        "The database did not do what is needed at the start: {0}. Look after it, and start toall again."
    )]
    Store(#[from] StoreError),
    #[error("The settings of the X app cannot be used: {0}")]
    X(#[from] SetupError),
    #[error("{platform} cannot be used: {source}. `toall check` says what to mend.")]
    Chat { platform: &'static str, source: ChatError },
    #[error("Cannot listen on {address}: {source}. Choose another address for {key} in the config.")]
    Listen { key: &'static str, address: String, source: std::io::Error },
    #[error("A part of the service died ({0}). Start it again, and please report what the log says.")]
    Died(String),
    #[error("Metrics cannot be gathered: {0}")]
    Metrics(String),
}

impl App {
    /// Binds what `config` says to listen on, and starts the parts that `roles` name.
    pub async fn start(config: &Config, roles: &[Role], clock: Clock) -> Result<App, StartError> {
        // First, since who starts it twice should hear that, not that an address is taken.
        let store = open_store(config, &clock).await?;
        let listener = match roles.contains(&Role::Web) {
            true => Some(listen("web.listen", config.web.listen).await?),
            false => None,
        };
        let mut app = App::assemble(config, roles, clock.clone(), store, listener, None).await?;
        if let Some(metrics) = &config.metrics {
            let listener = listen("metrics.listen", metrics.listen).await?;
            let recorder = web::install_recorder().map_err(|error| StartError::Metrics(error.to_string()))?;
            let (store, health, stop) = (app.store.clone(), app.health.clone(), app.doors.stop.clone());
            app.doors.tasks.spawn(async move {
                web::serve_metrics(listener, recorder, store, health, clock, stop).await;
            });
        }
        Ok(app)
    }

    /// As [`App::start`], on a listener that is bound already and with a chat of the caller's own.
    pub async fn start_on(
        config: &Config,
        roles: &[Role],
        clock: Clock,
        listener: Option<TcpListener>,
        console: Option<Console>,
    ) -> Result<App, StartError> {
        let store = open_store(config, &clock).await?;
        App::assemble(config, roles, clock, store, listener, console).await
    }

    async fn assemble(
        config: &Config,
        roles: &[Role],
        clock: Clock,
        store: Store,
        listener: Option<TcpListener>,
        console: Option<Console>,
    ) -> Result<App, StartError> {
        let agreement = storage::Agreement::reach(config, roles, &store, &clock).await?;
        let (staging, embedded) = open_staging(config).await?;
        let x = X::new(&config.twitter, config.callback_url())?;
        let discord = config.discord.as_ref().map(|settings| Discord::new(settings, clock.clone()));
        let discord =
            discord.transpose().map_err(|source| StartError::Chat { platform: "Discord", source })?;
        let telegram = config.telegram.as_ref().map(|settings| Telegram::new(settings, clock.clone()));
        let telegram =
            telegram.transpose().map_err(|source| StartError::Chat { platform: "Telegram", source })?;
        let chats = Chats::new(
            [
                discord.clone().map(Chat::Discord),
                telegram.clone().map(Chat::Telegram),
                console.map(Chat::Console),
            ]
            .into_iter()
            .flatten(),
        );
        let intake = Intake {
            store: store.clone(),
            chats: chats.clone(),
            staging: staging.clone(),
            x: x.clone(),
            clock: clock.clone(),
            public_url: config.public_url.clone(),
            access: config.access.clone(),
            limits: config.limits.clone(),
            admission: Admission::default(),
        };
        store.depose(&config.access.blocked).await?;
        if roles.contains(&Role::Chat) && (config.discord.is_some() || config.telegram.is_some()) {
            claim::offer(&intake, config).await;
        }
        if roles.contains(&Role::Worker) {
            store.stop_posts_of(&config.access.blocked, clock.now_ms()).await?;
        }

        let (stop, stop_intake) = (CancellationToken::new(), CancellationToken::new());
        let health = Health::default();
        let mut tasks = JoinSet::new();
        let [inbox, discord_inbox, telegram_inbox] = std::array::from_fn(|_| {
            let (inbox, deliveries) = mpsc::channel(INBOX);
            tasks.spawn(intake.clone().run(deliveries, stop_intake.clone()));
            inbox
        });
        if let Some(agreement) = agreement {
            let kept = agreement.keep(store.clone(), clock.clone(), stop.clone());
            tasks.spawn(kept);
        }
        let mut doors = listeners::Opening {
            config,
            roles,
            store: &store,
            clock: &clock,
            stop: &stop,
            health: &health,
            tasks: &mut tasks,
        };
        let chat_doors = [
            discord.and_then(|discord| doors.discord(discord, discord_inbox)),
            telegram.and_then(|telegram| doors.telegram(telegram, telegram_inbox)),
        ];
        if let Some(listener) = listener {
            let public_url = config.public_url.clone();
            let router = web::router(Web {
                intake,
                staging: staging.clone(),
                door: embedded.as_ref().map(embedded::Server::door),
                chats: chat_doors.into_iter().flatten().collect(),
                health: health.clone(),
                public_url,
                stop: stop.clone(),
            });
            let trusted_proxies = config.web.trusted_proxies.clone();
            let limits = web::ServerLimits { trusted_proxies, ..web::ServerLimits::default() };
            let stop = stop.clone();
            tasks.spawn(async move {
                web::serve(listener, router, limits, stop).await;
            });
        }

        let stop_worker = CancellationToken::new();
        let worker = roles.contains(&Role::Worker).then(|| {
            for name in ["worker", "announcer", "housekeeper"] {
                health.part(name);
            }
            let worker = Worker {
                store: store.clone(),
                chats,
                staging: staging.clone(),
                x,
                clock,
                settings: config.worker.clone(),
                retention_days: config.database.retention_days,
                limits: config.limits.clone(),
                operators: config.access.operators.clone(),
                blocked: config.access.blocked.clone(),
                running: Running::new(&config.worker),
                health: health.clone(),
            };
            tokio::spawn(worker.run(stop_worker.clone()))
        });
        let doors = Doors { stop, stop_intake, tasks, inbox };
        Ok(App { store, staging, health, doors, worker, stop_worker, embedded })
    }

    /// Where a chat of the caller's own delivers what is asked in it.
    pub fn inbox(&self) -> crate::chat::Inbox {
        self.doors.inbox.clone()
    }

    /// Returns when a part died that only a new process can replace: the listener or the intake.
    pub async fn failed(&mut self) -> StartError {
        while let Some(ended) = self.doors.tasks.join_next().await {
            if let Err(panic) = ended {
                return StartError::Died(panic.to_string());
            }
        }
        std::future::pending().await
    }

    /// Has no more come in and the pipeline go no further than to a safe point, told before this returns; then waits until
    /// both have ended, and ends what they stand on.
    pub fn stop(mut self) -> impl Future<Output = ()> + Send {
        self.doors.stop.cancel();
        self.stop_worker.cancel();
        async move {
            let Doors { stop_intake, tasks, .. } = &mut self.doors;
            let closed = async {
                while tasks.len() > 1 {
                    tasks.join_next().await;
                }
                stop_intake.cancel();
                tasks.join_next().await;
            };
            let doors = async {
                // A connection that says nothing must not keep what came in from being dealt with.
                let _ = tokio::time::timeout(CLOSE_DOORS_WITHIN, closed).await;
                stop_intake.cancel();
            };
            let worker = async {
                if let Some(worker) = &mut self.worker {
                    let _ = worker.await;
                }
            };
            let ended = async { tokio::join!(doors, worker) };
            if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
                tracing::warn!("not everything came to an end in time; the next start goes on with it");
                self.doors.tasks.abort_all();
                if let Some(worker) = &self.worker {
                    worker.abort();
                }
            }
            // Steps that were left behind may still hold a connection.
            if tokio::time::timeout(CLOSE_WITHIN, self.store.close()).await.is_err() {
                tracing::warn!("the database was not closed in time; it is safe all the same");
            }
            if let Some(server) = self.embedded {
                server.shutdown().await;
            }
        }
    }
}

/// Opens the database with the key that seals its secrets.
async fn open_store(config: &Config, clock: &Clock) -> Result<Store, StartError> {
    Ok(Store::open(&config.database, vault(config)?, clock.now_ms()).await?)
}

/// Seals with the key, and opens what the former one sealed while the key is being changed.
fn vault(config: &Config) -> Result<Vault, KeyError> {
    let vault = Vault::new(load_or_create_key(config)?.expose_secret());
    Ok(match former_key(config)? {
        None => vault,
        Some(former) => {
            tracing::warn!(
                "The encryption key is being changed. `toall rotate-key` ends that; with SQLite, stop toall before."
            );
            vault.with_former(former.expose_secret())
        }
    })
}

/// The operator's bucket, or the embedded one under `data_dir`.
async fn open_staging(config: &Config) -> Result<(Staging, Option<embedded::Server>), StartError> {
    match &config.staging {
        Some(settings) => Ok((Staging::connect(settings).await?, None)),
        None => {
            let folder = config.data_dir.join("staging");
            let opened = Staging::embedded(&folder, config.min_free).await;
            let (staging, server) =
                opened.map_err(|source| StartError::Embedded { folder: shown(&folder), source })?;
            Ok((staging, Some(server)))
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

async fn listen(key: &'static str, address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| StartError::Listen { key, address: address.to_string(), source })
}

/// `toall serve`: runs until SIGTERM or SIGINT, or until a part can never work.
pub async fn serve(config: &Config, roles: &[Role]) -> anyhow::Result<()> {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    if roles.len() < 3 && !storage::is_for_several(config) {
        tracing::warn!(
            "Only some parts run here, and SQLite admits no second process: what the others do stays undone. \
             Leave out --role."
        );
    }
    let mut stop = std::pin::pin!(stop_signal());
    let mut app = tokio::select! {
        biased;
        // Nothing was taken in yet, so there is nothing to bring to an end.
        signal = &mut stop => return Ok(signal?),
        app = App::start(config, roles, Clock::system()) => app?,
    };
    // Chats report by themselves; posts wait for the storage, and the log says so before the first one does.
    let staging = app.staging.clone();
    tokio::spawn(async move {
        if let Err(error) = staging.probe().await {
            tracing::warn!(%error, "the storage cannot be used yet; posts wait for it");
        }
    });
    let node = app.store.among_others();
    tracing::info!(listen = %config.web.listen, public_url = %config.public_url, node, "ready");
    #[cfg(target_os = "linux")]
    supervisor::notify(supervisor::Notice::Ready);
    let outcome = tokio::select! {
        signal = stop => signal.map_err(Into::into),
        error = app.failed() => Err(error.into()),
    };
    tracing::info!("stopping");
    #[cfg(target_os = "linux")]
    supervisor::notify(supervisor::Notice::Stopping);
    app.stop().await;
    outcome
}

/// Returns when the process is asked to stop.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

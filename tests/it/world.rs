//! The whole service in a world of its own: simulated X, embedded S3, a console chat, and a clock turned by hand.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{postgres, wire::Wire};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reqwest::{StatusCode, header::LOCATION};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use toall::{
    account::{Group, Person, PersonRef, Place, Platform},
    app::{App, Role},
    chat::{
        Ask, Delivery, Incoming,
        console::{Console, Shown},
    },
    clock::Clock,
    config::{self, Config, OnUnsure},
    post::{Attachment, Kind, Options},
    sandbox::{Sandbox, Settings},
    words::{Act, Deed, Message, Span},
};
mod database;
mod journey;
mod page;
mod time;

pub use page::{Page, browser};

use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};
use url::Url;
use uuid::Uuid;

/// How long anything may take in real time before the test is given up.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Where the world's clock begins: 2026-11-22 12:00 UTC.
pub const NOON: i64 = 1_795_348_800_000;

pub struct World {
    pub clock: Clock,
    pub x: Sandbox,
    pub console: Console,
    pub config: Config,
    folder: TempDir,
    /// Kept while the service is down, so that nobody else gets its address.
    listener: std::net::TcpListener,
    life: Option<Life>,
    /// Where the rows are when they are not in `folder`.
    server: Option<postgres::Database>,
}

/// One run of the service, on a runtime of its own so that it can be killed.
struct Life {
    app: App,
    runtime: Runtime,
    metrics: PrometheusHandle,
}

pub fn person(name: &str) -> Person {
    Person { platform: Platform::Console, id: format!("id-{name}"), name: name.to_owned() }
}

/// How the config names somebody.
pub fn named(name: &str) -> PersonRef {
    PersonRef { platform: Platform::Console, id: person(name).id }
}

pub fn place(name: &str) -> Place {
    Place {
        platform: Platform::Console,
        chat: format!("chat-{name}"),
        thread: None,
        message: None,
        person: format!("id-{name}"),
        private: true,
        interaction: None,
    }
}

/// A message as a person reads it: text, then buttons.
pub fn read(message: &Message) -> String {
    let text = message.text.iter().map(|span| match span {
        Span::Text(text) | Span::Link(text) | Span::Code(text) => text.clone(),
        Span::Time(at) => format!("<{}>", (at - NOON) / 1_000),
    });
    let buttons = message.buttons.iter().map(|button| format!(" [{}]", button.label));
    text.chain(buttons).collect()
}

/// The moments in a text that [`read`] made, in seconds after noon.
pub fn moments(text: &str) -> Vec<i64> {
    text.split('<').skip(1).filter_map(|rest| rest.split('>').next()?.parse().ok()).collect()
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    toall::ticket::hex(&Sha256::digest(bytes))
}

pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/sample.mp4")
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl World {
    pub async fn new() -> World {
        World::with(|_, _| {}).await
    }

    /// A world whose simulated X and config are changed before anything runs.
    pub async fn with(change: impl FnOnce(&mut Settings, &mut Config)) -> World {
        World::with_clock(Clock::by_hand(NOON), change).await
    }

    /// A world that shares its clock with others.
    pub async fn with_clock(clock: Clock, change: impl FnOnce(&mut Settings, &mut Config)) -> World {
        let database = match postgres::wanted() {
            true => Some(postgres::cluster().await.unwrap().database().await),
            false => None,
        };
        World::on(database, clock, change).await
    }

    /// A world with its rows in PostgreSQL whatever the suite runs on; `None`, and said, where there is none.
    pub async fn on_postgres() -> Option<World> {
        Some(World::at(postgres::cluster().await?.database().await).await)
    }

    /// A world with its rows in this database, to which this wire leads.
    pub async fn over(wire: &Wire, database: postgres::Database) -> World {
        let url = wire.url(&database.name);
        let change = |_: &mut Settings, config: &mut Config| config.database.url = url.into();
        World::on(Some(database), Clock::by_hand(NOON), change).await
    }

    /// A world with its rows in this database.
    pub async fn at(database: postgres::Database) -> World {
        World::on(Some(database), Clock::by_hand(NOON), |_, _| {}).await
    }

    async fn on(
        database: Option<postgres::Database>,
        clock: Clock,
        change: impl FnOnce(&mut Settings, &mut Config),
    ) -> World {
        let folder = TempDir::new().unwrap();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listen = listener.local_addr().unwrap();
        let public_url: Url = format!("http://{listen}/").parse().unwrap();
        let hands = clock.clone();
        let mut settings = Settings {
            redirect_uris: vec![format!("{public_url}api/social/callback")],
            clock: Arc::new(move || {
                UNIX_EPOCH + Duration::from_millis(hands.now_ms().unsigned_abs()) as Duration
            }) as Arc<dyn Fn() -> SystemTime + Send + Sync>,
            // So that a second post would be seen.
            duplicate_window: Duration::ZERO,
            ..Settings::new(folder.path().join("x"))
        };
        let mut config = config_for(&public_url, listen, folder.path());
        if let Some(database) = &database {
            config.database.url = database.url.as_str().into();
        }
        change(&mut settings, &mut config);
        let x = Sandbox::start(settings).await.unwrap();
        let x_url: Url = x.url().parse().unwrap();
        config.twitter.authorize_url = x_url.join("/i/oauth2/authorize").unwrap();
        config.twitter.api_url = x_url.clone();
        config.twitter.web_url = x_url;
        let mut world = World {
            clock,
            x,
            console: Console::default(),
            config,
            folder,
            listener,
            life: None,
            server: database,
        };
        world.boot().await;
        world
    }

    /// Starts the service, on what an earlier run left.
    pub async fn boot(&mut self) {
        self.boot_as(&[Role::Chat, Role::Web, Role::Worker]).await;
    }

    /// A counter of the service since it was booted; `name` includes the labels.
    pub fn counted(&self, name: &str) -> u64 {
        let all = self.life.as_ref().unwrap().metrics.render();
        let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |count| count.parse().unwrap())
    }

    /// As [`World::boot`], of these parts only.
    pub async fn boot_as(&mut self, roles: &[Role]) {
        let roles = roles.to_owned();
        // Each world measures itself: a recorder of the whole process would mix those that run at once.
        let recorder: &_ = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        let metrics = recorder.handle();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(|| std::mem::forget(metrics::set_default_local_recorder(recorder)))
            .enable_all()
            .build()
            .unwrap();
        let (config, clock, console) = (self.config.clone(), self.clock.clone(), self.console.clone());
        let listener = self.listener.try_clone().unwrap();
        let started = runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            App::start_on(&config, &roles, clock, Some(listener), Some(console)).await
        });
        let app = started.await.unwrap().unwrap();
        self.life = Some(Life { app, runtime, metrics });
    }

    /// Ends the service between two instructions, as a power cut does.
    ///
    /// Nobody else has a SQLite file, so what it held is free at the next start; on PostgreSQL it is when the lease is
    /// over, and so much time passes.
    pub async fn kill(&mut self) {
        let Life { app, runtime, .. } = self.life.take().unwrap();
        drop(app);
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
        if self.server.is_some() {
            self.pass(toall::store::LEASE);
        }
    }

    /// Ends the service as SIGTERM does: told to stop at once, stopped when the future ends.
    pub fn stop(&mut self) -> impl Future<Output = ()> + use<> {
        let Life { app, runtime, .. } = self.life.take().unwrap();
        let stopping = runtime.spawn(app.stop());
        async move {
            stopping.await.unwrap();
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
        }
    }

    pub fn app(&self) -> &App {
        &self.life.as_ref().unwrap().app
    }

    pub fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Lets time pass at once.
    pub fn pass(&self, span: Duration) {
        self.clock.set(self.now() + i64::try_from(span.as_millis()).unwrap());
    }

    /// Asks something as `name` and waits until it is dealt with.
    pub async fn ask(&self, name: &str, ask: Ask) {
        self.ask_as(person(name), place(name), ask).await;
    }

    pub async fn ask_as(&self, from: Person, at: Place, ask: Ask) {
        self.ask_in(from, at, Vec::new(), ask).await;
    }

    /// As [`World::ask_as`], in a place that shows what the person is in.
    pub async fn ask_in(&self, from: Person, at: Place, groups: Vec<Group>, ask: Ask) {
        let (done, dealt_with) = oneshot::channel();
        let incoming = Incoming { from, at, ask, groups };
        self.app().inbox().send(Delivery { incoming, done }).await.unwrap();
        tokio::time::timeout(PATIENCE, dealt_with).await.expect("nobody answers").unwrap();
    }

    /// Presses the button with this label under a message.
    pub async fn press(&self, name: &str, shown: &Shown, label: &str) {
        let button = shown.message.buttons.iter().find(|button| button.label == label);
        let button = button.unwrap_or_else(|| panic!("no {label} under {}", read(&shown.message)));
        let Act::Do(deed) = &button.act else { panic!("{label} opens a page") };
        self.press_deed(name, deed.clone()).await;
    }

    pub async fn press_deed(&self, name: &str, deed: Deed) {
        self.ask(name, Ask::Press(deed)).await;
    }

    /// Posts a file of this machine.
    pub async fn post(&self, name: &str, caption: &str, file: &Path) {
        self.ask(name, self.post_of(caption, file)).await;
    }

    pub fn post_of(&self, caption: &str, file: &Path) -> Ask {
        let attachment = Attachment {
            platform: Platform::Console,
            source: file.to_str().unwrap().to_owned(),
            name: file.file_name().unwrap().to_str().unwrap().to_owned(),
            bytes: std::fs::metadata(file).ok().map(|found| found.len()),
            content_type: None,
            kind: Kind::Video,
        };
        let dedupe_key = format!("console:{}", Uuid::now_v7());
        Ask::Post {
            caption: caption.to_owned(),
            options: Options::default(),
            account: String::new(),
            file: Some(attachment),
            dedupe_key,
        }
    }

    /// What was said in a person's chat, oldest first.
    pub fn said(&self, name: &str) -> Vec<Shown> {
        let chat = place(name).chat;
        self.console.messages().into_iter().filter(|shown| shown.at.chat == chat).collect()
    }

    /// What an operator was told in private, without having asked.
    pub fn told(&self, name: &str) -> Vec<String> {
        let chat = named(name).private_place().chat;
        let told = self.console.messages().into_iter().filter(|shown| shown.at.chat == chat);
        told.map(|shown| read(&shown.message)).collect()
    }

    pub fn last(&self, name: &str) -> Shown {
        self.said(name).pop().unwrap_or_else(|| panic!("nothing was said to {name}"))
    }

    pub fn last_text(&self, name: &str) -> String {
        read(&self.last(name).message)
    }

    /// The address that `/connect twitter` answers `name` with.
    pub async fn connect_link(&self, name: &str) -> Url {
        self.ask(name, Ask::Connect { what: "twitter".to_owned() }).await;
        self.offered_link(name)
    }

    /// The address under the newest message in a person's chat.
    pub fn offered_link(&self, name: &str) -> Url {
        let shown = self.last(name);
        let link = shown.message.buttons.iter().find_map(|button| match &button.act {
            Act::Open(url) => Some(url.parse().unwrap()),
            Act::Do(_) => None,
        });
        link.unwrap_or_else(|| panic!("no link in {}", read(&shown.message)))
    }

    /// Authorises at X as `x_user`, and returns the callback that X sends the browser to.
    pub async fn authorise(&self, link: &Url, x_user: &str, decision: &str) -> Url {
        let form = [("user", x_user), ("decision", decision)];
        let answer = browser().post(link.clone()).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FOUND, "X refused the link");
        answer.headers()[LOCATION].to_str().unwrap().parse().unwrap()
    }

    /// Links `x_user` to `name` through the browser, from `/connect` to the confirmation.
    pub async fn link(&self, name: &str, x_user: &str) {
        let page = self.question(&self.connect_link(name).await, x_user).await;
        let done = page.submit(0).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text());
        self.settle().await;
    }

    /// The page that asks whether to link `x_user`, who authorised by this link.
    pub async fn question(&self, link: &Url, x_user: &str) -> Page {
        let page = Page::open(&self.authorise(link, x_user, "authorize").await).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        page
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A runtime may not be dropped where tasks run.
        if let Some(Life { app, runtime, .. }) = self.life.take() {
            drop(app);
            runtime.shutdown_background();
        }
    }
}

fn config_for(public_url: &Url, listen: SocketAddr, folder: &Path) -> Config {
    let x: Url = "http://127.0.0.1:1/".parse().unwrap();
    Config {
        public_url: public_url.clone(),
        data_dir: folder.join("data"),
        min_free: 0,
        web: config::Web::on(listen),
        metrics: None,
        database: config::Database::sqlite(&folder.join("data/toall.db")),
        security: config::Security { encryption_key: None, former_encryption_key: None },
        discord: None,
        telegram: None,
        twitter: config::Twitter {
            client_id: "sandbox-client".to_owned(),
            client_secret: Some("sandbox-secret".to_owned().into()),
            authorize_url: x.clone(),
            api_url: x.clone(),
            web_url: x,
        },
        staging: None,
        worker: config::Worker {
            concurrency: 8,
            transfers: 4,
            upload_parallelism: 4,
            on_unsure: OnUnsure::Ask,
            settle_secs: 60,
        },
        access: config::Access::everyone(),
        limits: config::Limits::default(),
    }
}

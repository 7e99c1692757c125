//! All that stands around one service: its folder and configuration, X, Telegram, perhaps a bucket, and its people.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, FromRow, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use toall::sandbox::{Processing, Sandbox, Settings};
use tokio::net::TcpSocket;

use super::{
    child::Child,
    discord::Channel,
    requests, s3,
    stir::Stir,
    wire::{self, Trap},
};
use crate::{
    bell::Bell,
    telegram::Telegram,
    world::{PATIENCE, sample},
};

pub struct Site {
    pub child: Child,
    pub trap: Trap,
    pub x: Sandbox,
    pub telegram: Telegram,
    /// Instead of Telegram.
    pub discord: Option<Channel>,
    pub folder: TempDir,
    /// Where somebody else's bucket keeps its objects.
    pub bucket: Option<PathBuf>,
    /// The service's `data_dir`, as this process finds it.
    pub data: PathBuf,
    address: SocketAddr,
    /// Held so that nobody else gets the service's address while it is down.
    _address: Option<TcpSocket>,
}

/// How a site differs from the plain one.
pub struct Ground {
    /// A bucket of somebody else's instead of the embedded one.
    pub bucket: bool,
    /// A channel on Discord instead of private chats on Telegram, and whether the bot may write there.
    pub discord: Option<bool>,
    /// `None`: in the site's own folder.
    pub data: Option<PathBuf>,
    pub x: fn(&mut Settings),
    /// Lines of `[worker]`.
    pub worker: &'static str,
}

impl Default for Ground {
    fn default() -> Ground {
        Ground { bucket: false, discord: None, data: None, x: |_| {}, worker: "" }
    }
}

/// A post as it is stored.
#[derive(Clone, Debug, FromRow)]
pub struct Row {
    pub id: String,
    pub caption: String,
    pub username: String,
    pub state: String,
    pub x_post_id: Option<String>,
    pub vouched: i64,
    pub failure: Option<String>,
    pub status_msg: Option<String>,
    pub status_want: i64,
    pub status_shown: i64,
    pub clean_at: Option<i64>,
}

impl Row {
    /// The number of the status message in its chat.
    pub fn message(&self) -> Option<i64> {
        let stored: serde_json::Value = serde_json::from_str(self.status_msg.as_deref()?).unwrap();
        stored["message"].as_str().unwrap().parse().ok()
    }

    pub fn is_shown(&self) -> bool {
        self.status_shown == self.status_want
    }
}

impl Site {
    pub async fn new(ground: Ground) -> Site {
        let folder = TempDir::new().unwrap();
        let data = ground.data.unwrap_or_else(|| folder.path().join("data"));
        // There before the service makes it, to be watched.
        std::fs::create_dir_all(&data).unwrap();
        let child = Child::new(&folder.path().join("config.toml"));
        let trap = Trap::new(child.clone());
        let (address, held) = an_address();
        let mut settings = Settings {
            redirect_uris: vec![format!("http://{address}/api/social/callback")],
            // So that a second post would be seen.
            duplicate_window: Duration::ZERO,
            // The service waits in real time.
            processing: Processing { steps: 1, check_after_secs: 0 },
            ..Settings::new(folder.path().join("x"))
        };
        (ground.x)(&mut settings);
        let x = Sandbox::start(settings).await.unwrap();
        let telegram = Telegram::start().await;
        let discord = match ground.discord {
            Some(bot_may_write) => Some(Channel::open(bot_may_write, &trap).await),
            None => None,
        };
        let bucket = ground.bucket.then(|| folder.path().join("bucket"));
        let site = Site { child, trap, x, telegram, discord, folder, bucket, data, address, _address: held };
        std::fs::write(site.config_path(), site.config(address, ground.worker).await).unwrap();
        site
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    async fn config(&self, address: SocketAddr, worker: &str) -> String {
        let x = wire::lay(self.x.url(), requests::of_x, &self.trap).await;
        let chat = match &self.discord {
            Some(channel) => channel.config(),
            None => {
                let telegram = self.telegram.settings();
                let api = wire::lay(telegram.api_url.as_str(), requests::of_telegram, &self.trap).await;
                format!("[telegram]\ntoken = \"{}\"\napi_url = \"{api}\"\n", crate::telegram::TOKEN)
            }
        };
        let staging = match &self.bucket {
            None => String::new(),
            Some(folder) => {
                let bucket = wire::lay(&s3::serve(folder).await, requests::of_s3, &self.trap).await;
                format!(
                    "[staging]\nendpoint_url = \"{bucket}\"\nbucket = \"{}\"\naccess_key_id = \"{}\"\n\
                     secret_access_key = \"{}\"\nforce_path_style = true\n",
                    s3::BUCKET,
                    s3::KEY,
                    s3::SECRET
                )
            }
        };
        let (data, web) = (self.data.display(), self.x.url());
        format!(
            "public_url = \"http://{address}\"\ndata_dir = \"{data}\"\nmin_free = 0\n\
             [web]\nlisten = \"{address}\"\n\
             {chat}\
             [twitter]\nclient_id = \"sandbox-client\"\nclient_secret = \"sandbox-secret\"\n\
             authorize_url = \"{web}/i/oauth2/authorize\"\napi_url = \"{x}\"\nweb_url = \"{web}\"\n\
             [access]\nopen = true\n[limits]\nposts_per_person_per_day = \"none\"\n\
                 connections_per_person_per_hour = \"none\"\n\
             monthly_budget_usd = \"none\"\n\
             [worker]\nsettle_secs = 0\n{worker}\n{staging}"
        )
    }

    /// The configuration of a second service on the same data, that listens elsewhere.
    pub fn neighbour(&self) -> (PathBuf, Option<TcpSocket>) {
        let (address, held) = an_address();
        let config = std::fs::read_to_string(self.config_path()).unwrap();
        let path = self.folder.path().join("neighbour.toml");
        let listen = |address| format!("listen = \"{address}\"");
        std::fs::write(&path, config.replace(&listen(self.address), &listen(address))).unwrap();
        (path, held)
    }

    /// Starts the service and waits until it says that it is ready.
    pub async fn start(&self) {
        self.restart();
        self.child.until_ready().await;
    }

    /// Starts the service, and waits for nothing.
    pub fn restart(&self) {
        if let Some(channel) = &self.discord {
            channel.before_a_start();
        }
        self.child.start();
        self.trap.started();
    }

    pub fn database(&self) -> PathBuf {
        self.data.join("toall.db")
    }

    /// Every post as it is stored at this moment; `None` while the database cannot be read.
    pub async fn rows(&self) -> Option<Vec<Row>> {
        let mut database = self.open().await?;
        let rows = sqlx::query_as(
            "SELECT p.*, a.username FROM posts p JOIN x_accounts a ON a.id = p.account_id ORDER BY p.id",
        )
        .fetch_all(&mut database)
        .await
        .ok();
        let _ = database.close().await;
        rows
    }

    /// A number that one statement finds; `None` while the database cannot be read.
    pub async fn count(&self, statement: &'static str) -> Option<i64> {
        let mut database = self.open().await?;
        let count = sqlx::query_scalar(statement).fetch_one(&mut database).await.ok();
        let _ = database.close().await;
        count
    }

    /// Opened anew for each look: a connection that outlived a kill would spare SQLite its recovery.
    async fn open(&self) -> Option<SqliteConnection> {
        let (mut path, mut read_only) = (self.database(), true);
        if path.starts_with("/proc") {
            // SQLite reads the link that leads to another process's mounts, and would look in ours: it gets a copy.
            let copy = self.folder.path().join("copy.db");
            std::fs::copy(&path, &copy).ok()?;
            std::fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).ok()?;
            (path, read_only) = (copy, false);
        }
        let options = SqliteConnectOptions::new().filename(path).read_only(read_only);
        options.busy_timeout(Duration::from_secs(1)).connect().await.ok()
    }

    /// Whether nothing is left to do for `posts` posts, but what people are asked.
    pub async fn is_at_rest(&self, posts: usize) -> bool {
        self.telegram.unconfirmed() == 0
            && !self.trap.on_its_way()
            && self.open_ends().await == Some([posts as i64, 0, 0, 0])
    }

    /// How many posts there are, how many of them are not over and told, the lanes that are held or due, and the
    /// notices to be sent; `None` while the database cannot be read.
    pub async fn open_ends(&self) -> Option<[i64; 4]> {
        const OPEN: &str = "SELECT (SELECT count(*) FROM posts),
            (SELECT count(*) FROM posts WHERE state NOT IN ('posted', 'failed', 'canceled')
                  OR status_due_at IS NOT NULL OR status_shown <> status_want
                  OR (state = 'posted' AND clean_at IS NOT NULL)),
            (SELECT count(*) FROM x_accounts WHERE lease_owner IS NOT NULL OR due_at IS NOT NULL),
            (SELECT count(*) FROM notices)";
        let mut database = self.open().await?;
        let counts: Option<(i64, i64, i64, i64)> = sqlx::query_as(OPEN).fetch_one(&mut database).await.ok();
        let _ = database.close().await;
        counts.map(Into::into)
    }

    /// Waits until nothing is left to do for `posts` posts.
    pub async fn until_rest(&self, posts: usize) {
        self.until("rest", async || self.is_at_rest(posts).await).await;
    }

    /// Waits until everything is said that there is to say now.
    pub async fn until_said_all(&self) {
        const UNSAID: &str = "SELECT count(*) FROM posts WHERE status_due_at IS NOT NULL";
        self.until("the last word", async || self.count(UNSAID).await == Some(0)).await;
    }

    async fn until(&self, what: &str, reached: impl AsyncFn() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let stir = self.listen();
                if reached().await {
                    return;
                }
                stir.felt().await;
            }
        });
        if waited.await.is_err() {
            panic!("{what} never came: {:#?}\n{}", self.rows().await, self.child.said());
        }
    }

    /// Notices from now on when anything happens at the site.
    pub fn listen(&self) -> Stir {
        Stir {
            data: Bell::on(&[&self.data]).expect("a folder can be watched"),
            telegram: self.telegram.changes(),
            discord: self.discord.as_ref().map(|channel| channel.discord.changes()),
            wires: self.trap.changes(),
            child: self.child.changes(),
        }
    }

    /// The ids of posts that have a file staged, and other names that are there and should not be.
    pub fn staged(&self) -> BTreeSet<String> {
        match &self.bucket {
            Some(bucket) => objects(bucket),
            None => objects(&self.data.join("staging")),
        }
    }

    /// Waits until the service has ended after SIGTERM, well and within its 20 seconds.
    pub async fn stop(&self) -> Duration {
        let (status, took) = self.child.stop().await;
        assert_eq!(status.code(), Some(0), "{}", self.child.said());
        assert!(took < Duration::from_secs(20), "it took {took:?} to stop");
        took
    }
}

/// The names of what is kept in a bucket, by the folder in which it is.
pub fn objects(bucket: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(bucket, &mut found);
    // Parts of a file and a probe that a killed process left go with the next sweep; notes of the storage are no files.
    found.retain(|name| !name.starts_with('.') && !name.starts_with("probe-"));
    found
}

fn walk(folder: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
            _ => {
                found.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
}

/// An address that stays free for a process that is started and killed again and again.
///
/// A socket that is bound and never listens keeps others away; on Linux it lets one more be bound that allows it, as
/// the service's does (socket(7), `SO_REUSEADDR`). Elsewhere it would be in the way.
pub fn an_address() -> (SocketAddr, Option<TcpSocket>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    (socket.local_addr().unwrap(), cfg!(target_os = "linux").then_some(socket))
}

/// A film of about this size that no other equals: the sample with padding after it (a `free` box, ISO 14496-12
/// section 8.1.2).
pub fn film(bytes: usize, rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut film = std::fs::read(sample()).unwrap();
    let padding = bytes.saturating_sub(film.len()).max(64);
    film.extend(u32::try_from(padding).unwrap().to_be_bytes());
    film.extend(b"free");
    let mut rest = vec![0; padding - 8];
    rng.fill(&mut rest);
    film.extend(rest);
    film
}

//! All that stands around one service: its folder and configuration, X, Telegram, perhaps a bucket, and its people.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{StatusCode, header::LOCATION};
use sqlx::{ConnectOptions, Connection, FromRow, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use toall::sandbox::{Sandbox, Settings};
use tokio::net::TcpSocket;

use super::{
    child::Child,
    s3,
    wire::{self, Trap},
};
use crate::{
    telegram::{Shown, Telegram, User},
    world::{PATIENCE, Page, browser, sample},
};

/// Somebody in a private chat with the bot, and their account on X.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub user: User,
    pub account: &'static str,
}

pub const ALICE: Person = Person { user: User { id: 77, name: "alice" }, account: "alice_makes" };
pub const BOB: Person = Person { user: User { id: 78, name: "bob" }, account: "bob_films" };
pub const EVERYBODY: [Person; 2] = [ALICE, BOB];

pub struct Site {
    pub child: Child,
    pub trap: Trap,
    pub x: Sandbox,
    pub telegram: Telegram,
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
    /// `None`: in the site's own folder.
    pub data: Option<PathBuf>,
    pub x: fn(&mut Settings),
    /// Lines of `[worker]`.
    pub worker: &'static str,
}

impl Default for Ground {
    fn default() -> Ground {
        Ground { bucket: false, data: None, x: |_| {}, worker: "" }
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
        let child = Child::new(&folder.path().join("config.toml"), &folder.path().join("log"));
        let trap = Trap::new(child.clone());
        let (address, held) = an_address();
        let mut settings = Settings {
            redirect_uris: vec![format!("http://{address}/api/social/callback")],
            // So that a second post would be seen.
            duplicate_window: Duration::ZERO,
            ..Settings::new(folder.path().join("x"))
        };
        (ground.x)(&mut settings);
        let x = Sandbox::start(settings).await.unwrap();
        let telegram = Telegram::start().await;
        let bucket = ground.bucket.then(|| folder.path().join("bucket"));
        let site = Site { child, trap, x, telegram, folder, bucket, data, address, _address: held };
        std::fs::write(site.config_path(), site.config(address, ground.worker).await).unwrap();
        site
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    async fn config(&self, address: SocketAddr, worker: &str) -> String {
        let x = wire::lay(self.x.url(), wire::of_x, &self.trap).await;
        let telegram = self.telegram.settings();
        let chat = wire::lay(telegram.api_url.as_str(), wire::of_telegram, &self.trap).await;
        let staging = match &self.bucket {
            None => String::new(),
            Some(folder) => {
                let bucket = wire::lay(&s3::serve(folder).await, wire::of_s3, &self.trap).await;
                format!(
                    "[staging]\nendpoint_url = \"{bucket}\"\nbucket = \"{}\"\naccess_key_id = \"{}\"\n\
                     secret_access_key = \"{}\"\nforce_path_style = true\n",
                    s3::BUCKET,
                    s3::KEY,
                    s3::SECRET
                )
            }
        };
        let (data, web, token) = (self.data.display(), self.x.url(), crate::telegram::TOKEN);
        format!(
            "public_url = \"http://{address}\"\ndata_dir = \"{data}\"\n\
             [web]\nlisten = \"{address}\"\n\
             [telegram]\ntoken = \"{token}\"\napi_url = \"{chat}\"\n\
             [twitter]\nclient_id = \"sandbox-client\"\nclient_secret = \"sandbox-secret\"\n\
             authorize_url = \"{web}/i/oauth2/authorize\"\napi_url = \"{x}\"\nweb_url = \"{web}\"\n\
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
        self.child.start();
        self.trap.started();
        self.child.until_ready().await;
    }

    pub async fn link(&self, person: Person) {
        link(&self.telegram, person).await;
    }

    /// A person sends a video; the number of that message in the chat.
    pub fn post(&self, person: Person, name: &str, bytes: &[u8], caption: &str) -> i64 {
        let chat = self.telegram.private(person.user);
        chat.video(name, bytes.to_vec(), &format!("/post {caption}"))
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
        const OPEN: &str = "SELECT (SELECT count(*) FROM posts) * 1000000
            + (SELECT count(*) FROM posts WHERE state NOT IN ('posted', 'failed', 'canceled')
                  OR status_due_at IS NOT NULL OR status_shown <> status_want
                  OR (state = 'posted' AND clean_at IS NOT NULL))
            + (SELECT count(*) FROM x_accounts WHERE lease_owner IS NOT NULL OR due_at IS NOT NULL)
            + (SELECT count(*) FROM notices)";
        self.telegram.unconfirmed() == 0
            && !self.trap.on_its_way()
            && self.count(OPEN).await == Some(posts as i64 * 1_000_000)
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
            while !reached().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        if waited.await.is_err() {
            panic!("{what} never came: {:#?}\n{}", self.rows().await, self.child.said());
        }
    }

    /// A person's status message of a post, as it stands in the chat.
    pub fn status(&self, row: &Row) -> Option<Shown> {
        let said = EVERYBODY.iter().find(|person| person.account == row.username);
        let message = row.message()?;
        self.telegram.said(said?.user.id).into_iter().find(|shown| shown.id == message)
    }

    /// Waits for a message to a person that begins so.
    pub async fn until_told(&self, person: Person, start: &str) -> Shown {
        self.telegram
            .wait_for(|telegram| {
                telegram.said(person.user.id).into_iter().find(|shown| shown.text.starts_with(start))
            })
            .await
    }

    /// The ids of posts that have a file staged, and other names that are there and should not be.
    pub fn staged(&self) -> BTreeSet<String> {
        let folder = self.bucket.clone().unwrap_or_else(|| self.data.join("staging"));
        let mut found = BTreeSet::new();
        walk(&folder, &mut found);
        if self.bucket.is_some() {
            // What a killed process began there, parts of a file or the probe at its start, goes with the next sweep.
            found.retain(|name| !name.starts_with('.') && !name.starts_with("probe-"));
        }
        found
    }

    /// Waits until the service has ended after SIGTERM, well and within its 20 seconds.
    pub async fn stop(&self) -> Duration {
        let (status, took) = self.child.stop().await;
        assert_eq!(status.code(), Some(0), "{}", self.child.said());
        assert!(took < Duration::from_secs(20), "it took {took:?} to stop");
        took
    }
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

/// Links a person's account through the chat and the browser.
pub async fn link(telegram: &Telegram, person: Person) {
    let chat = telegram.private(person.user);
    let already = telegram.said(chat.chat()).len();
    chat.text("/connect twitter");
    let link = telegram
        .wait_for(|telegram| {
            let said = telegram.said(person.user.id);
            let text = &said[already..].iter().find(|shown| shown.text.contains("http"))?.text;
            text[text.find("http")?..].split_whitespace().next().map(str::to_owned)
        })
        .await;
    let form = [("user", person.account), ("decision", "authorize")];
    let answer = browser().post(link).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND, "X refused the link");
    let callback = answer.headers()[LOCATION].to_str().unwrap().parse().unwrap();
    let page = Page::open(&callback).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    page.submit(0).await;
    telegram
        .wait_for(|telegram| {
            let said = telegram.said(person.user.id);
            said[already..].iter().any(|shown| shown.text.starts_with("Linked")).then_some(())
        })
        .await;
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

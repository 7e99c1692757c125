//! The whole service in a process of its own, asked in a chat to post a file.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use reqwest::{Client, header::LOCATION, redirect::Policy};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use toall::{
    account::{Person, Place, Platform},
    app::{App, Role},
    chat::{
        Ask, Delivery, Inbox, Incoming,
        console::{Console, Shown},
    },
    clock::Clock,
    config::{self, Config, OnUnsure},
    post::{Attachment, Kind, Options},
    words::Act,
};
use tokio::{net::TcpListener, sync::oneshot};
use url::Url;

use crate::{
    child::{self, say},
    simulator::Simulator,
};

const PATIENCE: Duration = Duration::from_secs(300);

/// What came of a post: seconds and KiB.
pub struct Posted {
    pub upload: f64,
    pub publish: f64,
    pub answer: f64,
    pub whole: f64,
    pub peak_kib: f64,
}

/// What the service says of itself.
#[derive(Deserialize, Serialize)]
struct Seen {
    /// From the request to the first answer in the chat.
    answer: f64,
    /// From the request to the link.
    whole: f64,
    peak_kib: f64,
}

/// Starts a new service beside `x` and has it post `video`.
pub fn post(x: &Simulator, video: &Path) -> anyhow::Result<Posted> {
    let port = x.service_port.to_string();
    let video = video.to_str().context("The temporary folder has no readable name")?;
    let mut service = child::Role::start("service", &[&x.url, &port, video])?;
    let Seen { answer, whole, peak_kib } = service.hear()?;
    let report = x.report()?;
    let publish = report.publish.context("X saw no post")?;
    Ok(Posted { upload: report.upload, publish, answer, whole, peak_kib })
}

/// The role: links an account, posts, says what was seen, and ends.
pub async fn play(args: &[&str]) -> anyhow::Result<()> {
    let [x, port, video] = args else { anyhow::bail!("service X PORT VIDEO") };
    let folder = TempDir::new()?;
    let config = config(&x.parse()?, port.parse()?, folder.path())?;
    let listener = TcpListener::bind(config.web.listen).await?;
    let console = Console::default();
    let roles = [Role::Web, Role::Worker];
    let app = App::start_on(&config, &roles, Clock::system(), Some(listener), Some(console.clone())).await?;
    let chat = Chat { inbox: app.inbox(), console };
    chat.link().await?;

    let asked = Instant::now();
    let before = chat.console.messages().len();
    chat.ask(post_of(video)?).await?;
    chat.message(before, |_| true).await?;
    let answer = asked.elapsed().as_secs_f64();
    let over = |shown: &Shown| !shown.message.buttons.iter().any(|button| button.label == "Cancel");
    let last = chat.message(before, over).await?;
    let whole = asked.elapsed().as_secs_f64();
    ensure!(last.message.buttons.iter().any(|button| button.label == "Open on X"), "not posted: {last:?}");
    say(&Seen { answer, whole, peak_kib: crate::memory_kib("self", "VmHWM")? })?;
    app.stop().await;
    Ok(())
}

/// Alice, in a chat that is a value.
struct Chat {
    inbox: Inbox,
    console: Console,
}

impl Chat {
    async fn ask(&self, ask: Ask) -> anyhow::Result<()> {
        let from = Person { platform: Platform::Console, id: "alice".to_owned(), name: "alice".to_owned() };
        let at = Place {
            platform: Platform::Console,
            chat: "bench".to_owned(),
            thread: None,
            message: None,
            person: "alice".to_owned(),
            private: true,
            interaction: None,
        };
        let (done, _) = oneshot::channel();
        let delivery = Delivery { incoming: Incoming { from, at, ask, groups: Vec::new() }, done };
        self.inbox.send(delivery).await.context("The service stopped")
    }

    /// The message at `index`, once it is there and as `wanted`.
    async fn message(&self, index: usize, wanted: impl Fn(&Shown) -> bool) -> anyhow::Result<Shown> {
        let mut changes = self.console.changes();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                changes.mark_unchanged();
                if let Some(shown) = self.console.messages().get(index).filter(|shown| wanted(shown)) {
                    return shown.clone();
                }
                // The console lives as long as the service.
                let _ = changes.changed().await;
            }
        });
        waited.await.context("The service is stuck")
    }

    /// From `/connect` to *Link account*, through X's page and ours.
    async fn link(&self) -> anyhow::Result<()> {
        self.ask(Ask::Connect { what: "twitter".to_owned() }).await?;
        let offer = self.message(0, |_| true).await?;
        let link = offer.message.buttons.iter().find_map(|button| match &button.act {
            Act::Open(url) => Some(url.clone()),
            Act::Do(_) => None,
        });
        let link = link.context("The answer to /connect holds no link")?;
        let http = Client::builder().redirect(Policy::none()).build()?;
        let decision = [("user", "alice_makes"), ("decision", "authorize")];
        let back = http.post(link).form(&decision).send().await?;
        let back: Url = back.headers().get(LOCATION).context("X did not authorise")?.to_str()?.parse()?;
        let page = http.get(back.clone()).send().await?.error_for_status()?.text().await?;
        let form = page.split("<form").nth(1).context("no form")?;
        let attribute = |name: &str| {
            let value = form.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
            Some(value.to_owned())
        };
        let action = back.join(&attribute("action").context("no action")?)?;
        let ticket = attribute("value").context("no ticket")?;
        http.post(action).form(&[("ticket", ticket)]).send().await?.error_for_status()?;
        self.message(1, |_| true).await.map(drop)
    }
}

fn post_of(video: &str) -> anyhow::Result<Ask> {
    let file = Attachment {
        platform: Platform::Console,
        source: video.to_owned(),
        name: "video.mp4".to_owned(),
        bytes: Some(std::fs::metadata(video)?.len()),
        content_type: None,
        kind: Kind::Video,
    };
    let caption = "Posted by the benchmark".to_owned();
    Ok(Ask::Post {
        caption,
        options: Options::default(),
        account: String::new(),
        file: Some(file),
        dedupe_key: "console:1".to_owned(),
    })
}

/// As the defaults have it, with the embedded storage and database.
fn config(x: &Url, port: u16, folder: &Path) -> anyhow::Result<Config> {
    Ok(Config {
        public_url: format!("http://127.0.0.1:{port}").parse()?,
        data_dir: folder.to_owned(),
        web: config::Web { listen: ([127, 0, 0, 1], port).into() },
        metrics: None,
        database: config::Database::sqlite(&folder.join("toall.db")),
        security: config::Security { encryption_key: None, former_encryption_key: None },
        discord: None,
        telegram: None,
        twitter: config::Twitter {
            client_id: "sandbox-client".to_owned(),
            client_secret: Some("sandbox-secret".to_owned().into()),
            authorize_url: x.join("/i/oauth2/authorize")?,
            api_url: x.clone(),
            web_url: x.clone(),
        },
        staging: None,
        worker: config::Worker {
            concurrency: 4,
            upload_parallelism: 4,
            on_unsure: OnUnsure::Ask,
            settle_secs: 60,
        },
        access: config::Access::default(),
        limits: config::Limits::default(),
    })
}

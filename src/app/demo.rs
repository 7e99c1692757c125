//! `toall demo`: the main job on one machine, with a simulated X, embedded storage and a chat in the terminal.

mod browser;
mod screen;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use url::Url;
use uuid::Uuid;

use super::{App, Role, stop_signal};
use crate::{
    account::{Person, Place, Platform},
    chat::{Ask, Delivery, Inbox, Incoming, console::Console, console::Shown},
    clock::Clock,
    config::{self, Config},
    post::{Attachment, Kind, Options},
    sandbox::{Processing, Sandbox, Settings},
    words::Act,
};
use screen::Screen;

const SAMPLE: &[u8] = include_bytes!("../../assets/sample.mp4");
const SAMPLE_CAPTION: &str = "Waves under a setting sun, posted from a chat with toall";
/// Who plays the demo, in the chat and on the simulated X.
const ALICE: &str = "alice";
const ALICE_ON_X: &str = "alice_makes";
/// Added to each request of the simulated X, which would otherwise be too quick to watch.
const LATENCY: Duration = Duration::from_millis(120);
/// A demo whose next message takes longer than this is stuck.
const PATIENCE: Duration = Duration::from_secs(600);

/// What to play; what is absent comes with the program.
#[derive(Debug, Default)]
pub struct Demo {
    pub video: Option<PathBuf>,
    pub caption: Option<String>,
    /// Stop once the post is out.
    pub exit: bool,
    /// Address of its pages, with the simulated X on the next port; `None` takes free ports of this machine only.
    pub listen: Option<SocketAddr>,
}

/// Plays the demo, and keeps serving unless asked to exit. Leaves no file behind.
pub async fn demo(args: Demo) -> anyhow::Result<()> {
    let folder = Folder::make()?;
    let played = play(&args, &folder.0).await;
    if let Err(error) = std::fs::remove_dir_all(&folder.0) {
        tracing::warn!(%error, "the demo's folder could not be removed");
    }
    played
}

async fn play(args: &Demo, folder: &Path) -> anyhow::Result<()> {
    let video = video(args, folder)?;
    let pages = args.listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    let x_pages = next_port(pages)?;
    let listener = TcpListener::bind(pages)
        .await
        .with_context(|| format!("Cannot listen on {pages}. Choose another address with --listen"))?;
    let public_url: Url = format!("http://{}", reachable(listener.local_addr()?)).parse()?;
    let x = Sandbox::start(Settings {
        listen: x_pages,
        latency: LATENCY,
        processing: Processing { steps: 3, check_after_secs: 1 },
        redirect_uris: vec![format!("{public_url}api/social/callback")],
        ..Settings::new(folder.join("simulated-x"))
    })
    .await
    .with_context(|| format!("The simulated X cannot listen on {x_pages}, the port after --listen"))?;
    let config = config(&public_url, x.url().parse()?, folder);
    let console = Console::default();
    let app = App::start_on(
        &config,
        &[Role::Web, Role::Worker],
        Clock::system(),
        Some(listener),
        Some(console.clone()),
    )
    .await?;

    let screen = Screen::new();
    screen.say("toall demo: a simulated X, embedded storage and a chat, all on this machine.\n");
    let chat = Chat { inbox: app.inbox(), console, screen: &screen };
    let played = tokio::select! {
        played = chat.play(video, args.caption.as_deref()) => played,
        _ = stop_signal() => bail!("Stopped before the video was posted."),
    };
    let outcome = match played {
        Ok(()) if !args.exit => {
            screen.say("\nOpen the link in a browser: the video plays there. Ctrl-C ends the demo.");
            stop_signal().await.map_err(Into::into)
        }
        played => played,
    };
    app.stop().await;
    x.shutdown().await;
    outcome
}

/// The port for the simulated X, which a container publishes beside that of the pages.
fn next_port(pages: SocketAddr) -> anyhow::Result<SocketAddr> {
    let port = match pages.port() {
        0 => 0,
        port => {
            port.checked_add(1).context("Choose a port below 65535 with --listen: X takes the next one")?
        }
    };
    Ok(SocketAddr::new(pages.ip(), port))
}

/// The address for links. A browser on this machine, or on the host of this container, finds an unspecified one by the
/// loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()),
        false => address,
    }
}

/// The demo's own chat and its one person.
struct Chat<'a> {
    inbox: Inbox,
    console: Console,
    screen: &'a Screen,
}

impl Chat<'_> {
    async fn play(&self, video: Attachment, caption: Option<&str>) -> anyhow::Result<()> {
        self.screen.person(ALICE, "/connect twitter");
        self.ask(Ask::Connect { what: "twitter".to_owned() }).await?;
        let offer = self.next(0, |_| true).await?;
        self.screen.answer(&offer.message);
        let link = offer.message.buttons.iter().find_map(|button| match &button.act {
            Act::Open(url) => Some(url.clone()),
            Act::Do(_) => None,
        });
        let link = link.context("The answer to /connect holds no link")?;
        self.screen
            .aside(&format!("in the browser: {ALICE} signs in to X as @{ALICE_ON_X}, and presses Authorise"));
        let confirmation = browser::authorise(&link, ALICE_ON_X).await?;
        self.screen
            .aside(&format!("in the browser: “{}” {ALICE} presses Link account", confirmation.question));
        confirmation.confirm().await?;
        let linked = self.next(1, |_| true).await?;
        self.screen.answer(&linked.message);

        let caption = caption.unwrap_or(SAMPLE_CAPTION);
        self.screen.blank();
        self.screen.person(ALICE, &format!("/post video:{} caption:{caption}", video.name));
        let dedupe_key = format!("console:{}", Uuid::now_v7());
        let ask = Ask::Post {
            caption: caption.to_owned(),
            options: Options::default(),
            account: String::new(),
            file: Some(video),
            dedupe_key,
        };
        self.ask(ask).await?;
        let done = self.next(2, |shown| {
            self.screen.live(&shown.message);
            // What is under way can be cancelled; what is over cannot.
            !shown.message.buttons.iter().any(|button| button.label == "Cancel")
        });
        let done = done.await?;
        self.screen.settle(&done.message);
        match done.message.buttons.iter().any(|button| button.label == "Open on X") {
            true => Ok(()),
            false => bail!("The video was not posted."),
        }
    }

    async fn ask(&self, ask: Ask) -> anyhow::Result<()> {
        let from = Person { platform: Platform::Console, id: ALICE.to_owned(), name: ALICE.to_owned() };
        let at = Place {
            platform: Platform::Console,
            chat: "terminal".to_owned(),
            thread: None,
            message: None,
            person: ALICE.to_owned(),
            private: true,
            interaction: None,
        };
        let (done, _) = tokio::sync::oneshot::channel();
        let delivery = Delivery { incoming: Incoming { from, at, ask, groups: Vec::new() }, done };
        self.inbox.send(delivery).await.context("The service stopped")
    }

    /// The message at `index`, once it is there and `ready`.
    async fn next(&self, index: usize, ready: impl Fn(&Shown) -> bool) -> anyhow::Result<Shown> {
        let mut changes = self.console.changes();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                changes.mark_unchanged();
                if let Some(shown) = self.console.messages().get(index).filter(|shown| ready(shown)) {
                    return shown.clone();
                }
                // The console lives as long as this demo.
                let _ = changes.changed().await;
            }
        });
        waited
            .await
            .context("The demo is stuck: no answer for ten minutes. Run it again with TOALL_LOG=debug.")
    }
}

/// The file to post: the operator's own, or the sample that comes with the program.
fn video(args: &Demo, folder: &Path) -> anyhow::Result<Attachment> {
    let path = match &args.video {
        Some(path) => path.clone(),
        None => {
            let path = folder.join("waves.mp4");
            std::fs::write(&path, SAMPLE).context("The sample video could not be written")?;
            path
        }
    };
    let found = std::fs::metadata(&path).with_context(|| format!("Cannot read {}", path.display()))?;
    if !found.is_file() {
        bail!("{} is not a file. Name a video with --video.", path.display());
    }
    Ok(Attachment {
        platform: Platform::Console,
        source: path.to_str().context("The path of the video is not readable text")?.to_owned(),
        name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        bytes: Some(found.len()),
        content_type: None,
        kind: Kind::Video,
    })
}

fn config(public_url: &Url, x: Url, folder: &Path) -> Config {
    let mut authorize_url = x.clone();
    authorize_url.set_path("/i/oauth2/authorize");
    Config {
        public_url: public_url.clone(),
        data_dir: folder.to_owned(),
        min_free: 0,
        web: config::Web::on((Ipv4Addr::LOCALHOST, 0).into()),
        metrics: None,
        database: config::Database::sqlite(&folder.join("toall.db")),
        security: config::Security { encryption_key: None, former_encryption_key: None },
        discord: None,
        telegram: None,
        twitter: config::Twitter {
            client_id: "sandbox-client".to_owned(),
            client_secret: Some("sandbox-secret".to_owned().into()),
            authorize_url,
            api_url: x.clone(),
            web_url: x,
        },
        staging: None,
        worker: config::Worker {
            concurrency: 8,
            transfers: 4,
            upload_parallelism: 16,
            on_unsure: config::OnUnsure::Ask,
            settle_secs: 60,
        },
        access: config::Access::everyone(),
        limits: config::Limits::default(),
    }
}

/// A folder of the demo's own, for this user's eyes.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("toall-demo-{}", Uuid::now_v7()));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt;
            builder.mode(0o700);
        }
        builder.create(&path).with_context(|| format!("Cannot make the folder {}", path.display()))?;
        Ok(Folder(path))
    }
}

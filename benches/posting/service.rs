//! The whole service in a process of its own, asked in a chat to post a file.

use std::{path::Path, time::Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use toall::{
    app::{App, Role},
    chat::console::Console,
    clock::Clock,
    config,
};
use tokio::net::TcpListener;

use crate::{
    alice::{Alice, is_over, is_posted},
    child::{self, say},
    installation, machine,
    simulator::Simulator,
};

/// Figures of one post, in seconds and KiB.
pub struct Posted {
    pub upload: f64,
    pub publish: f64,
    pub answer: f64,
    pub whole: f64,
    pub peak_kib: f64,
}

/// The service's report about itself.
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
    let database = config::Database::sqlite(&folder.path().join("toall.db"));
    let config = installation::config(&x.parse()?, port.parse()?, folder.path(), database)?;
    let listener = TcpListener::bind(config.web.listen).await?;
    let console = Console::default();
    let roles = [Role::Web, Role::Worker];
    let app = App::start_on(&config, &roles, Clock::system(), Some(listener), Some(console.clone())).await?;
    let alice = Alice { inbox: app.inbox(), console };
    alice.link().await?;

    let asked = Instant::now();
    let before = alice.console.messages().len();
    alice.post(Path::new(video), 1).await?;
    alice.message(before, |_| true).await?;
    let answer = asked.elapsed().as_secs_f64();
    let last = alice.message(before, is_over).await?;
    let whole = asked.elapsed().as_secs_f64();
    ensure!(is_posted(&last), "not posted: {last:?}");
    say(&Seen { answer, whole, peak_kib: machine::memory_kib("self", "VmHWM")? })?;
    app.stop().await;
    Ok(())
}

//! Cost of a post for the whole service: one process with all roles but the bots posts to the simulated X.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
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
    cpu,
    database::{Counters, Server},
    installation, load, machine,
    simulator::Simulator,
    steps::VIDEO_BYTES,
    video,
};

const POSTS: u32 = 20;
const IDLE: Duration = Duration::from_secs(20);

/// Resources that a service has used after a task.
#[derive(Deserialize, Serialize)]
struct Used {
    /// CPU seconds.
    cpu: f64,
    peak_kib: f64,
}

/// Posts on PostgreSQL and on SQLite.
pub async fn measure(server: &Server) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let video = video::write(&folder.path().join("video.mp4"), VIDEO_BYTES)?;
    let video = video.to_str().context("The temporary folder has no readable name")?;
    println!(
        "\nOne process of the service posts {POSTS} videos of {} MB; no TLS, embedded storage",
        VIDEO_BYTES / 1_000_000
    );
    for engine in ["PostgreSQL", "SQLite"] {
        let x = Simulator::start(Duration::ZERO)?;
        let port = x.service_port.to_string();
        let mut database = match engine {
            "PostgreSQL" => Some(server.empty().await?),
            _ => None,
        };
        let url = database.as_ref().map_or("", |database| database.url()).to_owned();
        let mut service = child::Role::start("service", &[&x.url, &port, video, &url])?;
        service.hear::<Used>()?;
        let mut counters = Vec::new();
        let mut used = Vec::new();
        for line in ["idle", "post"] {
            if let Some(database) = &mut database {
                counters.push(database.counters().await?);
            }
            service.ask(line)?;
            used.push(service.hear::<Used>()?);
        }
        if let Some(database) = &mut database {
            counters.push(database.counters().await?);
        }
        let [idle, posted] = used.as_slice() else { bail!("two answers were expected") };
        println!(
            "  on {engine}: CPU {:.0} ms a post here; idle {:.1} ms a second; peak memory {:.0} MiB; {}",
            posted.cpu / f64::from(POSTS) * 1e3,
            idle.cpu / IDLE.as_secs_f64() * 1e3,
            posted.peak_kib / 1024.0,
            load()
        );
        if let [before, idle, after] = counters.as_slice() {
            println!("    of the database, a post: {}", difference(idle, after, f64::from(POSTS)));
            println!("    of the database, an idle second: {}", difference(before, idle, IDLE.as_secs_f64()));
        }
    }
    Ok(())
}

fn difference(before: &Counters, after: &Counters, by: f64) -> String {
    let cpu = match before.cpu.zip(after.cpu) {
        Some((before, after)) => format!("{:.1} ms", (after - before) / by * 1e3),
        None => "unknown".to_owned(),
    };
    format!(
        "{:.1} transactions, {:.1} kB of WAL, CPU {cpu}",
        (after.commits - before.commits) / by,
        (after.wal_bytes - before.wal_bytes) / by / 1e3
    )
}

/// The role: links an account, posts once, and then does as each line says.
pub async fn play(args: &[&str]) -> anyhow::Result<()> {
    let [x, port, video, database] = args else { bail!("service X PORT VIDEO DATABASE") };
    let folder = TempDir::new()?;
    let database = match *database {
        "" => config::Database::sqlite(&folder.path().join("toall.db")),
        url => config::Database { url: url.to_owned().into(), max_connections: 10, retention_days: 400 },
    };
    let config = installation::config(&x.parse()?, port.parse()?, folder.path(), database)?;
    let listener = TcpListener::bind(config.web.listen).await?;
    let console = Console::default();
    // The embedded storage wants them all in one process.
    let roles = [Role::Chat, Role::Web, Role::Worker];
    let app = App::start_on(&config, &roles, Clock::system(), Some(listener), Some(console.clone())).await?;
    let alice = Alice { inbox: app.inbox(), console };
    alice.link().await?;
    post(&alice, video, 0..1).await?;
    say(&Used { cpu: 0.0, peak_kib: 0.0 })?;
    for line in std::io::stdin().lines() {
        let before = cpu::own()?;
        match line?.as_str() {
            "idle" => tokio::time::sleep(IDLE).await,
            "post" => post(&alice, video, 1..POSTS + 1).await?,
            what => bail!("What is {what}?"),
        }
        say(&Used { cpu: cpu::own()? - before, peak_kib: machine::memory_kib("self", "VmHWM")? })?;
    }
    app.stop().await;
    Ok(())
}

async fn post(alice: &Alice, video: &str, numbers: std::ops::Range<u32>) -> anyhow::Result<()> {
    let before = alice.console.messages().len();
    let after = before + numbers.len();
    for number in numbers {
        alice.post(video.as_ref(), number).await?;
    }
    for message in before..after {
        let last = alice.message(message, is_over).await?;
        ensure!(is_posted(&last), "not posted: {last:?}");
    }
    Ok(())
}

//! How soon an idle process takes up what another has accepted.

use std::time::{Duration, Instant};

use anyhow::bail;
use sqlx::{PgPool, postgres::PgListener};
use toall::clock::Clock;

use crate::{
    child::{Role, say},
    database::{Server, accept, open},
    load,
    steps::finish,
};

const POSTS: usize = 400;
/// Before the listening connections stand, a poll finds the posts.
const WARM_UP: usize = 5;
/// Channel of the bare `NOTIFY` that serves as the baseline.
const RAW: &str = "raw";

/// Measures the time from the commit that accepts a post until another process reports its claim. Alternates with a
/// bare `NOTIFY` between the two processes.
pub async fn measure(server: &Server) -> anyhow::Result<()> {
    let database = server.database().await?;
    let store = database.store().await?;
    let raw = PgPool::connect(database.url()).await?;
    let mut sleeper = Role::start("sleeper", &[database.url()])?;
    sleeper.hear::<String>()?;
    let clock = Clock::system();
    let (mut claims, mut notes) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + POSTS {
        accept(&store, number as i64, &clock).await?;
        let accepted = Instant::now();
        sleeper.hear::<String>()?;
        let claim = accepted.elapsed();
        pause().await;
        let sent = Instant::now();
        sqlx::query("SELECT pg_notify($1, '')").bind(RAW).execute(&raw).await?;
        sleeper.hear::<String>()?;
        if number >= WARM_UP {
            claims.push(claim);
            notes.push(sent.elapsed());
        }
        pause().await;
    }
    let (claim, note) = (percentiles(claims), percentiles(notes));
    println!("\nAccepted by one process, claimed by an idle other, {POSTS} times; {}", load());
    println!("  p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms", claim[0], claim[1], claim[2]);
    println!(
        "  a bare NOTIFY, in turn: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        note[0], note[1], note[2]
    );
    println!("  ratio: p50 {:.1}, p99 {:.1}", claim[0] / note[0], claim[1] / note[1]);
    store.close().await;
    Ok(())
}

/// Longer than a process is deaf after one change, and in no rhythm that the other could fall in with.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(60..160))).await;
}

/// The median, p99 and the most, in milliseconds.
fn percentiles(mut spans: Vec<Duration>) -> [f64; 3] {
    spans.sort();
    [50, 99, 100].map(|percent| {
        let at = (spans.len() * percent / 100).min(spans.len() - 1);
        spans[at].as_secs_f64() * 1e3
    })
}

/// The role: claims as the worker does, and says so each time.
pub async fn play(args: &[&str]) -> anyhow::Result<()> {
    let [url] = args else { bail!("sleeper URL") };
    let store = open(url).await?;
    let clock = Clock::system();
    let mut listener = PgListener::connect(url).await?;
    listener.listen(RAW).await?;
    tokio::spawn(async move { while listener.recv().await.is_ok() && say(&"heard").is_ok() {} });
    let mut changes = store.changes();
    say(&"ready")?;
    loop {
        changes.mark_unchanged();
        match store.claim(clock.now_ms()).await? {
            Some(lease) => {
                say(&"claimed")?;
                finish(&store, &lease, &clock).await?;
            }
            // Poll in case a notification is lost, as the worker does.
            None => drop(tokio::time::timeout(Duration::from_secs(2), changes.changed()).await),
        }
    }
}

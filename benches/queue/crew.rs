//! Worker processes that do as they are told, four things at once each, as `worker.concurrency` has it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::PgPoolOptions};
use toall::{clock::Clock, store::Store};

use crate::{
    child::{Role, say},
    cpu,
    database::{ACCOUNTS, accept, open},
    steps::{STEPS, finish, step},
};

/// Workers per process; each has its own connection.
const HANDS: i64 = 4;

/// Processes that work at the same time.
pub struct Crew(Vec<Role>);

/// Work done in a time span.
#[derive(Default, Deserialize, Serialize)]
pub struct Done {
    pub count: u64,
    /// CPU seconds of the processes.
    pub cpu: f64,
}

impl Crew {
    /// Starts so many; returns once all are ready.
    pub fn start(url: &str, processes: u32) -> anyhow::Result<Crew> {
        let start = |number: u32| Role::start("hands", &[url, &number.to_string()]);
        let mut crew = Crew((0..processes).map(start).collect::<anyhow::Result<_>>()?);
        for process in &mut crew.0 {
            process.hear::<String>()?;
        }
        Ok(crew)
    }

    /// Runs the task in all processes for `span`.
    pub fn work(&mut self, what: &str, span: Duration) -> anyhow::Result<Done> {
        for process in &mut self.0 {
            process.ask(&format!("{what} {}", span.as_secs()))?;
        }
        let mut all = Done::default();
        for process in &mut self.0 {
            let done: Done = process.hear()?;
            all.count += done.count;
            all.cpu += done.cpu;
        }
        Ok(all)
    }
}

/// The table that [`Work::Raw`] writes to, with a row for every hand there may be.
pub const RAW: &str = "CREATE TABLE raw (id BIGINT PRIMARY KEY, n BIGINT NOT NULL) WITH (fillfactor = 50);
                       INSERT INTO raw SELECT i, 0 FROM generate_series(0, 99) AS i";

#[derive(Clone, Copy)]
enum Work {
    /// One row updated and committed.
    Raw,
    /// A lane claimed, and its post written down as posted.
    Claims,
    /// A post accepted, and as many steps done as a post has.
    Posts,
}

/// The role: does what each line says, and answers with [`Done`].
pub async fn play(args: &[&str]) -> anyhow::Result<()> {
    let [url, number] = args else { bail!("hands URL NUMBER") };
    let number: i64 = number.parse()?;
    let store = open(url).await?;
    let raw = PgPoolOptions::new().max_connections(u32::try_from(HANDS)?).connect(url).await?;
    say(&"ready")?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (what, span) = line.split_once(' ').context("WHAT SECONDS")?;
        let what = match what {
            "raw" => Work::Raw,
            "claims" => Work::Claims,
            "posts" => Work::Posts,
            _ => bail!("What is {what}?"),
        };
        let cpu = cpu::own()?;
        let until = Instant::now() + Duration::from_secs(span.parse()?);
        let hands: Vec<_> = (0..HANDS)
            .map(|hand| tokio::spawn(work(what, store.clone(), raw.clone(), number * HANDS + hand, until)))
            .collect();
        let mut count = 0;
        for hand in hands {
            count += hand.await??;
        }
        say(&Done { count, cpu: cpu::own()? - cpu })?;
    }
    store.close().await;
    Ok(())
}

async fn work(what: Work, store: Store, raw: PgPool, hand: i64, until: Instant) -> anyhow::Result<u64> {
    let clock = Clock::system();
    let mut done = 0;
    while Instant::now() < until {
        match what {
            Work::Raw => {
                sqlx::query("UPDATE raw SET n = n + 1 WHERE id = $1").bind(hand).execute(&raw).await?;
                done += 1;
            }
            Work::Claims => {
                let lease = store.claim(clock.now_ms()).await?.context("Too few posts are due")?;
                finish(&store, &lease, &clock).await?;
                done += 1;
            }
            Work::Posts => {
                accept(&store, fastrand::i64(0..ACCOUNTS), &clock).await?;
                for _ in 0..STEPS {
                    // Others may have done more than their share.
                    if let Some(lease) = store.claim(clock.now_ms()).await?
                        && step(&store, &lease, &clock).await?
                    {
                        done += 1;
                    }
                }
            }
        }
    }
    Ok(done)
}

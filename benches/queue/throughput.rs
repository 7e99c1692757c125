//! How much several processes get done together.

use std::time::Duration;

use sqlx::Executor;

use crate::{
    FINISHED,
    crew::{Crew, RAW},
    database::Database,
    load,
};

/// How long they work for one figure, and half of that before and after at what it is compared with.
const SPAN: Duration = Duration::from_secs(10);
/// More than are done in all.
const DUE: i64 = 200_000;

/// Posts a second, everything that is written for each included, and what that costs.
pub async fn whole_posts(million: &mut Database) -> anyhow::Result<()> {
    million.connection().execute(RAW).await?;
    println!(
        "\nWhole posts beside {FINISHED} finished ones: accepted, claimed five times, 8 segments, posted"
    );
    for processes in [1, 4] {
        let mut crew = Crew::start(million.url(), processes)?;
        let raw = crew.work("raw", SPAN / 2)?.count;
        let before = million.counters().await?;
        let done = crew.work("posts", SPAN)?;
        let after = million.counters().await?;
        let raw = raw + crew.work("raw", SPAN / 2)?.count;
        let posts = done.count as f64;
        println!(
            "  {processes} processes: {:.0} posts/s, {:.3} of {:.0} raw commits/s; {}",
            posts / SPAN.as_secs_f64(),
            posts / raw as f64,
            raw as f64 / SPAN.as_secs_f64(),
            load()
        );
        println!(
            "    of each: {:.1} transactions, {:.1} kB of WAL, {:.1} kB in the tables, CPU {:.1} ms here and {} there",
            (after.commits - before.commits) / posts,
            (after.wal_bytes - before.wal_bytes) / posts / 1e3,
            (after.bytes - before.bytes) / posts / 1e3,
            done.cpu / posts * 1e3,
            server_ms(before.cpu, after.cpu, posts),
        );
    }
    Ok(())
}

/// Measures claims and finishes per second on lanes that are due; each pair takes two commits.
pub async fn claims(million: &mut Database) -> anyhow::Result<()> {
    million.due(DUE).await?;
    println!("\nClaims and finishes beside {FINISHED} finished posts, {DUE} due");
    for processes in [1, 2, 4, 8] {
        let mut crew = Crew::start(million.url(), processes)?;
        let raw = crew.work("raw", SPAN / 2)?.count;
        let before = million.counters().await?;
        let done = crew.work("claims", SPAN)?;
        let after = million.counters().await?;
        let raw = raw + crew.work("raw", SPAN / 2)?.count;
        let count = done.count as f64;
        println!(
            "  {processes} processes: {:.0}/s, {:.2} of {:.0} raw commits/s; CPU {:.2} ms here and {} there; {}",
            count / SPAN.as_secs_f64(),
            count / raw as f64,
            raw as f64 / SPAN.as_secs_f64(),
            done.cpu / count * 1e3,
            server_ms(before.cpu, after.cpu, count),
            load()
        );
    }
    Ok(())
}

fn server_ms(before: Option<f64>, after: Option<f64>, count: f64) -> String {
    match before.zip(after) {
        Some((before, after)) => format!("{:.2} ms", (after - before) / count * 1e3),
        None => "unknown".to_owned(),
    }
}

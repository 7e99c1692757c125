//! Cost of a claim as the number of finished posts grows.

use std::time::{Duration, Instant};

use anyhow::Context;
use toall::clock::Clock;

use crate::{
    FINISHED,
    database::{Database, Server},
    load,
    steps::finish,
};

const CLAIMS: usize = 2_000;
/// In each database, so that the claims themselves are the same.
const DUE: i64 = 5_000;

/// Claims in turn in three databases, so that what else the machine does falls on all of them.
pub async fn measure(server: &Server, million: &mut Database) -> anyhow::Result<()> {
    let mut few = server.database().await?;
    few.finished(FINISHED / 100).await?;
    let mut more = server.database().await?;
    more.finished(FINISHED / 10).await?;
    let clock = Clock::system();
    let mut sizes = Vec::new();
    for (finished, database) in [(FINISHED / 100, &mut few), (FINISHED / 10, &mut more), (FINISHED, million)]
    {
        database.due(DUE).await?;
        sizes.push((finished, database.store().await?, Vec::new()));
    }
    for _ in 0..CLAIMS {
        for (_, store, costs) in &mut sizes {
            let began = Instant::now();
            let lease = store.claim(clock.now_ms()).await?.context("Too few posts are due")?;
            costs.push(began.elapsed());
            finish(store, &lease, &clock).await?;
        }
    }
    println!("\nOne claim, {CLAIMS} in turn in each database; {}", load());
    let mut first = None;
    for (finished, store, costs) in &mut sizes {
        costs.sort();
        let (median, late) = (ms(costs[costs.len() / 2]), ms(costs[costs.len() * 99 / 100]));
        let ratio = median / *first.get_or_insert(median);
        println!(
            "  {finished:>9} finished: median {median:.2} ms, {ratio:.2} of the first (bar 1.2); p99 {late:.1} ms"
        );
        store.close().await;
    }
    Ok(())
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

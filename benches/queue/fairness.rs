//! How long people with one post wait beside somebody with a hundred.

use toall::clock::Clock;

use crate::{
    database::{Server, accept},
    steps::{STEPS, step},
};

const HEAVY: u32 = 100;
const LIGHT: i64 = 20;

/// One worker, one step at a time; the heavy one asked first.
pub async fn measure(server: &Server) -> anyhow::Result<()> {
    let database = server.database().await?;
    let store = database.store().await?;
    let clock = Clock::system();
    for account in (0..HEAVY).map(|_| 0).chain(1..=LIGHT) {
        accept(&store, account, &clock).await?;
    }
    let (mut heavy_steps, mut waits) = (0_u32, Vec::new());
    while let Some(lease) = store.claim(clock.now_ms()).await? {
        let heavy = lease.account.0 == "0";
        heavy_steps += u32::from(heavy);
        if step(&store, &lease, &clock).await? && !heavy {
            waits.push(heavy_steps);
        }
    }
    let mean = f64::from(waits.iter().sum::<u32>()) / waits.len() as f64;
    let most = waits.iter().max().copied().unwrap_or(0);
    println!("\n{LIGHT} accounts with one post each beside one with {HEAVY} that came first, one worker");
    println!(
        "  until the post of a light one is made, the heavy one has had {mean:.1} steps on average, {most} at most \
         (in order of arrival {}); a post has {STEPS}",
        HEAVY * STEPS
    );
    store.close().await;
    Ok(())
}

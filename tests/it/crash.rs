//! The real binary, killed and started again, and put on a machine that is in trouble.

pub mod check;
pub mod child;
mod discord;
#[cfg(target_os = "linux")]
mod disk;
mod locked;
pub mod people;
mod plan;
mod requests;
mod round;
pub mod s3;
pub mod site;
mod stir;
mod stopping;
mod tally;
mod wire;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use futures::{StreamExt, stream};

use self::{
    round::{Fault, Finding, Report},
    tally::Tally,
};

/// Rounds of a plain `cargo test`.
const ROUNDS: u64 = 8;
const SEED: u64 = 20_261_122;
/// Rounds at once: most of a round is waiting.
const AT_ONCE: usize = 6;

/// `CRASH_ROUNDS` and `CRASH_SEED` make a longer run, `CRASH_ROUND` one round of it again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_is_lost_doubled_or_left_unsaid() {
    let seed = number("CRASH_SEED").unwrap_or(SEED);
    let rounds = match number("CRASH_ROUND") {
        Some(round) => round..round + 1,
        None => 0..number("CRASH_ROUNDS").unwrap_or(ROUNDS),
    };
    let started = Instant::now();
    let done = AtomicU64::new(0);
    let mut tally = stream::iter(rounds)
        .map(async |number| {
            let report = tokio::spawn(round::run(seed, number)).await.unwrap_or_else(|panic| Report {
                findings: vec![Finding { fault: Fault::Other, what: panic.to_string() }],
                ..Report::default()
            });
            if done.fetch_add(1, Ordering::SeqCst) % 50 == 49 {
                eprintln!("{} rounds in {} s", done.load(Ordering::SeqCst), started.elapsed().as_secs());
            }
            for Finding { fault, what } in &report.findings {
                eprintln!(
                    "round {number}: {fault:?}: {what}\nthat round alone: CRASH_SEED={seed} CRASH_ROUND={number} \
                     cargo test --test it crash::killed -- --nocapture"
                );
            }
            (number, report)
        })
        .buffer_unordered(AT_ONCE)
        .fold(Tally::default(), async |mut tally, (number, report)| {
            tally.add(number, report);
            tally
        })
        .await;
    tally.took = started.elapsed();
    println!("seed {seed}\n{tally}");
    assert!(tally.found.is_empty(), "{:#?}", tally.found);
    assert!(tally.kills() > 0, "nothing was killed");
}

/// What a variable of the environment sets.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

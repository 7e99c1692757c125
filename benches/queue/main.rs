//! The queue on PostgreSQL, with several processes at once: `cargo bench --bench queue`.
//!
//! It needs an installed PostgreSQL (as Debian's `postgresql` brings it), of which it makes a private cluster that ends
//! with it, durable as a real one: `fsync` and `synchronous_commit` are on. Or
//! `TOALL_BENCH_DATABASE=postgres://… cargo bench --bench queue`: a server whose user may make databases; those it
//! makes are dropped at the end. A word runs one part only: `cargo bench --bench queue -- cost`, and likewise `wake`,
//! `fairness`, `throughput`.
//!
//! Everything goes through [`toall::store::Store`], in processes of this same program. Each speed stands beside what the
//! same connections did on the same server at the same time with the least statement that does anything; CPU seconds
//! are what Linux counts, and so do not grow with what else runs. Nothing here is a test: figures are printed, and the
//! exit code says only whether they could be taken. Takes about eight minutes and 3 GB of the temporary folder.

#[path = "../posting/alice.rs"]
mod alice;
#[path = "../posting/child.rs"]
mod child;
mod claim;
mod cost;
mod cpu;
mod crew;
mod database;
mod fairness;
#[path = "../posting/installation.rs"]
mod installation;
#[path = "../posting/machine.rs"]
mod machine;
#[expect(dead_code, reason = "the tests need more of a server")]
#[path = "../../tests/it/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "the other benchmark asks how long uploads took")]
#[path = "../posting/simulator.rs"]
mod simulator;
mod steps;
mod throughput;
#[path = "../posting/video.rs"]
mod video;
mod wake;

use database::Server;
use machine::load;

/// How many finished posts the queue is measured with.
const FINISHED: i64 = 1_000_000;

fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match args.as_slice() {
        ["simulator", rest @ ..] => runtime.block_on(simulator::play(rest)),
        ["service", rest @ ..] => runtime.block_on(cost::play(rest)),
        ["hands", rest @ ..] => runtime.block_on(crew::play(rest)),
        ["sleeper", rest @ ..] => runtime.block_on(wake::play(rest)),
        parts => runtime.block_on(measure(parts)),
    }
}

async fn measure(parts: &[&str]) -> anyhow::Result<()> {
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    let server = Server::start().await?;
    println!("\n{}", server.describe().await?);
    println!("{} cores for it and all processes; {}", std::thread::available_parallelism()?, load());
    if wanted("cost") {
        cost::measure(&server).await?;
    }
    if wanted("wake") {
        wake::measure(&server).await?;
    }
    if wanted("fairness") {
        fairness::measure(&server).await?;
    }
    if wanted("throughput") {
        let mut million = server.database().await?;
        million.finished(FINISHED).await?;
        throughput::whole_posts(&mut million).await?;
        claim::measure(&server, &mut million).await?;
        throughput::claims(&mut million).await?;
    }
    server.close().await;
    Ok(())
}

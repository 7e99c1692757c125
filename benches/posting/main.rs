//! How fast the service posts, and in how much memory: `cargo bench --bench posting`.
//!
//! The service, the simulated X and what they are compared with are processes of their own, so that memory is each
//! one's own; every comparison is against what the same run measured on the same simulated X. Nothing here is a
//! test: figures are printed beside their bars, and the exit code says only whether they could be taken.
//! Takes about three minutes and 1.7 GB of the temporary folder. `BENCH_RUNS=1` repeats nothing.

mod alice;
mod child;
mod installation;
mod machine;
mod peer;
mod service;
mod simulator;
mod startup;
mod table;
mod video;

use std::time::Duration;

use tempfile::TempDir;

use machine::load;
use peer::Peer;
use service::Posted;
use simulator::Simulator;
use table::{Bar, Table};
use video::MIB;

/// Latency that a distant X adds to each request.
const LATENCY: Duration = Duration::from_millis(150);
const LARGE: u64 = 512;
const SMALL: u64 = 16;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match args.as_slice() {
        ["simulator", rest @ ..] => runtime.block_on(simulator::play(rest)),
        ["service", rest @ ..] => runtime.block_on(service::play(rest)),
        // Cargo adds `--bench`.
        _ => runtime.block_on(measure()),
    }
}

/// Figures gathered over all runs, in seconds and KiB.
#[derive(Default)]
struct Figures {
    far: Vec<f64>,
    near: Vec<f64>,
    whole: Vec<f64>,
    raw: Vec<f64>,
    publish: Vec<f64>,
    answer: Vec<f64>,
    memory_large: Vec<f64>,
    memory_small: Vec<f64>,
}

impl Figures {
    fn note(&mut self, posted: &Posted) {
        self.publish.push(posted.publish);
        self.answer.push(posted.answer);
    }
}

async fn measure() -> anyhow::Result<()> {
    let runs = std::env::var("BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(3).max(1);
    let folder = TempDir::new()?;
    let large = video::write(&folder.path().join("large.mp4"), LARGE * MIB)?;
    let small = video::write(&folder.path().join("small.mp4"), SMALL * MIB)?;
    let cores = std::thread::available_parallelism()?;
    println!("\n{runs} runs on {cores} cores; {}", load());

    let startup = startup::measure(runs)?;
    let mut figures = Figures::default();
    for _ in 0..runs {
        let x = Simulator::start(Duration::ZERO)?;
        let posted = service::post(&x, &large)?;
        figures.near.push(posted.upload);
        figures.whole.push(posted.whole);
        figures.memory_large.push(posted.peak_kib);
        figures.note(&posted);
        Peer::sign_in(&x).await?.in_one(&large).await?;
        figures.raw.push(x.report()?.upload);
        let posted = service::post(&x, &small)?;
        figures.memory_small.push(posted.peak_kib);
        figures.note(&posted);

        let x = Simulator::start(LATENCY)?;
        let posted = service::post(&x, &large)?;
        figures.far.push(posted.upload);
        figures.note(&posted);
    }
    let x = Simulator::start(LATENCY)?;
    Peer::sign_in(&x).await?.one_at_a_time(&large).await?;
    let one_at_a_time = vec![x.report()?.upload];

    print!("{}", tabulate(&figures, &one_at_a_time, &startup));
    println!("{}", load());
    Ok(())
}

fn tabulate(figures: &Figures, one_at_a_time: &[f64], startup: &startup::Startup) -> Table {
    let mut table = Table::default();
    table.heading("Upload of 512 MiB to X, initialize to finalize, 150 ms added to each request");
    table.seconds("toall", &figures.far, Some(Bar(8.0)));
    table.seconds("a client that sends 1 MiB at a time", one_at_a_time, None);
    table.ratio("  times as long as toall", one_at_a_time, &figures.far, None);
    table.heading("The same with nothing added");
    table.seconds("toall", &figures.near, None);
    table.seconds("one raw streaming POST of the file", &figures.raw, None);
    table.ratio("  toall to raw", &figures.near, &figures.raw, Some(Bar(1.5)));
    table.seconds("/post to the link, with 1 s of X's processing", &figures.whole, None);
    table.heading("Peak memory of the service's process");
    table.mib("posting 512 MiB", &figures.memory_large, Some(Bar(64.0)));
    table.mib("posting 16 MiB", &figures.memory_small, None);
    table.ratio("  512 MiB to 16 MiB", &figures.memory_large, &figures.memory_small, Some(Bar(1.1)));
    table.heading("Answers");
    table.millis("processing succeeded to POST /2/tweets", &figures.publish, Some(Bar(100.0)));
    table.millis("/post to the first answer in chat", &figures.answer, Some(Bar(1_000.0)));
    table.heading("toall serve, without bots");
    table.millis("first start to ready", &startup.first, Some(Bar(300.0)));
    table.millis("later start to ready", &startup.again, Some(Bar(300.0)));
    table.mib("idle memory", &startup.idle_kib, Some(Bar(40.0)));
    table.mib("size of the binary", &[startup.binary_kib], None);
    table
}

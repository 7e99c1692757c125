//! The binary itself: how soon `toall serve` is ready, and what it takes up while nothing happens.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
};
use tempfile::TempDir;

const TOALL: &str = env!("CARGO_BIN_EXE_toall");
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a service that is ready is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// Seconds and KiB.
#[derive(Default)]
pub struct Startup {
    /// With an empty folder: makes key, database and storage.
    pub first: Vec<f64>,
    pub again: Vec<f64>,
    pub idle_kib: Vec<f64>,
    pub binary_kib: f64,
}

pub fn measure(runs: usize) -> anyhow::Result<Startup> {
    let mut startup =
        Startup { binary_kib: std::fs::metadata(TOALL)?.len() as f64 / 1024.0, ..Startup::default() };
    for _ in 0..runs {
        let folder = TempDir::new()?;
        startup.first.push(Serving::start(folder.path())?.ready_after);
        let serving = Serving::start(folder.path())?;
        startup.again.push(serving.ready_after);
        sleep(IDLE);
        startup.idle_kib.push(crate::machine::memory_kib(&serving.process.id().to_string(), "VmRSS")?);
    }
    Ok(startup)
}

/// Killed when dropped.
struct Serving {
    process: Child,
    ready_after: f64,
}

impl Serving {
    fn start(folder: &Path) -> anyhow::Result<Serving> {
        let port = crate::machine::free_port()?;
        let config = format!(
            "public_url = \"http://127.0.0.1:{port}\"\ndata_dir = \"{}\"\n[web]\nlisten = \"127.0.0.1:{port}\"\n[twitter]\nclient_id = \"bench\"\n",
            folder.join("data").display()
        );
        std::fs::write(folder.join("config.toml"), config)?;
        let mut command = Command::new(TOALL);
        command.args(["serve", "--config"]).arg(folder.join("config.toml"));
        let begun = Instant::now();
        let process = command.env("TOALL_LOG", "error").stdout(Stdio::null()).spawn()?;
        let mut serving = Serving { process, ready_after: 0.0 };
        while !is_ready(port) {
            ensure!(begun.elapsed() < PATIENCE, "toall serve does not become ready");
            ensure!(serving.process.try_wait()?.is_none(), "toall serve ended");
            sleep(Duration::from_millis(1));
        }
        serving.ready_after = begun.elapsed().as_secs_f64();
        Ok(serving)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_ready(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::Ok(answer)
    };
    ask().context("not yet").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

//! The simulated X, in a process of its own, and its word on how long things took: one clock for all who upload.

use std::{sync::Mutex, time::Duration};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;
use toall::sandbox::{Call, Exchange, Processing, Sandbox, Settings};

use crate::child::{Role, say};

/// A simulated X. Stops when dropped.
pub struct Simulator {
    role: Mutex<Role>,
    pub url: String,
    /// Where the service that posts to it is to listen: X knows its callback.
    pub service_port: u16,
}

/// Durations of the newest upload, in seconds.
#[derive(Debug, Deserialize, Serialize)]
pub struct Report {
    /// From initialize's arrival to finalize's answer.
    pub upload: f64,
    /// From the answer that says *succeeded* to the arrival of `POST /2/tweets`.
    pub publish: Option<f64>,
}

impl Simulator {
    pub fn start(latency: Duration) -> anyhow::Result<Simulator> {
        let service_port = crate::machine::free_port()?;
        let latency = latency.as_millis().to_string();
        let mut role = Role::start("simulator", &[&latency, &callback(service_port)])?;
        let url = role.hear()?;
        Ok(Simulator { role: Mutex::new(role), url, service_port })
    }

    pub fn report(&self) -> anyhow::Result<Report> {
        let mut role = self.role.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        role.ask("report")?;
        role.hear()
    }

    pub fn callback(&self) -> String {
        callback(self.service_port)
    }
}

fn callback(port: u16) -> String {
    format!("http://127.0.0.1:{port}/api/social/callback")
}

/// The role: runs until its input ends, and answers each line with a report.
pub async fn play(args: &[&str]) -> anyhow::Result<()> {
    let [latency, callback] = args else { anyhow::bail!("simulator LATENCY_MS CALLBACK") };
    let folder = TempDir::new()?;
    let x = Sandbox::start(Settings {
        latency: Duration::from_millis(latency.parse()?),
        redirect_uris: vec![(*callback).to_owned()],
        keep_media: false,
        processing: Processing { steps: 1, check_after_secs: 1 },
        // So that it takes the whole video in one request from the client that serves as the yardstick.
        max_chunk: u64::MAX,
        enforce_rate_limits: false,
        ..Settings::new(folder.path())
    })
    .await?;
    say(&x.url())?;
    // This thread has nothing else to do: the simulator runs on the runtime's.
    for line in std::io::stdin().lines() {
        line?;
        say(&report(&x.exchanges()).context("Nothing was uploaded")?)?;
    }
    Ok(())
}

fn report(exchanges: &[Exchange]) -> Option<Report> {
    let last = |found: &dyn Fn(&Exchange) -> bool| exchanges.iter().rev().find(|exchange| found(exchange));
    let begun = last(&|exchange| exchange.call == Some(Call::Initialize))?;
    let ended = last(&|exchange| exchange.call == Some(Call::Finalize) && exchange.status == Some(200))?;
    let succeeded = last(&|exchange| {
        let state = exchange.answer.as_ref().and_then(|answer| answer.pointer("/data/processing_info/state"));
        state.and_then(Value::as_str) == Some("succeeded")
    });
    let created = last(&|exchange| exchange.call == Some(Call::CreatePost));
    let publish = succeeded.zip(created).filter(|(succeeded, _)| succeeded.started > begun.started);
    Some(Report {
        upload: ended.finished.checked_duration_since(begun.started)?.as_secs_f64(),
        publish: publish
            .and_then(|(succeeded, created)| created.started.checked_duration_since(succeeded.finished))
            .map(|took| took.as_secs_f64()),
    })
}

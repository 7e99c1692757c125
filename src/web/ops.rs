//! What operators and their machines ask: is it ready, and how is it doing.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Site, serve};
use crate::{staging::Staging, store::Store};

/// How long an answer about readiness is believed: the probe of the storage costs requests.
const FRESH: Duration = Duration::from_secs(10);
/// How long a part may take to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often what was measured is put in order, so that it stays small when nobody reads it.
const UPKEEP: Duration = Duration::from_secs(10);
/// Upper bounds of the histograms, in seconds.
const BUCKETS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Ok,
    Failed,
}

#[derive(Clone, Copy, Serialize)]
struct Parts {
    database: Part,
    staging: Part,
}

#[derive(Serialize)]
pub(super) struct Report {
    status: &'static str,
    parts: Parts,
}

/// Knows whether the parts that every post needs are working.
pub(super) struct Readiness {
    store: Store,
    staging: Staging,
    last: Mutex<Option<(Instant, Parts)>>,
}

impl Readiness {
    pub(super) fn new(store: Store, staging: Staging) -> Self {
        Readiness { store, staging, last: Mutex::new(None) }
    }

    /// Asks the parts, or remembers. Whoever comes meanwhile waits for the same answer.
    async fn parts(&self) -> Parts {
        let mut last = self.last.lock().await;
        if let Some((at, parts)) = *last
            && at.elapsed() < FRESH
        {
            return parts;
        }
        let (database, staging) =
            tokio::join!(proven("database", self.store.ping()), proven("staging", self.staging.probe()));
        let parts = Parts { database, staging };
        *last = Some((Instant::now(), parts));
        parts
    }
}

async fn proven<E: std::fmt::Display>(part: &str, proof: impl Future<Output = Result<(), E>>) -> Part {
    match timeout(PATIENCE, proof).await {
        Ok(Ok(())) => Part::Ok,
        Ok(Err(error)) => {
            tracing::warn!(part, %error, "a part is not ready");
            Part::Failed
        }
        Err(_) => {
            tracing::warn!(part, "a part did not answer in time");
            Part::Failed
        }
    }
}

/// `GET /readyz`: 200 when posts can be worked on, else 503; why stands in the log.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> (StatusCode, Json<Report>) {
    let parts = site.readiness.parts().await;
    let (code, status) = match [parts.database, parts.staging] {
        [Part::Ok, Part::Ok] => (StatusCode::OK, "ready"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (code, Json(Report { status, parts }))
}

/// Collects from now on what the process measures; once per process.
///
/// # Errors
/// When something collects already.
pub fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()
}

/// Serves what was measured at `GET /metrics`, in Prometheus' text format, until `stop`.
pub async fn serve_metrics(listener: TcpListener, recorder: PrometheusHandle, stop: CancellationToken) {
    let shown = recorder.clone();
    let router =
        Router::new().route(
            "/metrics",
            get(|| async move {
                ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], shown.render())
            }),
        );
    let upkeep = async {
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            recorder.run_upkeep();
        }
    };
    tokio::select! {
        () = serve(listener, router, stop) => {}
        () = upkeep => {}
    }
}

//! What operators' machines ask: is it up, and is it ready.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::Site;
use crate::{staging::Staging, store::Store};

/// How long an answer about readiness is believed: the probe of the storage costs requests.
const FRESH: Duration = Duration::from_secs(10);
/// How long a part may take to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);

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

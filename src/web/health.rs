//! Probes of operators' machines: is it up, and is it ready.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{Site, webhooks::Door};
use crate::{
    clock::Clock,
    health::{Health, Status},
    intake::Intake,
    staging::Staging,
    store::Store,
};

/// How long an answer about readiness is believed: it costs a write to the database and requests to the storage.
const FRESH: Duration = Duration::from_secs(10);
/// How long a part may take to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after the start a chat that cannot be taken from yet holds the process back, in milliseconds. One that is out
/// of reach must not take the pages, the API and the other chat with it.
const OPEN_WITHIN_MS: i64 = 30_000;

/// Whether the service can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Readiness {
    Ready,
    /// Something fails that other requests can do without.
    Degraded,
    /// No request is to come here: the listener or the database does not work.
    NotReady,
}

/// State of a part, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Shown {
    Ok,
    Failed,
    Disabled,
}

impl From<Status> for Shown {
    fn from(status: Status) -> Shown {
        match status {
            Status::Starting | Status::Ok => Shown::Ok,
            Status::Failed => Shown::Failed,
            Status::Disabled => Shown::Disabled,
        }
    }
}

/// The parts that are asked.
#[derive(Clone, Copy)]
struct Asked {
    database: Shown,
    staging: Shown,
}

#[derive(Serialize)]
pub(super) struct Report {
    status: Readiness,
    parts: BTreeMap<&'static str, Shown>,
}

/// Knows how the parts are doing.
pub(super) struct Parts {
    store: Store,
    staging: Staging,
    health: Health,
    doors: Vec<Door>,
    clock: Clock,
    began: i64,
    last: Mutex<Option<(Instant, Asked)>>,
}

impl Parts {
    pub(super) fn new(intake: &Intake, staging: Staging, doors: Vec<Door>, health: Health) -> Self {
        let (store, clock) = (intake.store.clone(), intake.clock.clone());
        Parts { store, staging, health, doors, began: clock.now_ms(), clock, last: Mutex::new(None) }
    }

    /// Whether the listener must still wait for a chat: Discord brings an interaction once only, so none may come before
    /// it can be taken. A chat that is known to be out of reach is not waited for.
    fn is_opening(&self, parts: &BTreeMap<&'static str, Status>) -> bool {
        let starting = |door: &Door| parts.get(door.name()).is_none_or(|status| *status == Status::Starting);
        let began_lately = self.clock.now_ms() - self.began < OPEN_WITHIN_MS;
        began_lately && self.doors.iter().any(|door| !door.is_open() && starting(door))
    }

    /// Asks the database and the storage, or remembers. Whoever comes meanwhile waits for the same answer.
    async fn asked(&self) -> Asked {
        let mut last = self.last.lock().await;
        if let Some((at, asked)) = *last
            && at.elapsed() < FRESH
        {
            return asked;
        }
        let (database, staging) = tokio::join!(
            proven("database", self.store.prove_writable()),
            proven("staging", self.staging.probe())
        );
        let asked = Asked { database, staging };
        *last = Some((Instant::now(), asked));
        asked
    }
}

async fn proven<E: std::fmt::Display>(part: &str, proof: impl Future<Output = Result<(), E>>) -> Shown {
    match timeout(PATIENCE, proof).await {
        Ok(Ok(())) => Shown::Ok,
        Ok(Err(error)) => {
            tracing::warn!(part, %error, "a part is not ready");
            Shown::Failed
        }
        Err(_) => {
            tracing::warn!(part, "a part did not answer in time");
            Shown::Failed
        }
    }
}

/// `GET /readyz`: 503 while the database takes no writes or the listener is not ready; else 200. The log says why.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> (StatusCode, Json<Report>) {
    let known = &site.parts;
    let Asked { database, staging } = known.asked().await;
    let statuses = known.health.statuses();
    let mut parts: BTreeMap<_, _> =
        statuses.iter().map(|(name, status)| (*name, Shown::from(*status))).collect();
    for door in known.doors.iter().filter(|door| !door.is_open()) {
        let shown = parts.entry(door.name()).or_insert(Shown::Failed);
        if *shown == Shown::Ok {
            *shown = Shown::Failed;
        }
    }
    parts.extend([("database", database), ("staging", staging)]);
    // Not a reason to leave the load balancer: work goes on, more slowly.
    if known.store.is_short_of_connections() {
        parts.insert("database_connections", Shown::Failed);
    }
    let status = if database != Shown::Ok || known.is_opening(&statuses) {
        Readiness::NotReady
    } else if parts.values().all(|part| *part == Shown::Ok) {
        Readiness::Ready
    } else {
        Readiness::Degraded
    };
    let code = match status {
        Readiness::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        Readiness::Ready | Readiness::Degraded => StatusCode::OK,
    };
    (code, Json(Report { status, parts }))
}

//! What operators' machines ask: is it up, and is it ready.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{Site, doors::Door};
use crate::{clock::Clock, intake::Intake, staging::Staging, store::Store};

/// How long an answer about readiness is believed: the probe of the storage costs requests.
const FRESH: Duration = Duration::from_secs(10);
/// How long a part may take to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after the start doors that are not open yet hold the process back, in milliseconds. A chat that is out of
/// reach for longer must not take the pages, the API and the other chat with it.
const OPEN_WITHIN_MS: i64 = 30_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Ok,
    Failed,
}

impl From<bool> for Part {
    fn from(works: bool) -> Part {
        if works { Part::Ok } else { Part::Failed }
    }
}

/// What every post needs.
#[derive(Clone, Copy)]
struct Parts {
    database: Part,
    staging: Part,
}

#[derive(Serialize)]
pub(super) struct Report {
    status: &'static str,
    parts: BTreeMap<&'static str, Part>,
}

/// Knows whether the parts that every post needs are working, and the doors are open.
pub(super) struct Readiness {
    store: Store,
    staging: Staging,
    doors: Vec<Door>,
    clock: Clock,
    began: i64,
    last: Mutex<Option<(Instant, Parts)>>,
}

impl Readiness {
    pub(super) fn new(intake: &Intake, staging: Staging, doors: Vec<Door>) -> Self {
        let (store, clock) = (intake.store.clone(), intake.clock.clone());
        Readiness { store, staging, doors, began: clock.now_ms(), clock, last: Mutex::new(None) }
    }

    /// Whether a door is to be waited for: Discord brings an interaction once only, so none is to come here before.
    fn is_opening(&self) -> bool {
        let began_lately = self.clock.now_ms() - self.began < OPEN_WITHIN_MS;
        began_lately && !self.doors.iter().all(Door::is_open)
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

/// `GET /readyz`: 200 when posts can be worked on and, soon after the start, what the chats bring can be taken; else 503.
/// Why stands in the log.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> (StatusCode, Json<Report>) {
    let readiness = &site.readiness;
    let Parts { database, staging } = readiness.parts().await;
    let (code, status) = match [database, staging, Part::from(!readiness.is_opening())] {
        [Part::Ok, Part::Ok, Part::Ok] => (StatusCode::OK, "ready"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    let mut parts = BTreeMap::from([("database", database), ("staging", staging)]);
    parts.extend(readiness.doors.iter().map(|door| (door.name(), door.is_open().into())));
    (code, Json(Report { status, parts }))
}

//! Health of the service's parts, as `/readyz` reports it, and the restart of tasks that die.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Age of the last heartbeat from which a part that sends heartbeats counts as failed.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// Interval between the heartbeats of a waiting part.
pub const PULSE: Duration = Duration::from_secs(10);
/// Run time after which a restarted task counts as working.
const SETTLED: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(10) };
/// Pause before the first restart; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = if cfg!(test) { Duration::from_millis(10) } else { Duration::from_secs(1) };
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// State of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The part has reported neither success nor failure yet.
    Starting,
    Ok,
    Failed,
    /// Switched off until an operator acts, such as a chat whose token is rejected.
    Disabled,
}

/// Health of one part. Clones share its state.
#[derive(Clone, Debug)]
pub struct Part {
    status: Arc<watch::Sender<Status>>,
    /// Time of the last heartbeat; `None` for parts that send none.
    pulse: Arc<Mutex<Option<Instant>>>,
}

impl Default for Part {
    fn default() -> Self {
        Part { status: Arc::new(watch::Sender::new(Status::Starting)), pulse: Arc::default() }
    }
}

impl Part {
    pub fn works(&self) {
        self.status.send_replace(Status::Ok);
    }

    /// Reports a failure. A disabled part stays disabled until it reports a success.
    pub fn fails(&self) {
        self.status.send_if_modified(|status| {
            let changes = !matches!(status, Status::Failed | Status::Disabled);
            if changes {
                *status = Status::Failed;
            }
            changes
        });
    }

    pub fn disable(&self) {
        self.status.send_replace(Status::Disabled);
    }

    /// Sends a heartbeat. After the first one, the part counts as failed when heartbeats stop.
    pub fn beat(&self) {
        *self.pulse.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub fn status(&self) -> Status {
        self.status_at(Instant::now())
    }

    fn status_at(&self, now: Instant) -> Status {
        let pulse = *self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        match pulse {
            Some(at) if now.saturating_duration_since(at) > SILENT_FOR => Status::Failed,
            _ => *self.status.borrow(),
        }
    }

    /// Waits until the part works.
    pub async fn until_it_works(&self) {
        // `self` owns the sender, so the channel cannot close during the wait.
        let _ = self.status.subscribe().wait_for(|status| *status == Status::Ok).await;
    }
}

/// All parts of a process, by name. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Part>>>);

impl Health {
    /// Returns the part of this name, and adds it if it is new.
    pub fn part(&self, name: &'static str) -> Part {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone()
    }

    /// Adds a part that reports its own health.
    pub fn add(&self, name: &'static str, part: Part) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, part);
    }

    pub fn statuses(&self) -> BTreeMap<&'static str, Status> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(name, part)| (*name, part.status())).collect()
    }
}

/// Runs a task until `stop`. Restarts a task that panics or returns early, with a longer pause each time. Its part
/// counts as failed until the restarted task has run for a while.
pub async fn supervise<F: Future<Output = ()>>(
    name: &'static str,
    part: &Part,
    stop: &CancellationToken,
    mut task: impl FnMut() -> F,
) {
    let mut pause = FIRST_PAUSE;
    let mut died = false;
    loop {
        let mut running = pin!(AssertUnwindSafe(async { task().await }).catch_unwind());
        let ended = match timeout(SETTLED, &mut running).await {
            Ok(ended) => ended,
            Err(_) => {
                pause = FIRST_PAUSE;
                if std::mem::take(&mut died) {
                    part.works();
                }
                running.await
            }
        };
        if stop.is_cancelled() {
            if ended.is_err() {
                tracing::error!(task = name, "a task died while the service was stopping");
            }
            return;
        }
        died = true;
        part.fails();
        tracing::error!(
            task = name,
            restart_in = pause.as_secs(),
            "a task died; it is restarted. Please report what the log says above"
        );
        metrics::counter!("toall_restarts_total", "task" => name).increment(1);
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_is_restarted_and_reported() {
        let (health, stop, starts) = (Health::default(), CancellationToken::new(), AtomicU32::new(0));
        let part = health.part("announcer");
        let run = supervise("announcer", &part, &stop, || async {
            match starts.fetch_add(1, SeqCst) {
                0 => panic!("ordered"),
                1 => {}
                _ => stop.cancelled().await,
            }
        });
        let watch = async {
            let mut seen = part.status.subscribe();
            seen.wait_for(|status| *status == Status::Failed).await.unwrap();
            assert_eq!(health.statuses()["announcer"], Status::Failed);
            part.until_it_works().await;
            assert_eq!(starts.load(SeqCst), 3);
            stop.cancel();
        };
        tokio::join!(run, watch);
        assert_eq!(starts.load(SeqCst), 3);
    }

    #[test]
    fn a_part_whose_signs_of_life_stop_has_failed() {
        let part = Part::default();
        part.works();
        assert_eq!(part.status_at(Instant::now() + SILENT_FOR * 2), Status::Ok, "it gives none");
        part.beat();
        assert_eq!(part.status_at(Instant::now() + SILENT_FOR / 2), Status::Ok);
        assert_eq!(part.status_at(Instant::now() + SILENT_FOR * 2), Status::Failed);
    }

    #[test]
    fn a_disabled_part_stays_so_until_it_works() {
        let part = Part::default();
        part.disable();
        part.fails();
        assert_eq!(part.status(), Status::Disabled);
        part.works();
        assert_eq!(part.status(), Status::Ok);
    }
}

//! What the service does by itself: leases posts from the store and does one step at a time.
//!
//! A step is a function from a post to what follows. It neither sleeps nor retries; what it finds is
//! written down here, once for all steps, under the lease.

mod access;
mod announce;
mod belief;
mod budget;
mod describe;
mod housekeeping;
mod inspect;
mod limits;
mod parallelism;
mod process;
mod publish;
mod stage;
#[cfg(test)]
mod tests;
mod tier;
mod upload;
mod uploads;
mod verdict;
mod writing;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use parallelism::Parallelism;
use verdict::ask;
use writing::insist;

use crate::{
    account::{AccountId, PersonRef},
    chat::Chats,
    clock::Clock,
    config,
    post::{Failure, Party, Pause, Post, State},
    staging::Staging,
    store::{LEASE, Lease, Store, StoreError},
    twitter::X,
};

/// What steps work with. Cheap to clone; clones are one worker.
#[derive(Clone)]
pub struct Worker {
    pub store: Store,
    pub chats: Chats,
    pub staging: Staging,
    pub x: X,
    pub clock: Clock,
    pub settings: config::Worker,
    pub limits: config::Limits,
    /// Told what only they can mend.
    pub operators: Vec<PersonRef>,
    pub running: Running,
}

/// What a worker has under way.
#[derive(Clone)]
pub struct Running {
    segments: Parallelism,
    stopping: CancellationToken,
    tasks: TaskTracker,
    refreshes: Arc<Mutex<HashMap<AccountId, Arc<tokio::sync::Mutex<()>>>>>,
    days: budget::Kept,
}

impl Running {
    /// Nothing yet.
    pub fn new(settings: &config::Worker) -> Running {
        Running {
            segments: Parallelism::new(settings.upload_parallelism),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::default(),
            refreshes: Arc::default(),
            days: budget::Kept::default(),
        }
    }

    /// Waits for the turn to refresh an account's tokens.
    async fn refresh_turn(&self, account: &AccountId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut refreshes = self.refreshes.lock().unwrap_or_else(PoisonError::into_inner);
            refreshes.retain(|_, turn| Arc::strong_count(turn) > 1);
            refreshes.entry(account.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

/// What a step found out.
#[derive(Debug, PartialEq)]
enum Next {
    /// The post goes on in this state, after this long.
    Go(State, Duration),
    /// The post is on X, under this id.
    Posted(String),
    /// Nobody but the person can know; look again after this long, if at all.
    Ask(Option<Duration>),
    /// The service is stopping; the step goes on in the next process.
    Stopped,
}

/// Why a step could not do its work, sorted by what follows.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the post failed: {0:?}")]
    Fail(Failure),
    /// Somebody is in trouble; the same step again, later each time.
    #[error("trouble with {with:?}: {why}")]
    Trouble { with: Party, why: String },
    /// X has closed what the step needs until then, in Unix milliseconds.
    #[error("X lets this wait until {until} ({})", why.as_str())]
    Parked { until: i64, why: Pause },
    #[error("the account must be linked again")]
    SignedOut,
    /// X refused something for the first time: the same step again at `until` (Unix milliseconds).
    #[error("X has yet to repeat its refusal: {why}")]
    Unconfirmed { until: i64, why: String },
    /// What an earlier state did is void; go on from here, later each time.
    #[error("back to {to:?}: {why}")]
    Back { to: State, why: String },
    /// The service is stopping, and there is no time for a request that must not be cut off.
    #[error("the service is stopping")]
    Stopping,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A database that fails is left alone this long.
const RECOVERY: Duration = Duration::from_secs(2);
/// A lane that is due and cannot be claimed is being written to by somebody, which takes about as long.
const WRITING: Duration = Duration::from_millis(20);
/// A changed row wakes the loop; this is the net beneath.
const POLL: i64 = 2_000;

impl Worker {
    /// Does what is due until `stop`, then lets what is running come to a safe point.
    pub async fn run(mut self, stop: CancellationToken) {
        self.running.stopping = stop.clone();
        let steps = &self.running.tasks;
        let silence = CancellationToken::new();
        let announcer = tokio::spawn(announce::run(self.clone(), silence.clone()));
        let housekeeper = tokio::spawn(housekeeping::run(self.clone(), silence.clone()));
        let slots = Arc::new(Semaphore::new(self.settings.concurrency));
        // Asked for before looking, so that no wake-up falls in between.
        let mut changes = self.store.changes();
        while !stop.is_cancelled() {
            changes.mark_unchanged();
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = stop.cancelled() => break,
            };
            let Ok(slot) = slot else { break };
            let now = self.clock.now_ms();
            match self.store.claim(now).await {
                Ok(Some(lease)) => {
                    steps.spawn(self.clone().step(lease, slot, stop.clone()));
                    continue;
                }
                Ok(None) => drop(slot),
                Err(error) => {
                    drop(slot);
                    tracing::error!(error = chain(&error), "the queue could not be worked on");
                    stop.run_until_cancelled(tokio::time::sleep(RECOVERY)).await;
                    continue;
                }
            }
            let due = self.store.next_lane_due().await.ok().flatten();
            let passed_over = due.is_some_and(|due| due <= now);
            let due = due.map_or(now + POLL, |due| due.clamp(now + 1, now + POLL));
            tokio::select! {
                _ = changes.changed() => {}
                () = self.clock.sleep_until(due) => {}
                () = tokio::time::sleep(WRITING), if passed_over => {}
                () = stop.cancelled() => break,
            }
        }
        steps.close();
        steps.wait().await;
        // Only now, so that what the last steps found is said.
        silence.cancel();
        if announcer.await.is_err() {
            tracing::error!("the announcer died");
        }
        if housekeeper.await.is_err() {
            tracing::error!("the housekeeper died");
        }
    }

    /// Does the step that a lease is for, keeps the lease alive meanwhile, and writes down what came of it.
    async fn step(self, lease: Lease, _slot: OwnedSemaphorePermit, stop: CancellationToken) {
        let span = tracing::info_span!(
            "post",
            id = %lease.post.id,
            account = %lease.account,
            step = lease.post.state.as_str(),
        );
        async {
            let started = std::time::Instant::now();
            let mut post = lease.post.clone();
            let outcome = if lease.crash_loop && post.intent_at.is_none() {
                Err(StepError::Fail(Failure::CrashLoop))
            } else if post.state == State::Publishing {
                // Never cut short: an answer that nobody hears would leave the post in doubt.
                let work = self.act(&lease, &mut post, &stop);
                tokio::pin!(work);
                tokio::select! {
                    outcome = &mut work => outcome,
                    _ = self.keep_alive(&lease) => work.await,
                }
            } else {
                tokio::select! {
                    outcome = self.act(&lease, &mut post, &stop) => outcome,
                    lost = self.keep_alive(&lease) => Err(lost.into()),
                }
            };
            metrics::histogram!("toall_step_seconds", "step" => lease.post.state.as_str())
                .record(started.elapsed().as_secs_f64());
            self.settle(lease, post, outcome).await;
        }
        .instrument(span)
        .await;
    }

    async fn act(&self, lease: &Lease, post: &mut Post, stop: &CancellationToken) -> Result<Next, StepError> {
        match post.state {
            State::Staging => stage::stage(self, lease, post, stop).await,
            State::Inspecting => inspect::inspect(self, lease, post).await,
            State::Uploading => upload::upload(self, lease, post, stop).await,
            State::Processing => process::process(self, lease, post).await,
            State::Describing => describe::describe(self, lease, post).await,
            State::Publishing => publish::publish(self, lease, post).await,
            State::NeedsUser => publish::look_late(self, lease, post).await,
            State::Posted | State::Failed | State::Canceled => Ok(Next::Stopped),
        }
    }

    /// Prolongs the lease until it is lost.
    async fn keep_alive(&self, lease: &Lease) -> StoreError {
        let mut beat = tokio::time::interval(LEASE / 4);
        beat.tick().await;
        loop {
            beat.tick().await;
            match self.store.renew(lease, self.clock.now_ms()).await {
                Ok(()) => {}
                Err(StoreError::LeaseLost) => return StoreError::LeaseLost,
                // The lease may yet outlive the trouble; writes that follow are fenced.
                Err(error) => tracing::warn!(error = chain(&error), "the lease could not be prolonged"),
            }
        }
    }

    /// Writes down what a step found, and says when the post is to be looked at again.
    async fn settle(&self, lease: Lease, mut post: Post, outcome: Result<Next, StepError>) {
        let now = self.clock.now_ms();
        let step = lease.post.state.as_str();
        let came_to = |what: &'static str| {
            metrics::counter!("toall_steps_total", "step" => step, "came_to" => what).increment(1);
        };
        let kind;
        let due = match outcome {
            Ok(Next::Stopped) | Err(StepError::Stopping) => {
                came_to("stopped");
                self.write_down(&lease, || self.store.give_back(&lease, now)).await;
                return;
            }
            Ok(Next::Posted(x_post_id)) => {
                tracing::info!(x_post_id, "posted");
                came_to("posted");
                metrics::counter!("toall_posts_total", "outcome" => "posted", "code" => "").increment(1);
                // While the lane is held: what waits for the app goes on no later than this account does.
                self.worked(&lease, State::Posted).await;
                publish::keep(self, &lease, &post, &x_post_id).await;
                return;
            }
            Ok(Next::Go(state, after)) => {
                kind = if state == post.state { "waits" } else { "goes_on" };
                self.worked(&lease, state).await;
                if state != post.state {
                    post.waiting = None;
                    // A copy proves nothing about the storage it is to be read from.
                    if post.state != State::Staging {
                        post.attempt = 0;
                    }
                }
                post.state = state;
                Some(after)
            }
            Ok(Next::Ask(after)) => {
                kind = "unsure";
                let looks = post.looks;
                ask(&mut post);
                post.looks = looks;
                after
            }
            Err(StepError::Store(StoreError::LeaseLost)) => {
                tracing::info!("the lease was lost; whoever holds the lane now goes on");
                came_to("lease_lost");
                return;
            }
            Err(error) => {
                let (word, due) = self.verdict(&mut post, &error, now);
                tracing::warn!(%error, attempt = post.attempt, "the step did not work");
                kind = word;
                due
            }
        };
        came_to(kind);
        let due_at = due.map(|after| now + i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2));
        tracing::debug!(kind, state = post.state.as_str(), due_at, "step over");
        self.write_down(&lease, || self.store.save(&lease, &post, due_at, kind, now)).await;
    }
}

/// An error with its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

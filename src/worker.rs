//! What the service does by itself: leases posts from the store and does one step at a time.
//!
//! A step is a function from a post to what follows. It neither sleeps nor retries; what it finds is
//! written down here, once for all steps, under the lease.

mod access_token;
mod announce;
mod app_quota;
mod belief;
mod describe;
mod housekeeping;
mod inspect;
mod parallelism;
mod process;
mod publish;
mod rate_limits;
mod retry;
mod slots;
mod stage;
#[cfg(test)]
mod tests;
mod tier;
mod upload;
mod uploads;
mod verdict;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use parallelism::Parallelism;
use retry::insist;
use slots::{Gate, TransferSlot, Transfers, Turn};
use verdict::{STORAGE, ask};

use crate::{
    account::{AccountId, PersonRef},
    chat::Chats,
    clock::Clock,
    config,
    health::{Health, PULSE, supervise},
    post::{Failure, Party, Pause, Post, State},
    staging::Staging,
    store::{Claimed, LEASE, Lease, Room, StepKind, Store, StoreError, Topics},
    twitter::X,
    words,
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
    /// Days after which finished posts are deleted.
    pub retention_days: u32,
    /// Told what only they can mend.
    pub operators: Vec<PersonRef>,
    /// People whose posts are not sent.
    pub blocked: Vec<PersonRef>,
    pub running: Running,
    /// Told how the worker's tasks are doing.
    pub health: Health,
}

/// What a worker has under way.
#[derive(Clone)]
pub struct Running {
    transfers: Transfers,
    gate: Gate,
    segments: Parallelism,
    stopping: CancellationToken,
    tasks: TaskTracker,
    refreshes: Arc<Mutex<HashMap<AccountId, Arc<tokio::sync::Mutex<()>>>>>,
    /// When a recent token of each account was last refreshed because X refused it, in Unix milliseconds.
    renewals: Arc<Mutex<HashMap<AccountId, i64>>>,
    days: app_quota::Kept,
}

impl Running {
    /// Nothing yet.
    pub fn new(settings: &config::Worker) -> Running {
        Running {
            transfers: Transfers::new(settings.transfers),
            gate: Gate::default(),
            segments: Parallelism::new(settings.upload_parallelism),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::default(),
            refreshes: Arc::default(),
            renewals: Arc::default(),
            days: app_quota::Kept::default(),
        }
    }

    /// Tells, once within ten minutes, that a recent token which X refuses may be refreshed.
    fn may_renew(&self, account: &AccountId, now: i64) -> bool {
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        renewals.retain(|_, at| (0..access_token::FRESH_MS).contains(&(now - *at)));
        match renewals.entry(account.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(renewal) => {
                renewal.insert(now);
                true
            }
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
    /// Storage does not have the file any more, or not as it was given.
    #[error("the staged file is lost: {why}")]
    Lost { why: String },
    /// The service is stopping, and there is no time for a request that must not be cut off.
    #[error("the service is stopping")]
    Stopping,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long a post that is suspected of killing the process runs alone.
const SUSPECTED_FOR: Duration = Duration::from_secs(60);
/// A database that fails is left alone this long.
const RECOVERY: Duration = Duration::from_secs(2);
/// A lane that is due and cannot be claimed is being written to by somebody, which takes about as long.
const WRITING: Duration = Duration::from_millis(20);
/// A changed row wakes the loop; this is the net beneath.
const POLL: i64 = 2_000;

/// The slot of a step; free again when dropped.
enum Slot {
    Call(#[allow(dead_code, reason = "held until the step ends")] OwnedSemaphorePermit),
    Transfer(#[allow(dead_code, reason = "held until the step ends")] TransferSlot),
}

impl Worker {
    /// Does what is due until `stop`, then lets what is running come to a safe point.
    pub async fn run(mut self, stop: CancellationToken) {
        self.running.stopping = stop.clone();
        let silence = CancellationToken::new();
        let announcer = tokio::spawn({
            let (worker, silence) = (self.clone(), silence.clone());
            async move {
                let part = worker.health.part("announcer");
                let task = || announce::run(worker.clone(), silence.clone());
                supervise("announcer", &part, &silence, task).await;
            }
        });
        let housekeeper = tokio::spawn({
            let (worker, silence) = (self.clone(), silence.clone());
            async move {
                let part = worker.health.part("housekeeper");
                let task = || housekeeping::run(worker.clone(), silence.clone());
                supervise("housekeeper", &part, &silence, task).await;
            }
        });
        let part = self.health.part("worker");
        let loops = [StepKind::Call, StepKind::Transfer].map(|kind| {
            let (worker, part, stop) = (&self, &part, &stop);
            supervise("worker", part, stop, move || worker.work(kind, stop))
        });
        join_all(loops).await;
        let steps = &self.running.tasks;
        steps.close();
        steps.wait().await;
        // Only now, so that what the last steps found is said.
        silence.cancel();
        let _ = tokio::join!(announcer, housekeeper);
    }

    /// Does the steps of one kind that are due, until `stop`.
    async fn work(&self, kind: StepKind, stop: &CancellationToken) {
        let calls = Arc::new(Semaphore::new(self.settings.concurrency));
        let Running { transfers, gate, .. } = &self.running;
        // Subscribed before the first look, so that no wake-up is missed.
        let mut changes = self.store.changes_of(Topics::QUEUE);
        let part = self.health.part("worker");
        while !stop.is_cancelled() {
            part.beat();
            let slot = async {
                match kind {
                    StepKind::Call => calls.clone().acquire_owned().await.ok(),
                    StepKind::Transfer => transfers.wait().await,
                }
            };
            let place = async { Some((slot.await?, gate.enter().await)) };
            let (slot, turn) = tokio::select! {
                Some(place) = place => place,
                () = tokio::time::sleep(PULSE) => continue,
                () = stop.cancelled() => break,
            };
            changes.mark_unchanged();
            let full = transfers.full_user().unwrap_or_default();
            let alone = turn.is_alone();
            let room = Room { kind, without: &full, suspects: alone };
            let now = self.clock.now_ms();
            let due = match self.store.claim_step(&room, now).await {
                Ok(Claimed::Lease(lease)) if lease.is_suspect() && !alone => {
                    tracing::warn!(post = %lease.post.id, "a post may have killed the process; it runs alone");
                    gate.set_careful(true);
                    let _ = self.write_down(&lease, || self.store.unclaim(&lease, now)).await;
                    continue;
                }
                Ok(Claimed::Lease(lease)) => {
                    let slot = match kind {
                        StepKind::Call => Slot::Call(slot),
                        StepKind::Transfer => Slot::Transfer(transfers.take(slot, &lease.post.user)),
                    };
                    self.running.tasks.spawn(self.clone().step(*lease, slot, turn, stop.clone()));
                    continue;
                }
                Ok(Claimed::Unreadable(post)) => {
                    self.operator_told("unreadable_post", &words::operator_unreadable_post(&post)).await;
                    continue;
                }
                Ok(Claimed::Nothing { .. }) if alone => {
                    gate.set_careful(false);
                    continue;
                }
                Ok(Claimed::Nothing { due }) => due,
                Err(error) => {
                    drop((slot, turn));
                    tracing::error!(error = chain(&error), "the queue could not be read");
                    stop.run_until_cancelled(tokio::time::sleep(RECOVERY)).await;
                    continue;
                }
            };
            drop((slot, turn));
            let passed_over = due.is_some_and(|due| due <= now);
            let due = due.map_or(now + POLL, |due| due.clamp(now + 1, now + POLL));
            tokio::select! {
                _ = changes.changed() => {}
                () = self.clock.sleep_until(due) => {}
                () = tokio::time::sleep(WRITING), if passed_over => {}
                // A user who had their share may have more.
                () = transfers.freed(), if kind == StepKind::Transfer => {}
                () = stop.cancelled() => break,
            }
        }
    }

    /// Does the step that a lease is for, keeps the lease alive meanwhile, and writes down what came of it.
    async fn step(self, lease: Lease, _slot: Slot, turn: Turn, stop: CancellationToken) {
        let suspect = turn.is_alone();
        let span = tracing::info_span!(
            "post",
            id = %lease.post.id,
            account = %lease.account,
            step = lease.post.state.as_str(),
        );
        async {
            let started = std::time::Instant::now();
            let mut post = lease.post.clone();
            // A post that has not killed the process within a minute will not do so because others run beside it.
            let watch = async {
                if suspect {
                    tokio::time::sleep(SUSPECTED_FOR).await;
                }
                let _turn = turn.let_others_in();
                std::future::pending::<()>().await;
            };
            let act = async {
                if post.intent_at.is_none() && self.blocks(&post) {
                    Err(StepError::Fail(Failure::Blocked))
                } else if lease.crash_loop() && post.intent_at.is_none() {
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
                }
            };
            let outcome = tokio::select! {
                outcome = act => outcome,
                () = watch => Ok(Next::Stopped),
            };
            metrics::histogram!("toall_step_seconds", "step" => lease.post.state.as_str())
                .record(started.elapsed().as_secs_f64());
            self.settle(lease, post, outcome).await;
        }
        .instrument(span)
        .await;
    }

    /// True for a post of somebody whom the operator blocked.
    fn blocks(&self, post: &Post) -> bool {
        self.blocked.iter().any(|person| person.to_string() == post.user)
    }

    async fn act(&self, lease: &Lease, post: &mut Post, stop: &CancellationToken) -> Result<Next, StepError> {
        match post.state {
            State::Staging => stage::stage(self, lease, post, stop).await,
            State::Inspecting => inspect::inspect(self, lease, post, stop).await,
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
                let _ = self.write_down(&lease, || self.store.give_back(&lease, now)).await;
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
                if state != post.state && post.state.is_transfer() {
                    // The whole file was read from storage, or written to it.
                    self.operator_told_of_end(STORAGE, &words::operator_storage_works()).await;
                }
                kind = if state == post.state { "waits" } else { "goes_on" };
                self.worked(&lease, state).await;
                if state != post.state {
                    post.waiting = None;
                    // A copy proves nothing about the storage that it is to be read from, nor does a look into it.
                    if !matches!(post.state, State::Staging | State::Inspecting) {
                        post.attempt = 0;
                    }
                }
                if post.attempt == 0 {
                    post.trouble_since = None;
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
                if lease.has_progressed() {
                    (post.attempt, post.trouble_since) = (0, None);
                }
                if let StepError::Store(error) = &error
                    && error.is_permanent()
                {
                    self.operator_told_of_rejection(&post, error).await;
                }
                let (word, due) = self.verdict(&lease, &mut post, &error, now).await;
                tracing::warn!(%error, attempt = post.attempt, "the step did not work");
                kind = word;
                due
            }
        };
        came_to(kind);
        let due_at = due.map(|after| now + i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2));
        tracing::debug!(kind, state = post.state.as_str(), due_at, "step over");
        let written = self.write_down(&lease, || self.store.save(&lease, &post, due_at, kind, now)).await;
        if let Err(error) = written {
            // The same would be refused after every repetition: what little can be stored ends the post.
            self.operator_told_of_rejection(&post, &error).await;
            let may_be_posted = post.intent_at.is_some() || lease.post.intent_at.is_some();
            let _ = self.write_down(&lease, || self.store.end_rejected(&lease, may_be_posted, now)).await;
        }
    }

    /// Tells the operators that the database refuses what a post needs stored.
    async fn operator_told_of_rejection(&self, post: &Post, error: &StoreError) {
        tracing::error!(post = %post.id, error = chain(error), "the database refuses what the step found");
        let incident = format!("rejected:{}", post.id);
        self.operator_told(&incident, &words::operator_result_rejected(&post.id.to_string())).await;
    }
}

/// An error with its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

//! What the service does by itself: leases posts from the store and does one step at a time.
//!
//! A step is a function from a post to what follows. It neither sleeps nor retries; what it finds is
//! written down here, once for all steps, under the lease.

mod access;
mod announce;
mod inspect;
mod process;
mod publish;
mod stage;
mod upload;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    account::AccountId,
    chat::Chats,
    clock::Clock,
    config,
    post::{Failure, Party, Post, State, Waiting},
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
    pub running: Running,
}

/// What a worker has under way.
#[derive(Clone, Default)]
pub struct Running {
    tasks: TaskTracker,
    refreshes: Arc<Mutex<HashMap<AccountId, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Running {
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
    /// X named a time, in Unix milliseconds.
    #[error("X asked to wait until {until}")]
    RateLimited { until: i64 },
    #[error("the X app has no credits")]
    OutOfCredits,
    #[error("the account must be linked again")]
    SignedOut,
    /// What an earlier state did is void; go on from here, later each time.
    #[error("back to {to:?}: {why}")]
    Back { to: State, why: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A call that X answers with 402 is tried again this much later: credits are bought in minutes.
const CREDITS_PAUSE: Duration = Duration::from_secs(10 * 60);
/// How often a step that meets trouble is tried: with delays of up to ten minutes, about nine hours.
const MAX_ATTEMPTS: u32 = 60;
/// A database that fails is left alone this long.
const RECOVERY: Duration = Duration::from_secs(2);
/// Tries of a look that did not work, after which the person is asked all the same.
const MAX_LOOKS: u32 = 8;
/// A post in doubt does not keep its account waiting longer than this for X to let us look.
const MAX_DOUBT: Duration = Duration::from_secs(5 * 60);
/// A changed row wakes the loop; this is the net beneath.
const POLL: i64 = 2_000;

impl Worker {
    /// Does what is due until `stop`, then lets what is running come to a safe point.
    pub async fn run(self, stop: CancellationToken) {
        let steps = &self.running.tasks;
        let silence = CancellationToken::new();
        let announcer = tokio::spawn(announce::run(self.clone(), silence.clone()));
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
            let due = due.map_or(now + POLL, |due| due.clamp(now + 1, now + POLL));
            tokio::select! {
                _ = changes.changed() => {}
                () = self.clock.sleep_until(due) => {}
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
            State::Inspecting => inspect::inspect(self, post).await,
            State::Uploading => upload::upload(self, lease, post, stop).await,
            State::Processing => process::process(self, lease, post).await,
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
        let kind;
        let due = match outcome {
            Ok(Next::Stopped) => {
                self.written(self.store.give_back(lease, now).await);
                return;
            }
            Ok(Next::Posted(x_post_id)) => {
                tracing::info!(x_post_id, "posted");
                metrics::counter!("toall_posts_total", "outcome" => "posted").increment(1);
                insist(|| self.store.posted(&lease, &x_post_id, self.clock.now_ms())).await;
                return;
            }
            Ok(Next::Go(state, after)) => {
                kind = if state == post.state { "waits" } else { "goes_on" };
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
                return;
            }
            Err(error) => {
                let (word, due) = self.verdict(&mut post, &error, now);
                tracing::warn!(%error, attempt = post.attempt, "the step did not work");
                kind = word;
                due
            }
        };
        let due_at = due.map(|after| now + i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2));
        tracing::debug!(kind, state = post.state.as_str(), due_at, "step over");
        self.written(self.store.save(lease, &post, due_at, kind, now).await);
    }

    /// What follows from an error: the post's new state, and how long to wait before it is looked at again.
    fn verdict(&self, post: &mut Post, error: &StepError, now: i64) -> (&'static str, Option<Duration>) {
        let until = |after: Duration| now + i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2);
        let fail = |post: &mut Post, failure: Failure| {
            metrics::counter!("toall_posts_total", "outcome" => "failed").increment(1);
            post.state = State::Failed;
            post.waiting = None;
            post.failure = Some(failure);
            ("failed", None)
        };
        if post.intent_at.is_some() {
            return self.doubt(post, error, now);
        }
        match error {
            StepError::Fail(failure) => fail(post, failure.clone()),
            StepError::Trouble { with, .. } => {
                post.attempt = post.attempt.saturating_add(1);
                if post.attempt > MAX_ATTEMPTS {
                    return fail(post, Failure::GaveUp { on: *with });
                }
                let after = backoff(post.attempt);
                post.waiting = Some(Waiting::Trouble { with: *with, until: until(after) });
                ("trouble", Some(after))
            }
            StepError::Back { to, .. } => {
                post.attempt = post.attempt.saturating_add(1);
                post.state = *to;
                if post.attempt > MAX_ATTEMPTS {
                    return fail(post, Failure::GaveUp { on: Party::X });
                }
                // Once is an expired session; more often is an incident.
                let tries = post.attempt.max(post.sessions.saturating_sub(1));
                let at_once = tries <= 1 && *to == State::Uploading;
                let after = if at_once { Duration::ZERO } else { backoff(tries) };
                post.waiting = (!at_once).then(|| Waiting::Trouble { with: Party::X, until: until(after) });
                ("back", Some(after))
            }
            StepError::RateLimited { until } => {
                post.waiting = Some(Waiting::RateLimit { until: *until });
                let after = Duration::from_millis(until.saturating_sub(now).max(0).unsigned_abs());
                ("rate_limited", Some(after + jitter(Duration::from_secs(2))))
            }
            StepError::OutOfCredits => {
                post.waiting = Some(Waiting::Credits { until: until(CREDITS_PAUSE) });
                ("out_of_credits", Some(CREDITS_PAUSE))
            }
            StepError::SignedOut => {
                post.waiting = Some(Waiting::Reconnect);
                // Due, yet on a lane that rests until the account is linked again.
                ("signed_out", Some(Duration::ZERO))
            }
            StepError::Store(_) => ("store", Some(backoff(1))),
        }
    }

    /// What follows from an error about a post that may be on X: it is never failed, and not kept waiting for ever.
    fn doubt(&self, post: &mut Post, error: &StepError, now: i64) -> (&'static str, Option<Duration>) {
        post.attempt = post.attempt.saturating_add(1);
        let at = |after: Duration| now + i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2);
        let (after, waiting) = match error {
            // Sure to be said of the attempt at hand, and not to be mended by waiting.
            StepError::Fail(failure) if post.state != State::NeedsUser => {
                ask(post);
                post.failure = Some(failure.clone());
                return ("unsure", Some(MAX_DOUBT));
            }
            StepError::RateLimited { until } => {
                let wait = Duration::from_millis(until.saturating_sub(now).max(0).unsigned_abs());
                (wait + jitter(Duration::from_secs(2)), Waiting::RateLimit { until: *until })
            }
            StepError::OutOfCredits => (CREDITS_PAUSE, Waiting::Credits { until: at(CREDITS_PAUSE) }),
            StepError::SignedOut => (Duration::ZERO, Waiting::Reconnect),
            StepError::Back { to, .. } if post.state != State::NeedsUser => {
                post.state = *to;
                (backoff(post.attempt.max(post.sessions)), Waiting::Looking)
            }
            _ => (backoff(post.attempt), Waiting::Looking),
        };
        // What the person wants posted again waits as any other post does.
        let out_of_patience = post.attempt > MAX_LOOKS || (after > MAX_DOUBT && !post.resend);
        if post.state != State::NeedsUser && !out_of_patience {
            post.waiting = Some(waiting);
            return ("doubt", Some(after));
        }
        ask(post);
        ("unsure", (post.attempt <= MAX_ATTEMPTS).then_some(after))
    }

    /// A row that could not be written keeps its lease until that runs out; then the step is done again.
    fn written(&self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {}
            Err(StoreError::LeaseLost) => tracing::info!("the lease was lost; nothing is written"),
            Err(error) => {
                tracing::error!(error = chain(&error), "what the step found could not be written down")
            }
        }
    }
}

/// 5 s, 10 s, 20 s … 10 min, each up to a fifth longer, so that many do not come back at once.
fn backoff(attempt: u32) -> Duration {
    let wait = Duration::from_secs(5 << attempt.saturating_sub(1).min(7)).min(Duration::from_secs(600));
    wait + jitter(wait / 5)
}

fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

/// Leaves it to the person to say whether the post is on X.
fn ask(post: &mut Post) {
    post.state = State::NeedsUser;
    post.waiting = None;
    post.resend = false;
    post.looks = 0;
}

/// Writes down what nobody else knows: tried until it is written.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(mut write: impl FnMut() -> F) -> T {
    let mut pause = Duration::from_millis(50);
    loop {
        match write().await {
            Ok(done) => return done,
            Err(error) => {
                tracing::error!(error = chain(&error), "what was learnt cannot be written down yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

/// An error with its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

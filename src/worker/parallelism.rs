//! How many segments go to X side by side, over all uploads of this process.
//!
//! More connections are faster until the line is full; then they only make each other slow, up to the point where none
//! gets through. So their number follows what the line carries: it doubles while that raises the throughput, and
//! halves when segments time out. Each upload may always send one segment, so that none waits for another.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Segments side by side at the start, for one upload.
const START: usize = 4;
/// A doubling is kept if the throughput grows at least by this factor.
const GAIN: f64 = 1.15;
/// Rounds without a doubling after one that did not help, or after a halving.
const PAUSE_ROUNDS: u32 = 8;
/// Refusals within one round that count as X being overloaded.
const BURST: u32 = 2;

/// The segments that all uploads of a process share. Clones are one.
#[derive(Clone)]
pub(super) struct Parallelism {
    permits: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
    /// The most segments that are shared.
    most: usize,
}

struct State {
    /// How many segments are shared at present, beside the one that each upload has.
    shared: usize,
    /// Permits in use beyond that, withdrawn as they come back.
    surplus: usize,
    /// Segments on their way.
    busy: usize,
    /// How often the number was halved. What segments report that began before the last halving is known by then.
    halvings: u32,
    refusals: u32,
    round: Round,
    /// Throughput and number of shared segments before the doubling that is being tried.
    tried_from: Option<(f64, usize)>,
    pause: u32,
}

/// A measurement of the throughput: as many segments as went side by side when it began.
struct Round {
    began: Instant,
    left: usize,
    bytes: u64,
}

impl Round {
    fn of(segments: usize) -> Round {
        Round { began: Instant::now(), left: segments.max(1), bytes: 0 }
    }
}

/// Outcome of sending a segment, as far as it tells about the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Whole {
        bytes: u64,
    },
    /// It stood still, timed out, or its connection broke.
    Stuck,
    /// X was overloaded: 429 or 5xx.
    Refused,
    /// Something that has nothing to do with the line.
    Unrelated,
}

/// Leave to send a segment.
pub(super) struct Leave<'a> {
    of: &'a Parallelism,
    permit: Option<OwnedSemaphorePermit>,
    is_shared: bool,
    halvings: u32,
}

impl Parallelism {
    /// Begins with a few segments; one upload never sends more than `upload_parallelism`.
    pub(super) fn new(upload_parallelism: usize) -> Parallelism {
        let most = upload_parallelism.saturating_sub(1);
        let shared = most.min(START - 1);
        let state = State {
            shared,
            surplus: 0,
            busy: 0,
            halvings: 0,
            refusals: 0,
            round: Round::of(shared + 1),
            tried_from: None,
            pause: 0,
        };
        Parallelism { permits: Arc::new(Semaphore::new(shared)), state: Arc::new(Mutex::new(state)), most }
    }

    /// Waits for leave to send a segment. `own` is the upload's semaphore of one permit.
    pub(super) async fn begin(&self, own: &Arc<Semaphore>) -> Leave<'_> {
        // Neither semaphore is ever closed, so an error cannot come up; it would only lift the limit.
        let (permit, is_shared) = tokio::select! {
            biased;
            permit = own.clone().acquire_owned() => (permit.ok(), false),
            permit = self.permits.clone().acquire_owned() => (permit.ok(), true),
        };
        let mut state = self.state();
        state.busy += 1;
        Leave { of: self, permit, is_shared, halvings: state.halvings }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the number of shared segments and begins to measure anew.
    fn set(&self, state: &mut State, shared: usize) {
        if shared > state.shared {
            let more = shared - state.shared;
            let kept = more.min(state.surplus);
            state.surplus -= kept;
            self.permits.add_permits(more - kept);
        } else {
            let fewer = state.shared - shared;
            state.surplus += fewer - self.permits.forget_permits(fewer);
        }
        if shared != state.shared {
            tracing::debug!(segments = shared + 1, "segments side by side");
        }
        state.shared = shared;
        state.refusals = 0;
        state.round = Round::of(state.busy);
    }

    fn halve(&self, state: &mut State) {
        state.halvings = state.halvings.wrapping_add(1);
        (state.tried_from, state.pause) = (None, PAUSE_ROUNDS);
        let half = state.shared / 2;
        self.set(state, half);
    }

    /// Draws the conclusion from a round in which the line carried `rate` bytes a second.
    fn learn(&self, state: &mut State, rate: f64) {
        let doubled = (2 * state.shared + 1).min(self.most);
        let next = match state.tried_from.take() {
            Some((before, shared)) if rate < before * GAIN => {
                state.pause = PAUSE_ROUNDS;
                shared
            }
            None if state.pause > 0 => {
                state.pause -= 1;
                state.shared
            }
            _ if doubled > state.shared => {
                state.tried_from = Some((rate, state.shared));
                doubled
            }
            _ => state.shared,
        };
        self.set(state, next);
    }
}

impl Leave<'_> {
    /// Reports what came of the segment.
    pub(super) fn report(mut self, sent: Sent) {
        self.give_back();
        let of = self.of;
        let mut state = of.state();
        match sent {
            Sent::Stuck if self.halvings == state.halvings => of.halve(&mut state),
            Sent::Refused if self.halvings == state.halvings => {
                state.refusals += 1;
                if state.refusals >= BURST {
                    of.halve(&mut state);
                }
            }
            Sent::Whole { bytes } => {
                state.round.bytes += bytes;
                state.round.left = state.round.left.saturating_sub(1);
                // While nobody waits, the line is not what keeps segments from being sent.
                if of.permits.available_permits() > 0 {
                    state.round = Round::of(state.busy);
                } else if state.round.left == 0 {
                    let took = state.round.began.elapsed().max(Duration::from_millis(1));
                    let rate = state.round.bytes as f64 / took.as_secs_f64();
                    of.learn(&mut state, rate);
                }
            }
            Sent::Stuck | Sent::Refused | Sent::Unrelated => {}
        }
    }

    fn give_back(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.of.state();
        state.busy = state.busy.saturating_sub(1);
        if self.is_shared && state.surplus > 0 {
            state.surplus -= 1;
            permit.forget();
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Parallelism {
        fn level(&self) -> usize {
            self.state().shared + 1
        }
    }

    /// Feeds rounds whose throughput depends on the number of segments side by side.
    fn after(rounds: usize, most: usize, line: impl Fn(usize) -> f64) -> Vec<usize> {
        let parallelism = Parallelism::new(most);
        let mut levels = Vec::new();
        for _ in 0..rounds {
            let mut state = parallelism.state();
            let rate = line(state.shared + 1);
            parallelism.learn(&mut state, rate);
            levels.push(state.shared + 1);
        }
        levels
    }

    #[test]
    fn it_grows_while_the_line_carries_more() {
        // Each segment waits for its answer, so twice as many carry twice as much.
        assert_eq!(after(4, 16, |level| level as f64)[..2], [8, 16]);
        assert_eq!(after(20, 16, |level| level as f64).last(), Some(&16));
        assert_eq!(after(20, 1, |level| level as f64).last(), Some(&1), "the operator's bound");
        // A full line: tried now and then, and taken back.
        let full = after(40, 16, |_| 300_000.0);
        assert_eq!(full[..3], [8, 4, 4]);
        assert!(full.iter().all(|level| [4, 8].contains(level)));
        assert!(full.iter().filter(|level| **level == 8).count() <= 5, "{full:?}");
    }

    #[tokio::test]
    async fn a_line_that_is_stuck_halves_it_once() {
        let parallelism = Parallelism::new(16);
        let own = || Arc::new(Semaphore::new(1));
        let (one, other) = (own(), own());
        let mut leaves = Vec::new();
        for _ in 0..4 {
            leaves.push(parallelism.begin(&one).await);
        }
        leaves.push(parallelism.begin(&other).await);
        assert!(futures::FutureExt::now_or_never(parallelism.begin(&one)).is_none(), "four of one upload");
        for leave in leaves {
            leave.report(Sent::Stuck);
        }
        assert_eq!(parallelism.level(), 2, "all of them were stuck in the same jam");
        let first = parallelism.begin(&one).await;
        let second = parallelism.begin(&one).await;
        assert!(futures::FutureExt::now_or_never(parallelism.begin(&one)).is_none());
        first.report(Sent::Stuck);
        second.report(Sent::Unrelated);
        assert_eq!(parallelism.level(), 1);
        parallelism.begin(&one).await.report(Sent::Stuck);
        assert_eq!(parallelism.level(), 1, "each upload may always send one");
    }

    #[tokio::test]
    async fn one_refusal_is_no_burst() {
        let parallelism = Parallelism::new(16);
        let own = Arc::new(Semaphore::new(1));
        parallelism.begin(&own).await.report(Sent::Refused);
        assert_eq!(parallelism.level(), 4);
        let (first, second) = (parallelism.begin(&own).await, parallelism.begin(&own).await);
        first.report(Sent::Refused);
        second.report(Sent::Refused);
        assert_eq!(parallelism.level(), 2);
        drop(parallelism.begin(&own).await);
        assert_eq!(parallelism.state().busy, 0);
    }
}

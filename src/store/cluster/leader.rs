//! Work that one process at a time does for all: begun when its name is free, ended before another may have taken it.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::store::{Store, Topics};

/// How often a name is prolonged by who holds it, and looked at by who does not.
const BEAT: Duration = Duration::from_secs(3);
/// How long after it was last prolonged a name is let go of. What is left of [`crate::store::HOLD`] then is for the work to come to an
/// end, and for clocks that differ.
const LET_GO: Duration = Duration::from_secs(7);
const _: () =
    assert!(LET_GO.as_secs() > 2 * BEAT.as_secs() && crate::store::HOLD.as_secs() >= LET_GO.as_secs() + 5);
/// How long a database that does not answer is left alone.
const RECOVERY: Duration = Duration::from_secs(1);
/// What changes all the time is looked at this often at most.
const REST: Duration = Duration::from_millis(100);

/// A name that this process holds.
struct Held<'a> {
    name: &'a str,
    epoch: i64,
    /// When it was asked for: it must never seem younger than it is.
    at: Instant,
}

impl Store {
    /// Does `work` whenever this process holds `name`, until `stop`.
    ///
    /// The token that `work` is given ends it: when the name is lost, when the database has not answered for so long that
    /// another may soon take it, and at `stop`. Once it has ended, the name is given back. Returns when `work` ends
    /// untold, with what it returns.
    ///
    /// Where nobody else works on the database, the name is this process's without a lease.
    pub async fn on_duty<E, F: Future<Output = Result<(), E>>>(
        &self,
        name: &str,
        clock: &Clock,
        stop: &CancellationToken,
        mut work: impl FnMut(CancellationToken) -> F,
    ) -> Result<(), E> {
        if self.among_others().is_none() {
            return work(stop.child_token()).await;
        }
        while let Some(held) = self.turn(name, clock, stop).await {
            tracing::debug!(name, epoch = held.epoch, "on duty");
            let told = stop.child_token();
            let mut work = pin!(work(told.clone()));
            let ended = tokio::select! {
                ended = &mut work => Some(ended),
                () = self.keep(&held, clock) => None,
            };
            let relieved = ended.is_none();
            let ended = match ended {
                Some(ended) => ended,
                None => {
                    tracing::warn!(name, "another process may do this now; it ends here");
                    told.cancel();
                    work.await
                }
            };
            if let Err(error) = self.give_up(name, &self.node, held.epoch).await {
                tracing::debug!(name, %error, "not given back; it is free soon");
            }
            ended?;
            if !relieved {
                break;
            }
        }
        Ok(())
    }

    /// Waits until this process holds the name; `None` at `stop`.
    async fn turn<'a>(&self, name: &'a str, clock: &Clock, stop: &CancellationToken) -> Option<Held<'a>> {
        let mut changes = self.changes_of(Topics::LEASES);
        while !stop.is_cancelled() {
            changes.mark_unchanged();
            let (at, now) = (Instant::now(), clock.now_ms());
            let taken = async {
                match self.is_free(name, &self.node, now).await? {
                    true => self.hold(name, &self.node, now).await,
                    false => Ok(None),
                }
            };
            match taken.await {
                Ok(Some(epoch)) => return Some(Held { name, epoch, at }),
                Ok(None) => {
                    let waited = async {
                        tokio::select! {
                            _ = changes.changed() => sleep(REST).await,
                            () = clock.sleep_until(now + beat_ms()) => {}
                        }
                    };
                    stop.run_until_cancelled(waited).await;
                }
                Err(error) => {
                    tracing::debug!(name, %error, "whose turn it is cannot be read");
                    stop.run_until_cancelled(sleep(RECOVERY)).await;
                }
            }
        }
        None
    }

    /// Prolongs a name until it is lost, or may soon be.
    async fn keep(&self, held: &Held<'_>, clock: &Clock) {
        let mut at = held.at;
        loop {
            let prolonged = async {
                sleep(BEAT).await;
                loop {
                    let asked = Instant::now();
                    match self.hold(held.name, &self.node, clock.now_ms()).await {
                        Ok(Some(epoch)) if epoch == held.epoch => return Some(asked),
                        Ok(_) => return None,
                        Err(error) => {
                            tracing::warn!(name = held.name, %error, "could not be prolonged");
                            sleep(RECOVERY).await;
                        }
                    }
                }
            };
            match timeout_at(at + LET_GO, prolonged).await {
                Ok(Some(asked)) => at = asked,
                Ok(None) | Err(_) => return,
            }
        }
    }
}

fn beat_ms() -> i64 {
    i64::try_from(BEAT.as_millis()).unwrap_or(i64::MAX / 2)
}

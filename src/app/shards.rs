//! Which shards of the Discord gateway this process runs: its share of all, by a lease for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    panic::resume_unwind,
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    chat::{
        ChatError, Inbox,
        discord::{Discord, Shards},
    },
    clock::Clock,
    store::{Holding, Store, StoreError, Topics},
};

/// How often it is looked whether the shares have changed, though nothing else has.
const LOOK_MS: i64 = 3_000;
/// What changes all the time is looked at this often at most.
const REST: Duration = Duration::from_millis(100);
/// Sessions begin this far apart: Discord asks for 5 seconds (Gateway documentation, "Sharding", `max_concurrency`).
const APART: Duration = Duration::from_millis(5_500);
/// How long Discord or the database is left alone when it does not answer.
const RECOVERY: Duration = Duration::from_secs(5);

/// Leases of processes that hear the gateway.
const EAR: &str = "discord ear:";
/// Leases of shards: `of` how many, then which.
const SHARD: &str = "discord shard of ";

/// What a shard needs to run.
#[derive(Clone)]
pub(super) struct Sharing {
    pub discord: Discord,
    pub store: Store,
    pub clock: Clock,
    pub inbox: Inbox,
}

/// What ends each shard that this process runs, or waits to.
type Running = BTreeMap<u32, CancellationToken>;

impl Sharing {
    /// Runs this process's share until `stop`. `node` is its name among the others.
    pub async fn run(self, node: &str, stop: CancellationToken) -> Result<(), ChatError> {
        let ear = format!("{EAR}{node}");
        let listening = stop.child_token();
        // While this is held, the others leave a share to us.
        let present = self.store.on_duty(&ear, &self.clock, &listening, |told| async move {
            told.cancelled().await;
            Ok::<_, Infallible>(())
        });
        let shared = async {
            let ran = self.share(&stop).await;
            listening.cancel();
            ran
        };
        let (Ok(()), ran) = tokio::join!(present, shared);
        ran
    }

    async fn share(&self, stop: &CancellationToken) -> Result<(), ChatError> {
        let mut refused_total = None;
        while !stop.is_cancelled() {
            let total = match stop.run_until_cancelled(self.total(refused_total)).await {
                None => break,
                Some(Ok(total)) => total,
                Some(Err(error @ ChatError::Refused(_))) => return Err(error),
                Some(Err(error)) => {
                    self.discord.part().fails();
                    tracing::warn!(%error, "how many shards there are is not known yet");
                    stop.run_until_cancelled(sleep(RECOVERY)).await;
                    continue;
                }
            };
            // Refused with one number of shards: Discord may want more by now. Refused with that too: no use.
            match self.run_of(total, stop).await {
                Err(error @ ChatError::Refused(_)) if refused_total != Some(total) => {
                    tracing::warn!(%error, total, "Discord refused a shard; asking how many there are to be");
                    refused_total = Some(total);
                }
                ended => return ended,
            }
        }
        Ok(())
    }

    /// How many shards there are: as many as others run now, or as Discord recommends.
    async fn total(&self, refused: Option<u32>) -> Result<u32, ChatError> {
        let held = self.store.holdings(SHARD, self.clock.now_ms()).await;
        let held = held.map_err(|error| ChatError::Trouble(error.to_string()))?;
        match totals(&held).filter(|total| Some(*total) != refused).max() {
            Some(total) => Ok(total),
            None => self.discord.recommended_shards().await,
        }
    }

    /// Runs a share of so many shards until `stop`, or until one can never run.
    async fn run_of(&self, total: u32, stop: &CancellationToken) -> Result<(), ChatError> {
        let stop = stop.child_token();
        let mut running = Running::new();
        let mut tasks: JoinSet<(u32, Result<(), ChatError>)> = JoinSet::new();
        let mut changes = self.store.changes_of(Topics::LEASES);
        let mut next_start = Instant::now();
        let mut outcome = Ok(());
        loop {
            changes.mark_unchanged();
            let now = self.clock.now_ms();
            if !stop.is_cancelled() {
                match self.look(total, now).await {
                    Ok(view) if view.overtaken => {
                        outcome =
                            Err(ChatError::Refused("other processes run more shards by now".to_owned()));
                        stop.cancel();
                    }
                    Ok(view) => {
                        self.adapt(&view, total, &mut running, &mut tasks, &mut next_start, &stop);
                    }
                    // What runs goes on for as long as its lease does.
                    Err(error) => tracing::warn!(%error, "who runs which shard cannot be read"),
                }
            } else if tasks.is_empty() {
                return outcome;
            }
            tokio::select! {
                Some(ended) = tasks.join_next() => match ended {
                    Ok((shard, ended)) => {
                        running.remove(&shard);
                        if let Err(error) = ended {
                            outcome = outcome.and(Err(error));
                            stop.cancel();
                        }
                    }
                    Err(died) => match died.try_into_panic() {
                        Ok(panic) => resume_unwind(panic),
                        Err(_) => stop.cancel(),
                    },
                },
                _ = changes.changed() => sleep(REST).await,
                () = self.clock.sleep_until(now + LOOK_MS) => {}
                () = tokio::time::sleep_until(next_start), if next_start > Instant::now() => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    async fn look(&self, total: u32, now: i64) -> Result<View, StoreError> {
        let ears = self.store.holdings(EAR, now).await?.len();
        let all = self.store.holdings(SHARD, now).await?;
        let overtaken = totals(&all).any(|of| of > total);
        let held = self.store.holdings(&prefix(total), now).await?;
        let shards = |ours: bool| {
            held.iter()
                .filter(move |held| held.ours == ours)
                .filter_map(|held| held.name.parse().ok())
                .collect()
        };
        let ears = u32::try_from(ears).unwrap_or(u32::MAX);
        Ok(View { ears, overtaken, ours: shards(true), theirs: shards(false) })
    }

    /// Lets go of what is another's or more than our share, and begins what is nobody's.
    fn adapt(
        &self,
        view: &View,
        total: u32,
        running: &mut Running,
        tasks: &mut JoinSet<(u32, Result<(), ChatError>)>,
        next_start: &mut Instant,
        stop: &CancellationToken,
    ) {
        for shard in &view.theirs {
            // Another was quicker to take its lease; or has taken it since, and the duty is ending by itself.
            if let Some(stop) = running.get(shard) {
                stop.cancel();
            }
        }
        let kept = || running.iter().filter(|(_, stop)| !stop.is_cancelled());
        let share = view.share(total);
        let held = |shard: &u32| view.theirs.contains(shard) || view.ours.contains(shard);
        let free = (0..total).find(|shard| !held(shard) && !running.contains_key(shard));
        match free {
            Some(shard) if kept().count() < share && *next_start <= Instant::now() => {
                *next_start = Instant::now() + APART;
                let stop = stop.child_token();
                tasks.spawn(self.shard(shard, total, stop.clone()));
                running.insert(shard, stop);
            }
            // One at a time, so that the others can begin it before the next is let go of.
            None if kept().count() > share && kept().count() == running.len() => {
                if let Some((shard, stop)) = kept().next_back() {
                    tracing::info!(shard, total, "this shard is another process's share");
                    stop.cancel();
                }
            }
            _ => {}
        }
    }

    /// Runs a shard while its lease is held.
    fn shard(
        &self,
        shard: u32,
        total: u32,
        stop: CancellationToken,
    ) -> impl Future<Output = (u32, Result<(), ChatError>)> + use<> {
        let Sharing { discord, store, clock, inbox } = self;
        let (discord, store, clock, inbox) = (discord.clone(), store.clone(), clock.clone(), inbox.clone());
        async move {
            let name = format!("{}{shard}", prefix(total));
            let ran = store.on_duty(&name, &clock, &stop, |told| {
                let (discord, inbox) = (discord.clone(), inbox.clone());
                let shards = Shards::Some { ids: BTreeSet::from([shard]), total };
                async move { discord.run(inbox, &shards, told).await }
            });
            (shard, ran.await)
        }
    }
}

/// Of how many shards each of those is that somebody holds.
fn totals(held: &[Holding]) -> impl Iterator<Item = u32> {
    held.iter().filter_map(|held| held.name.split_once(": ")?.0.parse().ok())
}

fn prefix(total: u32) -> String {
    format!("{SHARD}{total}: ")
}

/// Who runs what, at one moment.
struct View {
    /// How many processes hear the gateway.
    ears: u32,
    /// Some run shards of more: Discord wanted that of them, and will of all.
    overtaken: bool,
    ours: BTreeSet<u32>,
    theirs: BTreeSet<u32>,
}

impl View {
    /// How many shards are this process's to run. Rounded up, so that none is left over.
    fn share(&self, total: u32) -> usize {
        total.div_ceil(self.ears.max(1)) as usize
    }
}

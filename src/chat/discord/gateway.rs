//! The gateway: registers the commands, then listens on each shard that this process runs.

use std::{collections::BTreeSet, panic::resume_unwind, sync::Arc};

use serenity::model::id::ApplicationId;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::chat::{ChatError, Inbox};

use super::{
    endpoint,
    pause::Pauses,
    receive::Hearing,
    shard::{Ended, Shard},
    turns::{self, Turns},
};

/// The shards of the gateway that a process runs. Discord spreads the servers over them (Gateway documentation, "Sharding").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shards {
    /// All, as many as Discord recommends.
    All,
    /// These of so many. Other processes run the others, of the same `total`.
    Some { ids: BTreeSet<u32>, total: u32 },
}

/// Listens until `stop`; returns an error only when trying again cannot help.
pub(super) async fn run(
    hearing: &Hearing,
    shards: &Shards,
    inbox: &Inbox,
    stop: &CancellationToken,
) -> Result<(), ChatError> {
    let mut pauses = Pauses::new();
    loop {
        pauses.begin(&hearing.clock);
        let error = match stop.run_until_cancelled(begin(hearing, shards, inbox)).await {
            None => return Ok(()),
            Some(Err(error @ ChatError::Refused(_))) => return Err(error),
            Some(Err(error)) => error,
            Some(Ok(begun)) => match listen(begun, hearing, stop).await {
                Ended::Stopped => return Ok(()),
                Ended::Refused(error) => return Err(error),
                Ended::TooFew => {
                    let why = "it recommends more shards by now".to_owned();
                    match shards {
                        Shards::All => ChatError::Trouble(why),
                        // The others run shards of as many: all have to change.
                        Shards::Some { .. } => return Err(ChatError::Refused(why)),
                    }
                }
            },
        };
        hearing.part.fails();
        tracing::warn!(%error, "Discord is out of reach; trying again");
        let wait = pauses.after(&error, &hearing.clock);
        if stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return Ok(());
        }
    }
}

/// Registers the commands and prepares the shards.
async fn begin(hearing: &Hearing, shards: &Shards, inbox: &Inbox) -> Result<Vec<Shard>, ChatError> {
    let application: ApplicationId = endpoint::leave(&hearing.rest).await?;
    hearing.rest.register_commands(application).await?;
    let gateway = turns::ask(&hearing.rest).await?;
    let (ids, total) = match shards {
        Shards::All => ((0..gateway.shards.max(1)).collect(), gateway.shards.max(1)),
        Shards::Some { ids, total } => (ids.clone(), *total),
    };
    if total < gateway.shards {
        tracing::warn!(of = total, recommended = gateway.shards, "Discord recommends more shards");
    }
    tracing::info!(shards = ?ids, of = total, "receiving from Discord");
    let turns = Arc::new(Turns::new(&hearing.rest, &hearing.clock, gateway, total));
    let shard = |id| Shard {
        id,
        total,
        application,
        hearing: hearing.clone(),
        turns: turns.clone(),
        inbox: inbox.clone(),
    };
    Ok(ids.into_iter().map(shard).collect())
}

/// Runs the shards until `stop`, or until one cannot go on.
async fn listen(shards: Vec<Shard>, hearing: &Hearing, stop: &CancellationToken) -> Ended {
    let stop = stop.child_token();
    // One looks for all processes: who runs the first.
    let looks = shards.iter().any(|shard| shard.id == 0);
    let running = shards.into_iter().map(|shard| shard.run(stop.clone())).collect();
    tokio::select! {
        ended = until_ended(running, &stop) => ended,
        never = endpoint::stay_away(hearing), if looks => match never {},
    }
}

/// Waits until all have ended; once one has, the others are stopped too. A panic goes on here: nothing that an operator
/// could set mends it.
async fn until_ended(mut running: JoinSet<Ended>, stop: &CancellationToken) -> Ended {
    let mut outcome = Ended::Stopped;
    while let Some(ended) = running.join_next().await {
        let ended = ended.unwrap_or_else(|died| match died.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Ended::Stopped,
        });
        if matches!(outcome, Ended::Stopped) {
            outcome = ended;
        }
        stop.cancel();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shard_that_panics_is_not_taken_for_one_that_discord_refuses() {
        let stop = CancellationToken::new();
        let mut shards = JoinSet::new();
        shards.spawn(async { panic!("ordered") });
        let ended = tokio::spawn(async move { until_ended(shards, &stop).await }).await;
        assert!(ended.is_err_and(|died| died.is_panic()));
    }
}

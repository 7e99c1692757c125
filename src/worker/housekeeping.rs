//! What wants doing for all, now and then: clears staging behind finished posts, gives unconfirmed links back to X,
//! forgets what nobody needs any more, and looks for work that was left lying.
//!
//! One process at a time does it. Two would do no harm, since each of these may be done twice; but a file would be
//! deleted and a bucket listed by every one of them.

use std::{
    collections::HashSet,
    convert::Infallible,
    time::{Duration, UNIX_EPOCH},
};

use tokio_util::sync::CancellationToken;

use super::{POLL, RECOVERY, Worker, chain, uploads};
use crate::{
    post::PostId,
    staging::PROBE,
    store::{Adopted, StoreError, Topics, Unconfirmed, UnnamedGrant},
    twitter::XError,
};

/// What is done at once.
const BATCH: u32 = 50;
/// Unconfirmed links and used-up tickets are looked for this often.
const HOUSEKEEPING_MS: i64 = 60_000;
/// Changes within this long cause one look for files to delete.
const MOMENT: Duration = Duration::from_millis(50);
/// When storage does not delete a file, it is asked again after this long.
const CLEAN_AGAIN_MS: i64 = 60_000;
/// Staged files that no row knows are looked for this often, and removed at this age: within the hour.
const SWEEP_EVERY_MS: i64 = 20 * 60_000;
const ORPHANED_FOR: Duration = Duration::from_secs(30 * 60);
/// Age of an upload in parts that a process left behind, although its post is known.
const ABANDONED_FOR: Duration = Duration::from_secs(48 * 3_600);
/// How long the audit trail of posts is kept.
const KEEP_EVENTS_MS: i64 = 30 * 24 * 3_600_000;
/// How long a membership is kept that nobody used.
const KEEP_SIGHTS_MS: i64 = 60 * 24 * 3_600_000;

/// Keeps house until `stop`, whenever it is this process's turn.
pub(super) async fn run(worker: Worker, stop: CancellationToken) {
    let Ok(()) = worker
        .store
        .on_duty::<Infallible, _>("housekeeping", &worker.clock, &stop, |told| keep_house(&worker, told))
        .await;
}

async fn keep_house(worker: &Worker, stop: CancellationToken) -> Result<(), Infallible> {
    let rounds = async {
        let mut sweep_at = 0;
        loop {
            let now = worker.clock.now_ms();
            let next = now + HOUSEKEEPING_MS;
            housekeep(worker, now >= sweep_at).await;
            if now >= sweep_at {
                sweep_at = now + SWEEP_EVERY_MS;
            }
            tokio::select! {
                () = worker.clock.sleep_until(next) => {}
                () = stop.cancelled() => return,
            }
        }
    };
    tokio::join!(cleaning(worker, &stop), rounds);
    Ok(())
}

/// Clears staging behind finished posts.
async fn cleaning(worker: &Worker, stop: &CancellationToken) {
    let mut changes = worker.store.changes_of(Topics::CLEANING);
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        let now = worker.clock.now_ms();
        let cleaned = async {
            match worker.store.next_cleaning_due().await? {
                Some(due) if due <= now => {
                    clean(worker, now).await?;
                    worker.store.next_cleaning_due().await
                }
                due => Ok(due),
            }
        };
        let due = match cleaned.await {
            Ok(due) => due.map_or(now + POLL, |due| due.clamp(now + 1, now + POLL)),
            Err(error) => {
                tracing::error!(error = chain(&error), "staging could not be cleared");
                stop.run_until_cancelled(tokio::time::sleep(RECOVERY)).await;
                continue;
            }
        };
        let changed = async {
            let _ = changes.changed().await;
            // A post that ends changes several times within a moment.
            tokio::time::sleep(MOMENT).await;
        };
        tokio::select! {
            () = changed => {}
            () = worker.clock.sleep_until(due) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn clean(worker: &Worker, now: i64) -> Result<(), StoreError> {
    for (id, key) in worker.store.due_cleanings(now, BATCH).await? {
        if let Some(key) = key
            && !worker.store.shared(id, &key).await?
            && let Err(error) = worker.staging.delete(&key).await
        {
            tracing::warn!(post = %id, %error, "a staged file could not be deleted yet");
            worker.store.clean_later(id, now + CLEAN_AGAIN_MS).await?;
            continue;
        }
        worker.store.cleaned(id, now).await?;
    }
    Ok(())
}

/// What wants doing now and then: gives unconfirmed links back to X, and removes what nobody needs any more.
async fn housekeep(worker: &Worker, sweeps: bool) {
    let now = worker.clock.now_ms();
    let done = async {
        settle_unconfirmed(worker, now).await?;
        uploads::drop_expired(worker, now).await?;
        worker.tend_limits(now).await?;
        worker.store.prune_leases(now).await?;
        let rearmed = worker.store.rearm_stranded(now).await?;
        metrics::counter!("toall_lanes_rearmed_total").increment(rearmed);
        if sweeps { sweep(worker, now).await } else { Ok(()) }
    };
    if let Err(error) = done.await {
        tracing::error!(error = chain(&error), "housekeeping did not work");
    }
}

/// Removes what a crash left in staging, and the audit trail nobody will read any more.
async fn sweep(worker: &Worker, now: i64) -> Result<(), StoreError> {
    worker.store.prune_events(now - KEEP_EVENTS_MS).await?;
    let before = now - i64::from(worker.retention_days) * 24 * 3_600_000;
    worker.store.prune_charges(before).await?;
    worker.store.prune_sessions(now).await?;
    while worker.store.delete_old_posts(before, BATCH).await? == BATCH as usize {}
    worker.store.prune_admissions(now - KEEP_SIGHTS_MS).await?;
    let known: HashSet<String> = worker.store.staged_keys().await?.into_iter().collect();
    // Another program's files in the same bucket are none of ours: ours end in an id, those of a probe too.
    let ours = |key: &str| {
        let name = key.rsplit('/').next().unwrap_or_default();
        name.strip_prefix(PROBE).unwrap_or(name).parse::<PostId>().is_ok()
    };
    let now = UNIX_EPOCH + Duration::from_millis(now.max(0).unsigned_abs());
    let known = |key: &str| known.contains(key);
    match worker.staging.sweep(ours, known, now - ORPHANED_FOR, now - ABANDONED_FOR).await {
        Ok(swept) if swept.objects + swept.uploads > 0 => tracing::info!(?swept, "orphaned files removed"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "staging could not be swept"),
    }
    Ok(())
}

/// Settles grants that nobody confirmed. Those of accounts that work for somebody are kept: giving one back could end
/// the account's access. The others are given back to X.
async fn settle_unconfirmed(worker: &Worker, now: i64) -> Result<(), StoreError> {
    for (hash, grant) in worker.store.expired_pending(now).await? {
        let (profile, tokens, grant) = match grant {
            Unconfirmed::Pending(pending) => (pending.profile, pending.tokens, pending.grant),
            Unconfirmed::Unnamed(UnnamedGrant { tokens, grant }) => {
                match worker.x.me(&tokens.access).await {
                    Ok(profile) => (profile, tokens, grant),
                    // Without a name they can be neither adopted nor safely given back: asked again in the next round.
                    Err(error) if now < tokens.access_expires_at && !matches!(error, XError::SignedOut) => {
                        tracing::warn!(%error, "X does not name the account of a grant yet");
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a grant ended before X named its account");
                        worker.store.drop_expired(&hash).await?;
                        continue;
                    }
                }
            }
        };
        if worker.store.adopt(&profile, &tokens, grant, now).await? != Adopted::InUse
            && let Err(error) = worker.x.revoke(&tokens).await
        {
            tracing::warn!(account = %profile.id, %error, "an unconfirmed link could not be revoked at X");
        }
        worker.store.drop_expired(&hash).await?;
    }
    Ok(())
}

//! What people have used up of the operator's limits, counted from the posts themselves.

use crate::store::{
    Lease, Store, StoreError,
    db::{
        engine::{On, Tx, query},
        locks,
    },
    posts::uploads::MAX_PUT_BYTES,
};
use crate::{
    clock::Month,
    config::Limits,
    post::{Mills, OverLimit},
};

/// Counts of a person reach back this far, in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

/// What a post would add to what is used up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) user: &'a str,
    /// As the chat says, if it does.
    pub(crate) bytes: Option<u64>,
    pub(crate) price: Mills,
}

impl Store {
    /// Costs of a month's posts and connections, with posts that are still under way.
    pub async fn spent(&self, month: &Month) -> Result<Mills, StoreError> {
        Ok(spent(&self.read, month).await?)
    }

    /// How many bytes the person of a leased post may still send today, this post left out.
    pub async fn bytes_left(&self, lease: &Lease, limit: u64, now: i64) -> Result<u64, StoreError> {
        let used = bytes(&self.read, &lease.post.user, &lease.post.id.to_string(), now).await?;
        Ok(limit.saturating_sub(used))
    }

    /// Counts a received file towards its person's day. False when that is more than they may send.
    pub async fn count_bytes(
        &self,
        lease: &Lease,
        received: u64,
        limit: u64,
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        locks::person(&mut tx, &lease.post.user).await?;
        self.fence(&mut tx, lease).await?;
        let id = lease.post.id.to_string();
        let used = bytes(&mut tx, &lease.post.user, &id, now).await?;
        if used.saturating_add(received) > limit {
            return Ok(false);
        }
        query("UPDATE posts SET counted_bytes = $1 WHERE id = $2")
            .bind(i64::try_from(received).unwrap_or(i64::MAX))
            .bind(id)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Locks what [`room`] counts for all people together, if it will. Their own counts are under the person's lock.
pub(crate) async fn lock(tx: &mut Tx, limits: &Limits) -> Result<(), sqlx::Error> {
    match limits.monthly_budget {
        Some(_) => locks::installation(tx).await,
        None => Ok(()),
    }
}

/// Whether the limits leave room for a post. In the transaction that takes it, under its locks, so that two at once
/// cannot slip through.
pub(crate) async fn room(
    tx: &mut Tx,
    limits: &Limits,
    wanted: &Wanted<'_>,
    now: i64,
) -> Result<Option<OverLimit>, StoreError> {
    if let Some(limit) = limits.in_flight_per_person {
        let under_way: i64 = query(
            "SELECT count(*) FROM posts WHERE user_id = $1 AND due_at IS NOT NULL AND state <> 'needs_user'",
        )
        .bind(wanted.user)
        .fetch_value(&mut *tx)
        .await?;
        if under_way >= i64::from(limit) {
            return Ok(Some(OverLimit::InFlight { limit }));
        }
    }
    if let Some(limit) = limits.posts_per_person_per_day {
        // The post that has to grow a day old before there is room: the newest but limit - 1.
        let frees: Option<i64> = query(
            "SELECT created_at FROM posts
              WHERE user_id = $1 AND created_at > $2 AND state <> 'failed' AND (state <> 'canceled' OR intent_at IS NOT NULL)
              ORDER BY created_at DESC LIMIT 1 OFFSET $3",
        )
        .bind(wanted.user)
        .bind(now - DAY_MS)
        .bind(i64::from(limit) - 1)
        .fetch_value_optional(&mut *tx)
        .await?;
        if let Some(created_at) = frees {
            return Ok(Some(OverLimit::Posts { limit, frees_at: created_at + DAY_MS }));
        }
    }
    if let Some(over) = bytes_over(tx, limits, wanted.user, wanted.bytes.unwrap_or(1), now).await? {
        return Ok(Some(over));
    }
    if let Some(budget) = limits.monthly_budget {
        let month = Month::of(now);
        let left = Mills(budget.0.saturating_sub(spent(&mut *tx, &month).await?.0));
        if wanted.price > left {
            let frees_at = (wanted.price <= budget).then_some(month.ends);
            return Ok(Some(OverLimit::Budget { left, frees_at }));
        }
    }
    Ok(None)
}

/// The limit that `wanted` more bytes would exceed, if a person's day has no room for them.
pub(crate) async fn bytes_over(
    tx: &mut Tx,
    limits: &Limits,
    user: &str,
    wanted: u64,
    now: i64,
) -> Result<Option<OverLimit>, StoreError> {
    let Some(limit) = limits.bytes_per_person_per_day else { return Ok(None) };
    let left = limit.saturating_sub(bytes(&mut *tx, user, "", now).await?);
    if wanted <= left {
        return Ok(None);
    }
    let frees_at = match wanted > limit {
        true => None,
        false => Some(bytes_free_at(tx, user, wanted, limit, now).await?),
    };
    Ok(Some(OverLimit::Bytes { limit, left, frees_at }))
}

/// What a person has sent within a day, whatever became of it, without the post `but`. Uploads count from their
/// beginning, as declared.
async fn bytes(on: impl Into<On<'_>>, user: &str, but: &str, now: i64) -> Result<u64, sqlx::Error> {
    let used: i64 = query(
        "SELECT CAST(COALESCE((SELECT sum(counted_bytes) FROM posts
                                WHERE user_id = $1 AND created_at > $2 AND id <> $3), 0)
                   + COALESCE((SELECT sum(COALESCE(bytes, size, $4)) FROM uploads
                                WHERE user_id = $1 AND created_at > $2), 0) AS BIGINT)",
    )
    .bind(user)
    .bind(now - DAY_MS)
    .bind(but)
    .bind(i64::try_from(MAX_PUT_BYTES).unwrap_or(i64::MAX))
    .fetch_value(on)
    .await?;
    Ok(u64::try_from(used).unwrap_or(0))
}

/// When enough has grown a day old for what is wanted, which is no more than a whole day's.
async fn bytes_free_at(
    tx: &mut Tx,
    user: &str,
    wanted: u64,
    limit: u64,
    now: i64,
) -> Result<i64, sqlx::Error> {
    let rows: Vec<(i64, i64)> = query(
        "SELECT created_at, counted_bytes FROM posts
          WHERE user_id = $1 AND created_at > $2 AND counted_bytes > 0
          UNION ALL
         SELECT created_at, COALESCE(bytes, size, $3) FROM uploads WHERE user_id = $1 AND created_at > $2
          ORDER BY 1 DESC",
    )
    .bind(user)
    .bind(now - DAY_MS)
    .bind(i64::try_from(MAX_PUT_BYTES).unwrap_or(i64::MAX))
    .fetch_all(&mut *tx)
    .await?;
    let mut used = wanted;
    for (created_at, bytes) in &rows {
        used = used.saturating_add(u64::try_from(*bytes).unwrap_or(0));
        if used > limit {
            return Ok(created_at + DAY_MS);
        }
    }
    Ok(now)
}

/// Connections and posts that X may have charged for in this month, and posts under way that it may yet.
pub(crate) async fn spent(on: impl Into<On<'_>>, month: &Month) -> Result<Mills, sqlx::Error> {
    let spent: i64 = query(
        "SELECT CAST(COALESCE((SELECT sum(price) FROM posts WHERE billed_at IS NOT NULL AND billed_at >= $1), 0)
                   + COALESCE((SELECT sum(price) FROM posts WHERE due_at IS NOT NULL AND state <> 'needs_user'
                                  AND (billed_at IS NULL OR billed_at < $1)), 0)
                   + COALESCE((SELECT sum(price) FROM charges WHERE at >= $1), 0) AS BIGINT)",
    )
    .bind(month.begins)
    .fetch_value(on)
    .await?;
    Ok(Mills(u64::try_from(spent).unwrap_or(0)))
}

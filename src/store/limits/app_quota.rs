//! What is left of the app's 24 hours at X, for every process alike: the last of it goes round by turns.

use sqlx::FromRow;

use crate::store::{
    Closed, Store, StoreError,
    db::engine::{Tx, locking, query},
};
use crate::{
    account::AccountId,
    post::{Pause, State},
};

/// Less than one part in so many left is shared out.
const LAST: i64 = 20;
/// What an account waits before it asks again whether it is its turn, in milliseconds. Who waits longer for something
/// else is not waited for.
const TURN_MS: i64 = 30_000;

/// What a call is about to use up.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    pub call: &'static str,
    pub account: &'a AccountId,
    /// The step that makes the call.
    pub step: State,
    pub calls: i64,
}

/// What is left of the app's day for a kind of call.
#[derive(Debug, FromRow)]
pub struct Day {
    pub call: String,
    pub remaining: i64,
    /// When X counts anew, in Unix milliseconds.
    pub until: i64,
}

fn day(call: &str) -> String {
    format!("day:{call}")
}

fn turn(call: &str, account: &AccountId) -> String {
    format!("turn:{call}:{account}")
}

impl Store {
    /// Keeps what X said is left: of `total`, `remaining` until `resets_at`, in Unix milliseconds.
    pub async fn keep_day(
        &self,
        call: &str,
        total: u32,
        remaining: u32,
        resets_at: i64,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO limits (scope, until, reason, total, remaining) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (scope) DO UPDATE SET until = excluded.until, total = excluded.total,
                 remaining = excluded.remaining",
        )
        .bind(day(call))
        .bind(resets_at)
        .bind(Pause::RateLimit.as_str())
        .bind(i64::from(total))
        .bind(i64::from(remaining))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// What is left of each day that X has told of.
    pub async fn days(&self) -> Result<Vec<Day>, StoreError> {
        Ok(query(
            "SELECT substr(scope, 5) AS call, remaining, until FROM limits
              WHERE scope >= 'day:' AND scope < 'day;' AND remaining IS NOT NULL",
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Takes from what is left of the app's day, as far as X has said what that is. Returns what keeps an account from
    /// it: that all is used up, or that it is another's turn.
    ///
    /// Of the last twentieth, an account whose post is ready takes one after every other has had as many.
    pub async fn use_day(&self, need: Need<'_>, now: i64) -> Result<Option<Closed>, StoreError> {
        // Asked of a reader first: there is plenty nearly always.
        let left: Option<(i64, i64)> = query(
            "SELECT remaining, total FROM limits WHERE scope = $1 AND until > $2 AND remaining IS NOT NULL",
        )
        .bind(day(need.call))
        .bind(now)
        .fetch_optional(&self.read)
        .await?;
        if left.is_none_or(|(remaining, total)| remaining > need.calls && remaining > total / LAST) {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        let left: Option<(i64, i64, i64)> = query(locking!(
            "SELECT remaining, total, until FROM limits WHERE scope = $1 AND until > $2 AND remaining IS NOT NULL"
        ))
        .bind(day(need.call))
        .bind(now)
        .fetch_optional(&mut tx)
        .await?;
        let Some((remaining, total, until)) = left else { return Ok(None) };
        let closed = |until| Ok(Some(Closed { why: Pause::RateLimit, until }));
        if remaining < need.calls {
            return closed(until);
        }
        if remaining <= total / LAST {
            if others_first(&mut tx, need, now).await? {
                return closed(until.min(now + TURN_MS));
            }
            query(
                "INSERT INTO limits (scope, until, reason, times) VALUES ($1, $2, $3, 1)
                 ON CONFLICT (scope) DO UPDATE SET until = excluded.until,
                     times = CASE WHEN limits.until > $4 THEN limits.times + 1 ELSE 1 END",
            )
            .bind(turn(need.call, need.account))
            .bind(until)
            .bind(Pause::RateLimit.as_str())
            .bind(now)
            .execute(&mut tx)
            .await?;
        }
        query("UPDATE limits SET remaining = remaining - $1 WHERE scope = $2")
            .bind(need.calls)
            .bind(day(need.call))
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(None)
    }

    /// Gives back what was taken for a call that surely never reached X.
    pub async fn unused(&self, need: Need<'_>, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        query("UPDATE limits SET remaining = remaining + $1 WHERE scope = $2 AND until > $3 AND remaining IS NOT NULL")
            .bind(need.calls)
            .bind(day(need.call))
            .bind(now)
            .execute(&mut tx)
            .await?;
        query("UPDATE limits SET times = times - 1 WHERE scope = $1 AND times > 0")
            .bind(turn(need.call, need.account))
            .execute(&mut tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

/// Whether another account has had fewer turns, and is ready to take one.
async fn others_first(tx: &mut Tx, need: Need<'_>, now: i64) -> Result<bool, sqlx::Error> {
    let other: Option<String> = query(
        "SELECT p.account_id FROM posts p JOIN x_accounts a ON a.id = p.account_id
          WHERE p.state = $1 AND p.due_at <= $2 AND p.account_id <> $3 AND a.token_state <> 'broken'
            AND a.current_post_id = p.id
            AND coalesce((SELECT times FROM limits WHERE scope = $4 || p.account_id AND until > $6), 0)
              < coalesce((SELECT times FROM limits WHERE scope = $5 AND until > $6), 0)
          LIMIT 1",
    )
    .bind(need.step.as_str())
    .bind(now + TURN_MS)
    .bind(&need.account.0)
    .bind(format!("turn:{}:", need.call))
    .bind(turn(need.call, need.account))
    .bind(now)
    .fetch_value_optional(tx)
    .await?;
    Ok(other.is_some())
}

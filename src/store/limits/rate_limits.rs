//! What X has closed for a while, kept so that a restart does not ask in vain.

use crate::store::{
    Store, StoreError,
    db::{
        engine::{Tx, locking, query},
        locks,
    },
    limits::incidents,
    posts::lease,
};
use crate::{
    account::{AccountId, PersonRef},
    post::{Pause, PostId, State},
    words::Message,
};

/// The scope of what concerns every call of every account.
const APP: &str = "app";
/// A refusal without a time makes the next one wait twice as long, if it follows within this long.
const REMEMBER_MS: i64 = 60 * 60_000;
/// Such a wait doubles this often at most.
const MOST_DOUBLINGS: u32 = 4;
/// Rows this long past are of no use to anybody.
const KEEP_MS: i64 = 24 * 3_600_000;

/// Something that X has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub why: Pause,
    /// Unix milliseconds.
    pub until: i64,
}

impl Store {
    /// What keeps `post` from a call that these scopes concern, if anything does.
    ///
    /// A pause of the whole app that has lasted its time is tried by one post, which is let through until it has
    /// come beyond the step that was refused.
    pub async fn closed(
        &self,
        scopes: &[String; 2],
        post: PostId,
        now: i64,
    ) -> Result<Option<Closed>, StoreError> {
        let rows: Vec<(String, i64, String, Option<String>)> = query(
            "SELECT scope, until, reason, prober FROM limits WHERE scope IN ($1, $2, $3) ORDER BY until DESC",
        )
        .bind(APP)
        .bind(&scopes[0])
        .bind(&scopes[1])
        .fetch_all(&self.read)
        .await?;
        let mut app = None;
        for (scope, until, reason, prober) in rows {
            let closed = Closed { why: Pause::from_stored(&reason), until };
            if scope == APP {
                app = Some((closed, prober));
            } else if until > now {
                return Ok(Some(closed));
            }
        }
        let Some((closed, prober)) = app else { return Ok(None) };
        if prober.is_some_and(|prober| prober == post.to_string()) {
            return Ok(None);
        }
        let again = now + closed.why.span_ms();
        if closed.until <= now && self.probe(post, again, now).await? {
            return Ok(None);
        }
        // Somebody else tries at this moment.
        let until = if closed.until <= now { again } else { closed.until };
        Ok(Some(Closed { until, ..closed }))
    }

    /// Makes `post` the one that tries whether the app may go on. False when another was first.
    async fn probe(&self, post: PostId, again: i64, now: i64) -> Result<bool, StoreError> {
        let done = query("UPDATE limits SET until = $1, prober = $2 WHERE scope = $3 AND until <= $4")
            .bind(again)
            .bind(post.to_string())
            .bind(APP)
            .bind(now)
            .execute(&self.write)
            .await?;
        Ok(done == 1)
    }

    /// Closes a scope until `until`. Where X named no time, closes it for the pause's own span, doubled with each
    /// refusal in a row. Returns when the scope opens again.
    pub async fn shut(
        &self,
        scope: &str,
        why: Pause,
        until: Option<i64>,
        now: i64,
    ) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        // A row that is not there cannot be locked; one that never closed anything can.
        query("INSERT INTO limits (scope, until, reason) VALUES ($1, 0, $2) ON CONFLICT (scope) DO NOTHING")
            .bind(scope)
            .bind(why.as_str())
            .execute(&mut tx)
            .await?;
        let former: (i64, i64) = query(locking!("SELECT until, times FROM limits WHERE scope = $1"))
            .bind(scope)
            .fetch_one(&mut tx)
            .await?;
        let (until, times) = match (until, former) {
            (Some(until), (at, _)) => (at.max(until), 0),
            // Requests that were in flight together are refused together.
            (None, (at, times)) if at > now => (at, times),
            (None, (at, times)) => {
                let times = if at + REMEMBER_MS > now { times } else { 0 };
                let doublings = u32::try_from(times).unwrap_or(u32::MAX).min(MOST_DOUBLINGS);
                (now + (why.span_ms() << doublings), times.saturating_add(1))
            }
        };
        query("UPDATE limits SET until = $1, times = $2, reason = $3 WHERE scope = $4")
            .bind(until)
            .bind(times)
            .bind(why.as_str())
            .bind(scope)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(until)
    }

    /// Pauses everything that needs X, after it refused `step` for a reason that concerns the whole app. The
    /// operators are told `message`, once until it is over. Returns until when.
    pub async fn pause(
        &self,
        why: Pause,
        step: State,
        operators: &[PersonRef],
        message: &Message,
        now: i64,
    ) -> Result<i64, StoreError> {
        let until = now + why.span_ms();
        let mut tx = self.begin().await?;
        query(
            "INSERT INTO limits (scope, until, reason, step) VALUES ($1, $2, $3, $4)
             ON CONFLICT (scope) DO UPDATE SET until = excluded.until, reason = excluded.reason,
                 step = excluded.step, prober = NULL",
        )
        .bind(APP)
        .bind(until)
        .bind(why.as_str())
        .bind(step.as_str())
        .execute(&mut tx)
        .await?;
        incidents::raise(self, &mut tx, why.as_str(), operators, message, now).await?;
        self.commit(tx).await?;
        Ok(until)
    }

    /// Ends the pause of the app if `post` was the one to try, and is past the step that was refused, or posted: what
    /// waits goes on at once, and the operators are told `message`. True when a pause was ended.
    pub async fn resume(
        &self,
        post: PostId,
        step: State,
        operators: &[PersonRef],
        message: &Message,
        now: i64,
    ) -> Result<bool, StoreError> {
        // Asked of a reader first: there is hardly ever a pause.
        let trying: Option<i64> =
            query("SELECT until FROM limits WHERE prober = $1 AND (step = $2 OR $2 = 'publishing')")
                .bind(post.to_string())
                .bind(step.as_str())
                .fetch_value_optional(&self.read)
                .await?;
        if trying.is_none() {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        let done =
            query("DELETE FROM limits WHERE scope = $1 AND prober = $2 AND (step = $3 OR $3 = 'publishing')")
                .bind(APP)
                .bind(post.to_string())
                .bind(step.as_str())
                .execute(&mut tx)
                .await?;
        if done == 0 {
            return Ok(false);
        }
        wake(&mut tx, now).await?;
        let names = Pause::OF_THE_APP.map(Pause::as_str);
        incidents::end(self, &mut tx, &names, operators, message, now).await?;
        self.commit(tx).await?;
        Ok(true)
    }

    /// Why everything that needs X is paused, if it is.
    pub async fn paused(&self) -> Result<Option<Pause>, StoreError> {
        let reason: Option<String> = query("SELECT reason FROM limits WHERE scope = $1")
            .bind(APP)
            .fetch_value_optional(&self.read)
            .await?;
        Ok(reason.map(|reason| Pause::from_stored(&reason)))
    }

    /// Forgets limits that ended long ago. A pause of the app ends by trying alone.
    pub async fn prune_limits(&self, now: i64) -> Result<(), StoreError> {
        query("DELETE FROM limits WHERE scope <> $1 AND until < $2")
            .bind(APP)
            .bind(now - KEEP_MS)
            .execute(&self.write)
            .await?;
        Ok(())
    }
}

/// Whether the app is paused, and stays so until the transaction ends.
pub(crate) async fn is_paused(tx: &mut Tx) -> Result<bool, sqlx::Error> {
    let until: Option<i64> = query(locking!("SELECT until FROM limits WHERE scope = $1"))
        .bind(APP)
        .fetch_value_optional(tx)
        .await?;
    Ok(until.is_some())
}

/// Makes every post due that waits for the app, has its status written anew, and makes its lane due. Their number is
/// bounded by the posts under way, so they are found by what they say that they wait for.
async fn wake(tx: &mut Tx, now: i64) -> Result<(), sqlx::Error> {
    let [one, two, three, four] = Pause::OF_THE_APP.map(stored_wait);
    let accounts: Vec<String> = query(
        "SELECT DISTINCT account_id FROM posts
          WHERE due_at IS NOT NULL
            AND (waiting LIKE $1 OR waiting LIKE $2 OR waiting LIKE $3 OR waiting LIKE $4)",
    )
    .bind(&one)
    .bind(&two)
    .bind(&three)
    .bind(&four)
    .fetch_values(&mut *tx)
    .await?;
    let accounts: Vec<AccountId> = accounts.into_iter().map(AccountId).collect();
    locks::lanes(tx, accounts.iter()).await?;
    for account in &accounts {
        query(
            "UPDATE posts SET due_at = $1, waiting = NULL, status_want = status_want + 1, status_attempts = 0,
                    status_due_at = CASE WHEN place_sealed IS NULL THEN NULL
                                         WHEN status_not_before > $1 THEN status_not_before ELSE $1 END
              WHERE account_id = $6 AND due_at IS NOT NULL
                AND (waiting LIKE $2 OR waiting LIKE $3 OR waiting LIKE $4 OR waiting LIKE $5)",
        )
        .bind(now)
        .bind(&one)
        .bind(&two)
        .bind(&three)
        .bind(&four)
        .bind(&account.0)
        .execute(&mut *tx)
        .await?;
        lease::rearm(tx, account, now).await?;
    }
    Ok(())
}

/// The pattern of what a post that waits for this has stored, as [`Pause::waiting`] writes it.
fn stored_wait(pause: Pause) -> String {
    format!("{{\"for\":\"{}\",%", pause.as_str())
}

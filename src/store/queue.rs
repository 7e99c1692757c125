//! The queue: lanes are claimed, one step is done, what it found is written down under the lease.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use sqlx::{Sqlite, Transaction};

use super::{
    Store, StoreError,
    posts::{PostRow, clean_at},
};
use crate::{
    account::AccountId,
    post::{Media, Post, PostId, State},
};

/// How long a lane is held without a heartbeat.
pub const LEASE: Duration = Duration::from_secs(60);

/// How long a row is left alone that a later version wrote.
pub(super) const UNREADABLE_PAUSE_MS: i64 = 10 * 60_000;

/// Claims of one post without anything written down, after which it is thought to kill its worker.
const CRASH_LOOP: i64 = 5;

/// The right to do one step for one account. Whoever writes to a claimed post shows one.
#[derive(Debug)]
pub struct Lease {
    pub account: AccountId,
    /// The post whose turn it is, as it stood when claimed.
    pub post: Post,
    /// The post was claimed several times and never came back.
    pub crash_loop: bool,
    pub(super) epoch: i64,
    renewed: Mutex<Renewed>,
}

#[derive(Clone, Copy, Debug)]
struct Renewed {
    until: i64,
    /// The wall clock may be set back; this one not.
    at: Instant,
}

impl Lease {
    /// Whether the lease surely still holds for `span` from `now` on.
    pub fn holds_for(&self, span: Duration, now: i64) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        now + span_ms(span) <= renewed.until && renewed.at.elapsed() + span <= LEASE
    }
}

fn span_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Store {
    /// Leases the lane that has been due longest, with the post whose turn it is. `None` when nothing is due.
    pub async fn claim(&self, now: i64) -> Result<Option<Lease>, StoreError> {
        // Measured from before the claim: a lease must never seem younger than it is.
        let at = Instant::now();
        let until = now + span_ms(LEASE);
        // Asked of a reader first: most wake-ups find nothing, and the writer has better things to do.
        if self.next_lane_due().await?.is_none_or(|due| due > now) {
            return Ok(None);
        }
        loop {
            let mut tx = self.begin().await?;
            let lane: Option<(String, i64, Option<String>)> = sqlx::query_as(
                "UPDATE x_accounts SET due_at = $2, lease_owner = $3, epoch = epoch + 1
                  WHERE id IN (SELECT id FROM x_accounts WHERE due_at <= $1 ORDER BY due_at LIMIT 1)
                 RETURNING id, epoch, current_post_id",
            )
            .bind(now)
            .bind(until)
            .bind(&*self.node)
            .fetch_optional(&mut *tx)
            .await?;
            let Some((account, epoch, current)) = lane else { return Ok(None) };
            let account = AccountId(account);
            let row: Option<PostRow> = match &current {
                // A post that has begun keeps its turn until it is over.
                Some(current) => {
                    sqlx::query_as("SELECT * FROM posts WHERE id = $1 AND due_at <= $2")
                        .bind(current)
                        .bind(now)
                        .fetch_optional(&mut *tx)
                        .await?
                }
                None => sqlx::query_as(
                    "SELECT * FROM posts WHERE account_id = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT 1",
                )
                .bind(&account.0)
                .bind(now)
                .fetch_optional(&mut *tx)
                .await?,
            };
            let Some(row) = row else {
                release(&mut tx, &account, now).await?;
                self.commit(tx).await?;
                continue;
            };
            let id = row.id.clone();
            let post = match Post::try_from(row) {
                Ok(post) => post,
                Err(error) => {
                    // One row that cannot be read must not keep everybody else waiting.
                    tracing::error!(post = id, %error, "a post is put off");
                    sqlx::query("UPDATE posts SET due_at = $1 WHERE id = $2")
                        .bind(now + UNREADABLE_PAUSE_MS)
                        .bind(&id)
                        .execute(&mut *tx)
                        .await?;
                    release(&mut tx, &account, now).await?;
                    self.commit(tx).await?;
                    continue;
                }
            };
            let claims: i64 =
                sqlx::query_scalar("UPDATE posts SET claims = claims + 1 WHERE id = $1 RETURNING claims")
                    .bind(post.id.to_string())
                    .fetch_one(&mut *tx)
                    .await?;
            sqlx::query("UPDATE x_accounts SET current_post_id = $1 WHERE id = $2")
                .bind(post.id.to_string())
                .bind(&account.0)
                .execute(&mut *tx)
                .await?;
            // Not announced as a change: a claim makes nothing due and shows nothing new.
            tx.commit().await?;
            return Ok(Some(Lease {
                account,
                post,
                crash_loop: claims > CRASH_LOOP,
                epoch,
                renewed: Mutex::new(Renewed { until, at }),
            }));
        }
    }

    /// Prolongs a lease; call it well within [`LEASE`].
    pub async fn renew(&self, lease: &Lease, now: i64) -> Result<(), StoreError> {
        let at = Instant::now();
        let until = now + span_ms(LEASE);
        let done = sqlx::query(
            "UPDATE x_accounts SET due_at = $1 WHERE id = $2 AND epoch = $3 AND lease_owner = $4",
        )
        .bind(until)
        .bind(&lease.account.0)
        .bind(lease.epoch)
        .bind(&*self.node)
        .execute(&self.write)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::LeaseLost);
        }
        *lease.renewed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Renewed { until, at };
        Ok(())
    }

    /// Keeps how many bytes have been copied so far.
    pub async fn staged_so_far(&self, lease: &Lease, bytes: u64, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        sqlx::query("UPDATE posts SET bytes = $1, claims = 0, waiting = NULL WHERE id = $2")
            .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
            .bind(lease.post.id.to_string())
            .execute(&mut *tx)
            .await?;
        show(&mut tx, lease.post.id, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// Keeps a new upload session, in place of a former one.
    pub async fn start_media(&self, lease: &Lease, media: &Media, now: i64) -> Result<(), StoreError> {
        let id = lease.post.id;
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        sqlx::query("INSERT INTO post_media (media_id, post_id, created_at) VALUES ($1, $2, $3)")
            .bind(&media.id)
            .bind(id.to_string())
            .bind(now)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE posts SET media_id = $1, media_expires_at = $2, chunk_bytes = $3, segments_done = 0, claims = 0,
                    sessions = sessions + 1, waiting = NULL, processing_since = NULL, processing_percent = NULL
              WHERE id = $4",
        )
        .bind(&media.id)
        .bind(media.expires_at)
        .bind(i64::try_from(media.chunk_bytes).unwrap_or(i64::MAX))
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?;
        event(&mut tx, self, id, Some(lease.epoch), "media", Some(&media.id), now).await?;
        Ok(self.commit(tx).await?)
    }

    /// Keeps that X acknowledged a segment.
    pub async fn segment_done(
        &self,
        lease: &Lease,
        media_id: &str,
        segment: u32,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        let done = sqlx::query(
            "INSERT INTO media_segments (media_id, segment) VALUES ($1, $2) ON CONFLICT (media_id, segment) DO NOTHING",
        )
        .bind(media_id)
        .bind(i64::from(segment))
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE posts SET segments_done = segments_done + $1, claims = 0, waiting = NULL
              WHERE id = $2 AND media_id = $3",
        )
        .bind(i64::try_from(done.rows_affected()).unwrap_or(0))
        .bind(lease.post.id.to_string())
        .bind(media_id)
        .execute(&mut *tx)
        .await?;
        show(&mut tx, lease.post.id, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// The segments of an upload session that X has acknowledged, ascending.
    pub async fn segments_done(&self, media_id: &str) -> Result<Vec<u32>, StoreError> {
        let rows: Vec<i64> =
            sqlx::query_scalar("SELECT segment FROM media_segments WHERE media_id = $1 ORDER BY segment")
                .bind(media_id)
                .fetch_all(&self.write)
                .await?;
        rows.into_iter()
            .map(|segment| u32::try_from(segment).map_err(|_| StoreError::Unreadable("segment")))
            .collect()
    }

    /// Writes the intent to make the post on X. From now on the post may be there, and who comes next looks first.
    pub async fn intend(&self, lease: &Lease, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        sqlx::query(
            "UPDATE posts SET intent_at = $1, first_intent_at = COALESCE(first_intent_at, $1), intents = intents + 1,
                    resend = 0, looks = 0, updated_at = $1
              WHERE id = $2",
        )
            .bind(now)
            .bind(lease.post.id.to_string())
            .execute(&mut *tx)
            .await?;
        event(&mut tx, self, lease.post.id, Some(lease.epoch), "intent", None, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// Writes down that the post is on X. A known fact: not fenced, whoever holds the lane now.
    pub async fn posted(&self, lease: &Lease, x_post_id: &str, now: i64) -> Result<(), StoreError> {
        let id = lease.post.id;
        let mut tx = self.begin().await?;
        let known: Option<String> = sqlx::query_scalar("SELECT x_post_id FROM posts WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *tx)
            .await?;
        if let Some(known) = known.filter(|known| known != x_post_id) {
            tracing::error!(post = %id, first = known, second = x_post_id, "two posts on X were made of one");
            event(&mut tx, self, id, Some(lease.epoch), "also_posted", Some(x_post_id), now).await?;
            return Ok(self.commit(tx).await?);
        }
        sqlx::query(
            "UPDATE posts SET state = 'posted', x_post_id = $1, due_at = NULL, waiting = NULL, failure = NULL,
                    attempt = 0, claims = 0, clean_at = $2, updated_at = $2
              WHERE id = $3",
        )
        .bind(x_post_id)
        .bind(now)
        .bind(id.to_string())
        .execute(&mut *tx)
        .await?;
        show(&mut tx, id, now).await?;
        event(&mut tx, self, id, Some(lease.epoch), "posted", Some(x_post_id), now).await?;
        drop_from_lane(&mut tx, &lease.account, id, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// Writes down what a step found, due again at `due_at` (`None`: nothing more to do), and lets the lane go.
    pub async fn save(
        &self,
        lease: Lease,
        post: &Post,
        due_at: Option<i64>,
        kind: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, &lease).await?;
        let text = |value: Option<serde_json::Result<String>>| {
            value.transpose().map_err(|_| StoreError::Unreadable("a value to store"))
        };
        let size = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        let failure = text(post.failure.as_ref().map(serde_json::to_string))?;
        let waiting = text(post.waiting.as_ref().map(serde_json::to_string))?;
        let media = post.media.as_ref();
        sqlx::query(
            "UPDATE posts SET state = $1, due_at = $2, attempt = $3, claims = 0, bytes = $4, sha256 = $5,
                    media_type = $6, duration_ms = $7, media_id = $8, media_expires_at = $9, chunk_bytes = $10,
                    segments_done = CASE WHEN $8 IS NULL THEN 0 ELSE segments_done END,
                    processing_since = $11, processing_percent = $12, intent_at = $13, looks = $14,
                    failure = $15, waiting = $16, clean_at = $17, updated_at = $18, first_intent_at = $19,
                    resend = $20
              WHERE id = $21",
        )
        .bind(post.state.as_str())
        .bind(due_at)
        .bind(i64::from(post.attempt))
        .bind(size(post.bytes))
        .bind(&post.sha256)
        .bind(&post.media_type)
        .bind(size(post.duration_ms))
        .bind(media.map(|media| &media.id))
        .bind(media.and_then(|media| media.expires_at))
        .bind(size(media.map(|media| media.chunk_bytes)))
        .bind(post.processing_since)
        .bind(post.processing_percent.map(i64::from))
        .bind(post.intent_at)
        .bind(i64::from(post.looks))
        .bind(&failure)
        .bind(&waiting)
        .bind(clean_at(post.state, now))
        .bind(now)
        .bind(post.first_intent_at)
        .bind(i64::from(post.resend))
        .bind(post.id.to_string())
        .execute(&mut *tx)
        .await?;
        show(&mut tx, post.id, now).await?;
        event(&mut tx, self, post.id, Some(lease.epoch), kind, failure.as_deref(), now).await?;
        release(&mut tx, &lease.account, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// Lets a lane go with nothing found: the same step is due again at once.
    pub async fn give_back(&self, lease: Lease, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, &lease).await?;
        sqlx::query("UPDATE posts SET claims = 0 WHERE id = $1")
            .bind(lease.post.id.to_string())
            .execute(&mut *tx)
            .await?;
        release(&mut tx, &lease.account, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// When a lane is due next, in Unix milliseconds.
    pub async fn next_lane_due(&self) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar("SELECT min(due_at) FROM x_accounts WHERE due_at IS NOT NULL")
            .fetch_one(&self.read)
            .await?)
    }

    /// How many lanes are leased at this moment.
    pub async fn leased(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM x_accounts WHERE lease_owner IS NOT NULL")
            .fetch_one(&self.read)
            .await?)
    }

    /// This process owns the file, so whoever held a lease is dead.
    pub(super) async fn void_leases(&self, now: i64) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE x_accounts SET lease_owner = NULL, epoch = epoch + 1, due_at = $1 WHERE lease_owner IS NOT NULL",
        )
        .bind(now)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Goes on only for the lane's present holder and a post that is still to be worked on.
    async fn fence(&self, tx: &mut Transaction<'_, Sqlite>, lease: &Lease) -> Result<(), StoreError> {
        let holds: Option<i64> = sqlx::query_scalar(
            "SELECT epoch FROM x_accounts WHERE id = $1 AND epoch = $2 AND lease_owner = $3 AND current_post_id = $4",
        )
        .bind(&lease.account.0)
        .bind(lease.epoch)
        .bind(&*self.node)
        .bind(lease.post.id.to_string())
        .fetch_optional(&mut **tx)
        .await?;
        holds.map(|_| ()).ok_or(StoreError::LeaseLost)
    }
}

/// Has a post's status message written anew, no sooner than its chat may be edited again.
pub(super) async fn show(tx: &mut Transaction<'_, Sqlite>, id: PostId, now: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE posts SET status_want = status_want + 1, status_attempts = 0,
                status_due_at = CASE WHEN status_not_before > $1 THEN status_not_before ELSE $1 END
          WHERE id = $2",
    )
    .bind(now)
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds to a post's audit trail.
pub(super) async fn event(
    tx: &mut Transaction<'_, Sqlite>,
    store: &Store,
    id: PostId,
    epoch: Option<i64>,
    kind: &str,
    detail: Option<&str>,
    now: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO post_events (post_id, at, node, epoch, kind, detail) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.to_string())
    .bind(now)
    .bind(&*store.node)
    .bind(epoch)
    .bind(kind)
    .bind(detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes a lane due when its posts are, unless somebody holds it: then letting it go will.
pub(super) async fn rearm(
    tx: &mut Transaction<'_, Sqlite>,
    account: &AccountId,
    now: i64,
) -> Result<(), sqlx::Error> {
    let owner: Option<Option<String>> =
        sqlx::query_scalar("SELECT lease_owner FROM x_accounts WHERE id = $1")
            .bind(&account.0)
            .fetch_optional(&mut **tx)
            .await?;
    match owner {
        Some(None) => release(tx, account, now).await,
        _ => Ok(()),
    }
}

/// Takes a post that people decided about off its lane. A worker that holds the lane for it loses its lease.
pub(super) async fn drop_from_lane(
    tx: &mut Transaction<'_, Sqlite>,
    account: &AccountId,
    id: PostId,
    now: i64,
) -> Result<(), sqlx::Error> {
    let held = sqlx::query(
        "UPDATE x_accounts SET epoch = epoch + 1, current_post_id = NULL WHERE id = $1 AND current_post_id = $2",
    )
    .bind(&account.0)
    .bind(id.to_string())
    .execute(&mut **tx)
    .await?;
    match held.rows_affected() {
        1 => release(tx, account, now).await,
        _ => rearm(tx, account, now).await,
    }
}

/// Lets a lane go: due when its present post is, or else its next; never before `now`, so that lanes take turns.
/// A lane whose tokens are refused rests until its account is linked again.
async fn release(tx: &mut Transaction<'_, Sqlite>, account: &AccountId, now: i64) -> Result<(), sqlx::Error> {
    let current: Option<(String, i64)> = sqlx::query_as(
        "SELECT p.id, p.due_at FROM x_accounts a JOIN posts p ON p.id = a.current_post_id
          WHERE a.id = $1 AND p.due_at IS NOT NULL AND p.state <> $2",
    )
    .bind(&account.0)
    .bind(State::NeedsUser.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let (current, due) = match current {
        Some((id, due)) => (Some(id), Some(due)),
        None => {
            let due: Option<i64> = sqlx::query_scalar(
                "SELECT min(due_at) FROM posts WHERE account_id = $1 AND due_at IS NOT NULL",
            )
            .bind(&account.0)
            .fetch_one(&mut **tx)
            .await?;
            (None, due)
        }
    };
    sqlx::query(
        "UPDATE x_accounts SET lease_owner = NULL, current_post_id = $1,
                due_at = CASE WHEN token_state = 'broken' THEN NULL ELSE $2 END
          WHERE id = $3",
    )
    .bind(current)
    .bind(due.map(|due| due.max(now)))
    .bind(&account.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

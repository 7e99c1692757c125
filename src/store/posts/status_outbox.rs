//! What people are still to be shown of their posts. Any process may show it; one at a time does.

use std::time::{Duration, Instant};

use sqlx::FromRow;

use crate::store::{
    Store, StoreError, Topics,
    db::engine::{Sql, Tx, query},
    posts::{lease::UNREADABLE_PAUSE_MS, rows::PostRow},
};
use crate::{
    account::{MessageRef, Place, Platform},
    post::Post,
};

/// How long a message is one process's to write; one that died leaves it to the others after this long.
const TURN: Duration = Duration::from_secs(30);

// What others are taking at this moment is passed over, not waited for.
pub(crate) const TAKE_STATUSES: Sql = Sql {
    sqlite: "UPDATE posts SET status_taken_until = $2, status_epoch = status_epoch + 1
              WHERE id IN (SELECT id FROM posts
                            WHERE status_due_at <= $1 AND status_taken_until <= $1 AND user_id LIKE $4
                            ORDER BY status_msg IS NOT NULL, status_due_at LIMIT $3)
          RETURNING *",
    postgres: "UPDATE posts SET status_taken_until = $2, status_epoch = status_epoch + 1
                WHERE id IN (SELECT id FROM posts
                              WHERE status_due_at <= $1 AND status_taken_until <= $1 AND user_id LIKE $4
                              ORDER BY status_msg IS NOT NULL, status_due_at LIMIT $3
                                FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING *",
};

/// The right to write a message, for a while.
#[derive(Clone, Copy, Debug)]
pub struct Turn(Instant);

impl Turn {
    /// One that begins now, and when it ends by the clock.
    pub(crate) fn begin(now: i64) -> (Turn, i64) {
        (Turn(Instant::now()), now + i64::try_from(TURN.as_millis()).unwrap_or(i64::MAX / 2))
    }

    /// Whether nobody else will have it for `span` from now on.
    pub fn lasts(&self, span: Duration) -> bool {
        self.0.elapsed() + span <= TURN
    }
}

/// A post whose status message is behind, and is ours to write.
#[derive(Debug)]
pub struct StatusJob {
    pub post: Post,
    pub place: Place,
    /// The message to edit; none yet when `None`.
    pub shown_at: Option<MessageRef>,
    /// Messages of this status that somebody deleted.
    pub deleted: u32,
    /// Edits of this status that failed in a row.
    pub attempts: u32,
    pub turn: Turn,
    want: i64,
    /// Rises whenever a process takes the status, so that a gap shows that another one wrote in between.
    pub epoch: i64,
    due_at: i64,
}

#[derive(FromRow)]
struct StatusRow {
    #[sqlx(flatten)]
    post: PostRow,
    place_sealed: Vec<u8>,
    status_msg: Option<String>,
    status_want: i64,
    status_attempts: i64,
    status_deleted: i64,
    status_epoch: i64,
    status_due_at: i64,
}

/// A pattern for the ids of a platform's people.
fn people_of(platform: Platform) -> String {
    format!("{}:%", platform.as_str())
}

fn attempts(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Store {
    pub(crate) fn seal_place(&self, place: &Place, owner: &str) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(place).map_err(|_| StoreError::Unreadable("place"))?;
        Ok(self.vault.seal(&plain, owner)?)
    }

    pub(crate) fn open_place(&self, sealed: &[u8], owner: &str) -> Result<Place, StoreError> {
        let plain = self.vault.open(sealed, owner)?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("place"))
    }

    /// Takes posts whose status is due on a platform: first words before edits, then the longest waiting. Nobody else
    /// writes them until the turn ends.
    pub async fn due_statuses(
        &self,
        platform: Platform,
        now: i64,
        limit: u32,
    ) -> Result<Vec<StatusJob>, StoreError> {
        // Most wake-ups find nothing, so a reader looks first.
        let due: Option<i64> =
            query("SELECT min(status_due_at) FROM posts WHERE status_due_at IS NOT NULL AND user_id LIKE $1")
                .bind(people_of(platform))
                .fetch_value(&self.read)
                .await?;
        if due.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let (turn, until) = Turn::begin(now);
        let rows: Vec<StatusRow> = query(TAKE_STATUSES)
            .bind(now)
            .bind(until)
            .bind(i64::from(limit))
            .bind(people_of(platform))
            .fetch_all(&self.write)
            .await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.post.id.clone();
            match self.status_job(row, turn) {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    tracing::error!(post = id, %error, "a status is put off");
                    let change =
                        query("UPDATE posts SET status_due_at = $1, status_taken_until = 0 WHERE id = $2")
                            .bind(now + UNREADABLE_PAUSE_MS)
                            .bind(id);
                    self.change_about(Topics::messages(platform), change).await?;
                }
            }
        }
        jobs.sort_by_key(|job| (job.shown_at.is_some(), job.due_at));
        Ok(jobs)
    }

    fn status_job(&self, row: StatusRow, turn: Turn) -> Result<StatusJob, StoreError> {
        let post = Post::try_from(row.post)?;
        let place = self.open_place(&row.place_sealed, &post.id.to_string())?;
        let shown_at = row
            .status_msg
            .map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Unreadable("message")))
            .transpose()?;
        Ok(StatusJob {
            post,
            place,
            shown_at,
            deleted: attempts(row.status_deleted),
            attempts: attempts(row.status_attempts),
            turn,
            want: row.status_want,
            epoch: row.status_epoch,
            due_at: row.status_due_at,
        })
    }

    /// When a status or a notice is due next, in Unix milliseconds.
    pub async fn next_message_due(&self) -> Result<Option<i64>, StoreError> {
        Ok(query(
            "SELECT min(due) FROM (SELECT min(status_due_at) AS due FROM posts WHERE status_due_at IS NOT NULL
                UNION ALL SELECT min(due_at) FROM notices) AS dues",
        )
        .fetch_value(&self.read)
        .await?)
    }

    /// The time at which a status or a notice is next due on a platform, in Unix milliseconds. One that is being written
    /// is due when that turn runs out.
    pub async fn next_message_due_on(&self, platform: Platform) -> Result<Option<i64>, StoreError> {
        Ok(query(
            "SELECT min(CASE WHEN taken_until > due THEN taken_until ELSE due END)
               FROM (SELECT status_due_at AS due, status_taken_until AS taken_until FROM posts
                      WHERE status_due_at IS NOT NULL AND user_id LIKE $1
                     UNION ALL SELECT due_at, taken_until FROM notices WHERE platform = $2) AS dues",
        )
        .bind(people_of(platform))
        .bind(platform.as_str())
        .fetch_value(&self.read)
        .await?)
    }

    /// Puts a status off because its chat was just written to.
    pub async fn status_not_before(&self, job: &StatusJob, at: i64) -> Result<(), StoreError> {
        let change = query(
            "UPDATE posts SET status_due_at = $1, status_not_before = $1, status_taken_until = 0
              WHERE id = $2 AND status_epoch = $3",
        )
        .bind(at)
        .bind(job.post.id.to_string())
        .bind(job.epoch);
        self.change_about(Topics::messages_to(&job.post.user), change).await?;
        Ok(())
    }

    /// Keeps where a status stands in the chat. One that changed meanwhile is due again, not before `not_before`;
    /// one that did not, at `again`, if that is given. True if the text that was written is the newest.
    ///
    /// Whoever wrote it after its turn was over may have written over what is newer: then it is written once more.
    pub async fn status_shown(
        &self,
        job: &StatusJob,
        at: Option<&MessageRef>,
        not_before: i64,
        again: Option<i64>,
    ) -> Result<bool, StoreError> {
        let at = at.map(serde_json::to_string).transpose().map_err(|_| StoreError::Unreadable("message"))?;
        let wanted: Option<i64> = query(
            "UPDATE posts SET status_msg = $1, status_shown = $2, status_attempts = 0, status_not_before = $3,
                    status_taken_until = 0, status_due_at = CASE WHEN status_want > $2 THEN CAST($3 AS BIGINT) ELSE CAST($5 AS BIGINT) END
              WHERE id = $4 AND status_epoch = $6
          RETURNING status_want",
        )
        .bind(at)
        .bind(job.want)
        .bind(not_before)
        .bind(job.post.id.to_string())
        .bind(again)
        .bind(job.epoch)
        .fetch_value_optional(&self.write)
        .await?;
        if wanted.is_none() {
            tracing::info!(post = %job.post.id, "a status was written late, and is written once more");
            // A process whose turn it is keeps its turn, and learns from the higher number that its text may have been
            // written over. One that has finished learns that from the epoch.
            query(
                "UPDATE posts SET status_want = status_want + 1, status_due_at = $1,
                        status_epoch = status_epoch + CASE WHEN status_taken_until > 0 THEN 0 ELSE 1 END
                  WHERE id = $2",
            )
            .bind(not_before)
            .bind(job.post.id.to_string())
            .execute(&self.write)
            .await?;
        }
        self.changed(Topics::messages_to(&job.post.user));
        Ok(wanted.is_some_and(|wanted| wanted <= job.want))
    }

    /// Tries a status again at `due_at`. The message to edit is forgotten when it is gone, and a new one is sent then.
    pub async fn status_later(&self, job: &StatusJob, due_at: i64, forget: bool) -> Result<(), StoreError> {
        let change = query(
            "UPDATE posts SET status_attempts = status_attempts + 1, status_due_at = $1, status_not_before = $1,
                    status_taken_until = 0, status_deleted = status_deleted + $2,
                    status_msg = CASE WHEN $2 = 1 THEN NULL ELSE status_msg END
              WHERE id = $3 AND status_epoch = $4",
        )
        .bind(due_at)
        .bind(i64::from(forget))
        .bind(job.post.id.to_string())
        .bind(job.epoch);
        self.change_about(Topics::messages_to(&job.post.user), change).await?;
        Ok(())
    }
}

/// Ends every turn: for a process that owns the whole database.
pub(crate) async fn void(tx: &mut Tx) -> Result<(), sqlx::Error> {
    query(
        "UPDATE posts SET status_taken_until = 0 WHERE status_due_at IS NOT NULL AND status_taken_until > 0",
    )
    .execute(&mut *tx)
    .await?;
    query("UPDATE notices SET taken_until = 0 WHERE taken_until > 0").execute(tx).await?;
    Ok(())
}

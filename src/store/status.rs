//! What people are still to be shown, and files that are to go.

use sqlx::FromRow;

use super::{
    Store, StoreError,
    engine::{Tx, query},
    posts::PostRow,
    queue::UNREADABLE_PAUSE_MS,
};
use crate::{
    account::{MessageRef, Place},
    post::{Post, PostId},
    words::Message,
};

/// A post whose status message is behind.
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
    want: i64,
}

/// A message to a person that no post row carries.
#[derive(Debug)]
pub struct Notice {
    pub id: String,
    pub place: Place,
    pub message: Message,
    pub attempts: u32,
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
}

fn attempts(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Store {
    pub(super) fn seal_place(&self, place: &Place, owner: &str) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(place).map_err(|_| StoreError::Unreadable("place"))?;
        Ok(self.vault.seal(&plain, owner)?)
    }

    pub(super) fn open_place(&self, sealed: &[u8], owner: &str) -> Result<Place, StoreError> {
        let plain = self.vault.open(sealed, owner)?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("place"))
    }

    /// Posts whose status is to be written now, longest waiting first.
    pub async fn due_statuses(&self, now: i64, limit: u32) -> Result<Vec<StatusJob>, StoreError> {
        let rows: Vec<StatusRow> =
            query("SELECT * FROM posts WHERE status_due_at <= $1 ORDER BY status_due_at LIMIT $2")
                .bind(now)
                .bind(i64::from(limit))
                .fetch_all(&self.read)
                .await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.post.id.clone();
            match self.status_job(row) {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    tracing::error!(post = id, %error, "a status is put off");
                    query("UPDATE posts SET status_due_at = $1 WHERE id = $2")
                        .bind(now + UNREADABLE_PAUSE_MS)
                        .bind(id)
                        .execute(&self.write)
                        .await?;
                }
            }
        }
        Ok(jobs)
    }

    fn status_job(&self, row: StatusRow) -> Result<StatusJob, StoreError> {
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
            want: row.status_want,
        })
    }

    /// When a staged file may be deleted next, in Unix milliseconds.
    pub async fn next_cleaning_due(&self) -> Result<Option<i64>, StoreError> {
        Ok(query("SELECT min(clean_at) FROM posts WHERE clean_at IS NOT NULL")
            .fetch_value(&self.read)
            .await?)
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

    /// Puts a status off because its chat was just written to.
    pub async fn status_not_before(&self, job: &StatusJob, at: i64) -> Result<(), StoreError> {
        query("UPDATE posts SET status_due_at = $1, status_not_before = $1 WHERE id = $2")
            .bind(at)
            .bind(job.post.id.to_string())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Keeps where a status stands in the chat. One that changed meanwhile is due again, not before `not_before`;
    /// one that did not, at `again`, if that is given.
    pub async fn status_shown(
        &self,
        job: &StatusJob,
        at: Option<&MessageRef>,
        not_before: i64,
        again: Option<i64>,
    ) -> Result<(), StoreError> {
        let at = at.map(serde_json::to_string).transpose().map_err(|_| StoreError::Unreadable("message"))?;
        query(
            "UPDATE posts SET status_msg = $1, status_shown = $2, status_attempts = 0, status_not_before = $3,
                    status_due_at = CASE WHEN status_want > $2 THEN CAST($3 AS BIGINT) ELSE CAST($5 AS BIGINT) END
              WHERE id = $4",
        )
        .bind(at)
        .bind(job.want)
        .bind(not_before)
        .bind(job.post.id.to_string())
        .bind(again)
        .execute(&self.write)
        .await?;
        self.changed();
        Ok(())
    }

    /// Tries a status again at `due_at`. The message to edit is forgotten when it is gone, and a new one is sent then.
    pub async fn status_later(&self, job: &StatusJob, due_at: i64, forget: bool) -> Result<(), StoreError> {
        query(
            "UPDATE posts SET status_attempts = status_attempts + 1, status_due_at = $1, status_not_before = $1,
                    status_deleted = status_deleted + $2,
                    status_msg = CASE WHEN $2 = 1 THEN NULL ELSE status_msg END
              WHERE id = $3",
        )
        .bind(due_at)
        .bind(i64::from(forget))
        .bind(job.post.id.to_string())
        .execute(&self.write)
        .await?;
        self.changed();
        Ok(())
    }

    /// Keeps a message until its chat has it.
    pub(super) async fn notify(
        &self,
        tx: &mut Tx,
        place: &Place,
        message: &Message,
        now: i64,
    ) -> Result<(), StoreError> {
        let id = uuid::Uuid::now_v7().to_string();
        let place = self.seal_place(place, &id)?;
        let plain = serde_json::to_vec(message).map_err(|_| StoreError::Unreadable("message"))?;
        let message = self.vault.seal(&plain, &id)?;
        query("INSERT INTO notices (id, place_sealed, message_sealed, due_at) VALUES ($1, $2, $3, $4)")
            .bind(&id)
            .bind(place)
            .bind(message)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        Ok(())
    }

    /// Notices that are to be sent now.
    pub async fn due_notices(&self, now: i64, limit: u32) -> Result<Vec<Notice>, StoreError> {
        let rows: Vec<(String, Vec<u8>, Vec<u8>, i64)> = query(
            "SELECT id, place_sealed, message_sealed, attempts FROM notices WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
        )
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        let open = |id: String, place: &[u8], message: &[u8], tries| -> Result<Notice, StoreError> {
            let place = self.open_place(place, &id)?;
            let plain = self.vault.open(message, &id)?;
            let message = serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("message"))?;
            Ok(Notice { id, place, message, attempts: attempts(tries) })
        };
        let mut notices = Vec::with_capacity(rows.len());
        for (id, place, message, tries) in rows {
            match open(id.clone(), &place, &message, tries) {
                Ok(notice) => notices.push(notice),
                Err(error) => {
                    tracing::error!(notice = id, %error, "a notice is put off");
                    self.notice_later(&id, now + UNREADABLE_PAUSE_MS).await?;
                }
            }
        }
        Ok(notices)
    }

    /// Forgets a notice that was sent or can never be.
    pub async fn notice_done(&self, id: &str) -> Result<(), StoreError> {
        query("DELETE FROM notices WHERE id = $1").bind(id).execute(&self.write).await?;
        self.changed();
        Ok(())
    }

    /// Tries a notice again at `due_at`.
    pub async fn notice_later(&self, id: &str, due_at: i64) -> Result<(), StoreError> {
        query("UPDATE notices SET due_at = $1, attempts = attempts + 1 WHERE id = $2")
            .bind(due_at)
            .bind(id)
            .execute(&self.write)
            .await?;
        self.changed();
        Ok(())
    }

    /// Staged files whose time has come, with the post each belongs to.
    pub async fn due_cleanings(
        &self,
        now: i64,
        limit: u32,
    ) -> Result<Vec<(PostId, Option<String>)>, StoreError> {
        let rows: Vec<(String, Option<String>)> =
            query("SELECT id, object_key FROM posts WHERE clean_at <= $1 ORDER BY clean_at LIMIT $2")
                .bind(now)
                .bind(i64::from(limit))
                .fetch_all(&self.read)
                .await?;
        rows.into_iter()
            .map(|(id, key)| Ok((id.parse().map_err(|_| StoreError::Unreadable("post id"))?, key)))
            .collect()
    }

    /// Tries to delete a post's file again at `at`.
    pub async fn clean_later(&self, id: PostId, at: i64) -> Result<(), StoreError> {
        query("UPDATE posts SET clean_at = $1 WHERE id = $2 AND clean_at IS NOT NULL")
            .bind(at)
            .bind(id.to_string())
            .execute(&self.write)
            .await?;
        self.changed();
        Ok(())
    }

    /// Keeps that a post's file is gone from staging, unless the post was taken up again meanwhile: then its step
    /// finds the file missing, and copies it anew.
    pub async fn cleaned(&self, id: PostId, now: i64) -> Result<(), StoreError> {
        query(
            "UPDATE posts SET clean_at = NULL, object_key = NULL, sha256 = NULL WHERE id = $1 AND clean_at <= $2",
        )
        .bind(id.to_string())
        .bind(now)
        .execute(&self.write)
        .await?;
        self.changed();
        Ok(())
    }

    /// Forgets the audit trail of before `before`.
    pub async fn prune_events(&self, before: i64) -> Result<(), StoreError> {
        query("DELETE FROM post_events WHERE at < $1").bind(before).execute(&self.write).await?;
        Ok(())
    }

    /// Whether another post needs the same staged file.
    pub async fn shared(&self, id: PostId, key: &str) -> Result<bool, StoreError> {
        let other: Option<i64> =
            query("SELECT created_at FROM posts WHERE object_key = $1 AND id <> $2 LIMIT 1")
                .bind(key)
                .bind(id.to_string())
                .fetch_value_optional(&self.write)
                .await?;
        Ok(other.is_some())
    }

    /// The keys of every staged file that a post or a person still needs.
    pub async fn staged_keys(&self) -> Result<Vec<String>, StoreError> {
        Ok(query(
            "SELECT object_key FROM posts WHERE object_key IS NOT NULL
              UNION SELECT 'uploads/' || id FROM uploads",
        )
        .fetch_values(&self.read)
        .await?)
    }
}

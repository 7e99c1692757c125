//! Staged files that are to go, and those that are to stay.

use uuid::Uuid;

use crate::post::{PostId, State};
use crate::store::{
    Store, StoreError, Topics,
    db::engine::{Tx, locking, query},
};

/// Deletes what is known of the blocks and segments of a post that is over, and of its upload sessions once no look for it needs
/// them.
async fn forget_uploads(tx: &mut Tx, id: &str, state: &str) -> Result<(), sqlx::Error> {
    query(
        "DELETE FROM media_segments WHERE media_id IN (SELECT media_id FROM post_media WHERE post_id = $1)",
    )
    .bind(id)
    .execute(&mut *tx)
    .await?;
    query("DELETE FROM post_digests WHERE post_id = $1").bind(id).execute(&mut *tx).await?;
    // A post that failed or is in doubt may be tried again, and then is looked for by every session it had.
    if state == State::Posted.as_str() {
        query("DELETE FROM post_media WHERE post_id = $1").bind(id).execute(&mut *tx).await?;
    }
    Ok(())
}

/// The smallest id of a post that was asked for at this time: ids are UUIDv7.
fn first_id_at(ms: i64) -> String {
    let ms = ms.max(0).unsigned_abs();
    let id = u128::from(ms) << 80;
    Uuid::from_u128(id).hyphenated().to_string()
}

impl Store {
    /// When a staged file may be deleted next, in Unix milliseconds.
    pub async fn next_cleaning_due(&self) -> Result<Option<i64>, StoreError> {
        Ok(query("SELECT min(clean_at) FROM posts WHERE clean_at IS NOT NULL")
            .fetch_value(&self.read)
            .await?)
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
        let change = query("UPDATE posts SET clean_at = $1 WHERE id = $2 AND clean_at IS NOT NULL")
            .bind(at)
            .bind(id.to_string());
        self.change_about(Topics::CLEANING, change).await?;
        Ok(())
    }

    /// Keeps that a post's file is gone from staging, unless the post was taken up again meanwhile: then its step
    /// finds the file missing, and copies it anew.
    pub async fn cleaned(&self, id: PostId, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let state: Option<String> = query(
            "UPDATE posts SET clean_at = NULL, object_key = NULL, sha256 = NULL WHERE id = $1 AND clean_at <= $2
          RETURNING state",
        )
        .bind(id.to_string())
        .bind(now)
        .fetch_value_optional(&mut tx)
        .await?;
        if let Some(state) = state {
            forget_uploads(&mut tx, &id.to_string(), &state).await?;
        }
        Ok(self.commit_about(Topics::CLEANING, tx).await?)
    }

    /// Deletes posts that ended before `before` (Unix milliseconds), with all that belongs to them, oldest first and at
    /// most `limit` of them. Returns how many.
    pub async fn delete_old_posts(&self, before: i64, limit: u32) -> Result<usize, StoreError> {
        let ids: Vec<String> = query(
            "SELECT id FROM posts
              WHERE id < $1 AND due_at IS NULL AND clean_at IS NULL AND status_due_at IS NULL AND updated_at < $2
                AND COALESCE(waiting, '') <> '{\"for\":\"connection_ended\"}'
              ORDER BY id LIMIT $3",
        )
        .bind(first_id_at(before))
        .bind(before)
        .bind(i64::from(limit))
        .fetch_values(&self.read)
        .await?;
        for id in &ids {
            let mut tx = self.begin().await?;
            // The row decides: its person may have tried the post again since it was read.
            let still: Option<i64> = query(locking!(
                "SELECT created_at FROM posts WHERE id = $1 AND due_at IS NULL AND updated_at < $2
                    AND COALESCE(waiting, '') <> '{\"for\":\"connection_ended\"}'"
            ))
            .bind(id)
            .bind(before)
            .fetch_value_optional(&mut tx)
            .await?;
            if still.is_none() {
                continue;
            }
            forget_uploads(&mut tx, id, State::Posted.as_str()).await?;
            query("DELETE FROM post_events WHERE post_id = $1").bind(id).execute(&mut tx).await?;
            query("DELETE FROM posts WHERE id = $1").bind(id).execute(&mut tx).await?;
            self.commit(tx).await?;
        }
        Ok(ids.len())
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
              UNION SELECT 'uploads/' || id FROM uploads WHERE closed = 0",
        )
        .fetch_values(&self.read)
        .await?)
    }
}

//! Staged files that are to go, and those that are to stay.

use super::{Store, StoreError, engine::query};
use crate::post::PostId;

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
        self.change(change).await?;
        Ok(())
    }

    /// Keeps that a post's file is gone from staging, unless the post was taken up again meanwhile: then its step
    /// finds the file missing, and copies it anew.
    pub async fn cleaned(&self, id: PostId, now: i64) -> Result<(), StoreError> {
        let change = query(
            "UPDATE posts SET clean_at = NULL, object_key = NULL, sha256 = NULL WHERE id = $1 AND clean_at <= $2",
        )
        .bind(id.to_string())
        .bind(now);
        self.change(change).await?;
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
              UNION SELECT 'uploads/' || id FROM uploads WHERE closed = 0",
        )
        .fetch_values(&self.read)
        .await?)
    }
}

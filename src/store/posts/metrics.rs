//! How much waits, for those who watch the service.

use crate::post::State;
use crate::store::{Store, StoreError, db::engine::query};

/// What is not over, at one moment.
#[derive(Debug)]
pub struct Backlog {
    /// Posts by state, those of a state without any left out.
    pub posts: Vec<(State, i64)>,
    /// Accounts whose lane a worker holds.
    pub leased: i64,
    /// For how long the lane that waits longest has been due, in milliseconds; 0 when none is.
    pub overdue_ms: i64,
}

impl Store {
    /// Counts what waits. Posts that are over cost nothing: the indexes do not hold them.
    pub async fn backlog(&self, now: i64) -> Result<Backlog, StoreError> {
        let rows: Vec<(String, i64)> = query(
            "SELECT state, count(*) FROM posts WHERE due_at IS NOT NULL AND state <> 'needs_user' GROUP BY state
             UNION ALL SELECT 'needs_user', count(*) FROM posts WHERE state = 'needs_user'",
        )
        .fetch_all(&self.read)
        .await?;
        let posts = rows
            .into_iter()
            .map(|(state, count)| Ok((state.parse().map_err(|_| StoreError::Unreadable("state"))?, count)))
            .collect::<Result<_, StoreError>>()?;
        let due: Option<i64> =
            query("SELECT min(due_at) FROM x_accounts WHERE due_at IS NOT NULL AND lease_owner IS NULL")
                .fetch_value(&self.read)
                .await?;
        Ok(Backlog {
            posts,
            leased: self.leased().await?,
            overdue_ms: due.map_or(0, |due| now.saturating_sub(due).max(0)),
        })
    }
}

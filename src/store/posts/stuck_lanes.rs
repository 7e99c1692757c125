//! The net under the queue: lanes that have work and that nobody would ever look at. There should be none.

use crate::account::AccountId;
use crate::store::{
    Store, StoreError,
    db::{engine::query, locks},
    posts::lease,
};

impl Store {
    /// Makes lanes due that have work, that nobody holds, and that were not due: there should be none. Returns how many
    /// there were.
    pub async fn rearm_stranded(&self, now: i64) -> Result<u64, StoreError> {
        let stranded: Vec<String> = query(
            "SELECT id FROM x_accounts
              WHERE due_at IS NULL AND lease_owner IS NULL AND token_state <> 'broken'
                AND EXISTS (SELECT 1 FROM posts WHERE account_id = x_accounts.id AND due_at IS NOT NULL)",
        )
        .fetch_values(&self.read)
        .await?;
        let mut rearmed = 0;
        for account in stranded.into_iter().map(AccountId) {
            let mut tx = self.begin().await?;
            locks::lane(&mut tx, &account).await?;
            // Asked once more: what looked so may have been between two statements of others.
            let still: Option<i64> = query(
                "SELECT p.due_at FROM x_accounts a JOIN posts p ON p.account_id = a.id
                  WHERE a.id = $1 AND a.due_at IS NULL AND a.lease_owner IS NULL AND a.token_state <> 'broken'
                    AND p.due_at IS NOT NULL LIMIT 1",
            )
            .bind(&account.0)
            .fetch_value_optional(&mut tx)
            .await?;
            if still.is_some() {
                tracing::error!(%account, "work was left on a lane that nobody would have looked at; please report this");
                lease::release(&mut tx, &account, now).await?;
                rearmed += 1;
            }
            self.commit(tx).await?;
        }
        Ok(rearmed)
    }
}

//! The tokens of accounts, sealed.

use crate::account::{AccountId, Tokens};
use crate::store::{
    Lease, Store, StoreError, Topics, VaultError, db::engine::query, people::accounts::refresh_statuses,
    posts::lease,
};

/// What an account's sealed tokens belong to.
pub(crate) fn owner(account: &AccountId) -> String {
    format!("tokens:{account}")
}

impl Store {
    pub(crate) fn seal_tokens(&self, account: &AccountId, tokens: &Tokens) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(tokens).map_err(|_| StoreError::Unreadable("tokens"))?;
        Ok(self.vault.seal(&plain, &owner(account))?)
    }

    pub(crate) fn open_tokens(&self, account: &AccountId, sealed: &[u8]) -> Result<Tokens, StoreError> {
        let plain = self.vault.open(sealed, &owner(account))?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("tokens"))
    }

    /// An account's tokens with their revision; `None` when they are gone or refused, [`StoreError::Tokens`] when nobody
    /// can open them, [`VaultError::OtherKey`] when it takes a key that this process does not have.
    pub async fn tokens(&self, account: &AccountId) -> Result<Option<(Tokens, i64)>, StoreError> {
        let row: Option<(Option<Vec<u8>>, i64, String)> =
            query("SELECT tokens_sealed, token_rev, token_state FROM x_accounts WHERE id = $1")
                .bind(&account.0)
                .fetch_optional(&self.write)
                .await?;
        match row {
            Some((Some(sealed), rev, state)) if state != "broken" => {
                let tokens = self.open_tokens(account, &sealed).map_err(|error| {
                    tracing::error!(%account, %error, "tokens cannot be opened");
                    match error {
                        // Others have that key: while it is changed, or one that was given another.
                        StoreError::Vault(VaultError::OtherKey) => error,
                        _ => StoreError::Tokens { rev },
                    }
                })?;
                Ok(Some((tokens, rev)))
            }
            _ => Ok(None),
        }
    }

    /// Writes that a refresh is about to be sent. Only the lane's holder may: the lease is shown.
    pub async fn begin_refresh(&self, lease: &Lease, now: i64) -> Result<(), StoreError> {
        let done = query(
            "UPDATE x_accounts SET token_state = CASE WHEN token_state = 'ok' THEN 'refreshing' ELSE token_state END,
                    updated_at = $1
              WHERE id = $2 AND epoch = $3 AND lease_owner = $4",
        )
        .bind(now)
        .bind(&lease.account.0)
        .bind(lease.epoch)
        .bind(&*self.node)
        .execute(&self.write)
        .await?;
        if done == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    /// Keeps a refreshed pair. Not fenced by the lease: X has already killed the former pair. A relinking that
    /// came in between wins, which `rev` tells; then false.
    pub async fn save_tokens(
        &self,
        account: &AccountId,
        rev: i64,
        tokens: &Tokens,
        now: i64,
    ) -> Result<bool, StoreError> {
        let sealed = self.seal_tokens(account, tokens)?;
        let mut tx = self.begin().await?;
        let done = query(
            "UPDATE x_accounts SET tokens_sealed = $1, token_state = 'ok', scope = $2, access_expires_at = $3,
                    refused_at = NULL, token_rev = token_rev + 1, updated_at = $4
              WHERE id = $5 AND token_rev = $6 AND tokens_sealed IS NOT NULL",
        )
        .bind(sealed)
        .bind(&tokens.scope)
        .bind(tokens.access_expires_at)
        .bind(now)
        .bind(&account.0)
        .bind(rev)
        .execute(&mut tx)
        .await?;
        let kept = done == 1;
        if kept {
            // Somebody may have thought the account broken meanwhile, and let its lane rest.
            lease::rearm(&mut tx, account, now).await?;
        }
        self.commit_about(Topics::QUEUE, tx).await?;
        Ok(kept)
    }

    /// When X first refused to refresh the pair of revision `rev`, if it did.
    pub async fn refresh_refused_at(&self, account: &AccountId, rev: i64) -> Result<Option<i64>, StoreError> {
        let row: Option<Option<i64>> =
            query("SELECT refused_at FROM x_accounts WHERE id = $1 AND token_rev = $2")
                .bind(&account.0)
                .bind(rev)
                .fetch_value_optional(&self.write)
                .await?;
        Ok(row.flatten())
    }

    /// Keeps that X refused for the first time to refresh the pair of revision `rev`.
    pub async fn refresh_refused(&self, account: &AccountId, rev: i64, now: i64) -> Result<(), StoreError> {
        query("UPDATE x_accounts SET refused_at = $1 WHERE id = $2 AND token_rev = $3")
            .bind(now)
            .bind(&account.0)
            .bind(rev)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Marks an account as *reconnect needed* after X refused its refresh token, unless a relinking has
    /// brought newer tokens than revision `rev`; then false.
    pub async fn mark_broken(&self, account: &AccountId, rev: i64, now: i64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = query(
            "UPDATE x_accounts SET token_state = 'broken', updated_at = $1 WHERE id = $2 AND token_rev = $3",
        )
        .bind(now)
        .bind(&account.0)
        .bind(rev)
        .execute(&mut tx)
        .await?;
        if done == 1 {
            refresh_statuses(&mut tx, account, now).await?;
        }
        self.commit(tx).await?;
        Ok(done == 1)
    }
}

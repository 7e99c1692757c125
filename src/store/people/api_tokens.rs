//! The API tokens of people, hashed.

use sqlx::FromRow;
use uuid::Uuid;

use crate::store::{
    Store, StoreError,
    db::engine::query,
    people::accounts::{upsert_user, user_id},
};
use crate::{account::Person, ticket::ApiToken};

/// A token is noted as used this often at most: reading is what it is for.
const NOTE_USE_MS: i64 = 10 * 60_000;

#[derive(FromRow)]
struct TokenRow {
    id: String,
    name: String,
    last4: String,
    created_at: i64,
    last_used_at: Option<i64>,
}

#[derive(FromRow)]
struct HolderRow {
    platform: String,
    platform_user: String,
    name: String,
    last_used_at: Option<i64>,
}

impl Store {
    /// Keeps the hash of a token of a person's. False when they have `most` already.
    pub async fn add_api_token(
        &self,
        person: &Person,
        hash: &str,
        token: &ApiToken,
        most: u32,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let user = upsert_user(&mut tx, person, token.created_at).await?;
        let count: i64 = query("SELECT count(*) FROM api_tokens WHERE user_id = $1")
            .bind(&user)
            .fetch_value(&mut tx)
            .await?;
        if count >= i64::from(most) {
            return Ok(false);
        }
        query(
            "INSERT INTO api_tokens (hash, id, user_id, name, last4, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(hash)
        .bind(token.id.to_string())
        .bind(user)
        .bind(&token.name)
        .bind(&token.last4)
        .bind(token.created_at)
        .execute(&mut tx)
        .await?;
        self.commit(tx).await?;
        Ok(true)
    }

    /// A person's tokens, oldest first.
    pub async fn api_tokens(&self, person: &Person) -> Result<Vec<ApiToken>, StoreError> {
        let rows: Vec<TokenRow> = query(
            "SELECT id, name, last4, created_at, last_used_at FROM api_tokens WHERE user_id = $1 ORDER BY id",
        )
        .bind(user_id(person))
        .fetch_all(&self.read)
        .await?;
        let token = |row: TokenRow| {
            Ok(ApiToken {
                id: row.id.parse().map_err(|_| StoreError::Unreadable("token id"))?,
                name: row.name,
                last4: row.last4,
                created_at: row.created_at,
                last_used_at: row.last_used_at,
            })
        };
        rows.into_iter().map(token).collect()
    }

    /// Ends a token that its person never saw.
    pub async fn withdraw_api_token(&self, id: Uuid) -> Result<(), StoreError> {
        let change = query("DELETE FROM api_tokens WHERE id = $1").bind(id.to_string());
        self.change(change).await?;
        Ok(())
    }

    /// Ends a token of a person's. False when they have none with this id.
    pub async fn revoke_api_token(&self, person: &Person, id: Uuid) -> Result<bool, StoreError> {
        let done = query("DELETE FROM api_tokens WHERE id = $1 AND user_id = $2")
            .bind(id.to_string())
            .bind(user_id(person))
            .execute(&self.write)
            .await?;
        Ok(done == 1)
    }

    /// Whose API token has this hash; notes that it was used.
    pub async fn person_of_api_token(&self, hash: &str, now: i64) -> Result<Option<Person>, StoreError> {
        let row: Option<HolderRow> = query(
            "SELECT u.platform, u.platform_user, u.name, t.last_used_at
               FROM api_tokens t JOIN users u ON u.id = t.user_id
              WHERE t.hash = $1",
        )
        .bind(hash)
        .fetch_optional(&self.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.last_used_at.is_none_or(|at| at + NOTE_USE_MS <= now) {
            query("UPDATE api_tokens SET last_used_at = $1 WHERE hash = $2")
                .bind(now)
                .bind(hash)
                .execute(&self.write)
                .await?;
        }
        let platform = row.platform.parse().map_err(|_| StoreError::Unreadable("platform"))?;
        Ok(Some(Person { platform, id: row.platform_user, name: row.name }))
    }
}

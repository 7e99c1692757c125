//! People, the X accounts they linked, and the tokens of those.

use sqlx::{FromRow, Sqlite, Transaction};

use super::{Lease, Store, StoreError, queue};
use crate::account::{Account, AccountId, AccountState, Person, Profile, Tier, Tokens};

/// What was undone by [`Store::unlink`].
#[derive(Debug)]
pub struct Unlinked {
    pub account: Account,
    /// Others have linked it too, so its tokens live on.
    pub others: bool,
    /// To be revoked at X, when nobody else has linked the account.
    pub tokens: Option<Tokens>,
}

#[derive(FromRow)]
struct AccountRow {
    id: String,
    username: String,
    name: String,
    avatar_url: Option<String>,
    tier: String,
    token_state: String,
    preferred: i64,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        Account {
            id: AccountId(row.id),
            username: row.username,
            name: row.name,
            avatar_url: row.avatar_url,
            tier: Tier::from_stored(&row.tier),
            state: match row.token_state.as_str() {
                "broken" => AccountState::ReconnectNeeded,
                _ => AccountState::Active,
            },
            preferred: row.preferred == 1,
        }
    }
}

/// A person's row id.
pub(super) fn user_id(person: &Person) -> String {
    format!("{}:{}", person.platform.as_str(), person.id)
}

pub(super) async fn upsert_user(
    tx: &mut Transaction<'_, Sqlite>,
    person: &Person,
    now: i64,
) -> Result<String, sqlx::Error> {
    let id = user_id(person);
    sqlx::query(
        "INSERT INTO users (id, platform, platform_user, name, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    )
    .bind(&id)
    .bind(person.platform.as_str())
    .bind(&person.id)
    .bind(&person.name)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(id)
}

/// What an account's sealed tokens belong to.
pub(super) fn owner(account: &AccountId) -> String {
    format!("tokens:{account}")
}

impl Store {
    fn seal_tokens(&self, account: &AccountId, tokens: &Tokens) -> Result<Vec<u8>, StoreError> {
        let plain = serde_json::to_vec(tokens).map_err(|_| StoreError::Unreadable("tokens"))?;
        Ok(self.vault.seal(&plain, &owner(account))?)
    }

    fn open_tokens(&self, account: &AccountId, sealed: &[u8]) -> Result<Tokens, StoreError> {
        let plain = self.vault.open(sealed, &owner(account))?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("tokens"))
    }

    /// Links an account to a person with fresh tokens; a new one becomes the one they post to.
    ///
    /// The newest grant replaces an older one, also for others who linked the same account: X lets only it live.
    /// Posts that waited for a reconnection go on.
    pub(super) async fn link(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        person: &Person,
        profile: &Profile,
        tokens: &Tokens,
        now: i64,
    ) -> Result<(), StoreError> {
        let sealed = self.seal_tokens(&profile.id, tokens)?;
        let user = upsert_user(tx, person, now).await?;
        sqlx::query(
            "INSERT INTO x_accounts (id, username, name, avatar_url, tier, active, token_state, tokens_sealed, scope,
                                     access_expires_at, token_rev, updated_at)
             VALUES ($1, $2, $3, $4, $5, 1, 'ok', $6, $7, $8, 1, $9)
             ON CONFLICT (id) DO UPDATE SET username = excluded.username, name = excluded.name,
                 avatar_url = excluded.avatar_url, tier = excluded.tier, active = 1, token_state = 'ok',
                 tokens_sealed = excluded.tokens_sealed, scope = excluded.scope,
                 access_expires_at = excluded.access_expires_at, token_rev = x_accounts.token_rev + 1,
                 updated_at = excluded.updated_at,
                 due_at = CASE WHEN x_accounts.lease_owner IS NOT NULL THEN x_accounts.due_at
                     WHEN EXISTS (SELECT 1 FROM posts WHERE account_id = excluded.id AND posts.due_at IS NOT NULL)
                     THEN excluded.updated_at END",
        )
        .bind(&profile.id.0)
        .bind(&profile.username)
        .bind(&profile.name)
        .bind(&profile.avatar_url)
        .bind(profile.tier.as_str())
        .bind(sealed)
        .bind(&tokens.scope)
        .bind(tokens.access_expires_at)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        let linked = sqlx::query(
            "INSERT INTO account_links (user_id, account_id, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (user_id, account_id) DO NOTHING",
        )
        .bind(&user)
        .bind(&profile.id.0)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        // Connecting an account again does not turn `/post` to it.
        sqlx::query(
            "UPDATE users SET default_account = $1 WHERE id = $2 AND (default_account IS NULL OR $3 = 1)",
        )
        .bind(&profile.id.0)
        .bind(&user)
        .bind(i64::try_from(linked.rows_affected()).unwrap_or(0))
        .execute(&mut **tx)
        .await?;
        sqlx::query("UPDATE posts SET waiting = NULL WHERE account_id = $1 AND due_at IS NOT NULL AND intent_at IS NULL")
            .bind(&profile.id.0)
            .execute(&mut **tx)
            .await?;
        refresh_statuses(tx, &profile.id, now).await?;
        Ok(())
    }

    /// A person's accounts, in the order they were linked.
    pub async fn accounts(&self, person: &Person) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<AccountRow> = sqlx::query_as(
            "SELECT a.id, a.username, a.name, a.avatar_url, a.tier, a.token_state,
                    CASE WHEN u.default_account = a.id THEN 1 ELSE 0 END AS preferred
               FROM account_links l JOIN x_accounts a ON a.id = l.account_id JOIN users u ON u.id = l.user_id
              WHERE l.user_id = $1 ORDER BY l.created_at, a.id",
        )
        .bind(user_id(person))
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(Account::from).collect())
    }

    /// One account, whoever linked it. `preferred` is not known here.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as(
            "SELECT id, username, name, avatar_url, tier, token_state, 0 AS preferred FROM x_accounts WHERE id = $1",
        )
        .bind(&id.0)
        .fetch_optional(&self.read)
        .await?;
        Ok(row.map(Account::from))
    }

    /// Makes an account the one that this person's `/post` goes to. False when they have not linked it.
    pub async fn prefer(&self, person: &Person, account: &AccountId) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE users SET default_account = $1 WHERE id = $2
                AND EXISTS (SELECT 1 FROM account_links WHERE user_id = $2 AND account_id = $1)",
        )
        .bind(&account.0)
        .bind(user_id(person))
        .execute(&self.write)
        .await?;
        self.changed();
        Ok(done.rows_affected() == 1)
    }

    /// Takes a person's link to an account away; `None` when there is none.
    ///
    /// Their posts that were not yet being published fail as disconnected. When nobody else linked the account,
    /// its tokens are forgotten here and returned to be revoked.
    pub async fn unlink(
        &self,
        person: &Person,
        id: &AccountId,
        now: i64,
    ) -> Result<Option<Unlinked>, StoreError> {
        let user = user_id(person);
        let mut tx = self.begin().await?;
        let row: Option<AccountRow> = sqlx::query_as(
            "SELECT a.id, a.username, a.name, a.avatar_url, a.tier, a.token_state, 0 AS preferred
               FROM account_links l JOIN x_accounts a ON a.id = l.account_id
              WHERE l.user_id = $1 AND l.account_id = $2",
        )
        .bind(&user)
        .bind(&id.0)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        sqlx::query("DELETE FROM account_links WHERE user_id = $1 AND account_id = $2")
            .bind(&user)
            .bind(&id.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE users SET default_account =
                (SELECT account_id FROM account_links WHERE user_id = $1 ORDER BY created_at DESC LIMIT 1)
              WHERE id = $1 AND default_account = $2",
        )
        .bind(&user)
        .bind(&id.0)
        .execute(&mut *tx)
        .await?;
        super::posts::disconnect(&mut tx, &user, id, now).await?;
        let others: i64 = sqlx::query_scalar("SELECT count(*) FROM account_links WHERE account_id = $1")
            .bind(&id.0)
            .fetch_one(&mut *tx)
            .await?;
        let mut tokens = None;
        if others == 0 {
            let sealed: Option<Vec<u8>> =
                sqlx::query_scalar("SELECT tokens_sealed FROM x_accounts WHERE id = $1")
                    .bind(&id.0)
                    .fetch_one(&mut *tx)
                    .await?;
            // Tokens that cannot be opened cannot be revoked either; forgetting them is what is left.
            tokens = sealed.and_then(|sealed| self.open_tokens(id, &sealed).ok());
            sqlx::query(
                "UPDATE x_accounts SET active = 0, token_state = 'broken', tokens_sealed = NULL,
                        token_rev = token_rev + 1, updated_at = $2
                  WHERE id = $1",
            )
            .bind(&id.0)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        }
        self.commit(tx).await?;
        Ok(Some(Unlinked { account: row.into(), others: others > 0, tokens }))
    }

    /// An account's tokens with their revision; `None` when they are gone or refused.
    pub async fn tokens(&self, account: &AccountId) -> Result<Option<(Tokens, i64)>, StoreError> {
        let row: Option<(Option<Vec<u8>>, i64, String)> =
            sqlx::query_as("SELECT tokens_sealed, token_rev, token_state FROM x_accounts WHERE id = $1")
                .bind(&account.0)
                .fetch_optional(&self.write)
                .await?;
        match row {
            Some((Some(sealed), rev, state)) if state != "broken" => {
                Ok(Some((self.open_tokens(account, &sealed)?, rev)))
            }
            _ => Ok(None),
        }
    }

    /// Writes that a refresh is about to be sent. Only the lane's holder may: the lease is shown.
    pub async fn begin_refresh(&self, lease: &Lease, now: i64) -> Result<(), StoreError> {
        let done = sqlx::query(
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
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::LeaseLost) }
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
        let done = sqlx::query(
            "UPDATE x_accounts SET tokens_sealed = $1, token_state = 'ok', scope = $2, access_expires_at = $3,
                    token_rev = token_rev + 1, updated_at = $4
              WHERE id = $5 AND token_rev = $6 AND tokens_sealed IS NOT NULL",
        )
        .bind(sealed)
        .bind(&tokens.scope)
        .bind(tokens.access_expires_at)
        .bind(now)
        .bind(&account.0)
        .bind(rev)
        .execute(&mut *tx)
        .await?;
        let kept = done.rows_affected() == 1;
        if kept {
            // Somebody may have thought the account broken meanwhile, and let its lane rest.
            queue::rearm(&mut tx, account, now).await?;
        }
        self.commit(tx).await?;
        Ok(kept)
    }

    /// Marks an account as *reconnect needed* after X refused its refresh token, unless a relinking has
    /// brought newer tokens than revision `rev`; then false.
    pub async fn mark_broken(&self, account: &AccountId, rev: i64, now: i64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE x_accounts SET token_state = 'broken', updated_at = $1 WHERE id = $2 AND token_rev = $3",
        )
        .bind(now)
        .bind(&account.0)
        .bind(rev)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 1 {
            refresh_statuses(&mut tx, account, now).await?;
        }
        self.commit(tx).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps an API token of a person's, hashed, in place of a former one.
    pub async fn add_api_token(&self, person: &Person, hash: &str, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let user = upsert_user(&mut tx, person, now).await?;
        sqlx::query("DELETE FROM api_tokens WHERE user_id = $1").bind(&user).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO api_tokens (hash, user_id, created_at) VALUES ($1, $2, $3)")
            .bind(hash)
            .bind(user)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        self.commit(tx).await?;
        Ok(())
    }

    /// Whose API token has this hash.
    pub async fn person_of_api_token(&self, hash: &str) -> Result<Option<Person>, StoreError> {
        let row: Option<(String, String, String)> = sqlx::query_as(
            "SELECT u.platform, u.platform_user, u.name FROM api_tokens t JOIN users u ON u.id = t.user_id
              WHERE t.hash = $1",
        )
        .bind(hash)
        .fetch_optional(&self.read)
        .await?;
        row.map(|(platform, id, name)| {
            let platform = platform.parse().map_err(|_| StoreError::Unreadable("platform"))?;
            Ok(Person { platform, id, name })
        })
        .transpose()
    }
}

/// Has the status of each waiting post of an account written anew: what it waits for has changed.
async fn refresh_statuses(
    tx: &mut Transaction<'_, Sqlite>,
    account: &AccountId,
    now: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE posts SET status_want = status_want + 1, 
                status_due_at = CASE WHEN status_not_before > $1 THEN status_not_before ELSE $1 END
          WHERE account_id = $2 AND due_at IS NOT NULL",
    )
    .bind(now)
    .bind(&account.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

//! People, the X accounts they linked, and the tokens of those.

use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Store, StoreError, VaultError,
    engine::{Tx, locking, query},
    locks, queue,
};
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
    profile_at: i64,
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
            profile_at: row.profile_at,
            preferred: row.preferred == 1,
        }
    }
}

/// The grant whose tokens an account has.
#[derive(FromRow)]
struct StoredGrant {
    active: i64,
    token_state: String,
    refused_at: Option<i64>,
    grant_id: Option<String>,
}

impl StoredGrant {
    /// Reads an account's grant and keeps it as it is until the transaction ends.
    async fn locked(tx: &mut Tx, account: &AccountId) -> Result<Option<StoredGrant>, sqlx::Error> {
        query(locking!("SELECT active, token_state, refused_at, grant_id FROM x_accounts WHERE id = $1"))
            .bind(&account.0)
            .fetch_optional(tx)
            .await
    }

    fn is_older_than(&self, grant: Uuid) -> bool {
        // Ids of version 7 in text are in the order in which they were made.
        self.grant_id.as_ref().is_none_or(|stored| *stored < grant.to_string())
    }

    /// Tells whether somebody could post with the account until `then`, when X gave a new grant. Tokens that X refused
    /// only after that were ended by the new grant.
    fn works_until(&self, then: i64) -> bool {
        self.active == 1
            && (self.token_state != "broken" || self.refused_at.is_some_and(|refused| refused >= then))
    }
}

/// A person's row id.
pub(super) fn user_id(person: &Person) -> String {
    format!("{}:{}", person.platform.as_str(), person.id)
}

pub(super) async fn upsert_user(tx: &mut Tx, person: &Person, now: i64) -> Result<String, sqlx::Error> {
    let id = user_id(person);
    query(
        "INSERT INTO users (id, platform, platform_user, name, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    )
    .bind(&id)
    .bind(person.platform.as_str())
    .bind(&person.id)
    .bind(&person.name)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    Ok(id)
}

impl Store {
    /// Connects a person to an account that X authorised; a new one becomes the one they post to.
    ///
    /// The tokens of the newest grant are kept, for everybody who is connected: X lets only it live. Posts that waited for
    /// a reconnection go on. False when the grant was given back to X in the meantime, and nobody is connected.
    pub(super) async fn link(
        &self,
        tx: &mut Tx,
        person: &Person,
        profile: &Profile,
        tokens: &Tokens,
        grant: Uuid,
        now: i64,
    ) -> Result<bool, StoreError> {
        let user = upsert_user(tx, person, now).await?;
        let stored = StoredGrant::locked(tx, &profile.id).await?;
        let is_newer = stored.as_ref().is_none_or(|stored| stored.is_older_than(grant));
        match stored {
            Some(stored) if !is_newer && stored.active == 0 => return Ok(false),
            _ if is_newer => self.put_grant(tx, profile, tokens, grant, now).await?,
            // Adopted before the person confirmed, and perhaps refreshed since.
            _ => {}
        }
        let linked = query(
            "INSERT INTO account_links (user_id, account_id, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (user_id, account_id) DO NOTHING",
        )
        .bind(&user)
        .bind(&profile.id.0)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        // Connecting an account again does not turn `/post` to it.
        query("UPDATE users SET default_account = $1 WHERE id = $2 AND (default_account IS NULL OR CAST($3 AS BIGINT) = 1)")
            .bind(&profile.id.0)
            .bind(&user)
            .bind(i64::try_from(linked).unwrap_or(0))
            .execute(&mut *tx)
            .await?;
        resume(tx, &profile.id, now).await?;
        Ok(true)
    }

    /// Takes over the tokens of a grant that nobody has confirmed, if its account works for somebody: X may have ended
    /// the earlier grant when it gave this one. Connects nobody.
    ///
    /// False when nobody depends on the account, so that the tokens may be given back to X.
    pub async fn adopt(
        &self,
        profile: &Profile,
        tokens: &Tokens,
        grant: Uuid,
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let stored = StoredGrant::locked(&mut tx, &profile.id).await?;
        let Some(stored) = stored.filter(|stored| stored.works_until(tokens.issued_at)) else {
            return Ok(false);
        };
        if stored.is_older_than(grant) {
            self.put_grant(&mut tx, profile, tokens, grant, now).await?;
            resume(&mut tx, &profile.id, now).await?;
        }
        self.commit(tx).await?;
        Ok(true)
    }

    /// Writes an account with the tokens of a new grant.
    async fn put_grant(
        &self,
        tx: &mut Tx,
        profile: &Profile,
        tokens: &Tokens,
        grant: Uuid,
        now: i64,
    ) -> Result<(), StoreError> {
        let sealed = self.seal_tokens(&profile.id, tokens)?;
        query(
            "INSERT INTO x_accounts (id, username, name, avatar_url, tier, active, token_state, tokens_sealed, scope,
                                     access_expires_at, token_rev, updated_at, profile_at, grant_id)
             VALUES ($1, $2, $3, $4, $5, 1, 'ok', $6, $7, $8, 1, $9, $9, $10)
             ON CONFLICT (id) DO UPDATE SET username = excluded.username, name = excluded.name,
                 avatar_url = excluded.avatar_url, tier = excluded.tier, profile_at = excluded.profile_at, active = 1, token_state = 'ok',
                 tokens_sealed = excluded.tokens_sealed, scope = excluded.scope,
                 access_expires_at = excluded.access_expires_at, token_rev = x_accounts.token_rev + 1, refused_at = NULL,
                 updated_at = excluded.updated_at, grant_id = excluded.grant_id",
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
        .bind(grant.to_string())
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    /// A person's accounts, in the order they were linked.
    pub async fn accounts(&self, person: &Person) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<AccountRow> = query(
            "SELECT a.id, a.username, a.name, a.avatar_url, a.tier, a.profile_at, a.token_state,
                    CAST(CASE WHEN u.default_account = a.id THEN 1 ELSE 0 END AS BIGINT) AS preferred
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
        let row: Option<AccountRow> = query(
            "SELECT id, username, name, avatar_url, tier, profile_at, token_state, CAST(0 AS BIGINT) AS preferred FROM x_accounts WHERE id = $1",
        )
        .bind(&id.0)
        .fetch_optional(&self.read)
        .await?;
        Ok(row.map(Account::from))
    }

    /// Keeps what X says of an account now.
    pub async fn save_profile(&self, profile: &Profile, now: i64) -> Result<(), StoreError> {
        let change = query(
            "UPDATE x_accounts SET username = $1, name = $2, avatar_url = $3, tier = $4, profile_at = $5 WHERE id = $6",
        )
        .bind(&profile.username)
        .bind(&profile.name)
        .bind(&profile.avatar_url)
        .bind(profile.tier.as_str())
        .bind(now)
        .bind(&profile.id.0);
        self.change(change).await?;
        Ok(())
    }

    /// Makes an account the one that this person's `/post` goes to. False when they have not linked it.
    pub async fn prefer(&self, person: &Person, account: &AccountId) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        locks::person(&mut tx, &user_id(person)).await?;
        let done = query(
            "UPDATE users SET default_account = $1 WHERE id = $2
                AND EXISTS (SELECT 1 FROM account_links WHERE user_id = $2 AND account_id = $1)",
        )
        .bind(&account.0)
        .bind(user_id(person))
        .execute(&mut tx)
        .await?;
        self.commit(tx).await?;
        Ok(done == 1)
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
        locks::person(&mut tx, &user).await?;
        locks::lane(&mut tx, id).await?;
        let row: Option<AccountRow> = query(
            "SELECT a.id, a.username, a.name, a.avatar_url, a.tier, a.profile_at, a.token_state, CAST(0 AS BIGINT) AS preferred
               FROM account_links l JOIN x_accounts a ON a.id = l.account_id
              WHERE l.user_id = $1 AND l.account_id = $2",
        )
        .bind(&user)
        .bind(&id.0)
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        query("DELETE FROM account_links WHERE user_id = $1 AND account_id = $2")
            .bind(&user)
            .bind(&id.0)
            .execute(&mut tx)
            .await?;
        query(
            "UPDATE users SET default_account =
                (SELECT account_id FROM account_links WHERE user_id = $1 ORDER BY created_at DESC LIMIT 1)
              WHERE id = $1 AND default_account = $2",
        )
        .bind(&user)
        .bind(&id.0)
        .execute(&mut tx)
        .await?;
        super::posts::disconnect(&mut tx, &user, id, now).await?;
        let others: i64 = query("SELECT count(*) FROM account_links WHERE account_id = $1")
            .bind(&id.0)
            .fetch_value(&mut tx)
            .await?;
        let mut tokens = None;
        if others == 0 {
            let sealed: Option<Vec<u8>> = query("SELECT tokens_sealed FROM x_accounts WHERE id = $1")
                .bind(&id.0)
                .fetch_value(&mut tx)
                .await?;
            tokens = match sealed.map(|sealed| self.open_tokens(id, &sealed)).transpose() {
                // A process that has that key can revoke them.
                Err(error @ StoreError::Vault(VaultError::OtherKey)) => return Err(error),
                // What cannot be opened cannot be revoked either; forgetting it is what is left.
                tokens => tokens.unwrap_or_default(),
            };
            query(
                "UPDATE x_accounts SET active = 0, token_state = 'broken', tokens_sealed = NULL,
                        token_rev = token_rev + 1, updated_at = $2
                  WHERE id = $1",
            )
            .bind(&id.0)
            .bind(now)
            .execute(&mut tx)
            .await?;
        }
        self.commit(tx).await?;
        Ok(Some(Unlinked { account: row.into(), others: others > 0, tokens }))
    }
}

/// Lets posts go on that waited until their account could be used again.
async fn resume(tx: &mut Tx, account: &AccountId, now: i64) -> Result<(), sqlx::Error> {
    query(
        // What waits for the app keeps saying so: it is found by that when the app may go on.
        "UPDATE posts SET waiting = NULL
          WHERE account_id = $1 AND due_at IS NOT NULL AND intent_at IS NULL AND waiting = '{\"for\":\"reconnect\"}'",
    )
    .bind(&account.0)
    .execute(&mut *tx)
    .await?;
    refresh_statuses(tx, account, now).await?;
    queue::rearm(tx, account, now).await
}

/// Has the status of each waiting post of an account written anew: what it waits for has changed.
pub(super) async fn refresh_statuses(tx: &mut Tx, account: &AccountId, now: i64) -> Result<(), sqlx::Error> {
    query(
        "UPDATE posts SET status_want = status_want + 1,
                status_due_at = CASE WHEN place_sealed IS NULL THEN NULL WHEN status_not_before > $1 THEN status_not_before ELSE $1 END
          WHERE account_id = $2 AND due_at IS NOT NULL",
    )
    .bind(now)
    .bind(&account.0)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

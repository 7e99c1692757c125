//! People, the X accounts they linked, and the tokens of those.

use sqlx::FromRow;
use uuid::Uuid;

use crate::store::{
    Store, StoreError, VaultError,
    db::{
        engine::{Tx, locking, query},
        locks,
    },
    posts::lease,
};
use crate::{
    account::{Account, AccountId, AccountState, Person, PersonRef, Profile, Tier, Tokens},
    post::{Post, PostId, Waiting},
    words::Message,
};

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
    others_to_end: i64,
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
            others_to_end: u32::try_from(row.others_to_end).unwrap_or(0),
        }
    }
}

/// Outcome of [`Store::adopt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// The account works for somebody, with these tokens or newer ones. They must not be revoked.
    InUse,
    /// People are connected to the account, but X had ended their grant before this one.
    Broken,
    /// Nobody is connected to the account.
    Unused,
}

/// A choice about another person's connection to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Keep,
    End,
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

    fn is_of(&self, grant: Uuid) -> bool {
        self.grant_id.as_ref().is_some_and(|stored| *stored == grant.to_string())
    }

    /// Tells whether the account's people could post until `then`, when X gave a new grant. Tokens that X refused only
    /// after that were ended by the new grant.
    fn works_until(&self, then: i64) -> bool {
        self.token_state != "broken" || self.refused_at.is_some_and(|refused| refused >= then)
    }
}

/// A person's row id.
pub(crate) fn user_id(person: &Person) -> String {
    format!("{}:{}", person.platform.as_str(), person.id)
}

pub(crate) async fn upsert_user(tx: &mut Tx, person: &Person, now: i64) -> Result<String, sqlx::Error> {
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
    pub(crate) async fn link(
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
        let is_newest = is_newer || stored.as_ref().is_some_and(|stored| stored.is_of(grant));
        match stored {
            Some(stored) if !is_newer && stored.active == 0 => return Ok(false),
            _ if is_newer => self.put_grant(tx, profile, tokens, grant, now).await?,
            // Adopted before the person confirmed, and perhaps refreshed since.
            _ => {}
        }
        if is_newest {
            query("UPDATE x_accounts SET owner = $1 WHERE id = $2")
                .bind(&user)
                .bind(&profile.id.0)
                .execute(&mut *tx)
                .await?;
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
        query(
            "UPDATE posts SET waiting = NULL, due_at = $1, attempt = 0, trouble_since = NULL
              WHERE user_id = $2 AND account_id = $3 AND due_at IS NULL AND waiting = $4",
        )
        .bind(now)
        .bind(&user)
        .bind(&profile.id.0)
        .bind(connection_ended()?)
        .execute(&mut *tx)
        .await?;
        resume(tx, &profile.id, now).await?;
        Ok(true)
    }

    /// Takes over the tokens of a grant that nobody has confirmed, if its account works for somebody: X may have ended
    /// the earlier grant when it gave this one. Connects nobody.
    ///
    pub async fn adopt(
        &self,
        profile: &Profile,
        tokens: &Tokens,
        grant: Uuid,
        now: i64,
    ) -> Result<Adopted, StoreError> {
        let mut tx = self.begin().await?;
        let stored = StoredGrant::locked(&mut tx, &profile.id).await?;
        let Some(stored) = stored.filter(|stored| stored.active == 1) else { return Ok(Adopted::Unused) };
        if !stored.works_until(tokens.issued_at) {
            return Ok(Adopted::Broken);
        }
        if stored.is_older_than(grant) {
            self.put_grant(&mut tx, profile, tokens, grant, now).await?;
            resume(&mut tx, &profile.id, now).await?;
        }
        self.commit(tx).await?;
        Ok(Adopted::InUse)
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

    /// People who are connected to an account, in the order they were.
    pub async fn connected(&self, account: &AccountId) -> Result<Vec<Person>, StoreError> {
        let rows: Vec<(String, String, String)> = query(
            "SELECT u.platform, u.platform_user, u.name FROM account_links l JOIN users u ON u.id = l.user_id
              WHERE l.account_id = $1 ORDER BY l.created_at, u.id",
        )
        .bind(&account.0)
        .fetch_all(&self.read)
        .await?;
        let person = |(platform, id, name): (String, String, String)| {
            let platform = platform.parse().map_err(|_| StoreError::Unreadable("platform"))?;
            Ok(Person { platform, id, name })
        };
        rows.into_iter().map(person).collect()
    }

    /// Tells whether a person is still connected to the account that a post goes to.
    pub async fn still_connected(&self, post: &Post) -> Result<bool, StoreError> {
        let found: Option<i64> =
            query("SELECT created_at FROM account_links WHERE user_id = $1 AND account_id = $2")
                .bind(&post.user)
                .bind(&post.account.0)
                .fetch_value_optional(&self.read)
                .await?;
        Ok(found.is_some())
    }

    /// Ends the connections of everybody else to an account and tells each of them. Returns how many there were; `None`
    /// unless `owner` confirmed the newest grant and is still connected.
    pub async fn end_others(
        &self,
        owner: &Person,
        account: &Account,
        message: &Message,
        now: i64,
    ) -> Result<Option<usize>, StoreError> {
        let mut tx = self.begin().await?;
        let user = user_id(owner);
        let others = lock_connected(&mut tx, &account.id, &user).await?;
        let owns: Option<i64> = query(
            "SELECT l.created_at FROM account_links l JOIN x_accounts a ON a.id = l.account_id
              WHERE l.user_id = $1 AND l.account_id = $2 AND a.owner = $1",
        )
        .bind(&user)
        .bind(&account.id.0)
        .fetch_value_optional(&mut tx)
        .await?;
        if owns.is_none() {
            return Ok(None);
        }
        self.end_connections(&mut tx, &account.id, &others, message, now).await?;
        self.commit(tx).await?;
        Ok(Some(others.len()))
    }

    /// Ends connections of people to an account. Posts that X was not asked to make yet wait until their person connects
    /// again. The people and the lane are locked by now.
    pub(crate) async fn end_connections(
        &self,
        tx: &mut Tx,
        account: &AccountId,
        users: &[String],
        message: &Message,
        now: i64,
    ) -> Result<(), StoreError> {
        for user in users {
            remove_link(tx, user, account).await?;
            let posts: Vec<(String, Option<i64>)> = query(
                "SELECT id, intent_at FROM posts WHERE user_id = $1 AND account_id = $2 AND due_at IS NOT NULL",
            )
            .bind(user)
            .bind(&account.0)
            .fetch_all(&mut *tx)
            .await?;
            for (id, intent_at) in posts {
                let id: PostId = id.parse().map_err(|_| StoreError::Unreadable("post id"))?;
                // A post that may be on X is still looked for.
                if intent_at.is_none() {
                    query("UPDATE posts SET waiting = $1, due_at = NULL, updated_at = $2 WHERE id = $3")
                        .bind(connection_ended()?)
                        .bind(now)
                        .bind(id.to_string())
                        .execute(&mut *tx)
                        .await?;
                    lease::show(tx, id, now).await?;
                    lease::event(tx, self, id, None, "connection_ended", None, now).await?;
                }
                lease::drop_from_lane(tx, account, id, now).await?;
            }
            let person: PersonRef = user.parse().map_err(|_| StoreError::Unreadable("user"))?;
            self.notify(tx, &person.private_place(), message, now).await?;
        }
        Ok(())
    }

    /// A person's accounts, in the order they were linked.
    pub async fn accounts(&self, person: &Person) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<AccountRow> = query(
            "SELECT a.id, a.username, a.name, a.avatar_url, a.tier, a.profile_at, a.token_state,
                    CAST(CASE WHEN u.default_account = a.id THEN 1 ELSE 0 END AS BIGINT) AS preferred,
                    CAST(CASE WHEN a.owner = l.user_id
                              THEN (SELECT count(*) FROM account_links o WHERE o.account_id = a.id AND o.user_id <> l.user_id)
                              ELSE 0 END AS BIGINT) AS others_to_end
               FROM account_links l JOIN x_accounts a ON a.id = l.account_id JOIN users u ON u.id = l.user_id
              WHERE l.user_id = $1 ORDER BY l.created_at, a.id",
        )
        .bind(user_id(person))
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(Account::from).collect())
    }

    /// One account, independent of a person. `preferred` and `others_to_end` are not known here.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = query(
            "SELECT id, username, name, avatar_url, tier, profile_at, token_state, CAST(0 AS BIGINT) AS preferred,
                    CAST(0 AS BIGINT) AS others_to_end
               FROM x_accounts WHERE id = $1",
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
            "SELECT a.id, a.username, a.name, a.avatar_url, a.tier, a.profile_at, a.token_state, CAST(0 AS BIGINT) AS preferred,
                    CAST(0 AS BIGINT) AS others_to_end
               FROM account_links l JOIN x_accounts a ON a.id = l.account_id
              WHERE l.user_id = $1 AND l.account_id = $2",
        )
        .bind(&user)
        .bind(&id.0)
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        remove_link(&mut tx, &user, id).await?;
        crate::store::posts::rows::disconnect(&mut tx, &user, id, now).await?;
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

/// Locks everybody who is connected to an account, `user` and the account's lane, in the order that all keep to. Returns
/// the people but `user`.
pub(crate) async fn lock_connected(
    tx: &mut Tx,
    account: &AccountId,
    user: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let others = connected_but(tx, account, user).await?;
    let mut people: Vec<&str> = others.iter().map(String::as_str).chain([user]).collect();
    people.sort_unstable();
    for person in people {
        locks::person(tx, person).await?;
    }
    locks::lane(tx, account).await?;
    // Somebody who came in between is not locked, and confirmed a newer grant.
    let still = connected_but(tx, account, user).await?;
    Ok(others.into_iter().filter(|other| still.contains(other)).collect())
}

async fn connected_but(tx: &mut Tx, account: &AccountId, user: &str) -> Result<Vec<String>, sqlx::Error> {
    query("SELECT user_id FROM account_links WHERE account_id = $1 AND user_id <> $2 ORDER BY user_id")
        .bind(&account.0)
        .bind(user)
        .fetch_values(tx)
        .await
}

async fn remove_link(tx: &mut Tx, user: &str, account: &AccountId) -> Result<(), sqlx::Error> {
    query("DELETE FROM account_links WHERE user_id = $1 AND account_id = $2")
        .bind(user)
        .bind(&account.0)
        .execute(&mut *tx)
        .await?;
    query(
        "UPDATE users SET default_account =
            (SELECT account_id FROM account_links WHERE user_id = $1 ORDER BY created_at DESC LIMIT 1)
          WHERE id = $1 AND default_account = $2",
    )
    .bind(user)
    .bind(&account.0)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Stored form of [`Waiting::ConnectionEnded`].
fn connection_ended() -> Result<String, StoreError> {
    serde_json::to_string(&Waiting::ConnectionEnded).map_err(|_| StoreError::Unreadable("waiting"))
}

/// Lets posts go on that waited until their account could be used again.
async fn resume(tx: &mut Tx, account: &AccountId, now: i64) -> Result<(), sqlx::Error> {
    query(
        // Posts that wait for the app keep saying so: they are found by that when the app may go on.
        "UPDATE posts SET waiting = NULL
          WHERE account_id = $1 AND due_at IS NOT NULL AND intent_at IS NULL AND waiting = '{\"for\":\"reconnect\"}'",
    )
    .bind(&account.0)
    .execute(&mut *tx)
    .await?;
    refresh_statuses(tx, account, now).await?;
    lease::rearm(tx, account, now).await
}

/// Has the status of each waiting post of an account written anew: what it waits for has changed.
pub(crate) async fn refresh_statuses(tx: &mut Tx, account: &AccountId, now: i64) -> Result<(), sqlx::Error> {
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

//! Browser sessions, and the one-use links from chat that open them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::{
    Store, StoreError,
    db::engine::query,
    people::accounts::{upsert_user, user_id},
};
use crate::{
    account::{Person, Place},
    ticket::Ticket,
};

/// What a browser may do for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Upload and post: what `/upload` gives.
    Upload,
    /// That, and see to accounts and posts: what `/web` gives.
    Manage,
}

/// Whom a link from chat lets into a browser, and for what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Invitation {
    pub person: Person,
    /// The chat it was asked in: posts made in the browser show their status there too.
    pub place: Place,
    pub scope: Scope,
}

/// A browser that accepted an invitation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    pub person: Person,
    pub place: Place,
    pub scope: Scope,
    /// Hash of the invitation's ticket, so that its link still works in this one browser.
    pub opened_by: Option<String>,
    /// Names the session in lists.
    pub id: Uuid,
    /// Random; forms and calls of this browser's pages carry it, and those of other sites cannot.
    pub form_token: String,
    /// Kind of browser, as it names itself: `Firefox on Linux`.
    pub browser: String,
}

/// A browser that is signed in, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub id: Uuid,
    pub browser: String,
    pub scope: Scope,
    /// Unix milliseconds.
    pub created_at: i64,
    /// To within ten minutes, in Unix milliseconds.
    pub last_used_at: i64,
}

/// How long a browser that is not used stays signed in.
pub const SESSION_LIFE_MS: i64 = 30 * 24 * 3_600_000;
/// A session's use is written down, and its end put off, this often at most.
const NOTE_USE_MS: i64 = 10 * 60_000;

const INVITATION: &str = "invitation";

impl Store {
    /// Keeps an invitation under the hash of its ticket until `expires_at`.
    pub async fn keep_invitation(
        &self,
        ticket: &Ticket,
        invitation: &Invitation,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        self.keep_ticket(INVITATION, ticket, invitation, expires_at).await
    }

    /// Reads an invitation without using it up; `None` once it is used or late.
    pub async fn invitation(&self, ticket: &Ticket, now: i64) -> Result<Option<Invitation>, StoreError> {
        self.peek_ticket(INVITATION, ticket, now).await
    }

    /// Uses an invitation up; a second taking, a late one or a forged ticket finds `None`.
    pub async fn take_invitation(&self, ticket: &Ticket, now: i64) -> Result<Option<Invitation>, StoreError> {
        self.take_ticket(INVITATION, ticket, now).await
    }

    /// Keeps a session under the hash of the key that its browser holds.
    pub async fn keep_session(&self, key: &Ticket, session: &Session, now: i64) -> Result<(), StoreError> {
        let hash = key.hash();
        let plain = serde_json::to_vec(session).map_err(|_| StoreError::Unreadable("session"))?;
        let sealed = self.vault.seal(&plain, &hash)?;
        let mut tx = self.begin().await?;
        let user = upsert_user(&mut tx, &session.person, now).await?;
        query(
            "INSERT INTO sessions (hash, id, user_id, payload_sealed, created_at, last_used_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $5, $6)",
        )
        .bind(hash)
        .bind(session.id.to_string())
        .bind(user)
        .bind(sealed)
        .bind(now)
        .bind(now + SESSION_LIFE_MS)
        .execute(&mut tx)
        .await?;
        Ok(self.commit(tx).await?)
    }

    /// The session of a browser that shows this key, which is renewed; `None` when it ended, expired or never was.
    pub async fn session(&self, key: &Ticket, now: i64) -> Result<Option<Session>, StoreError> {
        let hash = key.hash();
        let row: Option<(Vec<u8>, i64)> =
            query("SELECT payload_sealed, last_used_at FROM sessions WHERE hash = $1 AND expires_at > $2")
                .bind(&hash)
                .bind(now)
                .fetch_optional(&self.read)
                .await?;
        let Some((sealed, last_used_at)) = row else { return Ok(None) };
        let session = self.opened(&sealed, &hash)?;
        if last_used_at + NOTE_USE_MS <= now {
            query("UPDATE sessions SET last_used_at = $1, expires_at = $2 WHERE hash = $3")
                .bind(now)
                .bind(now + SESSION_LIFE_MS)
                .bind(hash)
                .execute(&self.write)
                .await?;
        }
        Ok(Some(session))
    }

    /// Ends a browser's session.
    pub async fn end_session(&self, key: &Ticket) -> Result<(), StoreError> {
        query("DELETE FROM sessions WHERE hash = $1").bind(key.hash()).execute(&self.write).await?;
        Ok(())
    }

    /// The browsers in which a person is signed in, the latest used first.
    pub async fn signed_in(&self, person: &Person, now: i64) -> Result<Vec<SignedIn>, StoreError> {
        let rows: Vec<(String, Vec<u8>, i64, i64)> = query(
            "SELECT hash, payload_sealed, created_at, last_used_at FROM sessions
              WHERE user_id = $1 AND expires_at > $2 ORDER BY last_used_at DESC, id LIMIT 20",
        )
        .bind(user_id(person))
        .bind(now)
        .fetch_all(&self.read)
        .await?;
        let listed = |(hash, sealed, created_at, last_used_at): (String, Vec<u8>, i64, i64)| {
            let Session { id, browser, scope, .. } = self.opened(&sealed, &hash)?;
            Ok(SignedIn { id, browser, scope, created_at, last_used_at })
        };
        rows.into_iter().map(listed).collect()
    }

    /// Signs a person out of a browser. False when they are not signed in there.
    pub async fn sign_out_of(&self, person: &Person, id: Uuid) -> Result<bool, StoreError> {
        let done = query("DELETE FROM sessions WHERE id = $1 AND user_id = $2")
            .bind(id.to_string())
            .bind(user_id(person))
            .execute(&self.write)
            .await?;
        Ok(done == 1)
    }

    /// Forgets sessions that are over.
    pub async fn prune_sessions(&self, now: i64) -> Result<(), StoreError> {
        query("DELETE FROM sessions WHERE expires_at <= $1").bind(now).execute(&self.write).await?;
        Ok(())
    }
}

//! Tickets, kept as hashes with a sealed payload: a link being made, and one that waits for its confirmation.

use std::collections::HashMap;

use crate::store::{
    Store, StoreError,
    db::engine::{Tx, query},
    people::accounts::{Choice, lock_connected, user_id},
};
use crate::{
    account::{Person, Place, Profile, Tokens},
    ticket::Ticket,
    words::{self, Message},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// How long what cannot be opened is kept past its time, in milliseconds.
const UNREADABLE_FOR_MS: i64 = 24 * 3_600_000;

/// A link that somebody asked for; its ticket is the OAuth `state`.
#[derive(Clone, Debug)]
pub struct LinkRequest {
    pub person: Person,
    /// Where to say that it worked.
    pub place: Place,
    /// PKCE verifier (RFC 7636).
    pub verifier: SecretString,
}

/// An account that X has authorised and its person has yet to confirm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingLink {
    pub person: Person,
    pub place: Place,
    pub profile: Profile,
    pub tokens: Tokens,
    /// Id of the authorisation; a later one has a greater id.
    pub grant: Uuid,
    /// X had ended the account's earlier grant, so that nobody could post with it.
    pub was_broken: bool,
}

impl PendingLink {
    /// Outcome for another person's connection about which nothing was chosen.
    pub fn default_choice(&self) -> Choice {
        if self.was_broken { Choice::End } else { Choice::Keep }
    }
}

/// Tokens of an account that X did not name when it gave them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnnamedGrant {
    pub tokens: Tokens,
    /// Id of the authorisation, as of [`PendingLink`].
    pub grant: Uuid,
}

/// An authorisation that nobody answered in time.
#[derive(Debug)]
pub enum Unconfirmed {
    Pending(Box<PendingLink>),
    Unnamed(UnnamedGrant),
}

#[derive(Serialize, Deserialize)]
struct StoredRequest {
    person: Person,
    place: Place,
    verifier: String,
}

const STATE: &str = "oauth_state";
const CONFIRM: &str = "confirm_link";
const UNNAMED: &str = "unnamed_grant";

impl Store {
    /// Keeps a link request under the hash of its ticket until `expires_at`.
    pub async fn keep_request(
        &self,
        ticket: &Ticket,
        request: &LinkRequest,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        let stored = StoredRequest {
            person: request.person.clone(),
            place: request.place.clone(),
            verifier: request.verifier.expose_secret().to_owned(),
        };
        self.keep_ticket(STATE, ticket, &stored, expires_at).await
    }

    /// Takes a link request; a second taking, a late one or a forged ticket finds `None`.
    pub async fn take_request(&self, ticket: &Ticket, now: i64) -> Result<Option<LinkRequest>, StoreError> {
        let stored: Option<StoredRequest> = self.take_ticket(STATE, ticket, now).await?;
        Ok(stored.map(|stored| LinkRequest {
            person: stored.person,
            place: stored.place,
            verifier: stored.verifier.into(),
        }))
    }

    /// Keeps an authorised account until its person confirms, or until `expires_at`.
    pub async fn keep_pending(
        &self,
        ticket: &Ticket,
        pending: &PendingLink,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        self.keep_ticket(CONFIRM, ticket, pending, expires_at).await
    }

    /// Keeps a grant until X has named its account. [`Store::expired_pending`] returns it from `due_at` on.
    pub async fn keep_unnamed(
        &self,
        ticket: &Ticket,
        grant: &UnnamedGrant,
        due_at: i64,
    ) -> Result<(), StoreError> {
        self.keep_ticket(UNNAMED, ticket, grant, due_at).await
    }

    /// An authorised account that waits for its person to confirm.
    pub async fn pending(&self, ticket: &Ticket, now: i64) -> Result<Option<PendingLink>, StoreError> {
        self.peek_ticket(CONFIRM, ticket, now).await
    }

    /// Takes an authorised account to be forgotten.
    pub async fn take_pending(&self, ticket: &Ticket, now: i64) -> Result<Option<PendingLink>, StoreError> {
        self.take_ticket(CONFIRM, ticket, now).await
    }

    /// Links an authorised account to the person who asked, ends other people's connections as `choices` say, and has the
    /// chat told `message`, all or nothing. People end up connected or not by their user id, or without a choice as before:
    /// connected, unless X had ended the account's grant.
    pub async fn confirm_pending(
        &self,
        ticket: &Ticket,
        choices: &HashMap<String, Choice>,
        message: impl FnOnce(&PendingLink) -> Message,
        now: i64,
    ) -> Result<Option<PendingLink>, StoreError> {
        let mut tx = self.begin().await?;
        let Some(pending) = self.take::<PendingLink>(&mut tx, CONFIRM, ticket, now).await? else {
            return Ok(None);
        };
        let PendingLink { person, profile, tokens, grant, .. } = &pending;
        let others = lock_connected(&mut tx, &profile.id, &user_id(person)).await?;
        let default = pending.default_choice();
        let ends = |user: &String| *choices.get(user).unwrap_or(&default) == Choice::End;
        let ended: Vec<String> = others.into_iter().filter(ends).collect();
        let told = words::connection_ended(&profile.username, &profile.name);
        self.end_connections(&mut tx, &profile.id, &ended, &told, now).await?;
        if !self.link(&mut tx, person, profile, tokens, *grant, now).await? {
            return Ok(None);
        }
        self.notify(&mut tx, &pending.place, &message(&pending), now).await?;
        self.commit(tx).await?;
        Ok(Some(pending))
    }

    /// Drops link requests that are past their time, and returns the grants nobody confirmed, by what
    /// [`Store::drop_expired`] knows them by: to be adopted or revoked at X, and then dropped.
    ///
    /// Those that this process's keys do not open are left for a day to others, who may have another key.
    pub async fn expired_pending(&self, now: i64) -> Result<Vec<(String, Unconfirmed)>, StoreError> {
        query("DELETE FROM tickets WHERE expires_at <= $1 AND kind <> $2 AND kind <> $3")
            .bind(now)
            .bind(CONFIRM)
            .bind(UNNAMED)
            .execute(&self.write)
            .await?;
        let rows: Vec<(String, String, Vec<u8>, i64)> = query(
            "SELECT hash, kind, payload_sealed, expires_at FROM tickets WHERE expires_at <= $1 AND kind IN ($2, $3)
              ORDER BY expires_at LIMIT 100",
        )
        .bind(now)
        .bind(CONFIRM)
        .bind(UNNAMED)
        .fetch_all(&self.read)
        .await?;
        let mut opened = Vec::new();
        for (hash, kind, sealed, expired_at) in rows {
            let grant = match kind.as_str() {
                UNNAMED => self.opened(&sealed, &hash).map(Unconfirmed::Unnamed),
                _ => self.opened(&sealed, &hash).map(|pending| Unconfirmed::Pending(Box::new(pending))),
            };
            match grant {
                Ok(grant) => opened.push((hash, grant)),
                Err(_) if expired_at <= now - UNREADABLE_FOR_MS => self.drop_expired(&hash).await?,
                Err(_) => {}
            }
        }
        Ok(opened)
    }

    /// Drops what [`Store::expired_pending`] returned.
    pub async fn drop_expired(&self, hash: &str) -> Result<(), StoreError> {
        query("DELETE FROM tickets WHERE hash = $1").bind(hash).execute(&self.write).await?;
        Ok(())
    }

    pub(crate) async fn keep_ticket(
        &self,
        kind: &str,
        ticket: &Ticket,
        payload: &impl Serialize,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        let hash = ticket.hash();
        let plain = serde_json::to_vec(payload).map_err(|_| StoreError::Unreadable("ticket"))?;
        let sealed = self.vault.seal(&plain, &hash)?;
        query("INSERT INTO tickets (hash, kind, payload_sealed, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(hash)
            .bind(kind)
            .bind(sealed)
            .bind(expires_at)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Reads what a ticket holds and leaves it as it is.
    pub(crate) async fn peek_ticket<T: DeserializeOwned>(
        &self,
        kind: &str,
        ticket: &Ticket,
        now: i64,
    ) -> Result<Option<T>, StoreError> {
        self.peek_hashed(kind, &ticket.hash(), now).await
    }

    /// As [`Store::peek_ticket`], of what is kept under this hash.
    pub(crate) async fn peek_hashed<T: DeserializeOwned>(
        &self,
        kind: &str,
        hash: &str,
        now: i64,
    ) -> Result<Option<T>, StoreError> {
        let sealed: Option<Vec<u8>> =
            query("SELECT payload_sealed FROM tickets WHERE hash = $1 AND kind = $2 AND expires_at > $3")
                .bind(hash)
                .bind(kind)
                .bind(now)
                .fetch_value_optional(&self.read)
                .await?;
        sealed.map(|sealed| self.opened(&sealed, hash)).transpose()
    }

    pub(crate) async fn take_ticket<T: DeserializeOwned>(
        &self,
        kind: &str,
        ticket: &Ticket,
        now: i64,
    ) -> Result<Option<T>, StoreError> {
        // Anybody can show made-up tickets; those do not get to the writer.
        let known: Option<i64> = query("SELECT expires_at FROM tickets WHERE hash = $1")
            .bind(ticket.hash())
            .fetch_value_optional(&self.read)
            .await?;
        if known.is_none() {
            return Ok(None);
        }
        let mut tx = self.begin().await?;
        let taken = self.take(&mut tx, kind, ticket, now).await?;
        tx.commit().await?;
        Ok(taken)
    }

    pub(crate) async fn take<T: DeserializeOwned>(
        &self,
        tx: &mut Tx,
        kind: &str,
        ticket: &Ticket,
        now: i64,
    ) -> Result<Option<T>, StoreError> {
        let hash = ticket.hash();
        let sealed: Option<Vec<u8>> = query(
            "DELETE FROM tickets WHERE hash = $1 AND kind = $2 AND expires_at > $3 RETURNING payload_sealed",
        )
        .bind(&hash)
        .bind(kind)
        .bind(now)
        .fetch_value_optional(&mut *tx)
        .await?;
        sealed.map(|sealed| self.opened(&sealed, &hash)).transpose()
    }

    pub(crate) fn opened<T: DeserializeOwned>(&self, sealed: &[u8], hash: &str) -> Result<T, StoreError> {
        let plain = self.vault.open(sealed, hash)?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("ticket"))
    }
}

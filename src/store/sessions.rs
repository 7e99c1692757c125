//! Browser sessions, and the one-use links from chat that open them.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
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
}

const INVITATION: &str = "invitation";
const SESSION: &str = "session";

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

    /// Keeps a session under the hash of what its browser holds until `expires_at`.
    pub async fn keep_session(
        &self,
        key: &Ticket,
        session: &Session,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        self.keep_ticket(SESSION, key, session, expires_at).await
    }

    /// The session of a browser that shows this key; `None` when it ended, expired or never was.
    pub async fn session(&self, key: &Ticket, now: i64) -> Result<Option<Session>, StoreError> {
        self.peek_ticket(SESSION, key, now).await
    }

    /// Ends a session.
    pub async fn end_session(&self, key: &Ticket, now: i64) -> Result<(), StoreError> {
        self.take_ticket::<Session>(SESSION, key, now).await.map(drop)
    }
}

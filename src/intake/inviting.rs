//! Links from chat into the browser: the upload page, and the person's accounts.

use url::Url;

use super::{Intake, IntakeError};
use crate::{
    account::{Person, Place},
    store::{Invitation, Scope, Session},
    ticket::Ticket,
};

/// How long a link can be opened.
pub const INVITATION_LIFE_MS: i64 = 60 * 60_000;
/// How long a browser stays signed in.
pub const SESSION_LIFE_MS: i64 = 24 * 60 * 60_000;

impl Intake {
    /// Makes a one-use link with which whoever opens it first acts as `person` in a browser.
    pub async fn invite(&self, person: &Person, place: &Place, scope: Scope) -> Result<Url, IntakeError> {
        let ticket = Ticket::draw()?;
        // The bot writes there on its own account: a token of 15 minutes would die before an upload ends.
        let place = Place { interaction: None, ..place.clone() };
        let invitation = Invitation { person: person.clone(), place, scope };
        self.store.keep_invitation(&ticket, &invitation, self.clock.now_ms() + INVITATION_LIFE_MS).await?;
        let page = match scope {
            Scope::Upload => "upload",
            Scope::Manage => "accounts",
        };
        let mut url = self.public_url.clone();
        url.set_path(&format!("{}/{page}/{}", url.path().trim_end_matches('/'), ticket.expose()));
        Ok(url)
    }

    /// Whom a link lets in, without using it up.
    pub async fn invited(&self, ticket: &Ticket) -> Result<Option<Invitation>, IntakeError> {
        Ok(self.store.invitation(ticket, self.clock.now_ms()).await?)
    }

    /// Uses a link up. Returns the session, and the key that its browser is to hold.
    pub async fn sign_in(&self, ticket: &Ticket) -> Result<Option<(Session, Ticket)>, IntakeError> {
        let Some(invitation) = self.store.take_invitation(ticket, self.clock.now_ms()).await? else {
            return Ok(None);
        };
        let Invitation { person, place, scope } = invitation;
        let session = Session { person, place, scope, opened_by: Some(ticket.hash()) };
        let key = self.begin_session(&session).await?;
        Ok(Some((session, key)))
    }

    /// Signs a browser in that has shown by other means whose it is.
    pub async fn begin_session(&self, session: &Session) -> Result<Ticket, IntakeError> {
        let key = Ticket::draw()?;
        self.store.keep_session(&key, session, self.clock.now_ms() + SESSION_LIFE_MS).await?;
        Ok(key)
    }
}

//! Links from chat into the browser: the upload page, and the person's accounts.

use url::Url;
use uuid::Uuid;

use super::{Intake, IntakeError};
use crate::{
    account::{Person, Place},
    store::{Invitation, Scope, Session},
    ticket::Ticket,
};

/// How long a link can be opened.
pub const INVITATION_LIFE_MS: i64 = 60 * 60_000;

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
    ///
    /// A browser in which the same person is signed in already keeps its form token, so that its open pages go on.
    pub async fn sign_in(
        &self,
        ticket: &Ticket,
        browser: String,
        form_token: Option<String>,
    ) -> Result<Option<(Session, Ticket)>, IntakeError> {
        let now = self.clock.now_ms();
        let Some(invitation) = self.store.take_invitation(ticket, now).await? else {
            return Ok(None);
        };
        let Invitation { person, place, scope } = invitation;
        let form_token = match form_token {
            Some(token) => token,
            None => Ticket::draw()?.expose().to_owned(),
        };
        let opened_by = Some(ticket.hash());
        let session = Session { person, place, scope, opened_by, id: Uuid::now_v7(), form_token, browser };
        let key = Ticket::draw()?;
        self.store.keep_session(&key, &session, now).await?;
        Ok(Some((session, key)))
    }
}

//! From an authorisation link to a linked account.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{Intake, IntakeError};
use crate::{
    account::{Person, PersonRef, Place},
    store::{Adopted, CLIENT_REJECTED, Choice, LinkRequest, PendingLink, Reserved, StoreError, UnnamedGrant},
    ticket::{NoRandomness, Ticket},
    twitter::{Insufficient, OAuthError, XError},
    words,
};

/// How long an authorisation link, and the question after it, can be answered.
pub const LINK_LIFE_MS: i64 = 10 * 60_000;

/// Why an authorisation that came back from X led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Used, late, or never ours.
    #[error("this link was used already or has expired")]
    NoSuchLink,
    /// The person may not use the bot any more.
    #[error("the operator has not let this person in")]
    NotAdmitted,
    #[error("the person has begun as many connections within an hour as they may")]
    TooMany,
    #[error("the month's budget does not pay for a connection")]
    OverBudget,
    #[error("the permissions to post were not all granted")]
    MissingPermission,
    #[error("X did not accept the authorisation")]
    Rejected(#[source] OAuthError),
    #[error("X could not be asked")]
    X(#[source] XError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ticket(#[from] NoRandomness),
}

/// An authorisation link for one person.
#[derive(Debug)]
pub struct LinkOffer {
    /// Opens X's consent page; holds the one-use state.
    pub url: url::Url,
    /// Unix milliseconds.
    pub expires_at: i64,
}

/// Outcome of *Not me*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedLink {
    /// X has ended the permission.
    Revoked,
    /// X could not be told.
    NotRevoked,
    /// Others post to the account, so the permission stays.
    Needed,
}

impl Intake {
    /// Makes a link with which `person` can authorise the app at X; the outcome is said at `place`.
    pub async fn offer_link(&self, person: &Person, place: &Place) -> Result<LinkOffer, IntakeError> {
        let state = Ticket::draw()?;
        let authorize = self.x.authorize(state.expose());
        let expires_at = self.clock.now_ms() + LINK_LIFE_MS;
        let request =
            LinkRequest { person: person.clone(), place: place.clone(), verifier: authorize.verifier };
        self.store.keep_request(&state, &request, expires_at).await?;
        Ok(LinkOffer { url: authorize.url, expires_at })
    }

    /// Takes the code that X sent back with `state`. Nothing is linked yet: the person in the browser is asked first.
    pub async fn authorised(
        &self,
        state: &str,
        code: SecretString,
    ) -> Result<(PendingLink, Ticket), LinkError> {
        let now = self.clock.now_ms();
        // A page that is loaded again shows the same question. Its secrets show that it is the same browser.
        let ticket = Ticket::derive(&[state, code.expose_secret()]);
        if let Some(pending) = self.store.pending(&ticket, now).await? {
            return Ok((pending, ticket));
        }
        let request = self.take_request(state, now).await?;
        if !self.admits(&request.person).await? {
            return Err(LinkError::NotAdmitted);
        }
        let charge = match self.store.reserve_connection(&request.person, &self.limits, now).await? {
            Reserved::Charge(charge) => charge,
            Reserved::TooMany => return Err(LinkError::TooMany),
            Reserved::OverBudget => return Err(LinkError::OverBudget),
        };
        let tokens = match self.x.exchange(code, request.verifier.clone(), now).await {
            Ok(tokens) => {
                let (operators, message) = (&self.access.operators, words::operator_client_accepted());
                let told = self.store.end_incident(CLIENT_REJECTED, operators, &message, now).await;
                if let Err(error) = told {
                    tracing::warn!(%error, "the operator could not be told");
                }
                tokens
            }
            Err(OAuthError::MissingScope(tokens)) => {
                self.give_back(&tokens).await;
                return Err(LinkError::MissingPermission);
            }
            Err(error) => {
                if let Err(error) = self.store.release_charge(charge).await {
                    tracing::warn!(%error, "a connection that failed stays counted");
                }
                if matches!(error, OAuthError::ClientRejected) {
                    let (operators, message) = (&self.access.operators, words::operator_client_rejected());
                    self.store.begin_incident(CLIENT_REJECTED, operators, &message, now).await?;
                }
                return Err(LinkError::Rejected(error));
            }
        };
        // X may have ended an earlier grant of this account by giving this one. So from here on the tokens are kept until
        // it is known that nobody depends on them, even if the database or X fails.
        let grant = Uuid::now_v7();
        let profile = match self.x.me(&tokens.access).await {
            Ok(profile) => profile,
            Err(error) => {
                self.store.keep_unnamed(&ticket, &UnnamedGrant { tokens, grant }, now).await?;
                return Err(LinkError::X(error));
            }
        };
        self.watch_budget().await;
        let adopted = self.store.adopt(&profile, &tokens, grant, self.clock.now_ms()).await?;
        let was_broken = adopted == Adopted::Broken;
        let LinkRequest { person, place, .. } = request;
        let pending = PendingLink { person, place, profile, tokens, grant, was_broken };
        self.store.keep_pending(&ticket, &pending, now + LINK_LIFE_MS).await?;
        Ok((pending, ticket))
    }

    /// Ends tokens that allow too little, unless somebody posts to their account: X may end the working grant with them.
    async fn give_back(&self, tokens: &Insufficient) {
        let unused = async {
            let profile = self.x.me(&tokens.access).await.ok()?;
            self.store.connected(&profile.id).await.ok().filter(Vec::is_empty)
        };
        if unused.await.is_none() {
            tracing::info!("a grant that allows too little is left to expire");
            return;
        }
        // If X cannot be told, the person still can on X.
        if let Err(error) = self.x.revoke_insufficient(tokens).await {
            tracing::warn!(%error, "a grant that allows too little could not be revoked at X");
        }
    }

    /// X sent the person back without a code: the link request is used up.
    pub async fn denied(&self, state: &str) -> Result<(), LinkError> {
        self.take_request(state, self.clock.now_ms()).await.map(drop)
    }

    async fn take_request(&self, state: &str, now: i64) -> Result<LinkRequest, LinkError> {
        let ticket = Ticket::shown(state).ok_or(LinkError::NoSuchLink)?;
        self.store.take_request(&ticket, now).await?.ok_or(LinkError::NoSuchLink)
    }

    /// Other people who are connected to the account that a link is for.
    pub async fn others_connected(&self, pending: &PendingLink) -> Result<Vec<Person>, StoreError> {
        let mut people = self.store.connected(&pending.profile.id).await?;
        people.retain(|person| PersonRef::from(person) != PersonRef::from(&pending.person));
        Ok(people)
    }

    /// Links the account that the person in the browser confirmed, ends other people's connections as they chose, and says
    /// so in the chats.
    pub async fn confirm_link(
        &self,
        ticket: &str,
        choices: &HashMap<String, Choice>,
    ) -> Result<PendingLink, LinkError> {
        let ticket = Ticket::shown(ticket).ok_or(LinkError::NoSuchLink)?;
        let words = |pending: &PendingLink| words::linked(&pending.profile);
        let pending = self.store.confirm_pending(&ticket, choices, words, self.clock.now_ms()).await?;
        let pending = pending.ok_or(LinkError::NoSuchLink)?;
        tracing::info!(account = %pending.profile.id, "account linked");
        Ok(pending)
    }

    /// Forgets an account that the person in the browser did not want connected. The permission goes back to X, unless
    /// others depend on it.
    pub async fn refuse_link(&self, ticket: &str) -> Result<RefusedLink, LinkError> {
        let now = self.clock.now_ms();
        let PendingLink { profile, tokens, grant, .. } = self.take_pending(ticket, now).await?;
        if self.store.adopt(&profile, &tokens, grant, now).await? == Adopted::InUse {
            return Ok(RefusedLink::Needed);
        }
        match self.x.revoke(&tokens).await {
            Ok(()) => Ok(RefusedLink::Revoked),
            Err(error) => {
                tracing::warn!(account = %profile.id, %error, "a refused link could not be revoked at X");
                Ok(RefusedLink::NotRevoked)
            }
        }
    }

    async fn take_pending(&self, ticket: &str, now: i64) -> Result<PendingLink, LinkError> {
        let ticket = Ticket::shown(ticket).ok_or(LinkError::NoSuchLink)?;
        self.store.take_pending(&ticket, now).await?.ok_or(LinkError::NoSuchLink)
    }
}

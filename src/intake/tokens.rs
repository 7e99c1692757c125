//! API tokens: made, listed and ended in chat.

use uuid::Uuid;

use super::{Intake, IntakeError};
use crate::{
    account::{Audience, Person, Place},
    store::Scope,
    ticket::{ApiToken, Ticket},
    words::{self, Message},
};

/// What API tokens start with, so that people and secret scanners know one when they see it.
pub const TOKEN_PREFIX: &str = "toall_";
/// Tokens that one person may have.
const MAX_TOKENS: u32 = 10;
/// Characters of a token's name that are kept.
const MAX_NAME: usize = 40;

impl Intake {
    /// Makes a token and shows it, this once. One that the chat never shows does not stay valid.
    pub(super) async fn make_token(&self, from: &Person, at: &Place, name: &str) -> Result<(), IntakeError> {
        let ticket = Ticket::draw()?;
        let shown = format!("{TOKEN_PREFIX}{}", ticket.expose());
        let token = ApiToken {
            id: Uuid::now_v7(),
            name: name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect(),
            // A ticket is ASCII.
            last4: shown[shown.len() - 4..].to_owned(),
            created_at: self.clock.now_ms(),
            last_used_at: None,
        };
        if !self.store.add_api_token(from, &ticket.hash(), &token, MAX_TOKENS).await? {
            let refusal = words::too_many_tokens(&self.store.api_tokens(from).await?);
            self.say(at, Audience::Asker, &refusal, None).await;
            return Ok(());
        }
        tracing::info!(token = %token.id, "API token made");
        self.say(at, Audience::Asker, &words::api_token(&shown), Some(token.id)).await;
        Ok(())
    }

    /// Ends a token that could not be shown.
    pub(super) async fn withdraw(&self, token: Option<Uuid>) {
        let Some(token) = token else { return };
        match self.store.withdraw_api_token(token).await {
            Ok(()) => tracing::info!(%token, "an API token that could not be shown was ended"),
            Err(error) => {
                tracing::error!(%token, %error, "an API token that could not be shown is still valid")
            }
        }
    }

    /// Ends a token, and shows which are left.
    pub(super) async fn revoke_token(&self, from: &Person, id: Uuid) -> Result<Message, IntakeError> {
        self.end_token(from, id).await?;
        self.tokens_and_browsers(from).await
    }

    /// Everything that acts for a person without their chat: programs with a token, and browsers.
    pub(super) async fn tokens_and_browsers(&self, from: &Person) -> Result<Message, IntakeError> {
        let tokens = self.store.api_tokens(from).await?;
        let browsers = self.store.signed_in(from, self.clock.now_ms()).await?;
        let browsers: Vec<_> = browsers
            .into_iter()
            .map(|one| words::Browser {
                id: one.id,
                name: one.browser,
                uploads_only: one.scope == Scope::Upload,
                created_at: one.created_at,
                last_used_at: one.last_used_at,
            })
            .collect();
        Ok(words::with_browsers(words::api_tokens(&tokens), &browsers))
    }

    /// Signs a person out of a browser, and shows which are left.
    pub(super) async fn sign_out_of(&self, from: &Person, id: Uuid) -> Result<Message, IntakeError> {
        self.end_session(from, id).await?;
        self.tokens_and_browsers(from).await
    }

    /// Signs a person out of a browser. One in which they are not signed in counts as done.
    pub async fn end_session(&self, from: &Person, id: Uuid) -> Result<(), IntakeError> {
        if self.store.sign_out_of(from, id).await? {
            tracing::info!(session = %id, "browser signed out");
        }
        Ok(())
    }

    /// Ends a token. One that the person does not have counts as ended.
    pub async fn end_token(&self, from: &Person, id: Uuid) -> Result<(), IntakeError> {
        if self.store.revoke_api_token(from, id).await? {
            tracing::info!(token = %id, "API token revoked");
        }
        Ok(())
    }
}

//! The API for programs that act for a person, by a token the person made in chat.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Path, State, rejection::PathRejection},
    http::{header, request::Parts},
};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Site,
    error::{Problem, Refusal},
};
use crate::{
    account::{Account, AccountId, AccountState, Person, PersonRef, Tier},
    ticket::Ticket,
};

/// What API tokens start with, so that people and secret scanners know one when they see it.
const TOKEN_PREFIX: &str = "toall_";
/// What account ids start with; more platforms will bring more.
const PLATFORM: &str = "twitter";

/// The person whose API token came along.
pub(super) struct Caller(Person);

impl FromRequestParts<Arc<Site>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Problem> {
        let token = || {
            let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
            let (scheme, token) = value.split_once(' ')?;
            let token = scheme.eq_ignore_ascii_case("bearer").then_some(token)?;
            Ticket::shown(token.trim().strip_prefix(TOKEN_PREFIX)?)
        };
        let token = token().ok_or(Refusal::UNAUTHENTICATED)?;
        let person = site.intake.store.person_of_api_token(&token.hash()).await?;
        let person = person.ok_or(Refusal::UNAUTHENTICATED)?;
        match site.intake.admits(&person).await? {
            true => Ok(Caller(person)),
            false => Err(Refusal::NOT_ADMITTED.into()),
        }
    }
}

/// Where to send the person, and until when.
#[derive(Serialize)]
pub(super) struct Connect {
    authorization_url: String,
    /// RFC 3339.
    expires_at: String,
}

/// `GET /api/social/connect/twitter`. The outcome is told in the person's private chat.
pub(super) async fn connect(
    State(site): State<Arc<Site>>,
    Caller(person): Caller,
) -> Result<Json<Connect>, Problem> {
    let place = PersonRef { platform: person.platform, id: person.id.clone() }.private_place();
    let offer = site.intake.offer_link(&person, &place).await?;
    // Only a clock centuries off leaves the range.
    let expires_at = Timestamp::from_millisecond(offer.expires_at).map_err(|_| Refusal::OUR_FAULT)?;
    Ok(Json(Connect { authorization_url: offer.url.into(), expires_at: expires_at.to_string() }))
}

#[derive(Serialize)]
pub(super) struct Accounts {
    accounts: Vec<Listed>,
}

/// An account as programs see it.
#[derive(Serialize)]
struct Listed {
    /// `twitter:{X user id}`
    account_id: String,
    platform: &'static str,
    username: String,
    name: String,
    avatar_url: Option<String>,
    subscription: Tier,
    state: AccountState,
    /// Whether the person's `/post` goes here.
    preferred: bool,
}

impl From<Account> for Listed {
    fn from(account: Account) -> Self {
        Listed {
            account_id: format!("{PLATFORM}:{}", account.id),
            platform: PLATFORM,
            username: account.username,
            name: account.name,
            avatar_url: account.avatar_url,
            subscription: account.tier,
            state: account.state,
            preferred: account.preferred,
        }
    }
}

/// `GET /api/social/accounts`, in the order they were linked.
pub(super) async fn accounts(
    State(site): State<Arc<Site>>,
    Caller(person): Caller,
) -> Result<Json<Accounts>, Problem> {
    let accounts = site.intake.store.accounts(&person).await?;
    Ok(Json(Accounts { accounts: accounts.into_iter().map(Listed::from).collect() }))
}

#[derive(Serialize)]
pub(super) struct Disconnected {
    account_id: String,
    /// Others linked the account too, so its tokens live on.
    used_by_others: bool,
    /// Whether X has ended the tokens.
    revoked: bool,
}

/// `DELETE /api/social/accounts/{account_id}`
pub(super) async fn disconnect(
    State(site): State<Arc<Site>>,
    Caller(person): Caller,
    account_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Disconnected>, Problem> {
    let Path(account_id) = account_id.map_err(|_| Refusal::NO_ACCOUNT)?;
    let id = account_id.strip_prefix(PLATFORM).and_then(|rest| rest.strip_prefix(':'));
    let id = AccountId(id.ok_or(Refusal::NO_ACCOUNT)?.to_owned());
    let done = site.intake.disconnect_account(&person, &id).await?.ok_or(Refusal::NO_ACCOUNT)?;
    Ok(Json(Disconnected { account_id, used_by_others: done.others, revoked: done.revoked }))
}

//! Linking X accounts, listing and unlinking them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, caller::Caller, moment, openapi::Problems};
use crate::{
    account::{Account, AccountId, AccountState, PersonRef, Tier},
    web::{Site, error::Refusal},
};

/// What account ids start with; more platforms will bring more.
pub(super) const PLATFORM: &str = "twitter";

/// The account behind an id as programs name it, `twitter:2244994945`.
pub(super) fn account_named(id: &str) -> Option<AccountId> {
    let id = id.strip_prefix(PLATFORM)?.strip_prefix(':')?;
    Some(AccountId(id.to_owned()))
}

/// Where to send the person, and until when.
#[derive(Serialize, ToSchema)]
pub(super) struct Connect {
    authorization_url: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Says where to send the person to link an X account. The outcome is told in the person's private chat.
#[utoipa::path(get, path = "/api/social/connect/twitter", tag = "accounts", operation_id = "connect",
    responses((status = 200, body = Connect), Problems))]
pub(super) async fn connect(State(site): State<Arc<Site>>, caller: Caller) -> Answer<Connect> {
    caller.manages()?;
    let person = caller.person;
    let place = PersonRef { platform: person.platform, id: person.id.clone() }.private_place();
    let offer = site.intake.offer_link(&person, &place).await?;
    Ok(Json(Connect { authorization_url: offer.url.into(), expires_at: moment(offer.expires_at) }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Accounts {
    accounts: Vec<Listed>,
}

/// How [`Tier`] reads.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes another type")]
enum Subscription {
    Free,
    Basic,
    Premium,
    PremiumPlus,
}

/// How [`AccountState`] reads.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes another type")]
enum LinkState {
    Active,
    ReconnectNeeded,
}

/// An account as programs see it.
#[derive(Serialize, ToSchema)]
struct Listed {
    /// `twitter:{X user id}`
    account_id: String,
    platform: &'static str,
    username: String,
    name: String,
    avatar_url: Option<String>,
    #[schema(value_type = Subscription)]
    subscription: Tier,
    #[schema(value_type = LinkState)]
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

/// Lists the person's linked accounts, in the order they were linked.
#[utoipa::path(get, path = "/api/social/accounts", tag = "accounts", operation_id = "listAccounts",
    responses((status = 200, body = Accounts), Problems))]
pub(super) async fn accounts(
    State(site): State<Arc<Site>>,
    Caller { person, .. }: Caller,
) -> Answer<Accounts> {
    let accounts = site.intake.store.accounts(&person).await?;
    Ok(Json(Accounts { accounts: accounts.into_iter().map(Listed::from).collect() }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Disconnected {
    account_id: String,
    /// Others linked the account too, so its tokens live on.
    used_by_others: bool,
    /// Whether X has ended the tokens.
    revoked: bool,
}

/// Unlinks an account, and ends its tokens at X when nobody else has linked it.
#[utoipa::path(delete, path = "/api/social/accounts/{account_id}", tag = "accounts", operation_id = "disconnect",
    params(("account_id" = String, Path, example = "twitter:2244994945")),
    responses((status = 200, body = Disconnected), Problems))]
pub(super) async fn disconnect(
    State(site): State<Arc<Site>>,
    caller: Caller,
    account_id: Result<Path<String>, PathRejection>,
) -> Answer<Disconnected> {
    caller.manages()?;
    let person = caller.person;
    let Path(account_id) = account_id.map_err(|_| Refusal::NO_ACCOUNT)?;
    let id = account_named(&account_id).ok_or(Refusal::NO_ACCOUNT)?;
    let done = site.intake.disconnect_account(&person, &id).await?.ok_or(Refusal::NO_ACCOUNT)?;
    Ok(Json(Disconnected { account_id, used_by_others: done.others, revoked: done.revoked }))
}

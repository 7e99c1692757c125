//! Who calls: a program by its token, or one of our own pages by its session.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    account::{Person, Place},
    intake::TOKEN_PREFIX,
    store::Scope,
    ticket::Ticket,
    web::{
        Site,
        error::{Problem, Refusal},
        server::ClientAddress,
    },
};

/// The person for whom a request is made.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) person: Person,
    /// Where the status of what they post is shown; nowhere when a program posts.
    pub(super) place: Option<Place>,
    /// Whether they may see to accounts: a link to upload does not let anybody.
    may_manage: bool,
}

/// Lets in whom we know, as often as anybody may come.
pub(super) async fn admit(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = async {
        let caller = known(&site, &parts).await?;
        match undoes(&parts) || site.intake.admits(&caller.person).await? {
            true => Ok(caller),
            false => Err(Refusal::NOT_ADMITTED),
        }
    };
    let caller = match caller.await {
        Ok(caller) => caller,
        Err(refusal) => return Problem::from(refusal).into_response(),
    };
    let pass = match site.limits.take(&caller.person) {
        Ok(pass) => pass,
        Err(refused) => return refused.into_response(),
    };
    parts.extensions.insert(caller);
    pass.told(next.run(Request::from_parts(parts, body)).await)
}

/// Whether it only takes back what its person began, which whoever has lost access may do as well.
fn undoes(parts: &Parts) -> bool {
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    match route.unwrap_or_default() {
        "/api/social/posts/{post_id}/cancel" | "/api/social/posts/{post_id}/confirm" => true,
        "/api/social/accounts/{account_id}" | "/api/social/upload" => parts.method == Method::DELETE,
        _ => false,
    }
}

async fn known(site: &Site, parts: &Parts) -> Result<Caller, Refusal> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let token = || {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            let token = scheme.eq_ignore_ascii_case("bearer").then_some(token)?;
            Ticket::shown(token.trim().strip_prefix(TOKEN_PREFIX)?)
        };
        let client = parts.extensions.get::<ClientAddress>();
        let client = client.filter(|client| client.counted).map(|client| client.address);
        if client.is_some_and(|client| site.wrong_tokens.are_too_many(client)) {
            return Err(Refusal::TOO_MANY_WRONG_TOKENS);
        }
        let person = match token().map(|token| token.hash()) {
            Some(hash) => site.intake.store.person_of_api_token(&hash, site.intake.clock.now_ms()).await?,
            None => None,
        };
        let Some(person) = person else {
            if let Some(client) = client {
                site.wrong_tokens.count(client);
            }
            return Err(Refusal::UNAUTHENTICATED);
        };
        return Ok(Caller { person, place: None, may_manage: true });
    }
    // Without a token: somebody with a browser, perhaps.
    let session = site.session_person(parts).await?.ok_or(Refusal::UNAUTHENTICATED)?;
    let may_manage = session.scope == Scope::Manage;
    Ok(Caller { person: session.person, place: Some(session.place), may_manage })
}

impl Caller {
    /// Refuses who came by a link to upload.
    pub(super) fn manages(&self) -> Result<(), Refusal> {
        if self.may_manage { Ok(()) } else { Err(Refusal::SIGN_IN_NEEDED) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A route without `admit` lets nobody in.
        parts.extensions.get::<Caller>().cloned().ok_or(Problem::from(Refusal::UNAUTHENTICATED))
    }
}

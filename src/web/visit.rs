//! Links from chat, opened in a browser: asked for whom they are, used up by a button, remembered by a cookie.
//!
//! Chat services open links by themselves, to show a preview. So opening one only asks, and a form that the page
//! sends at once uses it up.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};

use super::{
    Site,
    error::{ErrorPage, Refusal},
    pages,
};
use crate::{
    store::{Scope, Session},
    ticket::Ticket,
};

type Shown = Result<Path<String>, PathRejection>;

/// `GET /upload/{ticket}`
pub(super) async fn upload(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    ticket: Shown,
) -> Result<Response, ErrorPage> {
    open(&site, &headers, ticket, Scope::Upload).await
}

/// `GET /accounts/{ticket}`
pub(super) async fn accounts(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    ticket: Shown,
) -> Result<Response, ErrorPage> {
    open(&site, &headers, ticket, Scope::Manage).await
}

/// `POST /upload/{ticket}`
pub(super) async fn enter_upload(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    ticket: Shown,
) -> Result<Response, ErrorPage> {
    enter(&site, &headers, ticket, Scope::Upload).await
}

/// `POST /accounts/{ticket}`
pub(super) async fn enter_accounts(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    ticket: Shown,
) -> Result<Response, ErrorPage> {
    enter(&site, &headers, ticket, Scope::Manage).await
}

/// `POST /sign-out`
pub(super) async fn leave(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, ErrorPage> {
    site.check_origin(&headers)?;
    let forget = site.sign_out(&headers).await?;
    Ok((forget, pages::signed_out()).into_response())
}

fn gone(scope: Scope) -> Refusal {
    match scope {
        Scope::Upload => Refusal::UPLOAD_LINK_GONE,
        Scope::Manage => Refusal::SIGN_IN_LINK_GONE,
    }
}

fn read(shown: Shown, scope: Scope) -> Result<Ticket, Refusal> {
    let Path(text) = shown.map_err(|_| gone(scope))?;
    Ticket::shown(&text).ok_or(gone(scope))
}

/// The session that this very link opened in this browser.
async fn opened(
    site: &Site,
    headers: &HeaderMap,
    ticket: &Ticket,
    scope: Scope,
) -> Result<Option<Session>, Refusal> {
    let session = site.session(headers, scope).await?;
    Ok(session.filter(|session| session.opened_by.as_deref() == Some(ticket.hash().as_str())))
}

async fn open(
    site: &Arc<Site>,
    headers: &HeaderMap,
    shown: Shown,
    scope: Scope,
) -> Result<Response, ErrorPage> {
    let ticket = read(shown, scope)?;
    if let Some(invitation) = site.intake.invited(&ticket).await?.filter(|found| found.scope == scope) {
        return Ok(pages::door(site, &invitation, ticket.expose()).into_response());
    }
    match (opened(site, headers, &ticket, scope).await?, scope) {
        (Some(session), Scope::Upload) => Ok(super::upload::page(site, &session).await?.into_response()),
        (Some(_), Scope::Manage) => Ok(to(site, "/accounts")),
        (None, _) => {
            let signed_in = site.uploader(headers).await?;
            Ok(pages::link_gone(site, &gone(scope), signed_in.as_ref()).into_response())
        }
    }
}

async fn enter(
    site: &Arc<Site>,
    headers: &HeaderMap,
    shown: Shown,
    scope: Scope,
) -> Result<Response, ErrorPage> {
    site.check_origin(headers)?;
    let ticket = read(shown, scope)?;
    let page = match scope {
        Scope::Upload => format!("/upload/{}", ticket.expose()),
        Scope::Manage => "/accounts".to_owned(),
    };
    let invitation = site.intake.invited(&ticket).await?.filter(|found| found.scope == scope);
    if let Some(invitation) = &invitation
        && !site.intake.admits(&invitation.person).await?
    {
        return Err(ErrorPage(Refusal::NOT_ADMITTED));
    }
    if invitation.is_some()
        && let Some((session, key)) = site.intake.sign_in(&ticket).await?
    {
        let cookie = site.sign_in_cookie(session.scope, &key)?;
        return Ok(([(header::SET_COOKIE, cookie)], to(site, &page)).into_response());
    }
    // Pressed twice.
    match opened(site, headers, &ticket, scope).await? {
        Some(_) => Ok(to(site, &page)),
        None => {
            let signed_in = site.uploader(headers).await?;
            Ok(pages::link_gone(site, &gone(scope), signed_in.as_ref()).into_response())
        }
    }
}

/// Sends the browser to a page of ours.
pub(super) fn to(site: &Site, path: &str) -> Response {
    Redirect::to(&format!("{}{path}", site.base)).into_response()
}

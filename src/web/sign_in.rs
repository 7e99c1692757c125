//! Links from chat, opened in a browser: asked for whom they are, used up by a button, remembered by a cookie.
//!
//! Chat services open links by themselves, to show a preview. So opening one only asks, and a form that the page
//! sends at once uses it up. The form waits for its person if it would end another person's session.

use std::{sync::Arc, time::Duration};

use axum::{
    Form,
    extract::{FromRequest, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    Site,
    error::{ErrorPage, Refusal},
    pages,
    session::browser_name,
};
use crate::{
    store::{Scope, Session},
    ticket::Ticket,
};

/// How long a pressed button's form may take to arrive.
const FORM_TIME: Duration = Duration::from_secs(10);

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
    request: Request,
) -> Result<Response, ErrorPage> {
    enter(&site, &headers, ticket, Scope::Upload, request).await
}

/// `POST /accounts/{ticket}`
pub(super) async fn enter_accounts(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    ticket: Shown,
    request: Request,
) -> Result<Response, ErrorPage> {
    enter(&site, &headers, ticket, Scope::Manage, request).await
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
        let other = site.session_of_another(headers, &invitation.person).await?;
        return Ok(pages::door(site, &invitation, ticket.expose(), other.as_ref()).into_response());
    }
    match (opened(site, headers, &ticket, scope).await?, scope) {
        (Some(session), Scope::Upload) => {
            let cookies = site.renewed(headers, scope)?;
            Ok((cookies, super::upload::page(site, &session).await?).into_response())
        }
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
    request: Request,
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
    if let Some(invitation) = &invitation {
        // Only a person can decide that another's session ends; the page sends itself when there is none.
        if let Some(other) = site.session_of_another(headers, &invitation.person).await?
            && replaced(request).await? != Some(other.form_token.clone())
        {
            let door = pages::door(site, invitation, ticket.expose(), Some(&other));
            return Ok((StatusCode::CONFLICT, door).into_response());
        }
        let form_token = site.form_token(headers, &invitation.person).await?;
        if let Some((session, key)) = site.intake.sign_in(&ticket, browser_name(headers), form_token).await? {
            let cookies = site.sign_in_cookies(headers, &session, &key).await?;
            return Ok((cookies, to(site, &page)).into_response());
        }
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

/// The form token of the session that the person agreed to end.
async fn replaced(request: Request) -> Result<Option<String>, Refusal> {
    let form = Form::<Replacing>::from_request(request, &());
    let form = tokio::time::timeout(FORM_TIME, form).await.map_err(Refusal::too_slow)?;
    Ok(form.ok().map(|Form(Replacing { replaces })| replaces))
}

#[derive(Deserialize)]
struct Replacing {
    replaces: String,
}

/// Sends the browser to a page of ours.
pub(super) fn to(site: &Site, path: &str) -> Response {
    Redirect::to(&format!("{}{path}", site.base)).into_response()
}

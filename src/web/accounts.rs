//! The accounts page: what is linked, what was posted, which programs may post, and the buttons for all of it.

use std::{sync::Arc, time::Duration};

use axum::{
    Form,
    extract::{FromRequest, Request, State},
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    Site,
    error::{ErrorPage, Refusal},
    pages::{self, AccountsPage, Listed, Page},
    sign_in::to,
};
use crate::{
    account::PersonRef,
    intake::PostStatus,
    store::{PendingLink, Scope, Session},
    words::{self, Deed, Links, Message, Span},
};

/// How many posts the page shows.
const RECENT: u32 = 20;
/// How long a pressed button's form may take to arrive.
const FORM_TIME: Duration = Duration::from_secs(10);

/// `GET /accounts`
pub(super) async fn show(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
) -> Result<(HeaderMap, Page), ErrorPage> {
    let session = site.session(&headers, Scope::Manage).await?.ok_or(Refusal::NOT_SIGNED_IN)?;
    site.check_admitted(&session).await?;
    Ok((site.renewed(&headers, Scope::Manage)?, page(&site, &session, None).await?))
}

/// `GET /accounts/link`: to X, and back by its callback. A link and no form, since a form may not lead elsewhere.
pub(super) async fn link(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, ErrorPage> {
    site.check_origin(&headers)?;
    let session = site.session(&headers, Scope::Manage).await?.ok_or(Refusal::NOT_SIGNED_IN)?;
    site.check_admitted(&session).await?;
    let offer = site.intake.offer_link(&session.person, &session.place).await?;
    Ok(Redirect::to(offer.url.as_str()).into_response())
}

/// A pressed button of the page.
#[derive(Deserialize)]
struct Pressed {
    deed: String,
    /// Form token of the session that the page was made for.
    form: String,
}

/// `POST /accounts`: a button of the page.
pub(super) async fn act(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ErrorPage> {
    site.check_origin(&headers)?;
    let session = site.session(&headers, Scope::Manage).await?.ok_or(Refusal::NOT_SIGNED_IN)?;
    let form = Form::<Pressed>::from_request(request, &());
    let form = tokio::time::timeout(FORM_TIME, form).await.map_err(Refusal::too_slow)?;
    let Ok(Form(Pressed { deed, form: token })) = form else { return Err(ErrorPage(Refusal::OLD_PAGE)) };
    let deed: Deed = deed.parse().map_err(|_| Refusal::OLD_PAGE)?;
    if token != session.form_token {
        return Err(ErrorPage(Refusal::OLD_PAGE));
    }
    if !deed.undoes() {
        site.check_admitted(&session).await?;
    }
    let said = match deed {
        Deed::RevokeToken(id) => {
            site.intake.end_token(&session.person, id).await?;
            Some(words::token_ended())
        }
        Deed::SignOut(id) => {
            site.intake.end_session(&session.person, id).await?;
            // The page of this very browser then says that it is signed out.
            (id != session.id).then(words::signed_out_of)
        }
        deed => site.intake.press(&session.person, &session.place, deed).await?,
    };
    match said {
        None => Ok(to(&site, "/accounts")),
        Some(message) => Ok(page(&site, &session, Some(&plain(&message))).await?.into_response()),
    }
}

/// The page after a link was made: the person's accounts, where the browser is signed in as that person.
///
/// Linking signs nobody in. Whoever owns the X account may have been sent the link by a person who posts for them, and is
/// not to see to that person's other accounts.
pub(super) async fn linked(
    site: &Site,
    headers: &HeaderMap,
    linked: &PendingLink,
) -> Result<Page, ErrorPage> {
    match site.session(headers, Scope::Manage).await? {
        Some(session) if PersonRef::from(&session.person) == PersonRef::from(&linked.person) => {
            page(site, &session, Some(&plain(&words::linked(&linked.profile)))).await
        }
        _ => Ok(pages::linked(&linked.profile, &linked.person)),
    }
}

async fn page(site: &Site, session: &Session, said: Option<&str>) -> Result<Page, ErrorPage> {
    let store = &site.intake.store;
    let accounts = store.accounts(&session.person).await?;
    let tokens = store.api_tokens(&session.person).await?;
    let browsers = store.signed_in(&session.person, site.intake.clock.now_ms()).await?;
    let mut posts = Vec::new();
    for PostStatus { post, account, link, .. } in
        site.intake.recent_posts(&session.person, None, RECENT).await?
    {
        let profile = site.intake.x.profile_link(&account.username);
        let links = Links { profile: profile.as_str(), post: link.as_deref() };
        let now = site.intake.clock.now_ms();
        let status = words::status(&post, &account, links, None, now);
        let line = words::state_line(&post, &account, now);
        posts.push(Listed { line, state: post.state, created_at: post.created_at, status, link });
    }
    Ok(pages::accounts(&AccountsPage {
        base: &site.base,
        session,
        accounts: &accounts,
        posts: &posts,
        tokens: &tokens,
        browsers: &browsers,
        said,
    }))
}

/// What a message for a chat says, without its buttons: the page has its own.
fn plain(message: &Message) -> String {
    let spans = message.text.iter().map(|span| match span {
        Span::Text(text) | Span::Link(text) | Span::Code(text) => text.as_str(),
        Span::Time(_) => "",
    });
    spans.collect()
}

//! Whose browser it is: cookies that one-use links from chat give, and what they allow.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use sha2::{Digest, Sha256};

use super::{Site, error::Refusal};
use crate::{
    account::Person,
    intake::SESSION_LIFE_MS,
    store::{Scope, Session},
    ticket::{Ticket, hex},
};

/// Names the person whom a page was made for: two people may take turns at one browser, and what one page does must
/// not happen as the other. A foreign page cannot send it without asking first (CORS), and is not let.
pub(super) const PERSON: HeaderName = HeaderName::from_static("x-toall-person");

/// Letters of the name that [`person_tag`] gives.
const TAG: usize = 16;

fn cookie_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Upload => "toall_upload",
        Scope::Manage => "toall_web",
    }
}

/// A name for a person that tells nothing about them, for pages and their memory.
pub(super) fn person_tag(person: &Person) -> String {
    let mut tag = hex(&Sha256::digest(format!("{}:{}", person.platform.as_str(), person.id)));
    tag.truncate(TAG);
    tag
}

impl Site {
    /// The session of a browser for an API call. `None` when the call does not come from a page of ours.
    ///
    /// # Errors
    /// [`Refusal::SESSION_ENDED`] when the page is of a person who is no longer signed in here.
    pub(super) async fn session_person(&self, parts: &Parts) -> Result<Option<Session>, Refusal> {
        let Some(tag) = parts.headers.get(&PERSON) else { return Ok(None) };
        self.check_origin(&parts.headers)?;
        for scope in [Scope::Upload, Scope::Manage] {
            if let Some(session) = self.session(&parts.headers, scope).await?
                && tag.as_bytes() == person_tag(&session.person).as_bytes()
            {
                return Ok(Some(session));
            }
        }
        Err(Refusal::SESSION_ENDED)
    }

    /// The session that a browser holds for this scope.
    pub(super) async fn session(
        &self,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Option<Session>, Refusal> {
        let Some(key) = shown_key(headers, scope) else { return Ok(None) };
        let session = self.intake.store.session(&key, self.intake.clock.now_ms()).await?;
        // The cookie's name says what it is for; a stored session says what it is good for.
        Ok(session.filter(|session| session.scope == scope))
    }

    /// Refuses a session whose person may not use the bot any more.
    pub(super) async fn check_admitted(&self, session: &Session) -> Result<(), Refusal> {
        match self.intake.admits(&session.person).await? {
            true => Ok(()),
            false => Err(Refusal::NOT_ADMITTED),
        }
    }

    /// The session with which a browser may upload: either.
    pub(super) async fn uploader(&self, headers: &HeaderMap) -> Result<Option<Session>, Refusal> {
        match self.session(headers, Scope::Upload).await? {
            None => self.session(headers, Scope::Manage).await,
            found => Ok(found),
        }
    }

    /// Ends every session that a browser holds, and returns the headers that make it forget them.
    pub(super) async fn sign_out(&self, headers: &HeaderMap) -> Result<HeaderMap, Refusal> {
        let mut forget = HeaderMap::new();
        for scope in [Scope::Upload, Scope::Manage] {
            if let Some(key) = shown_key(headers, scope) {
                self.intake.store.end_session(&key, self.intake.clock.now_ms()).await?;
            }
            forget.append(header::SET_COOKIE, self.cookie(scope, "", 0)?);
        }
        Ok(forget)
    }

    /// The cookie that signs a browser in.
    pub(super) fn sign_in_cookie(&self, scope: Scope, key: &Ticket) -> Result<HeaderValue, Refusal> {
        self.cookie(scope, key.expose(), SESSION_LIFE_MS / 1_000)
    }

    /// `Lax`, since people come from their chat's web page: `Strict` would not know them when they open a link twice.
    fn cookie(&self, scope: Scope, value: &str, seconds: i64) -> Result<HeaderValue, Refusal> {
        let name = cookie_name(scope);
        let secure = if self.public_origin.starts_with("https:") { "; Secure" } else { "" };
        let path = &self.base;
        let cookie =
            format!("{name}={value}; Path={path}/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| Refusal::OUR_FAULT)?;
        cookie.set_sensitive(true);
        Ok(cookie)
    }

    /// Refuses what another site's page sends, where the browser says so (Fetch Metadata, RFC 6454).
    ///
    /// `Origin: null` says nothing: our own forms send it, for their pages name no referrer.
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
        let ours = match (site, origin) {
            (Some(site), _) => site == b"same-origin",
            (None, Some(b"null") | None) => true,
            (None, Some(origin)) => origin == self.public_origin.as_bytes(),
        };
        if ours { Ok(()) } else { Err(Refusal::FOREIGN_PAGE) }
    }
}

fn shown_key(headers: &HeaderMap, scope: Scope) -> Option<Ticket> {
    let name = cookie_name(scope);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| Ticket::shown(value))
}

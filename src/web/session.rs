//! Whose browser it is: cookies that one-use links from chat give, and what they allow.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use sha2::{Digest, Sha256};

use super::{Site, error::Refusal};
use crate::{
    account::{Person, PersonRef},
    store::{SESSION_LIFE_MS, Scope, Session},
    ticket::{Ticket, hex},
};

/// Carries the form token of the session that a page was made for: two people may take turns at one browser, and what one
/// page does must not happen as the other. A foreign page cannot send it without asking first (CORS), and is not let.
pub(super) const FORM_TOKEN: HeaderName = HeaderName::from_static("x-toall-form");

/// Letters of the name that [`person_tag`] gives.
const TAG: usize = 16;
/// The longest `User-Agent` that is read, in bytes.
const MAX_AGENT: usize = 512;

/// Names a session's cookie. Under `__Host-` a browser takes it from this very host alone, by HTTPS, for all paths.
fn cookie_name(scope: Scope, https: bool, base: &str) -> &'static str {
    match (scope, https && base.is_empty()) {
        (Scope::Upload, true) => "__Host-toall_upload",
        (Scope::Upload, false) => "toall_upload",
        (Scope::Manage, true) => "__Host-toall_web",
        (Scope::Manage, false) => "toall_web",
    }
}

/// Names the kind of a browser for its person, from words that every browser of that kind sends.
pub(super) fn browser_name(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let agent = agent.get(..MAX_AGENT).unwrap_or(agent);
    let first = |known: &[(&str, &'static str)]| {
        known.iter().find(|(word, _)| agent.contains(word)).map(|(_, name)| *name)
    };
    // Browsers name those that they descend from as well, so the order matters.
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "a browser".to_owned(),
    }
}

/// A name for a person that tells nothing about them, under which a page keeps its memory in the browser.
pub(super) fn person_tag(person: &Person) -> String {
    let mut tag = hex(&Sha256::digest(format!("{}:{}", person.platform.as_str(), person.id)));
    tag.truncate(TAG);
    tag
}

impl Site {
    /// The session of a browser for an API call. `None` when the call does not come from a page of ours.
    ///
    /// # Errors
    /// [`Refusal::SESSION_ENDED`] when the page is of a session that is over, or another person's.
    pub(super) async fn session_person(&self, parts: &Parts) -> Result<Option<Session>, Refusal> {
        let Some(token) = parts.headers.get(&FORM_TOKEN) else { return Ok(None) };
        self.check_origin(&parts.headers)?;
        for scope in [Scope::Upload, Scope::Manage] {
            if let Some(session) = self.session(&parts.headers, scope).await?
                && token.as_bytes() == session.form_token.as_bytes()
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
        let Some(key) = self.shown_key(headers, scope) else { return Ok(None) };
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

    /// The session of another person than this one in a browser.
    pub(super) async fn session_of_another(
        &self,
        headers: &HeaderMap,
        person: &Person,
    ) -> Result<Option<Session>, Refusal> {
        for scope in [Scope::Manage, Scope::Upload] {
            if let Some(session) = self.session(headers, scope).await?
                && PersonRef::from(&session.person) != PersonRef::from(person)
            {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// The form token that the pages of a person in this browser have.
    pub(super) async fn form_token(
        &self,
        headers: &HeaderMap,
        person: &Person,
    ) -> Result<Option<String>, Refusal> {
        for scope in [Scope::Manage, Scope::Upload] {
            if let Some(session) = self.session(headers, scope).await?
                && PersonRef::from(&session.person) == PersonRef::from(person)
            {
                return Ok(Some(session.form_token));
            }
        }
        Ok(None)
    }

    /// Ends every session that a browser holds, and returns the headers that make it forget them.
    pub(super) async fn sign_out(&self, headers: &HeaderMap) -> Result<HeaderMap, Refusal> {
        let mut forget = HeaderMap::new();
        for scope in [Scope::Upload, Scope::Manage] {
            forget.append(header::SET_COOKIE, self.end(headers, scope).await?);
        }
        Ok(forget)
    }

    /// Ends the session that a browser holds for this scope, and returns the cookie that makes it forget it.
    async fn end(&self, headers: &HeaderMap, scope: Scope) -> Result<HeaderValue, Refusal> {
        if let Some(key) = self.shown_key(headers, scope) {
            self.intake.store.end_session(&key).await?;
        }
        self.cookie(scope, "", 0)
    }

    /// The cookies that sign a browser in. What it held for the same scope ends; all of it, if it was another person's.
    pub(super) async fn sign_in_cookies(
        &self,
        headers: &HeaderMap,
        session: &Session,
        key: &Ticket,
    ) -> Result<HeaderMap, Refusal> {
        let mut cookies = HeaderMap::new();
        let replaces = self.session_of_another(headers, &session.person).await?.is_some();
        for scope in [Scope::Upload, Scope::Manage] {
            if scope == session.scope {
                self.end(headers, scope).await?;
            } else if replaces {
                cookies.append(header::SET_COOKIE, self.end(headers, scope).await?);
            }
        }
        cookies
            .append(header::SET_COOKIE, self.cookie(session.scope, key.expose(), SESSION_LIFE_MS / 1_000)?);
        Ok(cookies)
    }

    /// The cookie of a session that was used just now, for another whole life.
    pub(super) fn renewed(&self, headers: &HeaderMap, scope: Scope) -> Result<HeaderMap, Refusal> {
        let mut cookies = HeaderMap::new();
        if let Some(key) = self.shown_key(headers, scope) {
            cookies.append(header::SET_COOKIE, self.cookie(scope, key.expose(), SESSION_LIFE_MS / 1_000)?);
        }
        Ok(cookies)
    }

    /// `Lax`, since people come from their chat's web page: `Strict` would not know them when they open a link twice.
    fn cookie(&self, scope: Scope, value: &str, seconds: i64) -> Result<HeaderValue, Refusal> {
        let name = cookie_name(scope, self.is_https(), &self.base);
        let secure = if self.is_https() { "; Secure" } else { "" };
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

    fn is_https(&self) -> bool {
        self.public_origin.starts_with("https:")
    }

    fn shown_key(&self, headers: &HeaderMap, scope: Scope) -> Option<Ticket> {
        let name = cookie_name(scope, self.is_https(), &self.base);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| Ticket::shown(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_bound_to_the_host_where_browsers_allow_it() {
        assert_eq!(cookie_name(Scope::Manage, true, ""), "__Host-toall_web");
        assert_eq!(cookie_name(Scope::Upload, true, ""), "__Host-toall_upload");
        // Browsers refuse the prefix without HTTPS, or with another path than `/`.
        assert_eq!(cookie_name(Scope::Manage, false, ""), "toall_web");
        assert_eq!(cookie_name(Scope::Manage, true, "/toall"), "toall_web");
    }

    #[test]
    fn browsers_are_named_by_kind_and_system() {
        let named =
            |agent: &str| browser_name(&HeaderMap::from_iter([(header::USER_AGENT, agent.parse().unwrap())]));
        assert_eq!(
            named("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"),
            "Firefox on Linux"
        );
        assert_eq!(
            named(
                "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Mobile Safari/537.36"
            ),
            "Chrome on Android"
        );
        assert_eq!(
            named(
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"
            ),
            "Safari on iPhone"
        );
        assert_eq!(named("curl/8"), "a browser");
        assert_eq!(browser_name(&HeaderMap::new()), "a browser");
    }
}

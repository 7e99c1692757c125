//! Signing in: OAuth 2.0 authorization code with PKCE (RFC 6749, RFC 7636), refresh, and revocation (RFC 7009).

use futures::future::BoxFuture;
use oauth2::{
    AsyncHttpClient, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicErrorResponse, BasicTokenResponse},
};
use reqwest::{
    StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{Answer, X, XError, error, send};
use crate::account::Tokens;

/// The scopes that publishing needs; X's OpenAPI file lists them per endpoint.
const SCOPES: [&str; 5] = ["tweet.read", "tweet.write", "users.read", "media.write", "offline.access"];
/// Lifetime of an access token in seconds if X does not name it.
const LIFETIME_SECS: u64 = 7_200;

/// The consent page's URL, and the secret that the caller must keep until the person returns.
pub struct Authorize {
    /// Contains the state, so it must not be logged.
    pub url: Url,
    /// The PKCE secret for [`X::exchange`].
    pub verifier: SecretString,
}

/// Reason why X issued no tokens. Leaves out X's own descriptions, since they may quote secrets from the request.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// The code is older than 30 seconds, used, or not from X; the person needs a new link.
    #[error("the authorisation expired or was used already")]
    CodeRejected,
    /// The code does not belong to the link whose verifier was sent.
    #[error("the authorisation belongs to another link")]
    VerifierRejected,
    #[error("the callback address differs from the one registered with the X app")]
    RedirectRejected,
    /// The refresh token is used, revoked or expired. Another process may have rotated it, so the caller must read the
    /// stored one again first.
    #[error("X no longer takes this refresh token")]
    RefreshRejected,
    /// Client id, secret or app type do not fit together.
    #[error("X does not accept the app's credentials")]
    ClientRejected,
    /// X granted fewer scopes than publishing needs.
    #[error("X did not grant: {}", .0.missing.join(", "))]
    MissingScope(Box<Insufficient>),
    #[error(transparent)]
    X(#[from] XError),
}

/// Tokens whose scopes do not suffice for publishing.
#[derive(Debug)]
pub struct Insufficient {
    pub access: SecretString,
    refresh: Option<SecretString>,
    missing: Vec<String>,
}

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

impl X {
    /// Makes the address of X's consent page and the PKCE secret (S256) of this attempt.
    ///
    /// `state` comes back with the person: 256 random bits, used once; X takes at most 500 characters.
    pub fn authorize(&self, state: &str) -> Authorize {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, _) = self
            .client()
            .authorize_url(|| CsrfToken::new(state.to_owned()))
            .add_scopes(SCOPES.map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .url();
        Authorize { url, verifier: verifier.into_secret().into() }
    }

    /// Turns the code X sent back into tokens: `POST /2/oauth2/token`. A code lives 30 seconds and works once.
    /// The error carries tokens with too few scopes, since only the caller knows whether someone else uses the account
    /// and they must not be revoked.
    pub async fn exchange(
        &self,
        code: SecretString,
        verifier: SecretString,
        now_ms: i64,
    ) -> Result<Tokens, OAuthError> {
        let client = self.client();
        let granted = client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()))
            .request_async(&TokenEndpoint(self))
            .await
            .map_err(|error| match reason(error) {
                // No refresh token was sent: `invalid_grant` means the code.
                OAuthError::RefreshRejected => OAuthError::CodeRejected,
                other => other,
            })?;
        let scope = scope_of(&granted);
        let has = |wanted: &str| match wanted {
            "offline.access" => granted.refresh_token().is_some(),
            _ => scope.split(' ').any(|scope| scope == wanted),
        };
        let missing: Vec<_> = SCOPES.into_iter().filter(|scope| !has(scope)).map(str::to_owned).collect();
        match granted.refresh_token() {
            Some(refresh) if missing.is_empty() => Ok(tokens(&granted, refresh.secret(), now_ms)),
            refresh => Err(OAuthError::MissingScope(Box::new(Insufficient {
                access: granted.access_token().secret().clone().into(),
                refresh: refresh.map(|refresh| refresh.secret().clone().into()),
                missing,
            }))),
        }
    }

    /// Trades a refresh token for a new pair: `POST /2/oauth2/token`. The old one dies with the answer, so the new
    /// pair must be stored before it is used, and two refreshes of one account must never run at once.
    pub async fn refresh(&self, refresh: &SecretString, now_ms: i64) -> Result<Tokens, OAuthError> {
        let client = self.client();
        let old = RefreshToken::new(refresh.expose_secret().to_owned());
        let granted =
            client.exchange_refresh_token(&old).request_async(&TokenEndpoint(self)).await.map_err(reason)?;
        // Return the pair whatever its scope: an error here would lose the only valid one.
        Ok(tokens(&granted, granted.refresh_token().unwrap_or(&old).secret(), now_ms))
    }

    /// Finds out whether X knows the app: it refuses a made-up refresh token only after it has accepted the credentials.
    pub async fn check_app(&self) -> Result<(), OAuthError> {
        match self.refresh(&"toall-check".to_owned().into(), 0).await {
            Ok(_) | Err(OAuthError::RefreshRejected) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Revokes both tokens, the refresh token first: `POST /2/oauth2/revoke`. Tries both and returns the first failure.
    pub async fn revoke(&self, tokens: &Tokens) -> Result<(), OAuthError> {
        let refresh = self.revoke_one(&tokens.refresh, "refresh_token").await;
        let access = self.revoke_one(&tokens.access, "access_token").await;
        refresh.and(access)
    }

    /// Revokes tokens with too few scopes, as [`X::revoke`] does.
    pub async fn revoke_insufficient(&self, tokens: &Insufficient) -> Result<(), OAuthError> {
        let refresh = match &tokens.refresh {
            Some(refresh) => self.revoke_one(refresh, "refresh_token").await,
            None => Ok(()),
        };
        let access = self.revoke_one(&tokens.access, "access_token").await;
        refresh.and(access)
    }

    fn client(&self) -> Client {
        let client = BasicClient::new(ClientId::new(self.settings.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(self.settings.authorize_url.clone()))
            .set_token_uri(TokenUrl::from_url(self.at(&["2", "oauth2", "token"])))
            .set_redirect_uri(RedirectUrl::from_url(self.redirect_uri.clone()));
        match &self.settings.client_secret {
            // With a secret, the crate keeps `client_id` out of the body.
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
            None => client,
        }
    }

    async fn revoke_one(&self, token: &SecretString, hint: &str) -> Result<(), OAuthError> {
        let body = {
            let mut form = form_urlencoded::Serializer::new(String::new());
            // X has refused revocations without the hint with 400.
            form.append_pair("token", token.expose_secret()).append_pair("token_type_hint", hint);
            if self.settings.client_secret.is_none() {
                form.append_pair("client_id", &self.settings.client_id);
            }
            form.finish().into_bytes()
        };
        self.form("POST /2/oauth2/revoke", &["2", "oauth2", "revoke"], body).await.map(drop)
    }

    /// Posts a form as the app.
    ///
    /// Basic credentials go out raw: X does not undo the form-encoding that RFC 6749 section 2.3.1 asks for and that
    /// `oauth2` applies, so a secret with reserved characters would be refused.
    async fn form(&self, call: &'static str, path: &[&str], body: Vec<u8>) -> Result<Answer, OAuthError> {
        let request = self
            .http
            .post(self.at(path))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .timeout(self.patience);
        let request = match &self.settings.client_secret {
            Some(secret) => request.basic_auth(&self.settings.client_id, Some(secret.expose_secret())),
            None => request,
        };
        let answer = send(call, request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(&answer)) }
    }
}

/// HTTP client for `oauth2`. Passes successes only; X's refusals bypass the crate.
///
/// This is a named type because the compiler cannot prove the future around a closure to be `Send`.
struct TokenEndpoint<'x>(&'x X);

impl<'c> AsyncHttpClient<'c> for TokenEndpoint<'_> {
    type Error = OAuthError;
    type Future = BoxFuture<'c, Result<HttpResponse, OAuthError>>;

    fn call(&'c self, prepared: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let path = ["2", "oauth2", "token"];
            let answer = self.0.form("POST /2/oauth2/token", &path, prepared.into_body()).await?;
            Ok(HttpResponse::new(answer.body))
        })
    }
}

/// Sorts a refusal by the OAuth endpoints (RFC 6749 section 5.2). X answers `invalid_request` to nearly everything, so
/// only its description tells the cases apart.
fn refusal(answer: &Answer) -> OAuthError {
    let Ok(value) = serde_json::from_slice::<Value>(&answer.body) else {
        // The body is a page from X's edge, so the OAuth service never saw the request.
        return match answer.status {
            StatusCode::TOO_MANY_REQUESTS => {
                error::sort(answer.call, answer.status, &answer.headers, b"").into()
            }
            status => XError::Trouble(status).into(),
        };
    };
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let (error, description) = (text("error"), text("error_description"));
    match (answer.status.as_u16(), error.as_str()) {
        (_, "unauthorized_client" | "invalid_client") => OAuthError::ClientRejected,
        (401, _) => OAuthError::ClientRejected,
        (400, _) if description.contains("redirect") => OAuthError::RedirectRejected,
        (400, _) if description.contains("verifier") => OAuthError::VerifierRejected,
        (400, _) if description.contains("authorization code") => OAuthError::CodeRejected,
        (400, "invalid_grant") => OAuthError::RefreshRejected,
        (400, _) if description.contains("token was invalid") => OAuthError::RefreshRejected,
        _ => match error::sort(answer.call, answer.status, &answer.headers, &answer.body) {
            XError::Refused { .. } | XError::NotPermitted { .. } | XError::AccountRestricted { .. } => {
                XError::Refused { status: answer.status, detail: String::new() }.into()
            }
            other => other.into(),
        },
    }
}

/// Converts an error of `oauth2`. Drops its parse errors, since they contain the body and so tokens.
fn reason(error: RequestTokenError<OAuthError, BasicErrorResponse>) -> OAuthError {
    match error {
        RequestTokenError::Request(error) => error,
        _ => XError::Garbled("it holds no tokens").into(),
    }
}

/// Returns the granted scope; an answer without one grants the requested scope (RFC 6749 section 5.1).
fn scope_of(granted: &BasicTokenResponse) -> String {
    match granted.scopes() {
        Some(scopes) => scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" "),
        None => SCOPES.join(" "),
    }
}

fn tokens(granted: &BasicTokenResponse, refresh: &str, now_ms: i64) -> Tokens {
    let stated = granted.expires_in().map(|lifetime| lifetime.as_secs()).filter(|lifetime| *lifetime > 0);
    let lifetime = stated.unwrap_or(LIFETIME_SECS);
    Tokens {
        access: granted.access_token().secret().clone().into(),
        refresh: refresh.to_owned().into(),
        issued_at: now_ms,
        access_expires_at: now_ms
            .saturating_add(i64::try_from(lifetime).unwrap_or(i64::MAX).saturating_mul(1_000)),
        scope: scope_of(granted),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_without_a_life_has_the_usual_one() {
        for stated in [json!(0), json!(null)] {
            let granted = json!({ "access_token": "a", "token_type": "bearer", "expires_in": stated });
            let granted: BasicTokenResponse = serde_json::from_value(granted).unwrap();
            assert_eq!(tokens(&granted, "r", 5).lifetime(), 7_200_000, "{stated}");
        }
    }
}

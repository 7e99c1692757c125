//! `POST /2/oauth2/token` and `/2/oauth2/revoke`.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::{
    answer::Answer,
    authorize::{Code, Method},
    request::has_type,
    state::{X, random_token},
};

/// A person's grant to the app.
pub(super) struct Grant {
    pub(super) user_id: String,
    pub(super) scope: String,
    /// `None` once revoked.
    pub(super) access: Option<String>,
    pub(super) access_expires: SystemTime,
    /// `None` without `offline.access`, or once revoked.
    pub(super) refresh: Option<String>,
}

impl Grant {
    fn issue(x: &X, user_id: String, scope: String) -> Self {
        let offline = scope.split(' ').any(|scope| scope == "offline.access");
        Self {
            user_id,
            scope,
            access: Some(random_token()),
            access_expires: x.now() + x.settings.token_life,
            refresh: offline.then(random_token),
        }
    }

    fn answer(&self, x: &X) -> Response {
        let mut body = json!({
            "token_type": "bearer",
            "expires_in": x.settings.token_life.as_secs(),
            "access_token": self.access,
            "scope": self.scope,
        });
        if let Some(refresh) = &self.refresh {
            body["refresh_token"] = json!(refresh);
        }
        Json(body).into_response()
    }
}

/// The fields of the request's form.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(headers: &HeaderMap, body: &Bytes) -> Result<Self, Answer> {
        if !has_type(headers, "application/x-www-form-urlencoded") {
            return Err(invalid("The request body must be form-encoded."));
        }
        Ok(Self(form_urlencoded::parse(body).into_owned().collect()))
    }

    fn get(&self, name: &str) -> Result<&str, Answer> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .ok_or_else(|| invalid(&format!("Missing required parameter [{name}].")))
    }
}

/// `POST /2/oauth2/token`
pub(super) async fn token(
    State(x): State<Arc<X>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    let fields = Fields::of(&headers, &body)?;
    check_client(&x, &headers, &fields)?;
    match fields.get("grant_type")? {
        "authorization_code" => exchange(&x, &fields),
        "refresh_token" => refresh(&x, &fields),
        _ => {
            Err(Answer::oauth(400, "unsupported_grant_type", "Value passed for the grant type was invalid."))
        }
    }
}

/// `POST /2/oauth2/revoke`
pub(super) async fn revoke(
    State(x): State<Arc<X>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    let fields = Fields::of(&headers, &body)?;
    check_client(&x, &headers, &fields)?;
    let token = Some(fields.get("token")?.to_owned());
    // RFC 7009 makes the hint optional; X has refused requests without it.
    let hint = fields.get("token_type_hint")?;
    for grant in &mut x.world().grants {
        match hint {
            "access_token" if grant.access == token => grant.access = None,
            "refresh_token" if grant.refresh == token => grant.refresh = None,
            _ => {}
        }
    }
    Ok(Json(json!({"revoked": true})).into_response())
}

fn check_client(x: &X, headers: &HeaderMap, fields: &Fields) -> Result<(), Answer> {
    let Some(secret) = &x.settings.client_secret else {
        return match fields.get("client_id")? {
            id if id == x.settings.client_id => Ok(()),
            _ => Err(invalid("Value passed for the client id was invalid.")),
        };
    };
    let credentials = STANDARD.encode(format!("{}:{secret}", x.settings.client_id));
    let expected = format!("Basic {credentials}");
    match headers.get(header::AUTHORIZATION) {
        Some(header) if header.as_bytes() == expected.as_bytes() => Ok(()),
        _ => Err(Answer::oauth(401, "unauthorized_client", "Missing valid authorization header")),
    }
}

fn exchange(x: &X, fields: &Fields) -> Result<Response, Answer> {
    let code = fields.get("code")?;
    let redirect_uri = fields.get("redirect_uri")?;
    let verifier = fields.get("code_verifier")?;
    let now = x.now();
    let mut world = x.world();
    // Removed whatever comes next: the stricter reading of "one use".
    let code = world
        .codes
        .remove(code)
        .filter(|code| now < code.expires)
        .ok_or_else(|| invalid("Value passed for the authorization code was invalid."))?;
    if code.redirect_uri != redirect_uri {
        return Err(invalid(
            "Value passed for the redirect uri did not match the uri of the authorization code.",
        ));
    }
    if !verifies(&code, verifier) {
        return Err(invalid("Value passed for the code verifier did not match the code challenge."));
    }
    let grant = Grant::issue(x, code.user_id, code.scope);
    let answer = grant.answer(x);
    // A new authorisation of the same account for the same app ends the earlier one.
    world.grants.retain(|old| old.user_id != grant.user_id);
    world.grants.push(grant);
    Ok(answer)
}

/// Rotates both tokens. Whether X lets the old access token live on is not documented: here it
/// ends, which is the harder case for a client.
fn refresh(x: &X, fields: &Fields) -> Result<Response, Answer> {
    let token = fields.get("refresh_token")?;
    let mut world = x.world();
    let grant = world
        .grants
        .iter_mut()
        .find(|grant| grant.refresh.as_deref() == Some(token))
        .ok_or_else(|| invalid("Value passed for the token was invalid."))?;
    *grant = Grant::issue(x, grant.user_id.clone(), grant.scope.clone());
    Ok(grant.answer(x))
}

fn verifies(code: &Code, verifier: &str) -> bool {
    // RFC 7636, section 4.1.
    if !(43..=128).contains(&verifier.len()) {
        return false;
    }
    match code.method {
        Method::S256 => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == code.challenge,
        Method::Plain => verifier == code.challenge,
    }
}

fn invalid(description: &str) -> Answer {
    Answer::oauth(400, "invalid_request", description)
}

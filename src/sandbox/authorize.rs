//! The page on which a person lets the app act for them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Form,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use url::Url;

use super::{
    exchange::query_pairs,
    pages,
    state::{X, random_token},
};

/// X lets an authorisation code live this long.
const CODE_LIFE: Duration = Duration::from_secs(30);
/// X's limit on `state`, in characters.
const MAX_STATE: usize = 500;
/// The scopes X knows (OpenAPI 2.167), with what the page says about the ones an uploader asks for.
const SCOPES: [(&str, &str); 24] = [
    ("tweet.read", "See posts you can see"),
    ("tweet.write", "Post for you"),
    ("users.read", "See your account's name, picture and subscription"),
    ("media.write", "Upload photos and videos for you"),
    ("offline.access", "Stay connected until you take the access back"),
    ("block.read", "See accounts you blocked"),
    ("block.write", "Block accounts for you"),
    ("bookmark.read", "See your bookmarks"),
    ("bookmark.write", "Change your bookmarks"),
    ("broadcast.read", "See your live broadcasts"),
    ("broadcast.write", "Manage your live broadcasts"),
    ("dm.read", "Read your messages"),
    ("dm.write", "Send messages for you"),
    ("follows.read", "See whom you follow"),
    ("follows.write", "Follow accounts for you"),
    ("like.read", "See your likes"),
    ("like.write", "Like posts for you"),
    ("list.read", "See your lists"),
    ("list.write", "Change your lists"),
    ("mute.read", "See accounts you muted"),
    ("mute.write", "Mute accounts for you"),
    ("space.read", "See your Spaces"),
    ("timeline.read", "See your timelines"),
    ("tweet.moderate.write", "Hide replies to your posts"),
];

/// A code given to the app and not yet exchanged.
pub(super) struct Code {
    pub(super) user_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) challenge: String,
    pub(super) method: Method,
    pub(super) expires: SystemTime,
}

/// How the challenge is made from the verifier (RFC 7636, section 4.2).
#[derive(Clone, Copy)]
pub(super) enum Method {
    S256,
    Plain,
}

/// A valid authorisation request from an app.
struct Asked {
    redirect_uri: String,
    callback: Url,
    scope: String,
    state: String,
    challenge: String,
    method: Method,
}

/// The person's choice on the consent page.
#[derive(Deserialize)]
pub(super) struct Decision {
    user: String,
    decision: String,
}

/// `GET /i/oauth2/authorize`: shows what the app may do and asks who agrees.
pub(super) async fn ask(State(x): State<Arc<X>>, uri: Uri) -> Response {
    match asked(&x, &uri) {
        Ok(asked) => page(&x, &uri, &asked).into_response(),
        Err(reason) => refused(&reason),
    }
}

/// `POST` to the same address with `user` (a username) and `decision` (`authorize` or `cancel`):
/// sends the browser back to the app.
pub(super) async fn decide(State(x): State<Arc<X>>, uri: Uri, Form(form): Form<Decision>) -> Response {
    let asked = match asked(&x, &uri) {
        Ok(asked) => asked,
        Err(reason) => return refused(&reason),
    };
    let mut back = asked.callback.clone();
    if form.decision == "authorize" {
        let mut world = x.world();
        let Some(user_id) = world.user_named(&form.user).map(|user| user.id.clone()) else {
            return refused("Nobody of that name is signed in.");
        };
        let code = random_token();
        back.query_pairs_mut().append_pair("state", &asked.state).append_pair("code", &code);
        let granted = Code {
            user_id,
            redirect_uri: asked.redirect_uri,
            scope: asked.scope,
            challenge: asked.challenge,
            method: asked.method,
            expires: x.now() + CODE_LIFE,
        };
        world.codes.insert(code, granted);
    } else {
        back.query_pairs_mut().append_pair("error", "access_denied").append_pair("state", &asked.state);
    }
    x.changed();
    (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
}

/// Checks the request; the reason it is refused otherwise, for the page.
fn asked(x: &X, uri: &Uri) -> Result<Asked, String> {
    let pairs = query_pairs(uri);
    let get = |name: &str| {
        let found = pairs.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("The parameter {name} is missing."))
    };
    if get("client_id")? != x.settings.client_id {
        return Err("The client_id is not one of a registered app.".to_owned());
    }
    let redirect_uri = get("redirect_uri")?;
    if !x.world().redirect_uris.iter().any(|uri| uri == redirect_uri) {
        return Err("The redirect_uri is not one of the app's registered callbacks.".to_owned());
    }
    let callback = Url::parse(redirect_uri).map_err(|error| error.to_string())?;
    if get("response_type")? != "code" {
        return Err("The response_type has to be code.".to_owned());
    }
    let scope = get("scope")?;
    let known = |scope: &str| SCOPES.iter().any(|(name, _)| *name == scope);
    if let Some(unknown) = scope.split(' ').find(|scope| !known(scope)) {
        return Err(format!("The scope {unknown} does not exist."));
    }
    let state = get("state")?;
    if state.chars().count() > MAX_STATE {
        return Err(format!("The state is longer than {MAX_STATE} characters."));
    }
    let challenge = get("code_challenge")?;
    let method = match get("code_challenge_method") {
        Ok("S256") => Method::S256,
        // RFC 7636 takes an absent method for plain.
        Ok("plain") | Err(_) => Method::Plain,
        Ok(_) => return Err("The code_challenge_method has to be S256 or plain.".to_owned()),
    };
    if matches!(method, Method::S256) && challenge.len() != 43 {
        return Err("The code_challenge is not a base64url SHA-256.".to_owned());
    }
    Ok(Asked {
        redirect_uri: redirect_uri.to_owned(),
        callback,
        scope: scope.to_owned(),
        state: state.to_owned(),
        challenge: challenge.to_owned(),
        method,
    })
}

fn page(x: &X, uri: &Uri, asked: &Asked) -> Markup {
    let users = x.world().users.clone();
    let may = |scope: &str| SCOPES.iter().find(|(name, _)| *name == scope);
    pages::layout(
        "Authorize an app",
        html! {
            h1 { "An app would like to use your account" }
            p { b { (x.settings.client_id) } " asks for access to an account on this simulated X." }
            form method="post" action=(uri) {
                fieldset {
                    legend { "Signed in as" }
                    @for (index, user) in users.iter().enumerate() {
                        label.choice {
                            input type="radio" name="user" value=(user.username) checked[index == 0];
                            img.avatar src={"/avatar/" (user.username) ".svg"} alt="";
                            span { b { (user.name) } br; span.quiet { "@" (user.username) } }
                        }
                    }
                }
                p { "It will be able to:" }
                ul {
                    @for scope in asked.scope.split(' ') {
                        @if let Some((_, meaning)) = may(scope) { li { (meaning) } }
                    }
                }
                p.buttons {
                    button.primary type="submit" name="decision" value="authorize" { "Authorize app" }
                    button type="submit" name="decision" value="cancel" { "Cancel" }
                }
            }
        },
    )
}

/// X shows its own page then and sends nobody back: the callback cannot be trusted.
fn refused(reason: &str) -> Response {
    let page = pages::layout(
        "Something went wrong",
        html! {
            h1 { "Something went wrong" }
            p { "You could not give access to the app. Go back to it and try again." }
            p.quiet { (reason) }
        },
    );
    (StatusCode::BAD_REQUEST, page).into_response()
}

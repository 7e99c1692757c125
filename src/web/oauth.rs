//! The way back from X's consent page, and the question that follows it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Form,
    extract::{FromRequest, RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode},
};
use secrecy::SecretString;
use url::form_urlencoded;

use super::{
    Site, accounts,
    error::{ErrorPage, Refusal},
    pages::{self, Page},
};
use crate::store::Choice;

/// The longest query read, in bytes; X's code and our state together stay below 300.
const MAX_QUERY: usize = 4 * 1024;
/// How long a pressed button's form may take to arrive.
const FORM_TIME: Duration = Duration::from_secs(10);

/// What X sends a person back with (RFC 6749 section 4.1.2).
enum Returned {
    Authorised {
        state: String,
        code: SecretString,
    },
    /// By the person or by X; which of the two does not change what follows.
    Denied {
        state: String,
    },
}

impl Returned {
    /// Reads a query that anybody may have written. Unknown names are passed over, as the RFC asks.
    fn read(query: &str) -> Result<Returned, Refusal> {
        if query.len() > MAX_QUERY {
            return Err(Refusal::MALFORMED);
        }
        let (mut code, mut state, mut error) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "code" => &mut code,
                "state" => &mut state,
                "error" => &mut error,
                _ => continue,
            };
            if value.is_empty() || place.replace(value.into_owned()).is_some() {
                return Err(Refusal::MALFORMED);
            }
        }
        match (state, code, error) {
            (Some(state), Some(code), None) => Ok(Returned::Authorised { state, code: code.into() }),
            (Some(state), None, Some(_)) => Ok(Returned::Denied { state }),
            _ => Err(Refusal::MALFORMED),
        }
    }
}

/// True if a browser fetches the page before anybody has asked for it, which would use up the code unseen.
fn is_ahead_of_time(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].into_iter().any(|name| {
        headers.get_all(name).iter().any(|value| {
            let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
            ["prefetch", "prerender", "preview"].into_iter().any(|purpose| value.contains(purpose))
        })
    })
}

/// `GET /api/social/callback`: takes the code at once, for it lives 30 seconds, and asks whether to link.
pub(super) async fn returned(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Page, ErrorPage> {
    if is_ahead_of_time(&headers) {
        return Err(Refusal::NOT_YET.into());
    }
    match Returned::read(&query.unwrap_or_default())? {
        Returned::Authorised { state, code } => {
            let (pending, ticket) = site.intake.authorised(&state, code).await?;
            let others = site.intake.others_connected(&pending).await?;
            Ok(pages::question(&site.base, &pending, &others, ticket.expose()))
        }
        Returned::Denied { state } => {
            site.intake.denied(&state).await?;
            Ok(pages::denied())
        }
    }
}

/// Fields of the question's forms: a hidden one, and choices about other people's connections. Nobody else can know
/// the field, so it also shows that the form is ours.
struct Answer {
    ticket: String,
    /// By user id.
    choices: HashMap<String, Choice>,
}

impl Answer {
    async fn read(request: Request) -> Result<Answer, Refusal> {
        // Browsers name the page a form was on (Fetch Metadata); `Origin` they leave out where no referrer may be told.
        let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
        if matches!(site, Some(b"cross-site" | b"same-site")) {
            return Err(Refusal::FOREIGN_FORM);
        }
        let form = Form::<Vec<(String, String)>>::from_request(request, &());
        match tokio::time::timeout(FORM_TIME, form).await.map_err(Refusal::too_slow)? {
            Ok(Form(fields)) => Answer::of(fields),
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Refusal::TOO_LARGE),
            Err(_) => Err(Refusal::MALFORMED),
        }
    }
}

impl Answer {
    fn of(fields: Vec<(String, String)>) -> Result<Answer, Refusal> {
        let (mut ticket, mut choices) = (None, HashMap::new());
        for (name, value) in fields {
            match (name.as_str(), value.as_str()) {
                ("ticket", _) if ticket.is_none() => ticket = Some(value),
                (_, "keep") => drop(choices.insert(name, Choice::Keep)),
                (_, "end") => drop(choices.insert(name, Choice::End)),
                _ => return Err(Refusal::MALFORMED),
            }
        }
        Ok(Answer { ticket: ticket.ok_or(Refusal::MALFORMED)?, choices })
    }
}

/// `POST /api/social/callback`: *Link account*.
pub(super) async fn confirm(State(site): State<Arc<Site>>, request: Request) -> Result<Page, ErrorPage> {
    let headers = request.headers().clone();
    let answer = Answer::read(request).await?;
    let linked = site.intake.confirm_link(&answer.ticket, &answer.choices).await?;
    accounts::linked(&site, &headers, &linked).await
}

/// `POST /api/social/callback/refuse`: *Not me*.
pub(super) async fn refuse(State(site): State<Arc<Site>>, request: Request) -> Result<Page, ErrorPage> {
    let answer = Answer::read(request).await?;
    Ok(pages::not_linked(site.intake.refuse_link(&answer.ticket).await?))
}

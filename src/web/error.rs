//! How the web part says no: as a page to people, as a problem (RFC 9457) to programs.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::pages;
use crate::{
    intake::{IntakeError, LinkError},
    store::StoreError,
    twitter::{OAuthError, XError},
};

/// What is refused, why, and what to do next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Stable, for programs.
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) why: &'static str,
    pub(super) remedy: &'static str,
}

const CONNECT_AGAIN: &str = "Send /connect twitter again in your chat, and follow the new link.";

impl Refusal {
    pub(super) const NO_ROUTE: Refusal = Refusal {
        status: StatusCode::NOT_FOUND,
        code: "not_found",
        title: "Nothing here",
        why: "There is no page at this address.",
        remedy: "Check the address, or begin in your chat: send /help to the bot.",
    };
    pub(super) const METHOD: Refusal = Refusal {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        title: "That is not how this address is used",
        why: "This address does not take that kind of request.",
        remedy: "If you came here by a link, send /connect twitter again in your chat.",
    };
    pub(super) const OUR_FAULT: Refusal = Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "internal_error",
        title: "Something went wrong here",
        why: "The fault is ours, not yours.",
        remedy: "Try again in a minute. If it stays so, tell whoever runs this service.",
    };
    pub(super) const OVERLOADED: Refusal = Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "overloaded",
        title: "Too busy at the moment",
        why: "toall is handling as many requests as it can, or as many as one address may send.",
        remedy: "Try again in a few seconds.",
    };
    pub(super) const MALFORMED: Refusal = Refusal {
        status: StatusCode::BAD_REQUEST,
        code: "malformed_request",
        title: "That link is not complete",
        why: "What arrived here is not an answer from X as it should be, so nothing was linked.",
        remedy: CONNECT_AGAIN,
    };
    pub(super) const FOREIGN_FORM: Refusal = Refusal {
        status: StatusCode::FORBIDDEN,
        code: "foreign_form",
        title: "That came from another page",
        why: "The button was not pressed on our own page, so nothing was linked.",
        remedy: CONNECT_AGAIN,
    };
    pub(super) const TOO_LARGE: Refusal = Refusal {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "too_large",
        title: "That is too much",
        why: "The request is larger than anything this page asks for.",
        remedy: CONNECT_AGAIN,
    };
    const TOO_SLOW: Refusal = Refusal {
        status: StatusCode::REQUEST_TIMEOUT,
        code: "too_slow",
        title: "That took too long",
        why: "Your answer did not arrive in time, so nothing was changed.",
        remedy: "Go back and press the button again.",
    };
    /// A browser drops what it fetched ahead of time when the answer is an error, and asks again when it is wanted.
    pub(super) const NOT_YET: Refusal = Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "not_yet",
        title: "Not yet",
        why: "This page works once, so it can't be loaded ahead of time.",
        remedy: "Open it when you want to see it.",
    };
    const LINK_GONE: Refusal = Refusal {
        status: StatusCode::GONE,
        code: "link_gone",
        title: "This link no longer works",
        why: "It works once and for 10 minutes. It was used already, is too old, or was never ours.",
        remedy: "Send /accounts in your chat to see what is linked, or send /connect twitter again for a new link.",
    };
    const TOO_MANY_CONNECTIONS: Refusal = Refusal {
        status: StatusCode::TOO_MANY_REQUESTS,
        code: "too_many_connections",
        title: "Too many connections",
        why: "You have begun as many connections within an hour as this bot allows, so nothing was connected.",
        remedy: "Wait an hour, then send /connect twitter again.",
    };
    const CONNECTION_OVER_BUDGET: Refusal = Refusal {
        status: StatusCode::TOO_MANY_REQUESTS,
        code: "over_budget",
        title: "The budget is used up",
        why: "X charges $0.01 for a connection, and this bot's budget for the month does not cover it. Nothing was \
              connected.",
        remedy: "Ask the person who runs this bot, or send /connect twitter again next month.",
    };
    const NOT_ACCEPTED: Refusal = Refusal {
        status: StatusCode::BAD_REQUEST,
        code: "authorisation_rejected",
        title: "X did not accept that",
        why: "X no longer knows this authorisation: it lives 30 seconds and works once. Nothing was linked.",
        remedy: CONNECT_AGAIN,
    };
    const MISSING_PERMISSION: Refusal = Refusal {
        status: StatusCode::FORBIDDEN,
        code: "permission_missing",
        title: "A permission is missing",
        why: "X did not grant everything that publishing a video needs, so nothing was linked.",
        remedy: "Send /connect twitter again in your chat, and leave every permission granted on X's page.",
    };
    const RESTRICTED: Refusal = Refusal {
        status: StatusCode::FORBIDDEN,
        code: "account_restricted",
        title: "X restricts this account",
        why: "X does not let this account be used at present, so nothing was linked.",
        remedy: "Open X to see what it asks of you, then send /connect twitter again in your chat.",
    };
    const X_DOWN: Refusal = Refusal {
        status: StatusCode::BAD_GATEWAY,
        code: "x_unavailable",
        title: "X is not answering",
        why: "X could not be reached or is unwell, so nothing was linked.",
        remedy: "Wait a few minutes, then send /connect twitter again in your chat.",
    };
    const X_BUSY: Refusal = Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "x_busy",
        title: "X asks us to wait",
        why: "This service has asked X as often as X allows for now, so nothing was linked.",
        remedy: "Wait a quarter of an hour, then send /connect twitter again in your chat.",
    };
    const APP_REJECTED: Refusal = Refusal {
        status: StatusCode::BAD_GATEWAY,
        code: "app_rejected",
        title: "X does not accept this service",
        why: "X refused the app that this service signs in with, so nothing was linked.",
        remedy: "Tell whoever runs this service: its X app needs attention. `toall check` says what.",
    };
    pub(super) const UNAUTHENTICATED: Refusal = Refusal {
        status: StatusCode::UNAUTHORIZED,
        code: "unauthenticated",
        title: "Unauthorized",
        why: "This needs an API token that is known here.",
        remedy: "Send /token in your chat, and pass the token as `Authorization: Bearer toall_...`.",
    };
    pub(super) const NOT_ADMITTED: Refusal = Refusal {
        status: StatusCode::FORBIDDEN,
        code: "not_admitted",
        title: "Forbidden",
        why: "This bot is private, and you are not on its list or in one of its groups any more.",
        remedy: "Use a command in one of its groups, or ask the person who runs it to let you in.",
    };
    pub(super) const NO_ACCOUNT: Refusal = Refusal {
        status: StatusCode::NOT_FOUND,
        code: "account_not_found",
        title: "Not Found",
        why: "You have not linked an account with this id.",
        remedy: "GET /api/social/accounts lists yours.",
    };
    pub(super) const UPLOAD_LINK_GONE: Refusal = Refusal {
        status: StatusCode::GONE,
        code: "link_gone",
        title: "This link no longer works",
        why: "It works once, in one browser, and can be opened for an hour. It was used already, is too old, or was \
              never ours.",
        remedy: "Send /upload again in your chat for a new link. What was uploaded is kept: pick the same file again, \
                 in the same browser, and it goes on.",
    };
    pub(super) const SIGN_IN_LINK_GONE: Refusal = Refusal {
        status: StatusCode::GONE,
        code: "link_gone",
        title: "This link no longer works",
        why: "It works once, in one browser, and can be opened for an hour. It was used already, is too old, or was \
              never ours.",
        remedy: "Send /web again in your chat for a new link.",
    };
    pub(super) const NOT_SIGNED_IN: Refusal = Refusal {
        status: StatusCode::UNAUTHORIZED,
        code: "not_signed_in",
        title: "This browser is not signed in",
        why: "Only a link from your chat opens this page.",
        remedy: "Send /web in your chat to see your accounts, or /upload to upload a video.",
    };
    pub(super) const SESSION_ENDED: Refusal = Refusal {
        status: StatusCode::UNAUTHORIZED,
        code: "session_ended",
        title: "Unauthorized",
        why: "This page is no longer signed in: that lasts a day, or until somebody else signs in here.",
        remedy: "Send /upload in your chat and follow the new link. What was uploaded is kept.",
    };
    pub(super) const OLD_PAGE: Refusal = Refusal {
        status: StatusCode::BAD_REQUEST,
        code: "old_page",
        title: "That page is out of date",
        why: "It was made for somebody else or by another version, so nothing was done.",
        remedy: "Go back, reload the page, and press the button again.",
    };
    pub(super) const SIGN_IN_NEEDED: Refusal = Refusal {
        status: StatusCode::FORBIDDEN,
        code: "sign_in_needed",
        title: "Forbidden",
        why: "A link to upload does not see to accounts.",
        remedy: "Send /web in your chat and follow that link.",
    };
    pub(super) const FOREIGN_PAGE: Refusal = Refusal {
        status: StatusCode::FORBIDDEN,
        code: "foreign_page",
        title: "That came from another site",
        why: "Another site's page sent this, so nothing was done.",
        remedy: "Open the link from your chat, and press the button there.",
    };

    /// Of a form that did not arrive in time.
    pub(super) fn too_slow(_: tokio::time::error::Elapsed) -> Refusal {
        Refusal::TOO_SLOW
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request could not be served");
        Refusal::OUR_FAULT
    }
}

impl From<IntakeError> for Refusal {
    fn from(error: IntakeError) -> Self {
        tracing::error!(%error, "a request could not be served");
        Refusal::OUR_FAULT
    }
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        let refusal = match &error {
            LinkError::NoSuchLink => Refusal::LINK_GONE,
            LinkError::NotAdmitted => Refusal::NOT_ADMITTED,
            LinkError::TooMany => Refusal::TOO_MANY_CONNECTIONS,
            LinkError::OverBudget => Refusal::CONNECTION_OVER_BUDGET,
            LinkError::MissingPermission => Refusal::MISSING_PERMISSION,
            LinkError::Rejected(OAuthError::ClientRejected | OAuthError::RedirectRejected) => {
                Refusal::APP_REJECTED
            }
            LinkError::Rejected(OAuthError::X(XError::Refused { .. })) => Refusal::NOT_ACCEPTED,
            LinkError::Rejected(OAuthError::X(error)) | LinkError::X(error) => of_x(error),
            LinkError::Rejected(_) => Refusal::NOT_ACCEPTED,
            LinkError::Store(_) | LinkError::Ticket(_) => Refusal::OUR_FAULT,
        };
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        if refusal.status.is_server_error() {
            tracing::error!(%error, cause, "a link could not be made");
        } else {
            tracing::info!(%error, cause, "a link was not made");
        }
        refusal
    }
}

fn of_x(error: &XError) -> Refusal {
    match error {
        XError::RateLimited(_) => Refusal::X_BUSY,
        XError::OutOfCredits
        | XError::SpendCap
        | XError::ReadCap
        | XError::PostCap
        | XError::NotEnrolled
        | XError::AccessLevel => Refusal::APP_REJECTED,
        XError::AccountRestricted { .. } | XError::Hidden => Refusal::RESTRICTED,
        _ => Refusal::X_DOWN,
    }
}

/// A refusal to somebody in a browser.
#[derive(Debug)]
pub(super) struct ErrorPage(pub(super) Refusal);

impl<E: Into<Refusal>> From<E> for ErrorPage {
    fn from(error: E) -> Self {
        ErrorPage(error.into())
    }
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        pages::refused(&self.0).into_response()
    }
}

/// Characters of a refusal's detail.
const MAX_DETAIL: usize = 500;

/// A refusal to a program: `application/problem+json`.
///
/// The type is `about:blank`, so the title is the status's own (RFC 9457 section 4.2.1); `code` says which. `remedy` is
/// an extension (section 3.2).
#[derive(Debug)]
pub(super) struct Problem {
    refusal: Refusal,
    /// Says more than the refusal does by itself.
    detail: Option<String>,
}

impl Problem {
    /// The same with what is known of this case. What it repeats of the request may be as long as the request.
    pub(super) fn with(self, mut detail: String) -> Self {
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL) {
            detail.truncate(end);
            detail.push('…');
        }
        Problem { detail: Some(detail), ..self }
    }
}

impl<E: Into<Refusal>> From<E> for Problem {
    fn from(error: E) -> Self {
        Problem { refusal: error.into(), detail: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Refusal { status, code, why, remedy, .. } = self.refusal;
        let problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.detail.as_deref().unwrap_or(why),
            "code": code,
            "remedy": remedy,
        });
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"toall\""));
        }
        response
    }
}

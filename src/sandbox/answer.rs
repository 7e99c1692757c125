//! Answers in X's words: what the simulator refuses with, and what a test orders it to say.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// A complete answer: status, headers, body.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// A status with neither body nor content type, as X's edge sends 404 and 413.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    /// A page from X's edge, as seen with 5xx.
    pub fn html(status: u16) -> Self {
        let mut answer = Self::empty(status).header("content-type", "text/html; charset=utf-8");
        answer.body = format!("<html><body><h1>{status}</h1>Over capacity</body></html>");
        answer
    }

    /// Any JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        let mut answer = Self::empty(status).header("content-type", "application/json");
        answer.body = body.to_string();
        answer
    }

    /// A problem (RFC 9457); `kind` is the last segment of X's problem types, or `about:blank`.
    pub fn problem(status: u16, kind: &str, title: &str, detail: &str) -> Self {
        Self::problem_with(status, kind, title, detail, json!({}))
    }

    fn problem_with(status: u16, kind: &str, title: &str, detail: &str, more: Value) -> Self {
        let mut body = json!({
            "type": if kind == "about:blank" {
                kind.to_owned()
            } else {
                format!("https://api.x.com/2/problems/{kind}")
            },
            "title": title,
            "detail": detail,
            "status": status,
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let mut answer = Self::json(status, &body);
        answer.headers.clear();
        answer.header("content-type", "application/problem+json")
    }

    /// 400 for one parameter of the request.
    pub fn invalid_request(parameter: &str, value: &str, message: &str) -> Self {
        Self::problem_with(
            400,
            "invalid-request",
            "Invalid Request",
            "One or more parameters to your request was invalid.",
            json!({"errors": [{"parameters": {parameter: [value]}, "message": message}]}),
        )
    }

    /// The form of the OAuth endpoints (RFC 6749, section 5.2).
    pub fn oauth(status: u16, error: &str, description: &str) -> Self {
        Self::json(status, &json!({"error": error, "error_description": description}))
    }

    /// The old form `{"errors":[{"code","message"}]}`.
    pub fn legacy(status: u16, code: u32, message: &str) -> Self {
        Self::json(status, &json!({"errors": [{"code": code, "message": message}]}))
    }

    /// 401: the access token is unknown, expired or revoked.
    pub fn unauthorized() -> Self {
        Self::problem(401, "about:blank", "Unauthorized", "Unauthorized")
    }

    /// The bare 403 that a missing scope gets.
    pub fn forbidden() -> Self {
        Self::forbidden_because("Forbidden")
    }

    /// A 403 that explains itself in `detail`.
    pub fn forbidden_because(detail: &str) -> Self {
        Self::problem(403, "about:blank", "Forbidden", detail)
    }

    /// 402: the developer's prepaid credits are gone.
    pub fn credits_depleted() -> Self {
        Self::problem(
            402,
            "credits-depleted",
            "Payment Required",
            "Your account does not have any credits to fulfill this request.",
        )
    }

    /// 403: the spend cap of the billing cycle is reached.
    pub fn spend_cap_reached() -> Self {
        Self::problem(
            403,
            "spend-cap-reached",
            "SpendCapReached",
            "Your account has reached its billing cycle spend cap.",
        )
    }

    /// 403: the account has made its posts of the day, in the old form.
    pub fn over_daily_limit() -> Self {
        Self::legacy(403, 185, "User is over daily status update limit.")
    }

    /// 403: the app is not in the right package or environment.
    pub fn client_not_enrolled() -> Self {
        Self::problem_with(
            403,
            "client-forbidden",
            "Client Forbidden",
            "This request must be made using an approved developer account that is enrolled in the requested endpoint.",
            json!({"reason": "client-not-enrolled"}),
        )
    }

    /// 403: the same post was made recently.
    pub fn duplicate_content() -> Self {
        Self::forbidden_because("You are not allowed to create a Tweet with duplicate content.")
    }

    /// X's catch-all 403: text too long, bad media, a rule on replies, a restricted account.
    pub fn not_permitted() -> Self {
        Self::forbidden_because("You are not permitted to perform this action.")
    }

    /// 403 at post time: the account may not post videos this long.
    pub fn video_longer_than(minutes: u32) -> Self {
        Self::forbidden_because(&format!(
            "This user is not allowed to post a video longer than {minutes} minutes."
        ))
    }

    /// 403: the account is suspended.
    pub fn suspended() -> Self {
        Self::problem(
            403,
            "user-suspended",
            "Forbidden",
            "Your account is suspended and is not permitted to access this feature.",
        )
    }

    /// 429; add the header families with [`Answer::limit`].
    pub fn too_many_requests() -> Self {
        Self::problem(429, "about:blank", "Too Many Requests", "Too Many Requests")
    }

    /// 429: the project's cap on reads for `period` (`Daily` or `Monthly`).
    pub fn usage_capped(period: &str) -> Self {
        Self::problem_with(
            429,
            "usage-capped",
            "UsageCapExceeded",
            "Usage cap exceeded: Monthly product cap",
            json!({"period": period, "scope": "Product"}),
        )
    }

    pub(super) fn no_such_route() -> Self {
        Self::problem(404, "about:blank", "Not Found", "Not Found")
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds the three headers of a limit: `family` is `x-rate-limit`, `x-app-limit-24hour` or
    /// `x-user-limit-24hour`, `reset` in epoch seconds.
    pub fn limit(self, family: &str, limit: u32, remaining: u32, reset: u64) -> Self {
        self.header(&format!("{family}-limit"), &limit.to_string())
            .header(&format!("{family}-remaining"), &remaining.to_string())
            .header(&format!("{family}-reset"), &reset.to_string())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = self.body.into_response();
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().remove(header::CONTENT_TYPE);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// A 2xx answer `{"data": …}`.
pub(super) fn data(value: Value) -> Response {
    Json(json!({"data": value})).into_response()
}

//! What comes in: bodies and queries, with a problem for what cannot be read.

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{JsonRejection, QueryRejection},
    },
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Number;

use crate::web::error::{Problem, Refusal};

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Body(value)),
            Err(JsonRejection::JsonDataError(error)) => {
                Err(Problem::from(Refusal::INVALID).with(error.body_text()))
            }
            Err(JsonRejection::JsonSyntaxError(error)) => {
                Err(Problem::from(Refusal::NOT_JSON).with(error.body_text()))
            }
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Refusal::NO_JSON_TYPE.into()),
            Err(error) if error.status() == Refusal::TOO_LARGE.status => Err(Refusal::BODY_TOO_LARGE.into()),
            Err(_) => Err(Refusal::BODY_CUT_SHORT.into()),
        }
    }
}

/// A whole number as JSON Schema has it: `1.0` is one.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Number")]
pub(super) struct Whole(pub(super) u64);

impl TryFrom<Number> for Whole {
    type Error = &'static str;

    fn try_from(number: Number) -> Result<Self, Self::Error> {
        // Exact up to 2^53, far above any size or count that is taken.
        let float = || number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..9e15).contains(float));
        number.as_u64().or_else(|| float().map(|float| float as u64)).map(Whole).ok_or("not a whole number")
    }
}

/// Refuses a request whose content is not as described.
pub(super) fn require(fits: bool, otherwise: &str) -> Result<(), Problem> {
    if fits { Ok(()) } else { Err(Problem::from(Refusal::INVALID).with(otherwise.to_owned())) }
}

/// What stands behind the question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        match query {
            Ok(Query(value)) => Ok(Asked(value)),
            Err(error) => Err(Problem::from(Refusal::INVALID_QUERY).with(error.body_text())),
        }
    }
}

/// The id in the path; `None` when it cannot be one of ours.
pub(super) struct Named<T>(pub(super) Option<T>);

impl<S: Send + Sync, T: std::str::FromStr> FromRequestParts<S> for Named<T> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let text: Option<Path<String>> = Path::from_request_parts(parts, state).await.ok();
        Ok(Named(text.and_then(|Path(text)| text.parse().ok())))
    }
}

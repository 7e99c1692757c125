//! What comes in: bodies and queries, with a problem for what cannot be read.

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{JsonRejection, QueryRejection},
    },
    http::request::Parts,
};
use serde::de::DeserializeOwned;

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

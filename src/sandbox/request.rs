//! The shape of requests: X takes only what it documents.

use axum::{
    body::Bytes,
    http::{HeaderMap, Uri, header},
};
use serde::de::DeserializeOwned;

use super::{answer::Answer, exchange::query_pairs};

/// The query of a call that takes only `known` parameters.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Refuses a parameter that is not known.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Answer> {
        let pairs = query_pairs(uri);
        match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(Self(pairs)),
            Some((name, value)) => Err(Answer::invalid_request(
                name,
                value,
                &format!("The query parameter [{name}] is not one of [{}]", known.join(",")),
            )),
        }
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// A comma-separated list of names out of `known`; empty when the parameter is absent.
    pub(super) fn list(&self, name: &str, known: &[&str]) -> Result<Vec<&str>, Answer> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let items: Vec<_> = value.split(',').collect();
        match items.iter().find(|item| !known.contains(item)) {
            None => Ok(items),
            Some(item) => Err(Answer::invalid_request(
                name,
                item,
                &format!("The `{name}` query parameter value [{item}] is not one of [{}]", known.join(",")),
            )),
        }
    }
}

/// A JSON body of a type that denies unknown fields.
pub(super) fn json_body<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Answer> {
    if !has_type(headers, "application/json") {
        return Err(invalid_body("The request body must be application/json."));
    }
    serde_json::from_slice(body).map_err(|error| invalid_body(&error.to_string()))
}

/// 400 for a body as a whole.
pub(super) fn invalid_body(message: &str) -> Answer {
    Answer::invalid_request("body", "", message)
}

/// Returns true if the request's content type is `kind`, ignoring parameters.
pub(super) fn has_type(headers: &HeaderMap, kind: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(kind)
    })
}

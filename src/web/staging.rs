//! The embedded storage, for browsers and programs that send files to it.
//!
//! It listens on a loopback address that they cannot reach. An address signed for there is shown to them as one of
//! ours under `/staging/`; what arrives here goes to the storage as it was signed, its body passed through as it comes.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::put,
};
use tower_http::limit::RequestBodyLimitLayer;
use url::Url;

use super::{
    Site,
    error::{Problem, Refusal},
};
use crate::store::{MAX_PUT_BYTES, UploadId};

const PREFIX: &str = "/staging";
/// Files and parts that one person may send at once. A page of ours sends four.
pub(super) const MAX_SENDING_PER_PERSON: usize = 16;

pub(super) fn router(site: &Arc<Site>) -> Router<Arc<Site>> {
    match site.door {
        None => Router::new(),
        Some(_) => Router::new().route(&format!("{PREFIX}/{{*path}}"), put(take)).layer((
            DefaultBodyLimit::disable(),
            RequestBodyLimitLayer::new(usize::try_from(MAX_PUT_BYTES).unwrap_or(usize::MAX)),
        )),
    }
}

impl Site {
    /// A signed address as those outside can use it.
    pub(super) fn public_address(&self, signed: Url) -> Result<Url, Refusal> {
        if !self.door.as_ref().is_some_and(|door| door.leads_here(&signed)) {
            return Ok(signed);
        }
        let mut public = self.public_url.clone();
        public.set_path(&format!("{}{PREFIX}{}", self.base, signed.path()));
        public.set_query(signed.query());
        Ok(public)
    }
}

/// Takes a file or a part of one, if the address was signed for it and its upload is still open.
async fn take(State(site): State<Arc<Site>>, mut request: Request) -> Response {
    let Some(door) = &site.door else { return StatusCode::NOT_FOUND.into_response() };
    let target = request.uri().path_and_query().and_then(|target| target.as_str().strip_prefix(PREFIX));
    let signed = request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature="));
    let Some(target) = target.filter(|_| signed).and_then(|target| target.parse::<Uri>().ok()) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let Some(id) = door.key(&target).and_then(|key| key.parse::<UploadId>().ok()) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let store = &site.intake.store;
    // The address outlives an upload that was given up, posted or completed: what it brings then is not taken.
    let user = match store.open_upload(id, site.intake.clock.now_ms()).await {
        Ok(Some(user)) => user,
        Ok(None) => return StatusCode::GONE.into_response(),
        Err(error) => return Problem::from(error).into_response(),
    };
    let Some(_share) = site.sending.take(user) else {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    };
    *request.uri_mut() = target;
    let taken = door.knock(request).await;
    match store.knows_upload(id).await {
        Ok(true) => {}
        // Given up while the file arrived, so that nobody would ever remove it.
        Ok(false) => {
            if let Err(error) = site.intake.staging.delete(&id.to_string()).await {
                tracing::warn!(upload = %id, %error, "a file that came too late could not be removed");
            }
            return StatusCode::GONE.into_response();
        }
        Err(error) => return Problem::from(error).into_response(),
    }
    match taken {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::warn!(?error, "the embedded storage could not take a file");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

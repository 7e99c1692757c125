//! The upload page.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};

use super::{
    Site,
    error::{ErrorPage, Refusal},
    pages::{self, Page, UploadPage},
};
use crate::store::Session;

/// `GET /upload`: for a browser that is signed in already.
pub(super) async fn show(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Page, ErrorPage> {
    let session = site.uploader(&headers).await?.ok_or(Refusal::NOT_SIGNED_IN)?;
    page(&site, &session).await
}

/// The page for a session.
pub(super) async fn page(site: &Site, session: &Session) -> Result<Page, ErrorPage> {
    let accounts = site.intake.store.accounts(&session.person).await?;
    Ok(pages::upload(&UploadPage {
        base: &site.base,
        storage: site.storage_origin.as_deref(),
        session,
        accounts: &accounts,
    }))
}

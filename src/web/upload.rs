//! The upload page.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::HeaderMap};

use super::{
    Site,
    error::{ErrorPage, Refusal},
    pages::{self, Page, UploadPage},
};
use crate::{staging::UPLOADS, store::Session};

/// `GET /upload`: for a browser that is signed in already.
pub(super) async fn show(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
) -> Result<(HeaderMap, Page), ErrorPage> {
    let session = site.uploader(&headers).await?.ok_or(Refusal::NOT_SIGNED_IN)?;
    Ok((site.renewed(&headers, session.scope)?, page(&site, &session).await?))
}

/// The page for a session.
pub(super) async fn page(site: &Site, session: &Session) -> Result<Page, ErrorPage> {
    site.check_admitted(session).await.map_err(ErrorPage)?;
    let accounts = site.intake.store.accounts(&session.person).await?.into_iter().map(|account| {
        let profile = site.intake.x.profile_link(&account.username).to_string();
        (account, profile)
    });
    let accounts: Vec<_> = accounts.collect();
    Ok(pages::upload(&UploadPage {
        base: &site.base,
        storage: storage_origin(site).await.as_deref(),
        session,
        accounts: &accounts,
    }))
}

/// Where browsers send files, when not to us: the operator's bucket, as its signed addresses name it.
async fn storage_origin(site: &Site) -> Option<String> {
    let signed = site.intake.staging.presign_get(&format!("{UPLOADS}origin"), Duration::from_secs(1)).await;
    let signed = signed.inspect_err(|error| tracing::error!(%error, "no address could be signed")).ok()?;
    let address = site.public_address(signed).ok()?;
    let origin = address.origin().ascii_serialization();
    (origin != site.public_origin).then_some(origin)
}

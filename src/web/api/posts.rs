//! Posting an upload, and what people can say about their posts.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Answer,
    accounts::account_named,
    caller::Caller,
    json::{Asked, Body, Named, require},
    openapi::Problems,
    options::Options,
    status::RequestStatus,
    uploads::upload_id,
};
use crate::{
    intake::PostRequest,
    post::PostId,
    store::Answered,
    ticket::hex,
    web::{
        Site,
        error::{Problem, Refusal},
    },
};

/// Accounts that one request may name.
const MAX_ACCOUNTS: usize = 10;
/// Posts on a page of the list, unless another number is asked for.
const PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;

/// A video to be posted.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PostWanted {
    /// A file that was uploaded.
    #[schema(max_length = 128, example = "uploads/019ab3c0-5f5e-7a11-9c3e-2f1d0f6f6a10")]
    s3_key: String,
    /// The text, to the letter. It may be empty.
    #[schema(max_length = 25000, example = "First wave of the year")]
    caption: String,
    /// Where to post it, as `GET /api/social/accounts` names them.
    #[schema(min_items = 1, max_items = 10, example = json!(["twitter:2244994945"]))]
    account_ids: Vec<String>,
    #[serde(default)]
    options: Options,
}

/// A post that will be finished or explained.
#[derive(Serialize, ToSchema)]
pub(super) struct PostAccepted {
    /// Names the posts, one for each account: `GET /api/social/uploads/{request_id}`.
    request_id: Uuid,
    /// What is probably not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

const SAME_CONTENT: &str =
    "X does not allow the same content on several accounts, and may restrict them for it.";

/// Posts an upload to one or more accounts.
///
/// The answer means that it is written down: it will be finished or explained. An `Idempotency-Key` makes it safe to
/// send the request again: for 24 hours, the same key with the same body is answered the same and posts nothing.
#[utoipa::path(post, path = "/api/social/post", tag = "posts", operation_id = "post", request_body = PostWanted,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, such as a UUID",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses((status = 202, body = PostAccepted), Problems))]
pub(super) async fn post(
    State(site): State<Arc<Site>>,
    caller: Caller,
    headers: HeaderMap,
    Body(wanted): Body<PostWanted>,
) -> Result<(StatusCode, Json<PostAccepted>), Problem> {
    require((1..=MAX_ACCOUNTS).contains(&wanted.account_ids.len()), "Name 1 to 10 accounts.")?;
    let mut accounts = Vec::with_capacity(wanted.account_ids.len());
    for id in &wanted.account_ids {
        let account = account_named(id).ok_or(Refusal::NOT_LINKED)?;
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    let warning = (accounts.len() > 1).then_some(SAME_CONTENT);
    let repeatable = idempotency_key(&headers)?.map(|key| (key, fingerprint(&wanted)));
    let upload = upload_id(&wanted.s3_key)?;
    let options = wanted.options.into();
    let request = PostRequest { upload, caption: wanted.caption, options, accounts, repeatable };
    let posted = site.intake.post_upload(&caller.person, caller.place.as_ref(), request).await?;
    Ok((StatusCode::ACCEPTED, Json(PostAccepted { request_id: posted.request, warning })))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().map_err(|_| Refusal::INVALID_HEADER)?;
    let fits = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Some(key.to_owned())).ok_or(Refusal::INVALID_HEADER)
}

/// The same for the same request, however its JSON was written.
fn fingerprint(wanted: &PostWanted) -> String {
    hex(&Sha256::digest(serde_json::to_vec(wanted).unwrap_or_default()))
}

/// Which page of the list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageWanted {
    /// Posts on a page.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    #[param(min_length = 22, max_length = 22, pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    before: Option<String>,
}

/// A person's posts, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Posts {
    /// One entry for each account that was posted to.
    posts: Vec<RequestStatus>,
    /// Names the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Lists posts, newest first, those from the chat included.
#[utoipa::path(get, path = "/api/social/posts", tag = "posts", operation_id = "listPosts", params(PageWanted),
    responses((status = 200, body = Posts), Problems))]
pub(super) async fn recent(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Asked(page): Asked<PageWanted>,
) -> Answer<Posts> {
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::from(Refusal::INVALID_QUERY).with("limit is 1 to 100.".to_owned()));
    }
    let before = page.before.as_deref().map(|cursor| cursor_id(cursor).ok_or(Refusal::INVALID_QUERY));
    let mut posts = site.intake.recent_posts(&caller.person, before.transpose()?, limit + 1).await?;
    let more = posts.len() > limit as usize;
    posts.truncate(limit as usize);
    let next = posts.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(last.post.id.0.as_bytes()));
    let posts = posts.into_iter().filter_map(|post| RequestStatus::of(vec![post])).collect();
    Ok(Json(Posts { posts, next }))
}

fn cursor_id(cursor: &str) -> Option<PostId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    Uuid::from_slice(&bytes).ok().map(PostId)
}

/// What a person decides about a post.
enum Decision {
    Cancel,
    Retry,
    Confirm,
    PostAgain,
}

/// Stops a post, unless it may be on X already. One in doubt is left as it is.
#[utoipa::path(post, path = "/api/social/posts/{post_id}/cancel", tag = "posts", operation_id = "cancelPost",
    params(("post_id" = Uuid, Path)), responses((status = 200, body = RequestStatus), Problems))]
pub(super) async fn cancel(
    State(site): State<Arc<Site>>,
    caller: Caller,
    post: Named<PostId>,
) -> Answer<RequestStatus> {
    decide(&site, &caller, post, Decision::Cancel).await
}

/// Begins a failed post again.
#[utoipa::path(post, path = "/api/social/posts/{post_id}/retry", tag = "posts", operation_id = "retryPost",
    params(("post_id" = Uuid, Path)), responses((status = 200, body = RequestStatus), Problems))]
pub(super) async fn retry(
    State(site): State<Arc<Site>>,
    caller: Caller,
    post: Named<PostId>,
) -> Answer<RequestStatus> {
    decide(&site, &caller, post, Decision::Retry).await
}

/// Says of a post in doubt that it is on X.
#[utoipa::path(post, path = "/api/social/posts/{post_id}/confirm", tag = "posts", operation_id = "confirmPost",
    params(("post_id" = Uuid, Path)), responses((status = 200, body = RequestStatus), Problems))]
pub(super) async fn confirm(
    State(site): State<Arc<Site>>,
    caller: Caller,
    post: Named<PostId>,
) -> Answer<RequestStatus> {
    decide(&site, &caller, post, Decision::Confirm).await
}

/// Says of a post in doubt that it is not on X: it is made again, unless one more look finds it.
#[utoipa::path(post, path = "/api/social/posts/{post_id}/post-again", tag = "posts", operation_id = "postAgain",
    params(("post_id" = Uuid, Path)), responses((status = 200, body = RequestStatus), Problems))]
pub(super) async fn post_again(
    State(site): State<Arc<Site>>,
    caller: Caller,
    post: Named<PostId>,
) -> Answer<RequestStatus> {
    decide(&site, &caller, post, Decision::PostAgain).await
}

async fn decide(
    site: &Site,
    caller: &Caller,
    Named(id): Named<PostId>,
    decision: Decision,
) -> Answer<RequestStatus> {
    let id = id.ok_or(Refusal::NO_POST)?;
    let (store, person, now) = (&site.intake.store, &caller.person, site.intake.clock.now_ms());
    let answered = match decision {
        Decision::Cancel => store.cancel(person, id, now).await?,
        Decision::Retry => store.retry(person, id, &site.intake.limits, now).await?,
        Decision::Confirm => store.vouch(person, id, now).await?,
        Decision::PostAgain => store.post_again(person, id, now).await?,
    };
    match answered {
        Answered::Done => {}
        Answered::TooLate => return Err(Refusal::TOO_LATE.into()),
        Answered::Over(over) => return Err(over.into()),
        Answered::NotYours => return Err(Refusal::NO_POST.into()),
        Answered::NotLinked => return Err(Refusal::NOT_LINKED.into()),
    }
    let status = site.intake.post_status(person, id).await?;
    let status = status.and_then(|status| RequestStatus::of(vec![status]));
    Ok(Json(status.ok_or(Refusal::NO_POST)?))
}

//! How posts fare, as programs see it.

use std::sync::Arc;

use axum::{Json, extract};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, accounts::PLATFORM, caller::Caller, json::Named, moment, openapi::Problems};
use crate::{
    intake::PostStatus,
    post::{Party, State, Waiting},
    web::{Site, error::Refusal},
    words,
};

/// The posts that were asked for at once.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct RequestStatus {
    request_id: Uuid,
    /// `posted` once every post is; `failed`, `canceled` or `partly_posted` once none goes on; `needs_user` when one
    /// waits for an answer; else `under_way`.
    state: Overall,
    /// Nothing more happens unless somebody acts.
    pub(super) over: bool,
    filename: String,
    caption: String,
    #[schema(format = DateTime)]
    created_at: String,
    accounts: Vec<AccountStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Overall {
    UnderWay,
    NeedsUser,
    Posted,
    PartlyPosted,
    Failed,
    Canceled,
}

/// One post, to one account.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct AccountStatus {
    post_id: Uuid,
    #[schema(example = "twitter:2244994945")]
    account_id: String,
    username: String,
    state: State,
    progress: Progress,
    /// Why it waits, if it waits for anything but its turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<WaitingFor>,
    /// The post on X.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failed>,
    /// What can be asked of it now: `POST /api/social/posts/{post_id}/…`
    actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Cancel,
    Retry,
    Confirm,
    PostAgain,
}

/// How far the transfer at hand is.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Progress {
    bytes_done: u64,
    /// Absent while nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Of the transfer, then of X's processing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    percent: Option<u8>,
}

/// What a post waits for.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct WaitingFor {
    reason: Reason,
    /// It goes on by itself then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    until: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Reason {
    RateLimit,
    XTrouble,
    ChatTrouble,
    StorageTrouble,
    Credits,
    SpendCap,
    NotEnrolled,
    PostCap,
    DailyLimit,
    Reconnect,
    Looking,
    Other,
}

/// Why a post was not made.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Failed {
    /// Stable, for programs.
    #[schema(example = "video_refused")]
    code: String,
    message: String,
    remedy: String,
}

impl RequestStatus {
    /// `None` of no posts.
    pub(super) fn of(posts: Vec<PostStatus>) -> Option<Self> {
        let first = &posts.first()?.post;
        let (request_id, created_at) = (first.request, moment(first.created_at));
        let (filename, caption) = (first.attachment.name.clone(), first.caption.clone());
        let accounts: Vec<AccountStatus> = posts.into_iter().map(AccountStatus::from).collect();
        let all = |state: State| accounts.iter().all(|post| post.state == state);
        let any = |state: State| accounts.iter().any(|post| post.state == state);
        let over = accounts.iter().all(|post| post.state.is_over());
        let state = match over {
            false if any(State::NeedsUser) => Overall::NeedsUser,
            false => Overall::UnderWay,
            true if all(State::Posted) => Overall::Posted,
            true if all(State::Canceled) => Overall::Canceled,
            true if any(State::Posted) => Overall::PartlyPosted,
            true => Overall::Failed,
        };
        Some(RequestStatus { request_id, state, over, filename, caption, created_at, accounts })
    }
}

impl From<PostStatus> for AccountStatus {
    fn from(status: PostStatus) -> Self {
        let PostStatus { post, account, link, progress, waiting } = status;
        let actions = match post.state {
            State::NeedsUser => vec![Action::Confirm, Action::PostAgain, Action::Cancel],
            State::Failed if post.failure.as_ref().is_none_or(|it| words::may_retry(it, &account)) => {
                vec![Action::Retry]
            }
            State::Failed => Vec::new(),
            State::Posted | State::Canceled => Vec::new(),
            _ if post.intent_at.is_some() => Vec::new(),
            _ => vec![Action::Cancel],
        };
        let error = post.failure.as_ref().map(|failure| {
            let (message, remedy) = words::failure(failure, &account);
            Failed { code: failure.code(), message, remedy: remedy.to_owned() }
        });
        AccountStatus {
            post_id: post.id.0,
            account_id: format!("{PLATFORM}:{}", account.id),
            username: account.username,
            state: post.state,
            progress: Progress {
                bytes_done: progress.bytes_done,
                bytes: progress.bytes,
                percent: progress.percent,
            },
            waiting: waiting.map(WaitingFor::from),
            link,
            error,
            actions,
        }
    }
}

impl From<Waiting> for WaitingFor {
    fn from(waiting: Waiting) -> Self {
        let (reason, until) = match waiting {
            Waiting::RateLimit { until } => (Reason::RateLimit, Some(until)),
            Waiting::Trouble { with: Party::X, until } => (Reason::XTrouble, Some(until)),
            Waiting::Trouble { with: Party::Chat, until } | Waiting::FileNotFound { until, .. } => {
                (Reason::ChatTrouble, Some(until))
            }
            Waiting::Trouble { with: Party::Staging, until } => (Reason::StorageTrouble, Some(until)),
            Waiting::Credits { until } => (Reason::Credits, Some(until)),
            Waiting::SpendCap { until } => (Reason::SpendCap, Some(until)),
            Waiting::NotEnrolled { until } => (Reason::NotEnrolled, Some(until)),
            Waiting::PostCap { until } => (Reason::PostCap, Some(until)),
            Waiting::DailyLimit { until } => (Reason::DailyLimit, Some(until)),
            Waiting::Reconnect | Waiting::ConnectionEnded => (Reason::Reconnect, None),
            Waiting::Looking => (Reason::Looking, None),
            Waiting::Unknown => (Reason::Other, None),
        };
        WaitingFor { reason, until: until.map(moment) }
    }
}

/// Says how a request to post fares.
#[utoipa::path(get, path = "/api/social/uploads/{request_id}", tag = "posts", operation_id = "getStatus",
    params(("request_id" = Uuid, Path, description = "As POST /api/social/post gave it")),
    responses((status = 200, body = RequestStatus), Problems))]
pub(super) async fn status(
    extract::State(site): extract::State<Arc<Site>>,
    caller: Caller,
    Named(request): Named<Uuid>,
) -> Answer<RequestStatus> {
    let request = request.ok_or(Refusal::NO_REQUEST)?;
    let posts = site.intake.request_status(&caller.person, request).await?;
    Ok(Json(RequestStatus::of(posts).ok_or(Refusal::NO_REQUEST)?))
}

//! Makes the post on X, once.
//!
//! X has no idempotency key. So the intent is written first; whoever finds an intent that another process wrote
//! looks at the account's newest posts for our media before anything is sent.

use std::time::Duration;

use super::{
    Next, StepError, Worker,
    access_token::Access,
    belief::{repeated, send_again},
    insist, tier,
};
use crate::{
    config::OnUnsure,
    post::{Failure, Party, Post, State, Waiting},
    store::{Lease, Need, StoreError},
    twitter::{CreateError, Processing, XError, call},
    words,
};

/// The longest a creation takes: the client's own time limit, and some.
const CREATE_TAKES: Duration = Duration::from_secs(17);
/// Clocks differ, ours and X's: a look reaches back this much further than the attempt. Only a post with our own media
/// counts, so more of them do no harm.
const CLOCK_SLACK_MS: i64 = 15 * 60_000;
/// Pauses between looks for a post whose creation was not answered.
const LOOKS: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(15), Duration::from_secs(30)];
/// Looks after the person was asked: X may show the post late.
const LATE_LOOKS: [Duration; 2] = [Duration::from_secs(5 * 60), Duration::from_secs(25 * 60)];
/// Looks that may go wrong before a second attempt that the person asked for is made without.
const PATIENT_LOOKS: u32 = 2;
/// Attempts after which the person is asked even where the operator said to try again.
const MAX_INTENTS: u32 = 3;
/// An upload with less than this left is made anew rather than posted.
const EXPIRY_MARGIN_MS: i64 = 60_000;

/// Sends the post, or looks for it when an earlier attempt may have.
pub(super) async fn publish(worker: &Worker, lease: &Lease, post: &mut Post) -> Result<Next, StepError> {
    match post.intent_at {
        None => create(worker, lease, post).await,
        Some(intent_at) => look(worker, lease, post, intent_at).await,
    }
}

async fn create(worker: &Worker, lease: &Lease, post: &mut Post) -> Result<Next, StepError> {
    // A post in doubt is not made a second time for somebody who was blocked, or whose connection was ended. Other posts of
    // theirs were stopped when that happened.
    if worker.blocks(post) || (post.intent_at.is_some() && !worker.store.still_connected(post).await?) {
        return Ok(Next::Ask(None));
    }
    let now = worker.clock.now_ms();
    let media_id = match &post.media {
        Some(media) if media.expires_at.is_none_or(|at| at - now > EXPIRY_MARGIN_MS) => media.id.clone(),
        _ => return Ok(upload_again(post)),
    };
    let access = Access::new(worker, lease);
    let token = access.token_for(call::CREATE).await?;
    let need = Need { call: call::CREATE, account: &lease.account, step: State::Publishing, calls: 1 };
    worker.allotted(need).await?;
    if worker.running.stopping.is_cancelled() {
        worker.unused(need).await;
        return Err(StepError::Stopping);
    }
    let now = worker.clock.now_ms();
    worker.store.renew(lease, now).await?;
    post.caption = worker.store.intend(lease, now).await?;
    // A worker that slept here no longer holds the lane: somebody else may be looking for this very post.
    if !lease.holds_for(CREATE_TAKES, worker.clock.now_ms()) {
        return Err(StoreError::LeaseLost.into());
    }
    let before = Doubt::of(post);
    post.intent_at = Some(now);
    post.first_intent_at = before.first.or(Some(now));
    post.intents += 1;
    post.resend = false;
    post.looks = 0;
    let created = worker.x.create_post(&token, &post.caption, &media_id, &post.options).await;
    match &created {
        Err(CreateError::NotSent(_)) => worker.unused(need).await,
        _ => worker.heard_of_day_meanwhile(call::CREATE),
    }
    match created {
        Ok(id) => Ok(Next::Posted(id)),
        Err(CreateError::Unknown(error)) => {
            tracing::warn!(%error, "no answer to the creation; looking for the post");
            post.waiting = Some(Waiting::Looking);
            post.attempt = 0;
            Ok(Next::Go(State::Publishing, pause_before(0)))
        }
        // Said of the same text posted lately: perhaps by an attempt of ours that went unanswered.
        Err(CreateError::Refused(XError::Duplicate)) => {
            if let Some(id) = find(worker, &access, post).await? {
                return Ok(Next::Posted(id));
            }
            before.restore(post);
            match post.intent_at {
                Some(_) => {
                    post.failure = Some(Failure::Duplicate);
                    Ok(Next::Ask(Some(LATE_LOOKS[0])))
                }
                None => Err(StepError::Fail(Failure::Duplicate)),
            }
        }
        // What follows is sure not to have made a post: only an earlier attempt may have.
        Err(CreateError::Refused(XError::InvalidMedia)) => {
            before.restore(post);
            // Of a post in doubt the person has said that it is wanted again.
            post.resend = post.intent_at.is_some();
            Err(unfit(worker, &access, post, &media_id).await?)
        }
        Err(CreateError::NotSent(error) | CreateError::Refused(error)) => {
            before.restore(post);
            if let XError::TooLong { .. } | XError::NotPermitted { .. } = &error
                && let Some(account) = worker.store.account(&post.account).await?
            {
                // So that the next post is judged by what the account may do now.
                tier::current(worker, &access, &account).await;
            }
            Err(access.sorted(&token, error).await)
        }
    }
}

/// Writes down that the post is on X: tried until it is written, since nobody else may know.
pub(super) async fn keep(worker: &Worker, lease: &Lease, post: &Post, x_post_id: &str) {
    let twice = |username: &str, first: &str| {
        let link = |id| worker.x.post_link(username, id);
        let (first, second) = (link(first), link(x_post_id));
        words::posted_twice(&post.attachment.name, username, first.as_str(), second.as_str())
    };
    let now = || worker.clock.now_ms();
    let kept = insist(|| worker.store.posted(lease, x_post_id, twice, now())).await;
    if let Err(error) = kept {
        // X named one id for two posts, say. Only the person can see what is on their profile.
        worker.operator_told_of_rejection(post, &error).await;
        let _ = worker.write_down(lease, || worker.store.end_rejected(lease, true, now())).await;
    }
}

/// What was known of earlier attempts before the present one, and whether the person wants another.
struct Doubt {
    last: Option<i64>,
    first: Option<i64>,
    intents: u32,
    resend: bool,
}

impl Doubt {
    fn of(post: &Post) -> Doubt {
        Doubt {
            last: post.intent_at,
            first: post.first_intent_at,
            intents: post.intents,
            resend: post.resend,
        }
    }

    /// Takes the present attempt back: X refused it, so it counts for nothing.
    fn restore(self, post: &mut Post) {
        (post.intent_at, post.first_intent_at) = (self.last, self.first);
        (post.intents, post.resend) = (self.intents, self.resend);
    }
}

/// A new upload is needed before the post can be made. What may be on X already stays in doubt.
fn upload_again(post: &mut Post) -> Next {
    post.media = None;
    Next::Go(State::Uploading, Duration::ZERO)
}

/// What to do about an upload that X does not take for a post: wait while it is being processed, else make a new one.
async fn unfit(
    worker: &Worker,
    access: &Access<'_>,
    post: &mut Post,
    media_id: &str,
) -> Result<StepError, StepError> {
    let token = access.token_for(call::STATUS).await?;
    match worker.x.status(&token, media_id).await {
        Ok(status) if matches!(status.processing, Processing::Pending { .. }) => {
            let why = "X has not finished with the video".to_owned();
            Ok(StepError::Back { to: State::Processing, why })
        }
        Ok(_)
        | Err(XError::UploadGone | XError::NotFound | XError::InvalidMedia | XError::Refused { .. }) => {
            repeated(&mut post.refused_since, &XError::InvalidMedia, worker.clock.now_ms())?;
            Ok(send_again(post, "X does not take the upload".to_owned()))
        }
        Err(error) => Err(access.sorted(&token, error).await),
    }
}

/// Looks for the post until it is found or the time to settle is over.
async fn look(worker: &Worker, lease: &Lease, post: &mut Post, intent_at: i64) -> Result<Next, StepError> {
    let access = Access::new(worker, lease);
    match find(worker, &access, post).await {
        Ok(Some(id)) => return Ok(Next::Posted(id)),
        Ok(None) if post.resend => return create(worker, lease, post).await,
        Ok(None) => {}
        Err(error @ (StepError::SignedOut | StepError::Store(_))) => return Err(error),
        // The person has looked; ours is only a second pair of eyes.
        Err(_) if post.resend && post.attempt >= PATIENT_LOOKS => return create(worker, lease, post).await,
        Err(error) => return Err(error),
    }
    post.looks = post.looks.saturating_add(1);
    let settle = Duration::from_secs(worker.settings.settle_secs);
    let since = Duration::from_millis((worker.clock.now_ms() - intent_at).try_into().unwrap_or_default());
    // Nobody is asked before a second attempt, so a clock that jumps must not stand for the looks.
    let hasty = worker.settings.on_unsure == OnUnsure::Retry && looked_for(post.looks) < settle;
    if since < settle || hasty {
        post.waiting = Some(Waiting::Looking);
        return Ok(Next::Go(State::Publishing, pause_before(post.looks)));
    }
    match worker.settings.on_unsure {
        OnUnsure::Retry if post.intents < MAX_INTENTS => create(worker, lease, post).await,
        OnUnsure::Retry | OnUnsure::Ask => {
            post.looks = 0;
            Ok(Next::Ask(Some(LATE_LOOKS[0])))
        }
    }
}

/// The pause before the look that follows so many.
fn pause_before(looks: u32) -> Duration {
    *LOOKS.get(looks as usize).unwrap_or(&LOOKS[LOOKS.len() - 1])
}

/// The pauses before so many looks.
fn looked_for(looks: u32) -> Duration {
    (0..looks).map(pause_before).sum()
}

/// Looks once more for a post about which the person was asked: X may have shown it late.
pub(super) async fn look_late(worker: &Worker, lease: &Lease, post: &mut Post) -> Result<Next, StepError> {
    let access = Access::new(worker, lease);
    if let Some(id) = find(worker, &access, post).await? {
        return Ok(Next::Posted(id));
    }
    post.looks = post.looks.saturating_add(1);
    Ok(Next::Ask(LATE_LOOKS.get(post.looks as usize).copied()))
}

/// The post on X that carries any upload of this post's, of any attempt.
async fn find(worker: &Worker, access: &Access<'_>, post: &Post) -> Result<Option<String>, StepError> {
    let since = post.first_intent_at.unwrap_or(post.created_at) - CLOCK_SLACK_MS;
    let ids = worker.store.media_ids(post.id).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let token = access.token().await?;
    match worker.x.find_post(&token, &post.account, since, &ids).await {
        Ok(found) => Ok(found),
        Err(error) => Err(match access.sorted_aside(&token, error, call::TIMELINE).await {
            // What X refused is the look; of the post it says nothing.
            StepError::Fail(refusal) => {
                StepError::Trouble { with: Party::X, why: format!("X refused the look: {refusal:?}") }
            }
            error => error,
        }),
    }
}

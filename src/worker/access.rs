//! A valid access token for the account whose lane is held, refreshed when it is time.

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::{StepError, Worker, chain};
use crate::{
    account::Tokens,
    post::{Failure, Party},
    store::Lease,
    twitter::{OAuthError, XError},
};

/// A token with less than this left is refreshed before a step uses it.
const REFRESH_BEFORE_MS: i64 = 15 * 60_000;
/// A token with less than this left is not used when refreshing fails.
const USABLE_MS: i64 = 30_000;

/// The tokens of one step. Whoever needs one asks here, so that parallel requests refresh once.
pub(super) struct Access<'a> {
    worker: &'a Worker,
    lease: &'a Lease,
    held: Mutex<Option<Held>>,
}

struct Held {
    tokens: Tokens,
    rev: i64,
    /// Made in this step: a refusal of it is X's trouble, not ours.
    fresh: bool,
}

impl<'a> Access<'a> {
    pub(super) fn new(worker: &'a Worker, lease: &'a Lease) -> Self {
        Access { worker, lease, held: Mutex::new(None) }
    }

    /// A token that should work.
    pub(super) async fn token(&self) -> Result<SecretString, StepError> {
        let now = self.worker.clock.now_ms();
        let mut held = self.held.lock().await;
        if held.is_none() {
            *held = self.stored().await?;
        }
        let current = held.as_mut().ok_or(StepError::SignedOut)?;
        if current.tokens.access_expires_at - now < REFRESH_BEFORE_MS {
            match self.refresh(current).await {
                Err(StepError::Trouble { .. }) if current.tokens.access_expires_at - now > USABLE_MS => {}
                outcome => outcome?,
            }
        }
        Ok(current.tokens.access.clone())
    }

    /// What follows from an error of a call made with `used`.
    ///
    /// A 401 has the token refreshed once and the step begun again; a fresh token that is refused too is an outage.
    pub(super) async fn sorted(&self, used: &SecretString, error: XError) -> StepError {
        match error {
            XError::SignedOut => match self.renew(used).await {
                Ok(()) => StepError::Trouble { with: Party::X, why: "the sign-in was refused".to_owned() },
                Err(error) => error,
            },
            error => sort(error, self.worker.clock.now_ms()),
        }
    }

    async fn renew(&self, used: &SecretString) -> Result<(), StepError> {
        let mut held = self.held.lock().await;
        match held.as_mut() {
            Some(current)
                if !current.fresh && current.tokens.access.expose_secret() == used.expose_secret() =>
            {
                self.refresh(current).await
            }
            _ => Ok(()),
        }
    }

    async fn stored(&self) -> Result<Option<Held>, StepError> {
        let stored = self.worker.store.tokens(self.lease).await?;
        Ok(stored.map(|(tokens, rev)| Held { tokens, rev, fresh: false }))
    }

    /// Trades the refresh token. Only the lane's holder gets here, and the new pair is stored before it is used.
    async fn refresh(&self, current: &mut Held) -> Result<(), StepError> {
        let Worker { store, x, clock, .. } = self.worker;
        store.begin_refresh(self.lease, clock.now_ms()).await?;
        // Not to be cut short: the answer holds the only pair that works.
        let refreshed = {
            let (x, store, clock) = (x.clone(), store.clone(), clock.clone());
            let (account, rev, old) =
                (self.lease.account.clone(), current.rev, current.tokens.refresh.clone());
            tokio::spawn(async move {
                let tokens = x.refresh(&old, clock.now_ms()).await?;
                let mut pause = std::time::Duration::from_millis(50);
                loop {
                    match store.save_tokens(&account, rev, &tokens, clock.now_ms()).await {
                        Ok(kept) => return Ok((tokens, kept)),
                        Err(error) => {
                            tracing::error!(error = chain(&error), "new tokens could not be stored yet");
                            tokio::time::sleep(pause).await;
                            pause = (pause * 2).min(std::time::Duration::from_secs(5));
                        }
                    }
                }
            })
            .await
        };
        metrics::counter!("toall_token_refreshes_total").increment(1);
        match refreshed {
            Ok(Ok((tokens, true))) => {
                *current = Held { tokens, rev: current.rev + 1, fresh: true };
                Ok(())
            }
            // Linked again in between: those tokens are the newest.
            Ok(Ok((_, false))) => self.reread(current).await,
            Ok(Err(OAuthError::RefreshRejected)) => {
                if store.mark_broken(&self.lease.account, current.rev, clock.now_ms()).await? {
                    tracing::warn!("X refused the refresh token; the account must be linked again");
                    return Err(StepError::SignedOut);
                }
                self.reread(current).await
            }
            Ok(Err(OAuthError::X(error))) => Err(sort(error, clock.now_ms())),
            Ok(Err(error)) => {
                tracing::error!(%error, "the X app's settings do not work");
                Err(StepError::Trouble { with: Party::X, why: error.to_string() })
            }
            Err(_) => Err(StepError::Trouble { with: Party::X, why: "the refresh died".to_owned() }),
        }
    }

    async fn reread(&self, current: &mut Held) -> Result<(), StepError> {
        *current = self.stored().await?.ok_or(StepError::SignedOut)?;
        Ok(())
    }
}

/// What follows from X's refusal of anything but a sign-in.
pub(super) fn sort(error: XError, now: i64) -> StepError {
    let trouble = |why: String| StepError::Trouble { with: Party::X, why };
    match error {
        XError::RateLimited(limit) => StepError::RateLimited { until: limit.until_ms(now) },
        XError::OutOfCredits => StepError::OutOfCredits,
        XError::SpendCap | XError::ReadCap => StepError::Fail(Failure::SpendCap),
        XError::NotEnrolled | XError::WrongToken | XError::AccessLevel => {
            StepError::Fail(Failure::NotEnrolled)
        }
        XError::MissingScope => StepError::Fail(Failure::MissingPermission),
        XError::Duplicate => StepError::Fail(Failure::Duplicate),
        XError::TooLong { minutes } => StepError::Fail(Failure::TooLongForAccount { minutes }),
        XError::AccountRestricted { .. } => StepError::Fail(Failure::AccountRestricted),
        XError::InvalidUrl => StepError::Fail(Failure::LinkRefused),
        XError::TooManyCashtags => StepError::Fail(Failure::TooManyCashtags),
        XError::NotPermitted { detail } | XError::Refused { detail, .. } => {
            StepError::Fail(Failure::Refused { detail })
        }
        XError::Hidden => {
            StepError::Fail(Failure::Refused { detail: "X does not let this account see that".to_owned() })
        }
        XError::Unreachable(error) => trouble(format!("X could not be reached: {}", chain(&error))),
        XError::Source(error) => StepError::Trouble { with: Party::Staging, why: chain(&*error) },
        error @ (XError::SignedOut
        | XError::InvalidMedia
        | XError::IncompleteUpload
        | XError::UploadGone
        | XError::NotFound
        | XError::TooLarge(_)
        | XError::Trouble(_)
        | XError::Stalled
        | XError::Garbled(_)) => trouble(error.to_string()),
    }
}

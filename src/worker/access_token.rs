//! A valid access token for the account whose lane is held, refreshed when it is time.

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::{StepError, Worker, belief::repeated, chain, insist, stage::from_staging};
use crate::{
    account::{AccountId, Tokens},
    clock::Month,
    post::{Failure, Party, Pause},
    staging::StagingError,
    store::{CLIENT_REJECTED, Lease, StoreError},
    twitter::{OAuthError, XError},
    words,
};

/// A token is refreshed when less than this is left, or less than a quarter of its life.
const REFRESH_BEFORE_MS: i64 = 15 * 60_000;
/// How long to leave X alone after a refresh that did not work, while the token at hand does.
const REFRESH_PAUSE_MS: i64 = 60_000;
/// X's refusal of a token younger than this, or than a quarter of its life, is a reason to refresh once only.
pub(super) const FRESH_MS: i64 = 10 * 60_000;
/// A token with less than this left, or less than an eighth of its life, is not used when refreshing fails.
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
    /// No refresh is tried before this moment: the last one did not work.
    not_before: i64,
}

impl Held {
    fn left(&self, now: i64) -> i64 {
        self.tokens.access_expires_at - now
    }

    fn is_usable(&self, now: i64) -> bool {
        self.left(now) > USABLE_MS.min(self.tokens.lifetime() / 8)
    }

    fn is_due(&self, now: i64) -> bool {
        self.left(now) < REFRESH_BEFORE_MS.min(self.tokens.lifetime() / 4)
    }

    fn is_fresh(&self, now: i64) -> bool {
        // A clock that was set back must not make a token seem fresh until it catches up.
        (0..FRESH_MS.min(self.tokens.lifetime() / 4)).contains(&(now - self.tokens.issued_at))
    }
}

impl<'a> Access<'a> {
    pub(super) fn new(worker: &'a Worker, lease: &'a Lease) -> Self {
        Access { worker, lease, held: Mutex::new(None) }
    }

    /// A token for this call, unless X has closed it: a step asks before each.
    pub(super) async fn token_for(&self, call: &'static str) -> Result<SecretString, StepError> {
        self.worker.admitted(self.lease, call).await?;
        self.token().await
    }

    /// A token that should work, for a call that may always be tried.
    pub(super) async fn token(&self) -> Result<SecretString, StepError> {
        let now = self.worker.clock.now_ms();
        let mut held = self.held.lock().await;
        if held.is_none() {
            *held = self.stored().await?;
        }
        let current = held.as_mut().ok_or(StepError::SignedOut)?;
        let usable = current.is_usable(now);
        if current.is_due(now) && (now >= current.not_before || !usable) {
            match self.refresh(current).await {
                Ok(()) => {}
                Err(error @ (StepError::SignedOut | StepError::Store(_))) => return Err(error),
                // The one at hand still works for a while.
                Err(_) if usable => current.not_before = now + REFRESH_PAUSE_MS,
                Err(error) => return Err(error),
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
            XError::RateLimited(limit) => self.worker.limited(self.lease, limit).await,
            XError::DailyLimit(limit) => self.worker.limited_for_the_day(self.lease, limit).await,
            XError::PostCap => self.worker.paused(self.lease, Pause::PostCap).await,
            XError::OutOfCredits => self.worker.paused(self.lease, Pause::Credits).await,
            XError::SpendCap => self.worker.paused(self.lease, Pause::SpendCap).await,
            XError::NotEnrolled | XError::WrongToken | XError::AccessLevel => {
                self.worker.paused(self.lease, Pause::NotEnrolled).await
            }
            XError::ReadCap => {
                let month = Month::of(self.worker.clock.now_ms()).name;
                let message = words::operator_read_cap();
                self.worker.operator_told(&format!("read_cap:{month}"), &message).await;
                // Posts go on being made: looking for one is what has to wait.
                StepError::Trouble { with: Party::X, why: error.to_string() }
            }
            error => sort(error),
        }
    }

    /// The same for a call that posts can go without: X may close just that one to the app, which is no reason to pause
    /// everything. The operator is told.
    pub(super) async fn sorted_aside(
        &self,
        used: &SecretString,
        error: XError,
        call: &'static str,
    ) -> StepError {
        match error {
            error @ (XError::WrongToken | XError::AccessLevel) => {
                self.closed_to_app(call).await;
                StepError::Trouble { with: Party::X, why: error.to_string() }
            }
            error => self.sorted(used, error).await,
        }
    }

    /// Tells the operator, once a month, that X keeps one call from the app.
    pub(super) async fn closed_to_app(&self, call: &'static str) {
        let month = Month::of(self.worker.clock.now_ms()).name;
        let incident = format!("call_closed:{call}:{month}");
        self.worker.operator_told(&incident, &words::operator_call_closed(call)).await;
    }

    async fn renew(&self, used: &SecretString) -> Result<(), StepError> {
        let now = self.worker.clock.now_ms();
        let mut held = self.held.lock().await;
        let may_renew = self.worker.running.may_renew(&self.lease.account, now);
        match held.as_mut() {
            // A recent token that X refuses is refreshed once: its person may have removed the app on X, which only the
            // refresh tells. If X refuses the new one as well, that is X's trouble.
            Some(current)
                if current.tokens.access.expose_secret() == used.expose_secret()
                    && (!current.is_fresh(now) || may_renew) =>
            {
                self.refresh(current).await
            }
            _ => Ok(()),
        }
    }

    async fn stored(&self) -> Result<Option<Held>, StepError> {
        let stored = opened(self.worker, &self.lease.account).await?;
        Ok(stored.map(|(tokens, rev)| Held { tokens, rev, not_before: 0 }))
    }

    /// Trades the refresh token. Only the lane's holder gets here; the new pair is stored before it is used.
    async fn refresh(&self, current: &mut Held) -> Result<(), StepError> {
        if self.worker.running.stopping.is_cancelled() {
            return Err(StepError::Stopping);
        }
        self.worker.store.begin_refresh(self.lease, self.worker.clock.now_ms()).await?;
        // A task of its own, because it must not be cut short: the answer holds the only pair that works.
        let trade = trade(self.worker.clone(), self.lease.account.clone(), current.rev);
        let traded = self.worker.running.tasks.spawn(trade).await;
        let lost = || StepError::Trouble { with: Party::X, why: "the refresh died".to_owned() };
        *current = traded.map_err(|_| lost())??;
        Ok(())
    }
}

/// An account's tokens. Those that no key opens are as good as refused: only its person can bring others.
async fn opened(worker: &Worker, account: &AccountId) -> Result<Option<(Tokens, i64)>, StoreError> {
    match worker.store.tokens(account).await {
        Err(StoreError::Tokens { rev }) => {
            tracing::error!(%account, "the stored tokens cannot be opened; the account must be linked again");
            worker.store.mark_broken(account, rev, worker.clock.now_ms()).await?;
            // Linked again in between: those are the newest.
            worker.store.tokens(account).await
        }
        tokens => tokens,
    }
}

/// Trades the stored refresh token of an account for a new pair, unless somebody has done so since revision `rev`.
///
/// One at a time per account: a cancelled step may have left one running.
async fn trade(worker: Worker, account: AccountId, rev: i64) -> Result<Held, StepError> {
    let Worker { store, x, clock, .. } = &worker;
    let _turn = worker.running.refresh_turn(&account).await;
    let (tokens, stored) = opened(&worker, &account).await?.ok_or(StepError::SignedOut)?;
    if stored != rev {
        return Ok(Held { tokens, rev: stored, not_before: 0 });
    }
    // A moment yet to come is of a clock that was ahead: X's next refusal counts as the first.
    let now = clock.now_ms();
    let mut refused_at = store.refresh_refused_at(&account, rev).await?.filter(|at| *at <= now);
    if refused_at.is_some() {
        // X is not asked again before its answer would count.
        repeated(&mut refused_at, &OAuthError::RefreshRejected, clock.now_ms())?;
    }
    let refreshed = x.refresh(&tokens.refresh, clock.now_ms()).await;
    let outcome = match &refreshed {
        Ok(_) => "kept",
        Err(OAuthError::RefreshRejected) => "refused",
        Err(_) => "trouble",
    };
    metrics::counter!("toall_token_refreshes_total", "outcome" => outcome).increment(1);
    match refreshed {
        Ok(tokens) => {
            let kept = insist(|| store.save_tokens(&account, rev, &tokens, clock.now_ms())).await?;
            worker.operator_told_of_end(CLIENT_REJECTED, &words::operator_client_accepted()).await;
            if kept {
                return Ok(Held { tokens, rev: rev + 1, not_before: 0 });
            }
            // Linked again in between: those tokens are the newest. Or disconnected: nobody may keep these.
            match store.tokens(&account).await? {
                Some((tokens, rev)) => Ok(Held { tokens, rev, not_before: 0 }),
                None => {
                    if let Err(error) = x.revoke(&tokens).await {
                        tracing::warn!(%account, %error, "tokens of a disconnected account could not be revoked");
                    }
                    Err(StepError::SignedOut)
                }
            }
        }
        Err(error @ OAuthError::RefreshRejected) => {
            if refused_at.is_none() {
                store.refresh_refused(&account, rev, clock.now_ms()).await?;
            }
            repeated(&mut refused_at, &error, clock.now_ms())?;
            if store.mark_broken(&account, rev, clock.now_ms()).await? {
                tracing::warn!(%account, "X refused the refresh token; the account must be linked again");
            }
            let (tokens, rev) = store.tokens(&account).await?.ok_or(StepError::SignedOut)?;
            Ok(Held { tokens, rev, not_before: 0 })
        }
        Err(error) => {
            if matches!(error, OAuthError::ClientRejected) {
                worker.operator_told(CLIENT_REJECTED, &words::operator_client_rejected()).await;
            }
            tracing::error!(%account, error = chain(&error), "tokens could not be refreshed");
            Err(StepError::Trouble { with: Party::X, why: error.to_string() })
        }
    }
}

/// What follows from X's refusal of this one post.
fn sort(error: XError) -> StepError {
    let trouble = |why: String| StepError::Trouble { with: Party::X, why };
    match error {
        XError::MissingScope => StepError::Fail(Failure::MissingPermission),
        XError::Duplicate => StepError::Fail(Failure::Duplicate),
        XError::TooLong { minutes } => StepError::Fail(Failure::TooLongForAccount { minutes }),
        XError::AccountRestricted { .. } => StepError::Fail(Failure::AccountRestricted),
        XError::InvalidUrl => StepError::Fail(Failure::LinkRefused),
        XError::TooManyCashtags => StepError::Fail(Failure::TooManyCashtags),
        // No reason given: an edge or an outage, not X's judgement of the post.
        XError::Refused { status, ref detail } if detail.is_empty() => {
            trouble(format!("X refused ({status})"))
        }
        XError::NotPermitted { detail } | XError::Refused { detail, .. } => {
            StepError::Fail(Failure::Refused { detail })
        }
        XError::Hidden => {
            StepError::Fail(Failure::Refused { detail: "X does not let this account see that".to_owned() })
        }
        XError::Unreachable(error) => trouble(format!("X could not be reached: {}", chain(&error))),
        XError::Source(error) => match error.downcast::<StagingError>() {
            Ok(error) => from_staging(*error),
            Err(error) => StepError::Trouble { with: Party::Staging, why: chain(&*error) },
        },
        error @ (XError::SignedOut
        | XError::RateLimited(_)
        | XError::DailyLimit(_)
        | XError::PostCap
        | XError::OutOfCredits
        | XError::SpendCap
        | XError::ReadCap
        | XError::NotEnrolled
        | XError::WrongToken
        | XError::AccessLevel
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

//! What an account's subscription allows now: Premium is bought and lapses without anybody telling us.

use super::{StepError, Worker, access_token::Access, chain};
use crate::{
    account::{Account, Profile, Tier},
    twitter::call,
};

/// The subscription as X said lately, or says now: asked at most once a day, and only where it decides.
///
/// When X does not say, what is known has to do.
pub(super) async fn current(worker: &Worker, access: &Access<'_>, account: &Account) -> Tier {
    let now = worker.clock.now_ms();
    if !account.may_have_changed(now) {
        return account.tier;
    }
    match ask(worker, access, account, now).await {
        Ok(profile) => profile.tier,
        Err(error) => {
            tracing::warn!(error = chain(&error), "X did not say which subscription the account has");
            account.tier
        }
    }
}

async fn ask(
    worker: &Worker,
    access: &Access<'_>,
    account: &Account,
    now: i64,
) -> Result<Profile, StepError> {
    let token = access.token_for(call::ME).await?;
    let profile = match worker.x.me(&token).await {
        // The token's own account, whatever X calls it.
        Ok(profile) => Profile { id: account.id.clone(), ..profile },
        Err(error) => return Err(access.sorted_aside(&token, error, call::ME).await),
    };
    worker.store.save_profile(&profile, now).await?;
    Ok(profile)
}

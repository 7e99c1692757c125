//! `toall reconcile`: after a restore or a failover, nothing is posted before X was looked at.

use std::io::Write;

use crate::{
    clock::Clock,
    config::Config,
    store::{Lost, Reconciled},
};

/// Puts every unfinished post in doubt that may be on X, and says on `out` how many.
///
/// # Errors
/// When the database cannot be used; a SQLite file also while a service has it.
pub async fn reconcile(
    config: &Config,
    lost: Lost,
    clock: &Clock,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let store = super::installation::open(config, clock).await?;
    let done = store.reconcile(lost, clock.now_ms()).await?;
    store.close().await;
    if done == Reconciled::default() {
        writeln!(out, "Nothing to do: no post needs to be looked for.")?;
        return Ok(());
    }
    for (does, number, what) in [
        ("Looked for at X before anything is sent", done.look, "post"),
        (
            "Not to be told at X, since no upload had begun, so that their people are asked",
            done.asked,
            "post",
        ),
        ("Looked for if their people try them again", done.if_retried, "failed post"),
    ] {
        if number > 0 {
            writeln!(out, "{does}: {number} {what}{}.", if number == 1 { "" } else { "s" })?;
        }
    }
    writeln!(out, "Now start toall.")?;
    Ok(())
}

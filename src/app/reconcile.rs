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
pub async fn reconcile(config: &Config, lost: Lost, out: &mut impl Write) -> anyhow::Result<()> {
    let clock = Clock::system();
    let store = super::open_store(config, &clock).await?;
    let done = store.reconcile(lost, clock.now_ms()).await?;
    store.close().await;
    if done == Reconciled::default() {
        writeln!(out, "Nothing to do: there is neither an unfinished post nor a failed one.")?;
        return Ok(());
    }
    let Reconciled { look, asked, if_retried } = done;
    writeln!(out, "{} looked for at X before anything is sent.", posts(look))?;
    if asked > 0 {
        writeln!(
            out,
            "{} of which no upload had begun, so that they cannot be told at X: their people are asked.",
            posts(asked)
        )?;
    }
    if if_retried > 0 {
        writeln!(out, "Of the failed, {} looked for if tried again.", posts(if_retried))?;
    }
    writeln!(out, "Now start toall.")?;
    Ok(())
}

fn posts(number: u64) -> String {
    match number {
        1 => "1 post is".to_owned(),
        number => format!("{number} posts are"),
    }
}

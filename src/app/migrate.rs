//! `toall migrate-database`: an installation moves from one database to another.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::anyhow;

use super::installation;
use crate::{
    clock::Clock,
    config::{self, Config},
    parameters,
    store::{self, Progress},
};

/// How often a long move says how far it has come.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// Moves everything from the database at `from` to the empty one at `to`, and says on `out` what was moved. The key is
/// that of `config`; each address is given as `database.url` is.
///
/// # Errors
/// When an address, the key or a database cannot be used, or a row reads back otherwise. Nothing was moved then.
pub async fn migrate_database(
    config: &Config,
    from: &str,
    to: &str,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let clock = Clock::system();
    let names = [from, to].into_iter().filter_map(config::parameter).map(str::to_owned).collect();
    let fetched = parameters::fetch(names, &clock).await;
    let address = |option: &str, given: &str| {
        let url = config::database_address(given, &fetched).map_err(|why| anyhow!("{option} {why}"))?;
        Ok::<_, anyhow::Error>(config::Database { url, ..config.database.clone() })
    };
    let (from, to) = (address("--from", from)?, address("--to", to)?);
    installation::needs_key(config)?;
    let mut said = Instant::now();
    let tell = |progress: Progress<'_>| {
        if said.elapsed() < SAID_EVERY {
            return;
        }
        said = Instant::now();
        let (did, table, rows) = match progress {
            Progress::Written { table, rows } => ("written", table, rows),
            Progress::Compared { table, rows } => ("read back", table, rows),
        };
        // Whoever does not listen any more must not keep the move from ending.
        let _ = writeln!(out, "  {table}: {rows} {} {did}", rows_or_row(rows));
    };
    let moved = store::move_database(&from, &to, &super::vault(config)?, clock.now_ms(), tell).await?;
    writeln!(out, "Moved, read back and compared:")?;
    for table in &moved {
        writeln!(out, "  {:<16} {:>9} {}", table.table, table.rows, rows_or_row(table.rows))?;
    }
    writeln!(
        out,
        "The old database is as it was. Now set database.url to the new one, keep the key, and start toall.\n\
         Do not start anything with the old one again: it would post a second time what the new one posts."
    )?;
    Ok(())
}

fn rows_or_row(number: u64) -> &'static str {
    if number == 1 { "row" } else { "rows" }
}

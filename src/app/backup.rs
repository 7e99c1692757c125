//! `toall backup`: a copy of the database, made while the service runs.

use std::{io::Write, path::Path};

use anyhow::bail;

use crate::{
    config::Config,
    store::{Backup, backup as copy},
};

/// Copies a SQLite database to `file`, or prints how PostgreSQL is backed up.
///
/// # Errors
/// If no copy was made. On PostgreSQL that is always so: a script must not take the printed command for a backup.
pub async fn backup(config: &Config, file: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let key = match &config.security.encryption_key {
        Some(_) => "security.encryption_key".to_owned(),
        None => config.data_dir.join("toall.key").display().to_string(),
    };
    match copy(&config.database, file).await? {
        Backup::Copied { bytes } => {
            writeln!(out, "Copied the database to {} ({bytes} bytes).", file.display())?;
            writeln!(
                out,
                "Its tokens are sealed with the key in {key}, which is not part of the copy: keep a copy of the key too, \
                 apart from this file.\n\
                 After restoring it, run `toall reconcile` before toall starts."
            )?;
            Ok(())
        }
        Backup::ByPgDump { command, password } => {
            writeln!(out, "{command}")?;
            let how = match password {
                true => "Give the password of database.url in PGPASSWORD or ~/.pgpass. ",
                false => "",
            };
            bail!(
                "PostgreSQL makes its own backups, so nothing was copied: run the command above. {how}Keep a copy of the \
                 key in {key} too, apart from the backup."
            )
        }
    }
}

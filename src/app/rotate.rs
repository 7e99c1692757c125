//! `toall rotate-key`: a new encryption key, and everything in the database sealed with it.

use std::io::Write;

use crate::{
    clock::Clock,
    config::{Config, Retired, begin_rotation, end_rotation},
};

/// Changes the encryption key and says so on `out`.
///
/// Killed anywhere, it leaves both keys in place: the service starts with them, and another run goes on from there.
///
/// # Errors
/// When a service holds the database, the keys are not those of the database, or the disk refuses.
pub async fn rotate_key(config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    // Holds the database from here on, so that nothing is sealed with the former key meanwhile.
    let store = super::open_store(config, &Clock::system()).await?;
    begin_rotation(config)?;
    let done = store.reseal(&super::vault(config)?).await?;
    store.close().await;
    let retired = end_rotation(config)?;

    writeln!(out, "Sealed anew: {}.", values(done.values))?;
    if done.damaged > 0 {
        writeln!(out, "Left as they were, because no key opens them: {}.", values(done.damaged))?;
    }
    match retired {
        Retired::Kept(path) => writeln!(
            out,
            "The former key opens nothing here any more. Backups made before now need it: it is kept in\n  {}\n\
             Keep it with them, away from this machine, or remove it. Then back up the database and toall.key.",
            path.display()
        )?,
        Retired::InConfig => writeln!(
            out,
            "The former key opens nothing here any more: take security.former_encryption_key out of the config.\n\
             Backups made before now need it. Then back up the database and the key."
        )?,
    }
    Ok(())
}

fn values(number: u64) -> String {
    match number {
        1 => "1 value".to_owned(),
        number => format!("{number} values"),
    }
}

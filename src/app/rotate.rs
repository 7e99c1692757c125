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
/// When a service holds the SQLite file, the keys are not those of the database, or the disk refuses.
pub async fn rotate_key(config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    // Holds a SQLite file from here on, so that nothing is sealed with the former key meanwhile. On PostgreSQL the operator
    // has seen to it (README), and a process that has not the new key waits for one that has.
    let store = super::installation::open(config, &Clock::system()).await?;
    begin_rotation(config)?;
    let done = store.reseal(&super::vault(config)?).await?;
    store.close().await;
    let retired = end_rotation(config)?;

    // A key file has been changed by now; keys in the configuration may be those of an earlier rotation.
    if retired == Retired::InConfig && done.values == 0 {
        writeln!(
            out,
            "Nothing to do: the key was not changed. Nothing here was sealed with the former one.\n\
             To change it, move it to security.former_encryption_key, put a new one into security.encryption_key\n\
             (`openssl rand -base64 32` makes one), and run this again. Else take security.former_encryption_key out."
        )?;
        return left_damaged(done.damaged, out);
    }
    writeln!(out, "Sealed anew: {}.", values(done.values))?;
    left_damaged(done.damaged, out)?;
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

fn left_damaged(damaged: u64, out: &mut impl Write) -> anyhow::Result<()> {
    if damaged > 0 {
        writeln!(out, "Left as they were, because no key opens them: {}.", values(damaged))?;
    }
    Ok(())
}

fn values(number: u64) -> String {
    match number {
        1 => "1 value".to_owned(),
        number => format!("{number} values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::{PersonRef, Platform},
        words,
    };

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEXT: &str = "HyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4=";

    #[tokio::test]
    async fn both_keys_left_in_the_configuration_are_no_second_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let config = |keys: &str| {
            let text =
                format!("data_dir = '{}'\ntwitter.client_id = 'id'\nsecurity.{keys}", dir.path().display());
            std::fs::write(&path, text).unwrap();
            Config::load(&path, std::iter::empty()).unwrap()
        };
        let clock = Clock::system();
        let store =
            crate::app::open_store(&config(&format!("encryption_key = '{KEY}'")), &clock).await.unwrap();
        let operator = PersonRef { platform: Platform::Telegram, id: "1".to_owned() };
        store.begin_incident("name", &[operator], &words::operator_read_cap(), clock.now_ms()).await.unwrap();
        store.close().await;
        drop(store);

        let both = config(&format!("encryption_key = '{NEXT}'\nsecurity.former_encryption_key = '{KEY}'"));
        let said = async || {
            let mut out = Vec::new();
            rotate_key(&both, &mut out).await.unwrap();
            String::from_utf8(out).unwrap()
        };
        let first = said().await;
        assert!(first.starts_with("Sealed anew: 3 values."), "{first}");
        let second = said().await;
        assert!(second.starts_with("Nothing to do: the key was not changed."), "{second}");
    }
}

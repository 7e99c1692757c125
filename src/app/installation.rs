//! What commands need that change an installation: it has to be there. A key or a database made now would be nobody's, and
//! look as if there were nothing to do.

use anyhow::bail;

use super::storage::is_for_several;
use crate::{clock::Clock, config::Config, store::Store};

/// Opens the database of an installation that is there.
pub(super) async fn open(config: &Config, clock: &Clock) -> anyhow::Result<Store> {
    needs_key(config)?;
    if let Some(path) = crate::store::missing_file(&config.database) {
        bail!("There is no database {}. Correct database.url, or put the file there.", path.display());
    }
    // A SQLite file that is older is brought up to date: its lock keeps services out. Here one may be running.
    if is_for_several(config) {
        crate::store::look_for_installation(&config.database).await?;
    }
    Ok(super::open_store(config, clock).await?)
}

/// Whether there is a key at all.
pub(super) fn needs_key(config: &Config) -> anyhow::Result<()> {
    let key = config.data_dir.join("toall.key");
    if config.security.encryption_key.is_none() && !key.exists() {
        bail!("There is no key {}. Put the key there that the database was written with.", key.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app, store::Lost};

    #[tokio::test]
    async fn nothing_is_made_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let data = dir.path().join("data");
        let text = format!("data_dir = '{}'\ntwitter.client_id = 'id'", data.display());
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path, std::iter::empty()).unwrap();
        let refused = async || {
            let rotated = app::rotate::rotate_key(&config, &mut Vec::new()).await.unwrap_err();
            let reconciled =
                app::reconcile::reconcile(&config, Lost::Long, &Clock::system(), &mut Vec::new()).await;
            assert_eq!(rotated.to_string(), reconciled.unwrap_err().to_string());
            rotated.to_string()
        };
        assert!(refused().await.starts_with("There is no key"));
        assert!(!data.exists());

        app::open_store(&config, &Clock::system()).await.unwrap().close().await;
        std::fs::remove_file(data.join("toall.db")).unwrap();
        assert!(refused().await.starts_with("There is no database"));
        assert!(!data.join("toall.db").exists());
    }
}

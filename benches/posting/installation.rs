//! Configuration of a measured installation.

use std::path::Path;

use toall::config::{self, Config, OnUnsure};
use url::Url;

/// As the defaults have it, with the embedded storage.
pub fn config(x: &Url, port: u16, folder: &Path, database: config::Database) -> anyhow::Result<Config> {
    Ok(Config {
        public_url: format!("http://127.0.0.1:{port}").parse()?,
        data_dir: folder.to_owned(),
        min_free: 0,
        web: config::Web::on(([127, 0, 0, 1], port).into()),
        metrics: None,
        database,
        security: config::Security { encryption_key: None, former_encryption_key: None },
        discord: None,
        telegram: None,
        twitter: config::Twitter {
            client_id: "sandbox-client".to_owned(),
            client_secret: Some("sandbox-secret".to_owned().into()),
            authorize_url: x.join("/i/oauth2/authorize")?,
            api_url: x.clone(),
            web_url: x.clone(),
        },
        staging: None,
        worker: config::Worker {
            concurrency: 8,
            transfers: 4,
            upload_parallelism: 16,
            on_unsure: OnUnsure::Ask,
            settle_secs: 60,
        },
        access: config::Access::everyone(),
        limits: config::Limits::default(),
    })
}

//! Where videos are kept, when several processes share a database: each must find what another has put there.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    time::Duration,
};

use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::{Role, StartError, shown};
use crate::{
    clock::Clock,
    config::{self, Config},
    store::Store,
};

/// The lease that says where.
const NAME: &str = "storage";
/// How often it is said again.
const BEAT: Duration = Duration::from_secs(3);

/// Whether the database is one that several processes may share.
pub(super) fn is_for_several(config: &Config) -> bool {
    config.database.url.expose_secret().starts_with("postgres")
}

/// That this process keeps videos where all others do.
pub(super) struct Agreement {
    thing: String,
    /// Says whose the embedded storage is.
    lock: Option<File>,
}

impl Drop for Agreement {
    /// By hand: a child that is about to be another program holds the file, too, and with it the lock (flock(2)).
    fn drop(&mut self) {
        let _ = self.lock.as_ref().map(File::unlock);
    }
}

impl Agreement {
    /// Agrees with the other processes at this database, if there may be any.
    ///
    /// # Errors
    /// When another keeps videos elsewhere, or will have to.
    pub async fn reach(
        config: &Config,
        roles: &[Role],
        store: &Store,
        clock: &Clock,
    ) -> Result<Option<Agreement>, StartError> {
        if store.among_others().is_none() {
            return Ok(None);
        }
        let agreement = match &config.staging {
            Some(bucket) => Agreement { thing: place_of(bucket), lock: None },
            None if roles.len() < 3 => return Err(StartError::SplitStorage),
            None => Agreement::embedded(config)?,
        };
        match store.agree(NAME, &agreement.thing, clock.now_ms()).await? {
            None => Ok(Some(agreement)),
            Some(theirs) => {
                Err(StartError::OtherStorage { ours: readable(&agreement.thing), theirs: readable(&theirs) })
            }
        }
    }

    /// The embedded storage has a name, kept beside it, and belongs to one process.
    pub fn embedded(config: &Config) -> Result<Agreement, StartError> {
        let folder = config.data_dir.join("staging");
        let unusable = |source| StartError::Embedded { folder: shown(&folder), source };
        std::fs::create_dir_all(&config.data_dir).map_err(unusable)?;
        let path = config.data_dir.join("staging.lock");
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = file.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::EmbeddedInUse { folder: shown(&folder) });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let name = name_in(&mut file).map_err(unusable)?;
        Ok(Agreement { thing: format!("{EMBEDDED}{name}"), lock: Some(file) })
    }

    /// Says so until `stop`.
    pub async fn keep(self, store: Store, clock: Clock, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(BEAT)).await.is_some() {
            match store.agree(NAME, &self.thing, clock.now_ms()).await {
                Ok(None) => {}
                Ok(Some(theirs)) => {
                    let theirs = readable(&theirs);
                    tracing::error!(
                        theirs,
                        "another process keeps videos elsewhere: give all the same [staging]"
                    );
                }
                Err(error) => tracing::debug!(%error, "where videos are kept could not be said"),
            }
        }
    }
}

/// A bucket of the same name elsewhere is another.
fn place_of(bucket: &config::Staging) -> String {
    match &bucket.endpoint_url {
        Some(url) => format!("the bucket {} at {url}", bucket.bucket),
        None => format!("the bucket {} in {}", bucket.bucket, bucket.region),
    }
}

const EMBEDDED: &str = "embedded:";

fn readable(thing: &str) -> String {
    match thing.starts_with(EMBEDDED) {
        true => "an embedded storage of its own".to_owned(),
        false => thing.to_owned(),
    }
}

/// The name that stands in the file; a new one when it is empty.
fn name_in(file: &mut File) -> io::Result<String> {
    let mut name = String::new();
    file.take(64).read_to_string(&mut name)?;
    if name.is_empty() {
        name = uuid::Uuid::now_v7().to_string();
        file.rewind()?;
        file.write_all(name.as_bytes())?;
    }
    Ok(name)
}

//! The SQLite file: set up for what is promised, and owned by one process.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use secrecy::ExposeSecret;
use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::config;
use crate::store::db::open::OpenError;

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// A file that was opened.
pub(crate) struct Opened {
    /// One connection: SQLite's own lock is unfair, a queue for one connection is not.
    pub(crate) write: SqlitePool,
    pub(crate) read: SqlitePool,
    pub(crate) lock: Lock,
}

/// Says that a database is this process's, for as long as it lives.
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// By hand: a child that is about to be another program holds the file, too, and with it the lock (flock(2)).
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The file of a SQLite database that is not there.
pub fn missing_file(database: &config::Database) -> Option<PathBuf> {
    let url = database.url.expose_secret();
    let options = SqliteConnectOptions::from_str(url).ok().filter(|_| url.starts_with("sqlite:"))?;
    let path = options.get_filename();
    (!path.exists()).then(|| path.to_path_buf())
}

/// Opens the file at `url`, making it when missing, and brings it up to date.
pub(crate) async fn open(url: &str) -> Result<Opened, OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Address)?;
    let path = options.get_filename().to_path_buf();
    let lock = lock(&path)?;
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // NORMAL loses the newest commits in a power cut, and with them an intent to post.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .optimize_on_close(true, None);
    let database = |source| OpenError::Database { database: path.display().to_string(), source };
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| Box::pin(usable_again(connection)))
        .connect_with(options.clone())
        .await
        .map_err(database)?;
    restrict(&path).map_err(|source| OpenError::Folder { path: path.clone(), source })?;
    MIGRATIONS.run(&write).await.map_err(|error| OpenError::of_migration(error, path.display()))?;
    let read = SqlitePoolOptions::new()
        .max_connections(4)
        .min_connections(1)
        .connect_with(options.pragma("query_only", "ON"))
        .await
        .map_err(database)?;
    Ok(Opened { write, read, lock })
}

/// Opens the file at `url` to read it as it is: neither made nor brought up to date. Its lock is for as long as it lives.
pub(crate) async fn open_as_it_is(url: &str) -> Result<(SqliteConnection, Lock), OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Address)?;
    let path = options.get_filename().to_path_buf();
    if !path.exists() {
        return Err(OpenError::NoFile { path });
    }
    let lock = lock(&path)?;
    let options = options.create_if_missing(false).pragma("query_only", "ON");
    let database = |source| OpenError::Database { database: path.display().to_string(), source };
    Ok((SqliteConnection::connect_with(&options).await.map_err(database)?, lock))
}

/// Whether a connection may be used again after what was done with it.
///
/// SQLite itself rolls back when the disk is full (<https://sqlite.org/lang_transaction.html>, section 3.1). The
/// rollback that follows is then refused, and sqlx takes the transaction for open ever after: no write would begin on
/// this connection again.
async fn usable_again(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // Has a rollback done that was only asked for so far.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Takes the file beside the database that says whose it is, for as long as the value lives.
fn lock(database: &Path) -> Result<Lock, OpenError> {
    let folder = match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unusable = |source| OpenError::Folder { path: folder.to_path_buf(), source };
    std::fs::create_dir_all(folder).map_err(unusable)?;
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: database.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Captions and names are nobody else's on the machine. SQLite gives its side files the same mode.
fn restrict(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_free_at_once_whoever_inherited_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("toall.db").display());
        let opened = open(&url).await.unwrap();
        let inherited = opened.lock.0.try_clone().unwrap();
        assert!(matches!(open(&url).await, Err(OpenError::InUse { .. })));
        drop(opened);
        assert!(open(&url).await.is_ok());
        drop(inherited);
    }
}

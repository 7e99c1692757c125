//! What is kept: accounts, posts, tickets. All SQL lives here, in the subset that SQLite and PostgreSQL share.
//!
//! The rows are the queue: a post row is the state machine, its account row the lane that is leased.

mod accounts;
mod admissions;
mod answers;
mod api_tokens;
mod backlog;
mod idempotency;
mod incidents;
mod limits;
mod posts;
mod progress;
mod queue;
mod quota;
mod reseal;
mod sessions;
mod status;
#[cfg(test)]
mod tests;
mod tickets;
mod tokens;
mod uploads;
mod vault;

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use sqlx::{
    Connection, Sqlite, SqliteConnection, SqlitePool, Transaction,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::watch;

use crate::account::AccountId;

pub use accounts::Unlinked;
pub use answers::Answered;
pub use backlog::Backlog;
pub use incidents::CLIENT_REJECTED;
pub use limits::Closed;
pub use posts::Accepted;
pub use queue::{LEASE, Lease};
pub use reseal::Resealed;
pub use sessions::{Invitation, Scope, Session};
pub use status::{Notice, StatusJob};
pub use tickets::{LinkRequest, PendingLink};
pub use uploads::{Handed, Repeatable, Upload, UploadId};
pub use vault::{Vault, VaultError};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// The database of one installation. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// One connection: SQLite's own lock is unfair, a queue for one connection is not.
    write: SqlitePool,
    read: SqlitePool,
    vault: Arc<Vault>,
    /// Names this process in leases and events.
    node: Arc<str>,
    changes: Arc<watch::Sender<u64>>,
    _lock: Arc<File>,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database did not answer as it should")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("a stored value cannot be read: {0}")]
    Unreadable(&'static str),
    /// Damaged, or sealed with a key that is gone. They are those of revision `rev`.
    #[error("the tokens of an account cannot be opened")]
    Tokens { rev: i64 },
    /// Another worker holds the lane now, or the post was cancelled.
    #[error("the lease on this account was lost")]
    LeaseLost,
}

/// Why the database could not be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("database.url is not a SQLite address such as sqlite:data/toall.db")]
    Address,
    #[error("cannot use the folder {path}: {source}. Create it, or give this user the right to write there")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} is in use by another toall process. Stop that one first: a SQLite file belongs to one process"
    )]
    InUse { path: PathBuf },
    #[error(
        "{path} was written by a newer version of toall. Install that version again, or restore the backup made before"
    )]
    Newer { path: PathBuf },
    #[error(
        "{path} was written with another encryption key. Put the former key back: security.encryption_key in the \
         config, or the file toall.key in the data folder. Without it, remove the database and link every account anew"
    )]
    OtherKey { path: PathBuf },
    #[error("cannot open the database {path}: {source}")]
    Database { path: PathBuf, source: sqlx::Error },
    #[error("cannot bring the database {path} up to date: {source}")]
    Migrate { path: PathBuf, source: MigrateError },
}

impl Store {
    /// Opens the SQLite database at `url`, making it when missing, and brings it up to date.
    ///
    /// The process owns the file from then on; leases left by a killed process end at once.
    pub async fn open(url: &str, vault: Vault, now: i64) -> Result<Self, OpenError> {
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
        let database = |source| OpenError::Database { path: path.clone(), source };
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_release(|connection, _| Box::pin(usable_again(connection)))
            .connect_with(options.clone())
            .await
            .map_err(database)?;
        restrict(&path).map_err(|source| OpenError::Folder { path: path.clone(), source })?;
        MIGRATIONS.run(&write).await.map_err(|source| match source {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
                OpenError::Newer { path: path.clone() }
            }
            source => OpenError::Migrate { path: path.clone(), source },
        })?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(1)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(database)?;
        let store = Store {
            write,
            read,
            vault: Arc::new(vault),
            node: uuid::Uuid::now_v7().to_string().into(),
            changes: Arc::new(watch::Sender::new(0)),
            _lock: Arc::new(lock),
        };
        store.check_key().await.map_err(|error| match error {
            StoreError::Database(source) => database(source),
            _ => OpenError::OtherKey { path: path.clone() },
        })?;
        store.void_leases(now).await.map_err(database)?;
        Ok(store)
    }

    /// Whether what is sealed here can be opened.
    async fn check_key(&self) -> Result<(), StoreError> {
        let sealed: Option<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT id, place_sealed FROM posts WHERE place_sealed IS NOT NULL ORDER BY id DESC LIMIT 1",
        )
        .fetch_optional(&self.read)
        .await?;
        if let Some((owner, sealed)) = sealed {
            self.vault.open(&sealed, &owner)?;
        }
        let sealed: Option<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT id, tokens_sealed FROM x_accounts WHERE tokens_sealed IS NOT NULL LIMIT 1",
        )
        .fetch_optional(&self.read)
        .await?;
        if let Some((account, sealed)) = sealed {
            self.vault.open(&sealed, &tokens::owner(&AccountId(account)))?;
        }
        Ok(())
    }

    /// Changes whenever something was written: wakes the worker, and tells a test to look again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Flushes and closes; call it last.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// Starts a write. `IMMEDIATE`, because a transaction that reads first and then writes fails under contention.
    async fn begin(&self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        self.write.begin_with("BEGIN IMMEDIATE").await
    }

    async fn commit(&self, tx: Transaction<'_, Sqlite>) -> Result<(), sqlx::Error> {
        tx.commit().await?;
        self.changed();
        Ok(())
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
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
fn lock(database: &Path) -> Result<File, OpenError> {
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
        Ok(()) => Ok(file),
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

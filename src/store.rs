//! What is kept: accounts, posts, tickets. All SQL lives here, in the subset that SQLite and PostgreSQL share.
//!
//! The rows are the queue: a post row is the state machine, its account row the lane that is leased.

mod cluster;
mod db;
mod limits;
mod maintenance;
mod people;
mod posts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio::sync::watch;

use crate::{account::AccountId, config};
use db::{
    connections::Connections,
    engine::{Pool, Query, Sql, Tx, query},
    notify::Wire,
};

pub use cluster::leases::{HOLD, Holding};
pub use db::open::OpenError;
pub use db::postgres::available_connections;
pub use db::sealing::{Vault, VaultError};
pub use db::sqlite::missing_file;
pub use db::topics::{Changes, Counts, Topics};
pub use limits::app_quota::{Day, Need};
pub use limits::charges::Reserved;
pub use limits::incidents::CLIENT_REJECTED;
pub use limits::rate_limits::Closed;
pub use maintenance::backup::{Backup, BackupError, backup};
pub use maintenance::copy::{MoveError, Moved, Progress, look_for_installation, move_database};
pub use maintenance::reconcile::{Lost, Reconciled};
pub use maintenance::rekey::Resealed;
pub use people::accounts::{Adopted, Choice, Unlinked};
pub use people::memberships::Membership;
pub use people::sessions::{Invitation, SESSION_LIFE_MS, Scope, Session, SignedIn};
pub use people::tickets::{LinkRequest, PendingLink, Unconfirmed, UnnamedGrant};
pub use posts::lease::{Claimed, LEASE, Lease, Room, StepKind};
pub use posts::metrics::Backlog;
pub use posts::outbox::Notice;
pub use posts::rows::Accepted;
pub use posts::status_outbox::StatusJob;
pub use posts::uploads::{Handed, MAX_OPEN, MAX_PUT_BYTES, Repeatable, Upload, UploadBegun, UploadId};
pub use posts::user_actions::Answered;

/// The database of one installation. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    write: Pool,
    /// On SQLite other connections than those that write; on PostgreSQL the same.
    read: Pool,
    vault: Arc<Vault>,
    /// Names this process in leases and events.
    node: Arc<str>,
    changes: Arc<watch::Sender<Counts>>,
    others: Others,
}

/// Who else there is at the same database.
#[derive(Clone)]
enum Others {
    /// Nobody, for as long as this file is held: SQLite's belongs to one process.
    None { _lock: Arc<db::sqlite::Lock> },
    /// Other processes, which tell one another of changes.
    Told(Arc<Wire>),
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
    /// The database failed at the very end of a write: it may stand, or not.
    #[error("the database did not say whether it was written")]
    Unanswered(#[source] sqlx::Error),
    /// As on a standby, or when whoever runs PostgreSQL stops writes before its disk is full.
    #[error("the database can only be read")]
    ReadOnly,
    /// Damaged, or sealed with a key that is gone. They are those of revision `rev`.
    #[error("the tokens of an account cannot be opened")]
    Tokens { rev: i64 },
    /// Another worker holds the lane now, or the post was cancelled.
    #[error("the lease on this account was lost")]
    LeaseLost,
}

impl StoreError {
    /// Tells whether trying again cannot help: the database took the statement and refuses what it says, or a stored
    /// value is damaged.
    pub fn is_permanent(&self) -> bool {
        match self {
            StoreError::Database(error) => error.as_database_error().is_some_and(|error| {
                matches!(
                    error.kind(),
                    sqlx::error::ErrorKind::UniqueViolation
                        | sqlx::error::ErrorKind::ForeignKeyViolation
                        | sqlx::error::ErrorKind::NotNullViolation
                        | sqlx::error::ErrorKind::CheckViolation
                )
            }),
            StoreError::Unreadable(_) | StoreError::Vault(_) => true,
            StoreError::Unanswered(_)
            | StoreError::ReadOnly
            | StoreError::Tokens { .. }
            | StoreError::LeaseLost => false,
        }
    }
}

const READ_ONLY: Sql = Sql {
    sqlite: "SELECT 0 FROM installation",
    postgres: "SELECT CAST(CASE WHEN pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' THEN 1 ELSE 0 END AS BIGINT)
                 FROM installation",
};

/// The lease that [`Store::prove_writable`] writes to. Nobody holds it.
const WRITE_PROBE: &str = "write probe";

/// The one row of `installation`, and what its mark is sealed for.
const INSTALLATION: &str = "toall";

impl Store {
    /// Opens the database that the config names and brings it up to date; a SQLite file is made when missing.
    ///
    /// A SQLite file belongs to this process from then on, so leases left by a killed one end at once. On PostgreSQL
    /// they end when their time is over: whose process lives is not known.
    pub async fn open(database: &config::Database, vault: Vault, now: i64) -> Result<Self, OpenError> {
        let node: Arc<str> = uuid::Uuid::now_v7().to_string().into();
        let changes = Arc::new(watch::Sender::new(Counts::default()));
        let (write, read, others) = match database.url.expose_secret().starts_with("postgres") {
            true => {
                let (pool, options) = db::postgres::open(database, db::postgres::NAME).await?;
                let connections = Connections::new(pool, options.clone());
                let wire = Wire::join(options, connections.clone(), node.clone(), changes.clone());
                let pool = Pool::Postgres(connections);
                (pool.clone(), pool, Others::Told(Arc::new(wire)))
            }
            false => {
                let file = db::sqlite::open(database.url.expose_secret()).await?;
                let others = Others::None { _lock: Arc::new(file.lock) };
                (Pool::Sqlite(file.write), Pool::Sqlite(file.read), others)
            }
        };
        let store = Store { write, read, vault: Arc::new(vault), node, changes, others };
        let alone = matches!(store.others, Others::None { .. });
        let opened = async {
            store.check_key().await?;
            if alone {
                store.void_leases(now).await?;
            }
            Ok(())
        };
        match opened.await {
            Ok(()) => Ok(store),
            Err(error) => Err(OpenError::of_contents(error, database)),
        }
    }

    /// Whether what is sealed here can be opened.
    ///
    /// Two installations would else share a database for as long as neither reads what the other wrote.
    async fn check_key(&self) -> Result<(), StoreError> {
        let sealed = self.vault.seal(&[], INSTALLATION)?;
        query("INSERT INTO installation (id, mark_sealed) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
            .bind(INSTALLATION)
            .bind(sealed)
            .execute(&self.write)
            .await?;
        let sealed: Vec<u8> = query("SELECT mark_sealed FROM installation WHERE id = $1")
            .bind(INSTALLATION)
            .fetch_value(&self.write)
            .await?;
        self.vault.open(&sealed, INSTALLATION)?;
        // While the key is changed, accounts come first and the mark comes last: a key has to open both.
        let sealed: Option<(String, Vec<u8>)> =
            query("SELECT id, tokens_sealed FROM x_accounts WHERE tokens_sealed IS NOT NULL LIMIT 1")
                .fetch_optional(&self.read)
                .await?;
        if let Some((account, sealed)) = sealed {
            self.vault.open(&sealed, &people::x_tokens::owner(&AccountId(account)))?;
        }
        Ok(())
    }

    /// Changes whenever something was written, by this process or another: tells a test to look again.
    pub fn changes(&self) -> watch::Receiver<Counts> {
        self.changes.subscribe()
    }

    /// Waits for what was written about `topics`, by this process or another.
    pub fn changes_of(&self, topics: Topics) -> Changes {
        Changes::new(self.changes.subscribe(), topics)
    }

    /// Whether the database answers, and takes what is written.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let read_only: i64 = query(READ_ONLY).fetch_value(&self.read).await?;
        if read_only == 1 { Err(StoreError::ReadOnly) } else { Ok(()) }
    }

    /// Proves that the database takes writes, by one. On PostgreSQL it is asked: a standby says so, and a full disk ends
    /// the server.
    pub async fn prove_writable(&self) -> Result<(), StoreError> {
        self.ping().await?;
        if let Others::None { .. } = self.others {
            // SQLite skips a write that changes nothing, hence the count.
            query(
                "INSERT INTO leases (name, owner, epoch, due_at) VALUES ($1, NULL, 1, 0)
                 ON CONFLICT (name) DO UPDATE SET epoch = leases.epoch + 1",
            )
            .bind(WRITE_PROBE)
            .execute(&self.write)
            .await?;
        }
        Ok(())
    }

    /// What this process is called, where others may work on the same database.
    pub fn among_others(&self) -> Option<&str> {
        match self.others {
            Others::None { .. } => None,
            Others::Told(_) => Some(&self.node),
        }
    }

    /// What seals and opens the secrets of this installation.
    pub fn vault(&self) -> Arc<Vault> {
        self.vault.clone()
    }

    /// True while PostgreSQL gives this process fewer connections than `database.max_connections`.
    pub fn is_short_of_connections(&self) -> bool {
        matches!(&self.write, Pool::Postgres(connections) if connections.are_short())
    }

    /// Flushes and closes; call it last.
    pub async fn close(&self) {
        if let Others::Told(wire) = &self.others {
            wire.cut().await;
        }
        self.read.close().await;
        self.write.close().await;
    }

    /// Starts a write.
    async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.write.begin().await
    }

    /// Ends a write, which may concern anybody.
    async fn commit(&self, tx: Tx) -> Result<(), sqlx::Error> {
        self.commit_about(Topics::ALL, tx).await
    }

    /// Ends a write that concerns only those who wait for `topics`.
    async fn commit_about(&self, topics: Topics, tx: Tx) -> Result<(), sqlx::Error> {
        let committed = tx.commit().await;
        // One that went unanswered may have been made.
        self.changed(topics);
        committed
    }

    /// Makes a change of one statement, which may concern anybody. Returns how many rows it was to.
    async fn change(&self, statement: Query) -> Result<u64, sqlx::Error> {
        self.change_about(Topics::ALL, statement).await
    }

    /// Makes a change of one statement that concerns only those who wait for `topics`.
    async fn change_about(&self, topics: Topics, statement: Query) -> Result<u64, sqlx::Error> {
        let done = statement.execute(&self.write).await;
        // As above.
        self.changed(topics);
        done
    }

    fn changed(&self, topics: Topics) {
        self.changes.send_modify(|counts| counts.add(topics));
        if let Others::Told(wire) = &self.others
            && topics != Topics::NONE
        {
            wire.tell(topics);
        }
    }
}

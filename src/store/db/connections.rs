//! Connections to PostgreSQL, also while the server gives fewer than the configuration asks for.

use std::{
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, PgPool, Postgres, Transaction,
    pool::{MaybePoolConnection, PoolConnection},
    postgres::PgConnectOptions,
};
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep, timeout},
};

use crate::store::db::postgres::{ACQUIRE_WITHIN, CONNECT_WITHIN};

/// Interval at which a caller that waits looks for a connection that was given back.
const LOOK_AGAIN: Duration = Duration::from_millis(4);
/// Waiting time after which the server is asked if it has a connection left.
const SUSPECT_AFTER: Duration = Duration::from_millis(20);
/// How long no further connection is tried after the server had none left.
const FULL_FOR: Duration = Duration::from_secs(10);
/// SQLSTATE of a server, a database or a user that has no connection left.
pub(crate) const NONE_LEFT: &str = "53300";

/// A pool that makes do with the connections there are. Cheap to clone.
///
/// sqlx's pool, when the server has none left (53300), keeps the caller trying to connect for seconds, and does not look
/// whether one of its own was given back meanwhile: most of them lie idle then. So this looks.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) pool: PgPool,
    shared: Arc<Shared>,
}

struct Shared {
    options: PgConnectOptions,
    /// When the server last had none left.
    full: watch::Sender<Option<Instant>>,
    asking: AtomicBool,
    /// Callers that wait while the server is full, in the order they came.
    turn: Mutex<()>,
}

impl Connections {
    pub(crate) fn new(pool: PgPool, options: PgConnectOptions) -> Connections {
        let shared = Shared {
            options,
            full: watch::Sender::new(None),
            asking: AtomicBool::new(false),
            turn: Mutex::new(()),
        };
        Connections { pool, shared: Arc::new(shared) }
    }

    /// True while the server gives fewer connections than the configuration asks for.
    pub(crate) fn are_short(&self) -> bool {
        self.shared.full.borrow().is_some_and(|at| at.elapsed() < 3 * FULL_FOR)
    }

    /// A connection of the pool.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        if let Some(connection) = self.while_full().await? {
            return Ok(connection);
        }
        let began = Instant::now();
        // In a task of its own: a connection that is being opened goes to the pool, even if another was given back first.
        // Begun and dropped each time, connections would never be enough, and the server would fork for each.
        let connections = self.clone();
        let opening = tokio::spawn(async move { connections.opened().await });
        let given_back = async {
            sleep(SUSPECT_AFTER).await;
            self.given_back().await
        };
        let connection = tokio::select! {
            biased;
            opened = opening => opened.map_err(|error| sqlx::Error::Io(io::Error::other(error)))?,
            given_back = given_back => Ok(given_back),
        };
        let waited = began.elapsed() > SUSPECT_AFTER;
        if matches!(connection, Err(sqlx::Error::PoolTimedOut)) || (waited && connection.is_ok()) {
            self.ask();
        }
        connection
    }

    /// A connection that the pool has, or opens. A Unix socket whose queue is full is asked again: the server is busy, not
    /// gone.
    async fn opened(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let began = Instant::now();
        loop {
            match self.pool.acquire().await {
                Err(sqlx::Error::Io(error))
                    if error.kind() == ErrorKind::WouldBlock && began.elapsed() < ACQUIRE_WITHIN =>
                {
                    sleep(LOOK_AGAIN).await;
                }
                opened => return opened,
            }
        }
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        Transaction::begin(MaybePoolConnection::PoolConnection(self.acquire().await?), None).await
    }

    /// While the server is known to be full, a connection that was given back. `None` when it is not, or there are none.
    async fn while_full(&self) -> Result<Option<PoolConnection<Postgres>>, sqlx::Error> {
        let is_full = || self.shared.full.borrow().is_some_and(|at| at.elapsed() < FULL_FOR);
        if !is_full() || self.pool.size() == 0 {
            return Ok(None);
        }
        let given_back = async {
            let _turn = self.shared.turn.lock().await;
            self.given_back().await
        };
        match timeout(ACQUIRE_WITHIN, given_back).await {
            Ok(connection) => Ok(Some(connection)),
            Err(_) if self.pool.is_closed() => Err(sqlx::Error::PoolClosed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// Waits for a connection that is given back, and that still works.
    async fn given_back(&self) -> PoolConnection<Postgres> {
        loop {
            // The pool itself checks only those it hands out by waiting.
            while let Some(mut connection) = self.pool.try_acquire() {
                match connection.ping().await {
                    Ok(()) => return connection,
                    Err(_) => drop(connection.detach().close_hard().await),
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks the server, beside the pool and once at a time, if it has a connection left.
    fn ask(&self) {
        let lately = |at: &Instant| at.elapsed() < FULL_FOR;
        if self.shared.full.borrow().as_ref().is_some_and(lately)
            || self.shared.asking.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let known = shared.full.borrow().is_some();
            match timeout(CONNECT_WITHIN, shared.options.connect()).await {
                Ok(Err(error)) if is_none_left(&error) => {
                    if !known {
                        tracing::warn!(
                            "PostgreSQL has no connection left for this process, which goes on with those it has. \
                             Raise max_connections there, or lower database.max_connections here"
                        );
                    }
                    shared.full.send_replace(Some(Instant::now()));
                }
                Ok(Ok(connection)) => {
                    if known {
                        tracing::info!("PostgreSQL has connections left again");
                    }
                    shared.full.send_replace(None);
                    let _ = connection.close().await;
                }
                _ => {}
            }
            shared.asking.store(false, Ordering::Release);
        });
    }
}

/// True if the server refused a connection because it has none left.
pub(crate) fn is_none_left(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(NONE_LEFT))
}

/// Opens connections until there are `wanted` or the server refuses one, and closes them. Returns how many there were.
pub(crate) async fn count_available(options: &PgConnectOptions, wanted: u32) -> Result<u32, sqlx::Error> {
    let mut open = Vec::new();
    let mut refused = None;
    for _ in 0..wanted {
        match options.connect().await {
            Ok(connection) => open.push(connection),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let found = u32::try_from(open.len()).unwrap_or(wanted);
    for connection in open {
        let _ = connection.close().await;
    }
    match refused {
        Some(error) if !is_none_left(&error) => Err(error),
        _ => Ok(found),
    }
}

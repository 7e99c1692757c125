//! PostgreSQL: looked at before it is trusted, and every connection set up for what is promised.

use std::{fmt, io::ErrorKind, str::FromStr, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection, Executor, PgConnection, PgPool, Row,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use crate::store::db::{connections, open::OpenError};
use crate::{clock::Clock, config, network};

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// The oldest major version that its makers still mend, and the oldest that this is tested with
/// (<https://www.postgresql.org/support/versioning/>).
const LEAST_VERSION: u32 = 15;

/// Processes lease by their own clocks, so those must agree: two of them within twice this, which is less than they leave
/// between letting go and the end of a lease. Fencing does not depend on clocks.
const MOST_SKEW_MS: i64 = 2_000;

/// How long a connection may take to come about.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long who needs a connection waits for one, while all are taken or the server is away.
pub(crate) const ACQUIRE_WITHIN: Duration = Duration::from_secs(5);

/// How long a server with no connection left may take to let one go.
const FREED_WITHIN: Duration = Duration::from_secs(2);

/// What every connection is told.
///
/// What is committed is on disk (and on a synchronous standby, if there is one) before it counts: an intent to post
/// must not be lost. `remote_apply` promises more and is left alone. What each transaction sees and locks is thought
/// out for READ COMMITTED. The times bound what one process that hangs can do to the others: one that is stopped in
/// the middle of a transaction holds a lane no longer than `idle_in_transaction_session_timeout`.
const SESSION: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
     WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = '30s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '10s'";

/// What the connections of a service are called in `pg_stat_activity`.
pub(crate) const NAME: &str = "toall";

/// Opens the database, and brings it up to date. The options are for one more connection.
pub(crate) async fn open(
    settings: &config::Database,
    name: &str,
) -> Result<(PgPool, PgConnectOptions), OpenError> {
    let (mut connection, options) = connect(settings, name).await?;
    let server = Server::of(&options);
    if is_pooled_by_transaction(&mut connection, &options).await {
        return Err(OpenError::Pooler { host: server.host });
    }
    let _ = connection.close().await;
    // Others that start at this moment wait here for their turn, however long it takes.
    let alone = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    MIGRATIONS.run(&alone).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => server.screen(error),
        error => OpenError::of_migration(error, &server),
    })?;
    alone.close().await;
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(ACQUIRE_WITHIN)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(SESSION).await.map(drop) }))
        .connect_lazy_with(options.clone());
    Ok((pool, options))
}

/// The number of connections that the server gives this process, of those that a service opens at most.
///
/// # Errors
/// If the server cannot be reached for another reason than that it has no connection left.
pub async fn available_connections(settings: &config::Database) -> Result<u32, OpenError> {
    let options = options(settings, NAME)?;
    let wanted = settings.max_connections + LISTENING;
    let counted = connections::count_available(&options, wanted).await;
    counted.map_err(|error| Server::of(&options).screen(error))
}

/// The connection that each process listens on, beside those of its pool.
const LISTENING: u32 = 1;

fn options(settings: &config::Database, name: &str) -> Result<PgConnectOptions, OpenError> {
    let url = settings.url.expose_secret();
    let options = PgConnectOptions::from_str(url).map_err(|_| OpenError::Address)?.application_name(name);
    let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    let names_its_own = url.contains("sslrootcert=") || std::env::var_os("PGSSLROOTCERT").is_some();
    Ok(match verified && !names_its_own {
        true => options.ssl_root_cert_from_pem(network::system_authorities_pem().into_bytes()),
        false => options,
    })
}

/// True if statements of one connection reach different sessions of the server: a pooler in transaction mode stands
/// between. Prepared statements, `SET` and `LISTEN` do not work through one, some of them without an error.
///
/// While another connection is in a transaction on the session that this one used last, this one gets another.
async fn is_pooled_by_transaction(connection: &mut PgConnection, options: &PgConnectOptions) -> bool {
    let sessions = async {
        let before = session(connection).await?;
        let mut other = options.connect().await?;
        // Sent as text, since such poolers may refuse prepared statements.
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        session(&mut other).await?;
        let after = session(connection).await;
        let _ = other.close().await;
        Ok::<_, sqlx::Error>((before, after?))
    };
    // If it fails, as for want of a second connection, the start goes on and meets what is wrong.
    let sessions = tokio::time::timeout(CONNECT_WITHIN, sessions).await;
    matches!(sessions, Ok(Ok((before, after))) if before != after)
}

/// The process of the server that a connection reaches.
async fn session(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()")).await?;
    row.try_get(0)
}

/// One connection under a name, to a server that was looked at; and the options it was made by.
pub(crate) async fn connect(
    settings: &config::Database,
    name: &str,
) -> Result<(PgConnection, PgConnectOptions), OpenError> {
    let options = options(settings, name)?;
    let server = Server::of(&options);
    // One that was just closed still counts at the server for a moment.
    let began = tokio::time::Instant::now();
    let patient = async {
        loop {
            match options.connect().await {
                Err(error) if connections::is_none_left(&error) && began.elapsed() < FREED_WITHIN => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                connected => return connected,
            }
        }
    };
    let connecting = tokio::time::timeout(CONNECT_WITHIN, patient);
    let silence = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    let connected = connecting.await.unwrap_or_else(|_| Err(silence()));
    let mut connection = connected.map_err(|error| server.screen(error))?;
    server.look_at(&mut connection).await?;
    Ok((connection, options))
}

/// Which server and database, without anything secret.
pub(crate) struct Server {
    /// With the port; or the folder of its socket.
    host: String,
    database: String,
    user: String,
    is_remote: bool,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database {} at {}", self.database, self.host)
    }
}

impl Server {
    pub(crate) fn of(options: &PgConnectOptions) -> Server {
        let user = options.get_username().to_owned();
        Server {
            host: match options.get_socket() {
                Some(folder) => folder.display().to_string(),
                None => format!("{}:{}", options.get_host(), options.get_port()),
            },
            database: options.get_database().unwrap_or(&user).to_owned(),
            user,
            is_remote: options.get_socket().is_none(),
        }
    }

    /// What a failure at the start means, and what to do about it
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    pub(crate) fn screen(&self, error: sqlx::Error) -> OpenError {
        let (host, user) = (self.host.clone(), self.user.clone());
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
        match (&error, code.as_str()) {
            (sqlx::Error::Tls(_), _) => OpenError::Tls { host, cause: tls_cause(&error) },
            (sqlx::Error::Io(io), _) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                OpenError::Tls { host, cause: network::direct_cause(&error) }
            }
            // A server on the network does not lack a file; one that the address names does.
            (sqlx::Error::Io(io), _)
                if self.is_remote
                    && matches!(io.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
            {
                OpenError::TlsFile { host, source: error }
            }
            // As poolers answer that keep prepared statements from their clients, or mix them up.
            (_, "42P05" | "26000") => OpenError::Pooler { host },
            // The last two: it is stopping, or starting.
            (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut, _) | (_, "57P01" | "57P03") => {
                OpenError::Unreachable { host, cause: network::direct_cause(&error) }
            }
            (_, "28P01" | "28000") => OpenError::Refused { host, user, source: error },
            (_, "3D000") => OpenError::Missing { host, database: self.database.clone(), user },
            (_, "53300") => OpenError::Full { host },
            // The second: no schema is there to make tables in.
            (_, "42501" | "3F000") => OpenError::Privilege {
                database: self.to_string(),
                name: self.database.clone(),
                user,
                source: error,
            },
            (_, "25006") => OpenError::ReadOnly { database: self.to_string() },
            _ => OpenError::Database { database: self.to_string(), source: error },
        }
    }

    /// Whether it is one to work with: new enough, writable, and of the same time.
    async fn look_at(&self, connection: &mut PgConnection) -> Result<(), OpenError> {
        let screen = |error| self.screen(error);
        let (number, version): (i32, String) = sqlx::query_as(
            "SELECT CAST(current_setting('server_version_num') AS INTEGER), current_setting('server_version')",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(screen)?;
        // Since version 10, the major version times 10,000.
        if u32::try_from(number).unwrap_or(0) < LEAST_VERSION * 10_000 {
            return Err(OpenError::TooOld { host: self.host.clone(), version, least: LEAST_VERSION });
        }
        let read_only: bool = sqlx::query_scalar(
            "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(screen)?;
        if read_only {
            return Err(OpenError::ReadOnly { database: self.to_string() });
        }
        let here = Clock::system();
        let asked = here.now_ms();
        let theirs: i64 =
            sqlx::query_scalar("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")
                .fetch_one(&mut *connection)
                .await
                .map_err(screen)?;
        // Their moment lies between the question and the answer, however long those took.
        let skew = theirs - theirs.clamp(asked, here.now_ms().max(asked));
        if skew.abs() > MOST_SKEW_MS {
            let (seconds, most) = (skew.abs() / 1_000, MOST_SKEW_MS / 1_000);
            return Err(OpenError::Clock { host: self.host.clone(), seconds, most });
        }
        Ok(())
    }
}

/// Why there is no TLS, as the rest of a sentence about the server.
fn tls_cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Tls(why) if why.to_string().contains("does not support TLS") => {
            "it has TLS switched off".to_owned()
        }
        error => network::direct_cause(error),
    }
}

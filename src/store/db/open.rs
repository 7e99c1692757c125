//! Why a database could not be opened: what happened, and what to do about it.

use std::{fmt::Display, path::PathBuf, str::FromStr};

use secrecy::ExposeSecret;
use sqlx::{migrate::MigrateError, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use crate::config;
use crate::store::{StoreError, VaultError, db::postgres::Server};

/// Why the database could not be opened. Each says what to do; none shows a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "database.url is not an address of SQLite or PostgreSQL such as sqlite:data/toall.db or \
         postgres://toall@db.example.org/toall"
    )]
    Address,
    #[error("cannot use the folder {path}: {source}. Create it, or give this user the right to write there")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} is in use by another toall process. Stop that one first: a SQLite file belongs to one process"
    )]
    InUse { path: PathBuf },
    #[error("there is no database {path}. Correct its path")]
    NoFile { path: PathBuf },
    #[error("{database} holds no installation of toall. Correct database.url")]
    Nothing { database: String },
    #[error(
        "{database} was written by an older version of toall. Start this version with it, which brings it up to date, \
         then run this again"
    )]
    Older { database: String },
    #[error(
        "{database} was written by a newer version of toall. Install that version again, or restore the backup made \
         before"
    )]
    Newer { database: String },
    #[error(
        "{database} was written with another encryption key. Put the former key back: security.encryption_key in the \
         config, or the file toall.key in the data folder. If other processes of this installation run on it, give this one \
         theirs. If it belongs to another installation of toall, give this \
         one a database of its own. Without the key, remove the database and link every account anew"
    )]
    OtherKey { database: String },
    #[error("cannot open the database {database}: {source}")]
    Database { database: String, source: sqlx::Error },
    #[error("cannot bring the database {database} up to date: {source}")]
    Migrate { database: String, source: MigrateError },
    #[error(
        "PostgreSQL at {host} does not answer: {cause}. Start it, or correct the host and port in database.url"
    )]
    Unreachable { host: String, cause: String },
    #[error(
        "there is no safe connection to PostgreSQL at {host}: {cause}. Correct that there, or sslmode and sslrootcert in \
         database.url"
    )]
    Tls { host: String, cause: String },
    #[error(
        "a file for the TLS connection to PostgreSQL at {host} cannot be read: {source}. Correct sslrootcert, sslcert or \
         sslkey in database.url, or let this user read the file"
    )]
    TlsFile { host: String, source: sqlx::Error },
    #[error(
        "at {host} there is not PostgreSQL itself but a pooler in transaction mode, as PgBouncer's pool_mode = transaction. \
         toall needs sessions of its own: name the server itself in database.url, or set the pooler to session mode"
    )]
    Pooler { host: String },
    #[error(
        "PostgreSQL at {host} does not let the user {user} in: {source}. Correct the user and password in database.url, \
         or what pg_hba.conf says of them"
    )]
    Refused { host: String, user: String, source: sqlx::Error },
    #[error(
        "PostgreSQL at {host} has no database {database}. Make it with `createdb --owner={user} {database}`, or correct \
         its name in database.url"
    )]
    Missing { host: String, database: String, user: String },
    #[error(
        "PostgreSQL at {host} has no connection left. Raise max_connections there, or close other programs"
    )]
    Full { host: String },
    #[error(
        "PostgreSQL at {host} is version {version}, and toall needs {least} or newer. Upgrade the server, or use another"
    )]
    TooOld { host: String, version: String, least: u32 },
    #[error(
        "the user {user} may not make and change tables in {database}: {source}. As its owner, run `ALTER DATABASE \
         {name} OWNER TO {user}` there, or `GRANT USAGE, CREATE ON SCHEMA public TO {user}`"
    )]
    Privilege { database: String, name: String, user: String, source: sqlx::Error },
    #[error(
        "{database} can only be read: it is a standby, or default_transaction_read_only is set. Name the primary in \
         database.url, or end that setting"
    )]
    ReadOnly { database: String },
    #[error(
        "the clocks of this machine and of PostgreSQL at {host} are {seconds} s apart, and {most} s is the most. Set \
         both by NTP: who may work on what is a matter of time"
    )]
    Clock { host: String, seconds: i64, most: i64 },
}

impl OpenError {
    /// Of what was found inside.
    pub(crate) fn of_contents(error: StoreError, settings: &config::Database) -> OpenError {
        let url = settings.url.expose_secret();
        // Any address can be read as one of PostgreSQL's.
        let options = PgConnectOptions::from_str(url).ok().filter(|_| url.starts_with("postgres"));
        let server = options.map(|options| Server::of(&options));
        let database = match &server {
            Some(server) => server.to_string(),
            None => SqliteConnectOptions::from_str(url)
                .map(|options| options.get_filename().display().to_string())
                .unwrap_or_default(),
        };
        match (error, server) {
            (StoreError::Database(error), Some(server)) => server.screen(error),
            (StoreError::Database(source), None) => OpenError::Database { database, source },
            (StoreError::Vault(VaultError::NoRandomness), _) => OpenError::Database {
                database,
                source: sqlx::Error::Io(std::io::Error::other(VaultError::NoRandomness)),
            },
            _ => OpenError::OtherKey { database },
        }
    }

    /// Of bringing it up to date.
    pub(crate) fn of_migration(error: MigrateError, database: impl Display) -> OpenError {
        let database = database.to_string();
        match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
                OpenError::Newer { database }
            }
            source => OpenError::Migrate { database, source },
        }
    }
}

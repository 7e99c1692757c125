//! Copies of the database for the operator's backups.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use secrecy::ExposeSecret;
use sqlx::{
    Connection, SqliteConnection,
    postgres::{PgConnectOptions, PgSslMode},
    sqlite::SqliteConnectOptions,
};

use crate::config;
use crate::store::db::open::OpenError;

/// A finished copy, or the way to make one.
#[derive(Debug)]
pub enum Backup {
    Copied {
        bytes: u64,
    },
    /// The command for a shell. It never holds the password; `password` tells if one is needed.
    ByPgDump {
        command: String,
        password: bool,
    },
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0} is there already and stays as it is. Choose another name")]
    Exists(PathBuf),
    #[error("cannot write {path}: {source}. Make its folder writable, free some space, or choose another")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot copy the database {database}: {source}")]
    Copy { database: String, source: sqlx::Error },
    #[error(
        "the copy of {database} is damaged ({found}), so it was deleted. Check the database and the disk"
    )]
    Damaged { database: String, found: String },
}

/// Copies a SQLite database to `file`, also while the service runs; for PostgreSQL, returns the command that does.
///
/// # Errors
/// If there is no database, `file` exists, or the copy cannot be written or read back. Nothing is left at `file` then.
pub async fn backup(database: &config::Database, file: &Path) -> Result<Backup, BackupError> {
    let url = database.url.expose_secret();
    if !url.starts_with("sqlite:") {
        let options = PgConnectOptions::from_str(url).map_err(|_| OpenError::Address)?;
        return Ok(by_pg_dump(&options, url, file));
    }
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    // Under another name until it is whole: a copy that was cut short must not look like one.
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let copied = copy(url, &part, file).await;
    if copied.is_err() {
        let _ = fs::remove_file(&part);
    }
    copied
}

async fn copy(url: &str, part: &Path, file: &Path) -> Result<Backup, BackupError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Address)?;
    let path = options.get_filename().to_path_buf();
    if !path.exists() {
        return Err(OpenError::NoFile { path }.into());
    }
    let database = path.display().to_string();
    let failed = |source| BackupError::Copy { database: database.clone(), source };
    let unwritable = |source| BackupError::Write { path: file.to_owned(), source };
    // A leftover of a copy that was cut short.
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritable(error)),
        _ => {}
    }
    let target = part.to_str().ok_or_else(|| unwritable(io::ErrorKind::InvalidFilename.into()))?;
    // VACUUM INTO reads in one transaction, beside the service's writes: the copy is of one moment.
    let mut connection =
        SqliteConnection::connect_with(&options.create_if_missing(false)).await.map_err(failed)?;
    let vacuumed = sqlx::query("VACUUM INTO ?").bind(target.to_owned()).execute(&mut connection).await;
    vacuumed.map_err(failed)?;
    connection.close().await.map_err(failed)?;

    let written = SqliteConnectOptions::new().filename(part).read_only(true);
    let mut copied = SqliteConnection::connect_with(&written).await.map_err(failed)?;
    let found: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut copied).await.map_err(failed)?;
    copied.close().await.map_err(failed)?;
    if found != "ok" {
        return Err(BackupError::Damaged { database, found });
    }
    settle(part, file).map_err(unwritable)
}

/// Makes the copy last, and gives it its name.
fn settle(part: &Path, file: &Path) -> io::Result<Backup> {
    let copied = File::open(part)?;
    copied.sync_all()?;
    let bytes = copied.metadata()?.len();
    fs::rename(part, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(Backup::Copied { bytes })
}

fn by_pg_dump(options: &PgConnectOptions, url: &str, file: &Path) -> Backup {
    let host = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let mode = match options.get_ssl_mode() {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    };
    let given = url::Url::parse(url).ok();
    let user = options.get_username();
    let mut connection = format!(
        "dbname={} sslmode={mode} host={} port={} user={}",
        conninfo(options.get_database().unwrap_or(user)),
        conninfo(&host),
        options.get_port(),
        conninfo(user),
    );
    // libpq looks in a place of its own otherwise.
    if let Some(root) =
        given.as_ref().and_then(|url| url.query_pairs().find(|(name, _)| name == "sslrootcert"))
    {
        connection += &format!(" sslrootcert={}", conninfo(&root.1));
    }
    let command = format!(
        "pg_dump --format=custom --file={} --dbname={}",
        shell(&file.display().to_string()),
        shell(&connection)
    );
    Backup::ByPgDump { command, password: given.is_some_and(|url| url.password().is_some()) }
}

/// A value as libpq's connection strings take it
/// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE>).
fn conninfo(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    match !value.is_empty() && value.chars().all(plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")),
    }
}

/// A word of a shell's command.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pg_dump_is_named_without_the_password() {
        let database = config::Database {
            url: "postgres://me:hush@db.example.org:5433/my%20db?sslmode=verify-full&sslrootcert=/etc/ca.pem"
                .into(),
            retention_days: 400,
            max_connections: 10,
        };
        let Backup::ByPgDump { command, password } = backup(&database, Path::new("my copy")).await.unwrap()
        else {
            panic!("not copied")
        };
        assert!(password && !command.contains("hush"), "{command}");
        assert_eq!(
            command,
            "pg_dump --format=custom --file='my copy' --dbname='dbname='\\''my db'\\'' sslmode=verify-full \
             host=db.example.org port=5433 user=me sslrootcert=/etc/ca.pem'"
        );
    }

    #[tokio::test]
    async fn a_backup_overwrites_nothing_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let missing = backup(&config::Database::sqlite(&at("none.db")), &at("copy.db")).await.unwrap_err();
        assert!(missing.to_string().starts_with("there is no database"), "{missing}");
        fs::write(at("copy.db"), "mine").unwrap();
        let refused = backup(&config::Database::sqlite(&at("none.db")), &at("copy.db")).await.unwrap_err();
        assert!(matches!(refused, BackupError::Exists(_)), "{refused}");
        assert_eq!(fs::read(at("copy.db")).unwrap(), b"mine");
        fs::write(at("text.db"), "not a database, and long enough to have a header").unwrap();
        let refused = backup(&config::Database::sqlite(&at("text.db")), &at("other.db")).await.unwrap_err();
        assert!(matches!(refused, BackupError::Copy { .. }), "{refused}");
        assert!(!at("other.db").exists() && !at("other.db.part").exists());
    }
}

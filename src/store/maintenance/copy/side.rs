//! One of the two databases of a move: a connection, and what differs between the engines.

use std::{collections::BTreeSet, path::Path, str::FromStr, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use secrecy::ExposeSecret;
use sqlx::{
    AssertSqlSafe, ColumnIndex, Decode, Executor, PgConnection, Row, SqliteConnection, Type,
    migrate::Migrator,
    postgres::{PgArguments, PgConnectOptions},
    sqlite::{SqliteArguments, SqliteConnectOptions},
};

use super::table::{self, Kind, Listed, Table, quoted};
use crate::{
    config,
    store::{
        OpenError,
        db::{
            engine::{Value, arguments},
            postgres::{self, Server},
            sqlite,
        },
    },
};

/// What our connections are called in `pg_stat_activity`, unlike those of a service.
const NAME: &str = "toall migrate-database";
/// How long connections of a service that was just stopped may take to be gone.
const LEAVING: Duration = Duration::from_secs(2);

const SQLITE_COLUMNS: &str = "
    SELECT t.name AS in_table, c.name AS name, c.type AS kind, c.pk AS key, 0 AS counted
      FROM sqlite_schema t JOIN pragma_table_info(t.name) c
     WHERE t.type = 'table' AND t.name <> '_sqlx_migrations' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
const SQLITE_REFERENCES: &str = "
    SELECT t.name, f.\"table\" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table'";
const POSTGRES_COLUMNS: &str = "
    SELECT CAST(c.relname AS TEXT) AS in_table, CAST(a.attname AS TEXT) AS name,
           format_type(a.atttypid, a.atttypmod) AS kind,
           CAST(COALESCE(array_position(CAST(i.indkey AS int2[]), a.attnum) + 1, 0) AS BIGINT) AS key,
           CAST(CASE a.attidentity WHEN '' THEN 0 ELSE 1 END AS BIGINT) AS counted
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
     WHERE c.relkind IN ('r', 'p') AND c.relname <> '_sqlx_migrations'
       AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())";
const POSTGRES_REFERENCES: &str = "
    SELECT CAST(a.relname AS TEXT), CAST(b.relname AS TEXT)
      FROM pg_constraint f JOIN pg_class a ON a.oid = f.conrelid JOIN pg_class b ON b.oid = f.confrelid
     WHERE f.contype = 'f'";

/// A connection that has its database to itself; what it has begun ends with it.
pub(super) struct Side {
    connection: Connection,
    /// Of a SQLite file.
    _lock: Option<sqlite::Lock>,
}

/// Which version of the program made the tables of a database.
pub(in crate::store) enum Version {
    None,
    Older,
    This,
    Newer,
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Names a database so that two addresses of one are seen, without anything secret.
pub(super) fn address(settings: &config::Database) -> Result<String, OpenError> {
    let url = settings.url.expose_secret();
    if url.starts_with("postgres") {
        return Ok(Server::of(&PgConnectOptions::from_str(url).map_err(|_| OpenError::Address)?).to_string());
    }
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Address)?;
    let path = options.get_filename();
    let whole = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    Ok(whole(path).unwrap_or_else(|_| path.to_owned()).display().to_string())
}

/// Both engines' own tongue, for one expression.
macro_rules! on {
    ($side:expr, $connection:ident => $does:expr) => {
        match &mut $side.connection {
            Connection::Sqlite($connection) => $does,
            Connection::Postgres($connection) => $does,
        }
    };
}

impl Side {
    /// Opens what is to be read, and holds it as it is at this moment.
    pub(super) async fn source(settings: &config::Database) -> Result<Side, OpenError> {
        let url = settings.url.expose_secret();
        let failed = |error: sqlx::Error| OpenError::of_contents(error.into(), settings);
        if url.starts_with("postgres") {
            let (mut connection, _) = postgres::connect(settings, NAME).await?;
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
            return Ok(Side { connection: Connection::Postgres(connection), _lock: None });
        }
        let (mut connection, lock) = sqlite::open_as_it_is(url).await?;
        connection.execute("BEGIN").await.map_err(failed)?;
        Ok(Side { connection: Connection::Sqlite(connection), _lock: Some(lock) })
    }

    /// Opens what is to be written, and makes its tables.
    pub(super) async fn target(settings: &config::Database) -> Result<Side, OpenError> {
        let url = settings.url.expose_secret();
        let failed = |error: sqlx::Error| OpenError::of_contents(error.into(), settings);
        if url.starts_with("postgres") {
            let (pool, _) = postgres::open(settings, NAME).await?;
            let connection = pool.acquire().await.map_err(failed)?.detach();
            return Ok(Side { connection: Connection::Postgres(connection), _lock: None });
        }
        let opened = sqlite::open(url).await?;
        let connection = opened.write.acquire().await.map_err(failed)?.detach();
        opened.read.close().await;
        Ok(Side { connection: Connection::Sqlite(connection), _lock: Some(opened.lock) })
    }

    /// How many connections services have to it; a SQLite file's lock keeps them out.
    pub(super) async fn others(&mut self) -> Result<i64, sqlx::Error> {
        let Connection::Postgres(connection) = &mut self.connection else { return Ok(0) };
        let asked = std::time::Instant::now();
        loop {
            let others: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
            )
            .bind(postgres::NAME)
            .fetch_one(&mut *connection)
            .await?;
            if others == 0 || asked.elapsed() > LEAVING {
                return Ok(others);
            }
            // Else it would be read from what this transaction has seen of it before.
            connection.execute("SELECT pg_stat_clear_snapshot()").await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Which version of the program made its tables.
    pub(super) async fn version(&mut self) -> Result<Version, sqlx::Error> {
        const VERSIONS: &str = "SELECT version FROM _sqlx_migrations WHERE success";
        let versions: Result<Vec<i64>, _> =
            on!(self, connection => sqlx::query_scalar(VERSIONS).fetch_all(&mut *connection).await);
        let versions: BTreeSet<i64> = match versions {
            Ok(versions) => versions.into_iter().collect(),
            // It has no such table: so says PostgreSQL; SQLite has one code for whatever cannot be prepared.
            Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P01" | "1")) => {
                return Ok(Version::None);
            }
            Err(error) => return Err(error),
        };
        let known = |migrations: &Migrator| migrations.iter().map(|migration| migration.version).collect();
        let known: BTreeSet<i64> = match self.connection {
            Connection::Sqlite(_) => known(&sqlite::MIGRATIONS),
            Connection::Postgres(_) => known(&postgres::MIGRATIONS),
        };
        Ok(match versions {
            versions if versions == known => Version::This,
            versions if versions.is_subset(&known) => Version::Older,
            _ => Version::Newer,
        })
    }

    /// Something sealed, with what names its row.
    pub(super) async fn sealed(
        &mut self,
        select: &'static str,
    ) -> Result<Option<(String, Vec<u8>)>, sqlx::Error> {
        on!(self, connection => sqlx::query_as(select).fetch_optional(&mut *connection).await)
    }

    /// Every table, by name.
    pub(super) async fn tables(&mut self) -> Result<Vec<Table>, sqlx::Error> {
        let (columns, references) = match &self.connection {
            Connection::Sqlite(_) => (SQLITE_COLUMNS, SQLITE_REFERENCES),
            Connection::Postgres(_) => (POSTGRES_COLUMNS, POSTGRES_REFERENCES),
        };
        let columns: Vec<Listed> =
            on!(self, connection => sqlx::query_as(columns).fetch_all(&mut *connection).await?);
        let references: Vec<(String, String)> =
            on!(self, connection => sqlx::query_as(references).fetch_all(&mut *connection).await?);
        table::tables(columns, &references)
            .ok_or_else(|| sqlx::Error::Decode("a column is of a type that toall does not use".into()))
    }

    /// Begins to write. However long a table takes, nobody waits for this.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        match &mut self.connection {
            Connection::Sqlite(connection) => connection.execute("BEGIN IMMEDIATE").await.map(drop),
            Connection::Postgres(connection) => connection
                .execute(
                    "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
                )
                .await
                .map(drop),
        }
    }

    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        on!(self, connection => connection.execute("COMMIT").await.map(drop))
    }

    pub(super) async fn has_rows(&mut self, table: &Table) -> Result<bool, sqlx::Error> {
        let statement = AssertSqlSafe(format!("SELECT 1 FROM {} LIMIT 1", quoted(&table.name)));
        Ok(on!(self, connection => connection.fetch_optional(statement).await?.is_some()))
    }

    /// Every row in the order of the key.
    pub(super) fn rows<'a>(&'a mut self, table: &'a Table) -> BoxStream<'a, Result<Vec<Value>, sqlx::Error>> {
        let select = AssertSqlSafe(table.select());
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                sqlx::query(select).fetch(connection).map(|row| values(&row?, table)).boxed()
            }
            Connection::Postgres(connection) => {
                sqlx::query(select).fetch(connection).map(|row| values(&row?, table)).boxed()
            }
        }
    }

    /// Writes rows that [`Side::rows`] of the other gave.
    pub(super) async fn insert(&mut self, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), sqlx::Error> {
        let insert = AssertSqlSafe(table.insert(rows.len()));
        let values = rows.into_iter().flatten().collect();
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                sqlx::query_with(insert, arguments::<_, SqliteArguments>(values)?)
                    .execute(connection)
                    .await
                    .map(drop)
            }
            Connection::Postgres(connection) => {
                sqlx::query_with(insert, arguments::<_, PgArguments>(values)?)
                    .execute(connection)
                    .await
                    .map(drop)
            }
        }
    }

    /// Has PostgreSQL count on from the highest number there is; SQLite does so by itself.
    pub(super) async fn continue_counting(&mut self, table: &Table) -> Result<(), sqlx::Error> {
        let (Connection::Postgres(connection), Some(column)) = (&mut self.connection, &table.counted) else {
            return Ok(());
        };
        let statement = format!(
            "SELECT setval(pg_get_serial_sequence($1, $2), max({column})) FROM {table} HAVING max({column}) IS NOT NULL",
            column = quoted(column),
            table = quoted(&table.name),
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(quoted(&table.name))
            .bind(column)
            .execute(connection)
            .await
            .map(drop)
    }
}

/// A row, column by column.
fn values<R: Row>(row: &R, table: &Table) -> Result<Vec<Value>, sqlx::Error>
where
    usize: ColumnIndex<R>,
    for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
{
    let value = |(at, column): (usize, &table::Column)| {
        Ok(match column.kind {
            Kind::Integer => Value::Integer(row.try_get(at)?),
            Kind::Text => Value::Text(row.try_get(at)?),
            Kind::Bytes => Value::Bytes(row.try_get(at)?),
        })
    };
    table.columns.iter().enumerate().map(value).collect()
}

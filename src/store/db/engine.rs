//! One SQL for two engines: a statement with its values, run by the native driver of whichever database there is.
//!
//! Only three types are stored, each perhaps absent: 64-bit integers, texts, bytes. So a value can wait here for its
//! driver, and no statement is written twice.

use std::time::Duration;

use sqlx::{
    Arguments, Database, Encode, FromRow, Postgres, Sqlite, SqlitePool, Transaction, Type,
    postgres::{PgArguments, PgRow},
    query::{Query as NativeQuery, QueryAs as NativeQueryAs},
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::store::db::connections::Connections;

/// How long PostgreSQL may take over one statement. It gives up by itself before that (see [`crate::store::db::postgres`]);
/// this is for a server that has gone without saying so.
const PATIENCE: Duration = Duration::from_secs(40);

/// Connections to the database. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(Connections),
}

/// A transaction; rolled back when dropped.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Where a statement runs.
pub(crate) enum On<'a> {
    Pool(&'a Pool),
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Pool> for On<'a> {
    fn from(pool: &'a Pool) -> Self {
        On::Pool(pool)
    }
}

impl<'a> From<&'a mut Tx> for On<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        On::Tx(tx)
    }
}

impl Pool {
    /// Begins a write.
    ///
    /// On SQLite `IMMEDIATE`, because a transaction that reads first and then writes fails under contention: whoever is
    /// in has the whole database. On PostgreSQL others write at the same time, and every statement sees what was
    /// committed before it began: what must not change meanwhile is locked first, in the order of [`crate::store::db::locks`].
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        Ok(match self {
            Pool::Sqlite(pool) => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Pool::Postgres(pool) => {
                // In a task of its own, which ends whatever becomes of the caller: sqlx 0.9.0 does not roll back a
                // `BEGIN` whose future was dropped before the answer, and whoever gets that connection next would be in
                // there (<https://github.com/transact-rs/sqlx/issues/4393>).
                let connections = pool.clone();
                let begun = tokio::spawn(async move { connections.begin().await });
                let task = |error| sqlx::Error::Io(std::io::Error::other(error));
                Tx::Postgres(patiently(async { begun.await.map_err(task)? }).await?)
            }
        })
    }

    /// Waits for what is under way and closes.
    pub(crate) async fn close(&self) {
        match self {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(connections) => connections.pool.close().await,
        }
    }
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        count_transaction("write");
        match self {
            Tx::Sqlite(tx) => tx.commit().await,
            Tx::Postgres(tx) => patiently(tx.commit()).await,
        }
    }
}

/// The text of a statement. Nearly all read the same on both engines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Sql { sqlite: text, postgres: text }
    }
}

/// A `SELECT` whose rows nobody else may change until the transaction ends, read as they are once they are locked.
///
/// SQLite has no word for it: there the transaction has the whole database.
macro_rules! locking {
    ($select:literal) => {
        $crate::store::db::engine::Sql { sqlite: $select, postgres: concat!($select, " FOR NO KEY UPDATE") }
    };
}
pub(crate) use locking;

/// What a statement is given for one of its `$n`, or a row has in one of its columns.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Value::Integer(value)
    }
}

/// PostgreSQL takes no NUL in a text, so neither engine gets one: what people send may hold it.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(Some(without_nul(value)))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        value.as_str().into()
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        value.as_str().into()
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Value::Text(value.map(without_nul))
    }
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Self {
        value.as_deref().into()
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        value.as_deref().into()
    }
}

impl From<Option<&String>> for Value {
    fn from(value: Option<&String>) -> Self {
        value.map(String::as_str).into()
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Value::Bytes(Some(value.to_owned()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Value::Bytes(Some(value))
    }
}

impl From<&Option<Vec<u8>>> for Value {
    fn from(value: &Option<Vec<u8>>) -> Self {
        Value::Bytes(value.clone())
    }
}

/// What a row is read into: anything that sqlx reads from either engine.
pub(crate) trait Record:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Record for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// A statement with its values.
pub(crate) struct Query {
    sql: Sql,
    values: Vec<Value>,
}

/// Begins a statement; [`Query::bind`] gives its values in their order.
pub(crate) fn query(sql: impl Into<Sql>) -> Query {
    Query { sql: sql.into(), values: Vec::new() }
}

impl Query {
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it, and returns how many rows it concerned.
    pub(crate) async fn execute<'a>(self, on: impl Into<On<'a>>) -> Result<u64, sqlx::Error> {
        let on = on.into();
        self.count(&on);
        Ok(match on {
            On::Pool(Pool::Sqlite(pool)) => self.sqlite()?.execute(pool).await?.rows_affected(),
            On::Tx(Tx::Sqlite(tx)) => self.sqlite()?.execute(&mut **tx).await?.rows_affected(),
            On::Pool(Pool::Postgres(pool)) => {
                let statement = self.postgres()?;
                let done = patiently(async { statement.execute(&mut *pool.acquire().await?).await });
                done.await?.rows_affected()
            }
            On::Tx(Tx::Postgres(tx)) => patiently(self.postgres()?.execute(&mut **tx)).await?.rows_affected(),
        })
    }

    /// Every row.
    pub(crate) async fn fetch_all<'a, T: Record>(self, on: impl Into<On<'a>>) -> Result<Vec<T>, sqlx::Error> {
        let on = on.into();
        self.count(&on);
        match on {
            On::Pool(Pool::Sqlite(pool)) => self.sqlite_rows()?.fetch_all(pool).await,
            On::Tx(Tx::Sqlite(tx)) => self.sqlite_rows()?.fetch_all(&mut **tx).await,
            On::Pool(Pool::Postgres(pool)) => {
                let statement = self.postgres_rows()?;
                patiently(async { statement.fetch_all(&mut *pool.acquire().await?).await }).await
            }
            On::Tx(Tx::Postgres(tx)) => patiently(self.postgres_rows()?.fetch_all(&mut **tx)).await,
        }
    }

    /// The only row, if there is one. For statements that find no more.
    pub(crate) async fn fetch_optional<'a, T: Record>(
        self,
        on: impl Into<On<'a>>,
    ) -> Result<Option<T>, sqlx::Error> {
        Ok(self.fetch_all(on).await?.into_iter().next())
    }

    /// The one row.
    pub(crate) async fn fetch_one<'a, T: Record>(self, on: impl Into<On<'a>>) -> Result<T, sqlx::Error> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// As [`Query::fetch_all`], of rows with one column.
    pub(crate) async fn fetch_values<'a, T>(self, on: impl Into<On<'a>>) -> Result<Vec<T>, sqlx::Error>
    where
        (T,): Record,
    {
        Ok(self.fetch_all::<(T,)>(on).await?.into_iter().map(|(value,)| value).collect())
    }

    /// As [`Query::fetch_optional`], of a row with one column.
    pub(crate) async fn fetch_value_optional<'a, T>(
        self,
        on: impl Into<On<'a>>,
    ) -> Result<Option<T>, sqlx::Error>
    where
        (T,): Record,
    {
        Ok(self.fetch_optional::<(T,)>(on).await?.map(|(value,)| value))
    }

    /// As [`Query::fetch_one`], of a row with one column.
    pub(crate) async fn fetch_value<'a, T>(self, on: impl Into<On<'a>>) -> Result<T, sqlx::Error>
    where
        (T,): Record,
    {
        Ok(self.fetch_one::<(T,)>(on).await?.0)
    }

    /// Counts the statement, and the transaction that it is when it runs by itself.
    fn count(&self, on: &On<'_>) {
        metrics::counter!("toall_database_statements_total").increment(1);
        if let On::Pool(_) = on {
            count_transaction(if self.sql.sqlite.starts_with("SELECT") { "read" } else { "write" });
        }
    }

    fn sqlite(self) -> Result<NativeQuery<'static, Sqlite, SqliteArguments>, sqlx::Error> {
        Ok(sqlx::query_with(self.sql.sqlite, arguments(self.values)?))
    }

    fn postgres(self) -> Result<NativeQuery<'static, Postgres, PgArguments>, sqlx::Error> {
        Ok(sqlx::query_with(self.sql.postgres, arguments(self.values)?))
    }

    fn sqlite_rows<T: Record>(
        self,
    ) -> Result<NativeQueryAs<'static, Sqlite, T, SqliteArguments>, sqlx::Error> {
        Ok(sqlx::query_as_with(self.sql.sqlite, arguments(self.values)?))
    }

    fn postgres_rows<T: Record>(
        self,
    ) -> Result<NativeQueryAs<'static, Postgres, T, PgArguments>, sqlx::Error> {
        Ok(sqlx::query_as_with(self.sql.postgres, arguments(self.values)?))
    }
}

fn count_transaction(kind: &'static str) {
    metrics::counter!("toall_database_transactions_total", "kind" => kind).increment(1);
}

/// The values as a driver takes them.
pub(crate) fn arguments<D: Database, A: Arguments<Database = D>>(values: Vec<Value>) -> Result<A, sqlx::Error>
where
    for<'q> Option<i64>: Encode<'q, D> + Type<D>,
    for<'q> Option<String>: Encode<'q, D> + Type<D>,
    for<'q> Option<Vec<u8>>: Encode<'q, D> + Type<D>,
{
    let mut arguments = A::default();
    for value in values {
        match value {
            Value::Integer(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

async fn patiently<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let silence = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(silence()))
}

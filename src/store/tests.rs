//! The database itself, on the engine that the suite runs on; and what only one of them can show.

mod claims;
mod opening;
pub(super) mod people;
#[path = "../../tests/it/postgres.rs"]
#[expect(dead_code, reason = "the journeys share it, and need more of it")]
pub(super) mod postgres;
mod races;
mod schemas;
mod sharing;
mod statements;

use sqlx::{AssertSqlSafe, SqlitePool};
use tempfile::TempDir;

use crate::config;
use crate::store::{
    OpenError, Store, Vault,
    db::engine::{Pool, query},
};

pub(super) const NOW: i64 = 1_800_000_000_000;

/// A database of a test's own.
pub(super) enum Kept {
    Sqlite(TempDir),
    Postgres(postgres::Database),
}

impl Kept {
    /// A new one, on the engine that the suite runs on.
    pub(super) async fn new() -> Kept {
        match postgres::wanted() {
            true => Kept::Postgres(postgres::cluster().await.unwrap().database().await),
            false => Kept::Sqlite(TempDir::new().unwrap()),
        }
    }

    /// A new one on PostgreSQL, where there is one.
    pub(super) async fn on_postgres() -> Option<Kept> {
        Some(Kept::Postgres(postgres::cluster().await?.database().await))
    }

    pub(super) fn settings(&self) -> config::Database {
        match self {
            Kept::Sqlite(folder) => config::Database::sqlite(&folder.path().join("toall.db")),
            Kept::Postgres(database) => config::Database {
                url: database.url.as_str().into(),
                max_connections: 5,
                retention_days: 400,
            },
        }
    }

    pub(super) async fn try_open(&self, vault: Vault) -> Result<Store, OpenError> {
        Store::open(&self.settings(), vault, NOW).await
    }

    pub(super) async fn open(&self, vault: Vault) -> Store {
        self.try_open(vault).await.unwrap()
    }

    /// Another with the same rows; nobody may have this one open.
    pub(super) async fn copy(&self) -> Kept {
        match self {
            Kept::Sqlite(folder) => {
                let copy = TempDir::new().unwrap();
                std::fs::copy(folder.path().join("toall.db"), copy.path().join("toall.db")).unwrap();
                Kept::Sqlite(copy)
            }
            Kept::Postgres(database) => {
                let cluster = postgres::cluster().await.unwrap();
                Kept::Postgres(cluster.copy(&database.name).await)
            }
        }
    }
}

/// Has statements done as they stand.
pub(super) async fn script(store: &Store, statements: &str) {
    let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
    match &store.write {
        Pool::Sqlite(pool) => drop(statements.execute(pool).await.unwrap()),
        Pool::Postgres(pool) => drop(statements.execute(&pool.pool).await.unwrap()),
    }
}

/// A pragma as each of a pool's connections has it.
async fn pragma(pool: &SqlitePool, name: &'static str) -> Vec<String> {
    let size = pool.options().get_max_connections();
    let mut held = Vec::new();
    for _ in 0..size {
        held.push(pool.acquire().await.unwrap());
    }
    let mut values = Vec::new();
    for connection in &mut held {
        let statement = AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"));
        values.push(sqlx::query_scalar(statement).fetch_one(&mut **connection).await.unwrap());
    }
    values
}

#[tokio::test]
async fn every_connection_keeps_what_is_committed() {
    if postgres::leave_out("what SQLite is told") {
        return;
    }
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&[7; 32])).await;
    for (pool, query_only) in [(&store.write, "0"), (&store.read, "1")] {
        let Pool::Sqlite(pool) = pool else { panic!("not SQLite") };
        for (name, wanted) in
            [("synchronous", "2"), ("journal_mode", "wal"), ("foreign_keys", "1"), ("query_only", query_only)]
        {
            let values = pragma(pool, name).await;
            assert!(values.iter().all(|value| value == wanted), "{name}: {values:?}, not {wanted}");
        }
    }
    let Pool::Sqlite(writer) = &store.write else { panic!("not SQLite") };
    assert_eq!(writer.options().get_max_connections(), 1, "one writer");
}

/// As on a disk that the system has made read-only after an error.
#[tokio::test]
async fn a_database_that_turns_read_only_keeps_its_posts() {
    if postgres::leave_out("what SQLite is told") {
        return;
    }
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&[7; 32])).await;
    people::link(&store, "alice", "a").await;
    let post = people::accept(&store, "alice", "a").await;
    script(&store, "PRAGMA query_only = ON").await;
    assert!(store.prove_writable().await.is_err(), "not ready");
    let refused = store.claim(NOW).await.unwrap_err();
    // What is permanent would end the post.
    assert!(!refused.is_permanent(), "{refused}");
    script(&store, "PRAGMA query_only = OFF").await;
    store.prove_writable().await.unwrap();
    assert_eq!(store.claim(NOW).await.unwrap().unwrap().post.id, post);
}

#[tokio::test]
async fn every_connection_to_postgresql_keeps_what_is_committed_however_the_server_is_set() {
    let Some(kept) = Kept::on_postgres().await else { return };
    let Kept::Postgres(database) = &kept else { unreachable!() };
    let cluster = postgres::cluster().await.unwrap();
    for (theirs, ours) in [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")] {
        let set = format!(
            "ALTER DATABASE {name} SET synchronous_commit = '{theirs}';
             ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'",
            name = database.name
        );
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut cluster.connect("postgres").await).await.unwrap();
        let store = kept.open(Vault::new(&[7; 32])).await;
        let Pool::Postgres(pool) = &store.write else { panic!("not PostgreSQL") };
        let mut held = Vec::new();
        for _ in 0..pool.pool.options().get_max_connections() {
            held.push(pool.acquire().await.unwrap());
        }
        for connection in &mut held {
            let told: (String, String, String, String, String) = sqlx::query_as(
                "SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation'),
                        current_setting('statement_timeout'), current_setting('lock_timeout'),
                        current_setting('idle_in_transaction_session_timeout')",
            )
            .fetch_one(&mut **connection)
            .await
            .unwrap();
            let told = [&told.0, &told.1, &told.2, &told.3, &told.4];
            assert_eq!(told, [ours, "read committed", "30s", "10s", "10s"], "{theirs}");
        }
        drop(held);
        store.close().await;
    }
}

#[tokio::test]
async fn a_text_with_a_nul_is_kept_without_it() {
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&[7; 32])).await;
    query("INSERT INTO incidents (name, since) VALUES ($1, 0)")
        .bind("a\0b")
        .execute(&store.write)
        .await
        .unwrap();
    let found: Vec<String> = query("SELECT name FROM incidents WHERE name = $1")
        .bind("a\0b")
        .fetch_values(&store.read)
        .await
        .unwrap();
    assert_eq!(found, ["a\u{fffd}b"]);
}

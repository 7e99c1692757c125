//! The database behind the service's back: to look into it, and to put it out of order.

use std::path::PathBuf;

use secrecy::ExposeSecret;
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection,
    postgres::PgRow,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::World;
use crate::postgres;

/// Whose account, what, and its detail.
type Event = (String, String, Option<String>);

impl World {
    /// The file that everything is kept in.
    pub fn database(&self) -> PathBuf {
        let url = self.config.database.url.expose_secret();
        PathBuf::from(url.strip_prefix("sqlite:").expect("a test that asks keeps to SQLite"))
    }

    /// A connection of one's own to the file.
    pub async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.database());
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// A connection of one's own to PostgreSQL.
    async fn session(&self) -> PgConnection {
        PgConnection::connect(self.config.database.url.expose_secret()).await.unwrap()
    }

    /// Has a statement done, in the words of whichever engine there is.
    pub async fn execute(&self, sqlite: impl Into<String>, postgres: impl Into<String>) {
        if self.server.is_some() {
            let statement = sqlx::raw_sql(AssertSqlSafe(postgres.into()));
            statement.execute(&mut self.session().await).await.unwrap();
        } else {
            let statement = sqlx::raw_sql(AssertSqlSafe(sqlite.into()));
            statement.execute(&mut self.connection().await).await.unwrap();
        }
    }

    /// The rows of a statement that reads the same on both.
    pub async fn fetch<T>(&self, statement: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, SqliteRow> + for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin,
    {
        if self.server.is_some() {
            sqlx::query_as(statement).fetch_all(&mut self.session().await).await.unwrap()
        } else {
            sqlx::query_as(statement).fetch_all(&mut self.connection().await).await.unwrap()
        }
    }

    /// Ends every connection to the database on PostgreSQL and lets nobody in, as a server that is stopped does, until
    /// [`World::database_is_back`].
    pub async fn lose_database(&self) {
        let name = &self.server.as_ref().expect("a world on PostgreSQL").name;
        // Two statements, for the door must be shut before the last one is sent out.
        self.as_owner(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
        self.as_owner(format!(
            "DO $$ BEGIN
                LOOP
                    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}';
                    EXIT WHEN NOT FOUND;
                    PERFORM pg_stat_clear_snapshot();
                END LOOP;
             END $$"
        ))
        .await;
    }

    /// Has the database on PostgreSQL refuse every write, as when it became a standby or its disk is about to be full.
    pub async fn freeze_database(&self) {
        let name = &self.server.as_ref().expect("a world on PostgreSQL").name;
        self.as_owner(format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
        self.lose_database().await;
        self.database_is_back().await;
    }

    /// Undoes [`World::lose_database`].
    pub async fn database_is_back(&self) {
        let name = &self.server.as_ref().expect("a world on PostgreSQL").name;
        self.as_owner(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    }

    async fn as_owner(&self, statements: String) {
        let mut owner = postgres::cluster().await.unwrap().connect("postgres").await;
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut owner).await.unwrap();
    }

    /// Has every write to this column of a table fail, as a full disk would, until [`World::mend`].
    pub async fn spoil(&self, table: &'static str, column: &'static str) {
        let before = format!("CREATE TRIGGER spoilt BEFORE UPDATE OF {column} ON {table}");
        let sqlite = format!("{before} BEGIN SELECT RAISE(FAIL, 'spoilt'); END");
        let postgres = format!(
            "CREATE FUNCTION spoilt() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'spoilt'; END $$ LANGUAGE plpgsql;
             {before} FOR EACH ROW EXECUTE FUNCTION spoilt()"
        );
        self.execute(sqlite, postgres).await;
    }

    /// Undoes [`World::spoil`].
    pub async fn mend(&self) {
        self.execute("DROP TRIGGER spoilt", "DROP FUNCTION spoilt CASCADE").await;
    }

    /// The audit trail, in the order it was written.
    pub async fn events(&self) -> Vec<Event> {
        self.fetch(
            "SELECT a.username, e.kind, e.detail FROM post_events e
               JOIN posts p ON p.id = e.post_id JOIN x_accounts a ON a.id = p.account_id ORDER BY e.id",
        )
        .await
    }

    /// The details of the events of one kind.
    pub async fn details(&self, kind: &str) -> Vec<Option<String>> {
        let events = self.events().await.into_iter();
        events.filter(|(_, of, _)| of == kind).map(|(_, _, detail)| detail).collect()
    }
}

//! The database behind the service's back: to look into it, and to put it out of order.

use std::path::PathBuf;

use secrecy::ExposeSecret;
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use super::World;

impl World {
    /// The file that everything is kept in.
    pub fn database(&self) -> PathBuf {
        let url = self.config.database.url.expose_secret();
        PathBuf::from(url.strip_prefix("sqlite:").expect("tests keep to SQLite"))
    }

    /// A connection of one's own.
    pub async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.database());
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Has every write to this column of a table fail, as a full disk would, until [`World::mend`].
    pub async fn spoil(&self, table: &'static str, column: &'static str) {
        let trigger = format!(
            "CREATE TRIGGER spoilt BEFORE UPDATE OF {column} ON {table} BEGIN SELECT RAISE(FAIL, 'spoilt'); END"
        );
        let trigger = sqlx::AssertSqlSafe(trigger);
        sqlx::query(trigger).execute(&mut self.connection().await).await.unwrap();
    }

    /// Undoes [`World::spoil`].
    pub async fn mend(&self) {
        sqlx::query("DROP TRIGGER spoilt").execute(&mut self.connection().await).await.unwrap();
    }

    /// The audit trail, in the order it was written: whose account, what, and its detail.
    pub async fn events(&self) -> Vec<(String, String, Option<String>)> {
        let rows = sqlx::query(
            "SELECT a.username, e.kind, e.detail FROM post_events e
               JOIN posts p ON p.id = e.post_id JOIN x_accounts a ON a.id = p.account_id ORDER BY e.id",
        );
        let rows = rows.fetch_all(&mut self.connection().await).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }

    /// The details of the events of one kind.
    pub async fn details(&self, kind: &str) -> Vec<Option<String>> {
        let events = self.events().await.into_iter();
        events.filter(|(_, of, _)| of == kind).map(|(_, _, detail)| detail).collect()
    }
}

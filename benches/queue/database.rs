//! The server, and databases with a past.

use anyhow::{Context, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use toall::{
    account::{AccountId, Person, Platform},
    clock::Clock,
    config,
    post::{Attachment, Kind, NewPost, Options, PostId},
    store::{Accepted, Store, Vault},
};
use uuid::Uuid;

use crate::{
    cpu,
    postgres::{self, Cluster, drop_finished},
    steps::VIDEO_BYTES,
};

/// Lanes that the posts of a database are on.
pub const ACCOUNTS: i64 = 50_000;

/// As Debian installs it, but for the memory that every guide says to raise first.
const DURABLE: [&str; 2] = ["shared_buffers=512MB", "max_wal_size=4GB"];

/// A server that may be used up.
pub struct Server {
    cluster: Cluster,
    /// On this machine, so that its CPU time can be read.
    private: bool,
}

/// A database of its own.
pub struct Database {
    made: postgres::Database,
    connection: PgConnection,
    private: bool,
}

/// Work done so far by a database and its server.
#[derive(Clone, Copy)]
pub struct Counters {
    pub commits: f64,
    pub wal_bytes: f64,
    /// Of all tables with their indexes.
    pub bytes: f64,
    /// CPU time of the server, where it is visible.
    pub cpu: Option<f64>,
}

impl Server {
    pub async fn start() -> anyhow::Result<Server> {
        match std::env::var("TOALL_BENCH_DATABASE") {
            Ok(url) => Ok(Server { cluster: Cluster::at(&url), private: false }),
            Err(_) => {
                let cluster = Cluster::start(&DURABLE).await.context("No PostgreSQL is installed here")?;
                Ok(Server { cluster, private: true })
            }
        }
    }

    /// Describes the measured database in one line.
    pub async fn describe(&self) -> anyhow::Result<String> {
        let mut connection = self.cluster.connect("postgres").await;
        let text = sqlx::query_scalar(
            "SELECT 'PostgreSQL ' || current_setting('server_version')
                    || string_agg(', ' || name || ' = ' || current_setting(name), '' ORDER BY name)
               FROM pg_settings
              WHERE name IN ('fsync', 'full_page_writes', 'shared_buffers', 'synchronous_commit', 'wal_sync_method')",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(text)
    }

    /// Nothing in it.
    pub async fn empty(&self) -> anyhow::Result<Database> {
        let made = self.cluster.empty().await;
        let connection = self.cluster.connect(&made.name).await;
        Ok(Database { made, connection, private: self.private })
    }

    /// All tables, and the accounts.
    pub async fn database(&self) -> anyhow::Result<Database> {
        let mut database = self.empty().await?;
        database.store().await?.close().await;
        database.accounts().await?;
        Ok(database)
    }

    /// Drops what was made.
    pub async fn close(self) {
        drop_finished(&mut self.cluster.connect("postgres").await).await;
    }
}

impl Database {
    pub fn url(&self) -> &str {
        &self.made.url
    }

    pub async fn store(&self) -> anyhow::Result<Store> {
        open(&self.made.url).await
    }

    /// The connection that this one is filled by.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Reads the counters; other processes' work is included with a delay of one second.
    pub async fn counters(&mut self) -> anyhow::Result<Counters> {
        // A process reports its counters once a second (PGSTAT_MIN_INTERVAL in PostgreSQL's pgstat.c).
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let (commits, wal, bytes, backend): (i64, i64, i64, i32) = sqlx::query_as(
            "SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
                    CAST(pg_current_wal_lsn() - '0/0' AS BIGINT),
                    (SELECT CAST(sum(pg_total_relation_size(oid)) AS BIGINT) FROM pg_class
                      WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace),
                    pg_backend_pid()",
        )
        .fetch_one(&mut self.connection)
        .await?;
        let cpu = if self.private { cpu::family(backend) } else { None };
        Ok(Counters { commits: commits as f64, wal_bytes: wal as f64, bytes: bytes as f64, cpu })
    }

    /// The accounts, each linked by one person.
    async fn accounts(&mut self) -> anyhow::Result<()> {
        for statement in [
            "INSERT INTO users (id, platform, platform_user, name, created_at)
             SELECT 'console:' || i, 'console', i::text, 'somebody', 0 FROM generate_series(0, $1 - 1) AS i",
            "INSERT INTO x_accounts (id, username, name, tier, profile_at, active, token_state, scope,
                                     access_expires_at, updated_at)
             SELECT i::text, 'account_' || i, 'Account', 'none', 0, 1, 'ok', '', 0, 0
               FROM generate_series(0, $1 - 1) AS i",
            "INSERT INTO account_links (user_id, account_id, created_at)
             SELECT 'console:' || i, i::text, 0 FROM generate_series(0, $1 - 1) AS i",
        ] {
            sqlx::query(statement).bind(ACCOUNTS).execute(&mut self.connection).await?;
        }
        self.vacuum().await
    }

    /// Adds `count` old, finished posts, spread evenly over the accounts.
    pub async fn finished(&mut self, count: i64) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO posts (id, dedupe_key, request_id, user_id, account_id, caption, options, attachment, state,
                                object_key, bytes, sha256, media_type, x_post_id, segments_done, status_want,
                                status_shown, billed_at, created_at, updated_at)
             SELECT id, id, id, 'console:' || i % $2, (i % $2)::text, 'First wave of the year', $3, $4, 'posted',
                    NULL, $5, repeat('0', 64), 'video/mp4', '18' || lpad(i::text, 17, '0'), 8, 12, 12, i, i, i
               FROM (SELECT i, '01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0') AS id
                       FROM generate_series(1, $1) AS i) AS numbered",
        )
        .bind(count)
        .bind(ACCOUNTS)
        .bind(serde_json::to_string(&Options::default())?)
        .bind(serde_json::to_string(&attachment())?)
        .bind(VIDEO_BYTES as i64)
        .execute(&mut self.connection)
        .await?;
        self.vacuum().await
    }

    /// Adds so many posts that are due, in turn on every account.
    pub async fn due(&mut self, count: i64) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO posts (id, dedupe_key, request_id, user_id, account_id, caption, options, attachment, state,
                                object_key, due_at, created_at, updated_at)
             SELECT id, id, id, 'console:' || i % $2, (i % $2)::text, 'First wave of the year', $3, $4, 'staging',
                    'posts/' || id, i, i, i
               FROM (SELECT i, gen_random_uuid()::text AS id FROM generate_series(1, $1) AS i) AS numbered",
        )
        .bind(count)
        .bind(ACCOUNTS)
        .bind(serde_json::to_string(&Options::default())?)
        .bind(serde_json::to_string(&attachment())?)
        .execute(&mut self.connection)
        .await?;
        sqlx::query(
            "UPDATE x_accounts SET due_at = first
               FROM (SELECT account_id, min(due_at) AS first FROM posts WHERE due_at IS NOT NULL GROUP BY account_id)
                    AS due
              WHERE id = account_id",
        )
        .execute(&mut self.connection)
        .await?;
        self.vacuum().await
    }

    async fn vacuum(&mut self) -> anyhow::Result<()> {
        for table in ["users", "x_accounts", "account_links", "posts"] {
            let tidy = AssertSqlSafe(format!("VACUUM ANALYZE {table}"));
            sqlx::query(tidy).execute(&mut self.connection).await?;
        }
        // Force a checkpoint now, to keep PostgreSQL from starting one during a measurement.
        sqlx::query("CHECKPOINT").execute(&mut self.connection).await?;
        Ok(())
    }
}

/// Opens the store as a process of the service does, with four connections for work and one for notifications. Eight
/// such processes fit into PostgreSQL's default number of connections.
pub async fn open(url: &str) -> anyhow::Result<Store> {
    let settings = config::Database { url: url.to_owned().into(), max_connections: 5, retention_days: 400 };
    Ok(Store::open(&settings, Vault::new(&[7; 32]), Clock::system().now_ms()).await?)
}

/// A person asks for a post to their account.
pub async fn accept(store: &Store, account: i64, clock: &Clock) -> anyhow::Result<()> {
    let id = Uuid::now_v7();
    let new = NewPost {
        id: PostId(id),
        request: id,
        dedupe_key: format!("console:{id}"),
        person: Person { platform: Platform::Console, id: account.to_string(), name: "somebody".to_owned() },
        account: AccountId(account.to_string()),
        caption: "First wave of the year".to_owned(),
        options: Options::default(),
        attachment: attachment(),
        staged: None,
        place: None,
    };
    let accepted = store.accept(&new, &config::Limits::default(), clock.now_ms()).await?;
    ensure!(accepted == Accepted::New, "the post was not accepted: {accepted:?}");
    Ok(())
}

fn attachment() -> Attachment {
    Attachment {
        platform: Platform::Console,
        source: "https://cdn.example.org/attachments/1100000000000000000/1100000000000000001/surf.mov"
            .to_owned(),
        name: "surf.mov".to_owned(),
        bytes: Some(VIDEO_BYTES),
        content_type: Some("video/quicktime".to_owned()),
        kind: Kind::Video,
    }
}

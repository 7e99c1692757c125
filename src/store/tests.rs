//! What SQLite was told, and how it goes about finding the next thing to do.

use sqlx::{AssertSqlSafe, Row, SqlitePool};
use tempfile::TempDir;

use super::{
    Store, Vault,
    queue::{CLAIM_LANE, NEXT_LANE_DUE, NEXT_POST, NEXT_POST_DUE},
};

async fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}/toall.db", folder.path().display());
    let store = Store::open(&url, Vault::new(&[7; 32]), 0).await.unwrap();
    (folder, store)
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
        let query = sqlx::query(AssertSqlSafe(format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}")));
        values.push(query.fetch_one(&mut **connection).await.unwrap().get(0));
    }
    values
}

#[tokio::test]
async fn every_connection_keeps_what_is_committed() {
    let (_folder, store) = store().await;
    for (pool, query_only) in [(&store.write, "0"), (&store.read, "1")] {
        for (name, wanted) in
            [("synchronous", "2"), ("journal_mode", "wal"), ("foreign_keys", "1"), ("query_only", query_only)]
        {
            let values = pragma(pool, name).await;
            assert!(values.iter().all(|value| value == wanted), "{name}: {values:?}, not {wanted}");
        }
    }
    assert_eq!(store.write.options().get_max_connections(), 1, "one writer");
}

/// An account with one post that is due, behind this many that are finished.
async fn finished(store: &Store, posts: i64) {
    for statement in [
        "INSERT INTO users (id, platform, platform_user, name, created_at) VALUES ('u', 'console', 'u', 'u', 0)",
        "INSERT INTO x_accounts (id, username, name, tier, active, due_at, token_state, scope, access_expires_at,
                                 profile_at, updated_at)
         VALUES ('1', 'one', 'one', 'free', 1, 5, 'ok', '', 0, 0, 0)",
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
         INSERT INTO posts (id, dedupe_key, request_id, user_id, account_id, caption, attachment, options, state, due_at, x_post_id,
                            place_sealed, created_at, updated_at)
         SELECT printf('%08d', i), i, i, 'u', '1', '', '{}', '{}', iif(i < $1, 'posted', 'staging'), iif(i < $1, NULL, 5),
                iif(i < $1, i, NULL), x'', 0, 0 FROM n",
        // What the optimiser learns of the tables may change its mind.
        "ANALYZE",
    ] {
        sqlx::query(statement).bind(posts).execute(&store.write).await.unwrap();
    }
}

/// What SQLite would do for a statement, a step a line.
async fn plan(store: &Store, statement: &'static str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::query(explain).fetch_all(&store.write).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn a_claim_looks_only_at_what_is_due() {
    for posts in [1_000, 100_000] {
        let (_folder, store) = store().await;
        finished(&store, posts).await;
        for (statement, index) in [
            (NEXT_LANE_DUE, "INDEX x_accounts_due"),
            (CLAIM_LANE, "INDEX x_accounts_due"),
            (NEXT_POST, "INDEX posts_lane (account_id=? AND due_at<?)"),
            (NEXT_POST_DUE, "INDEX posts_lane (account_id=?"),
        ] {
            let plan = plan(&store, statement).await;
            let all = plan.join("\n");
            assert!(all.contains(index), "{posts} finished, {statement}:\n{all}");
            assert!(!all.contains("TEMP B-TREE"), "{posts} finished, {statement}:\n{all}");
            let scans = plan.iter().any(|step| step.starts_with("SCAN") && !step.contains("INDEX"));
            assert!(!scans, "{posts} finished, {statement}:\n{all}");
        }
    }
}

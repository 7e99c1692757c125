//! How the database goes about finding the next thing to do.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::{Kept, people, postgres, script};
use crate::store::{
    Store, Vault,
    db::engine::{Pool, Sql, query},
    maintenance::reconcile::{ASK, FAILED, LOOK_FIRST, LOOK_IF_RETRIED, LOOK_ONCE_MORE, RECORD, UNFINISHED},
    posts::lease::{
        CLAIM_CALL, CLAIM_TRANSFER, NEXT_CALL_DUE, NEXT_LANE_DUE, NEXT_POST, NEXT_POST_DUE, NEXT_TRANSFER_DUE,
    },
};

/// A thousand accounts, this many finished posts of one of them, and two posts of each that are due.
fn finished(posts: i64, numbers: impl Fn(i64) -> String) -> String {
    let (accounts, numbers) = (numbers(1_000), numbers(posts + 2_000));
    format!(
        "INSERT INTO users (id, platform, platform_user, name, created_at) VALUES ('u', 'console', 'u', 'u', 0);
         WITH {accounts}
         INSERT INTO x_accounts (id, username, name, tier, active, due_at, transfer_user, token_state, scope,
                                 access_expires_at, profile_at, updated_at)
         SELECT CAST(i AS TEXT), 'one', 'one', 'free', 1, CASE WHEN i < 3 THEN 5 END, CASE i % 2 WHEN 1 THEN 'u' END, 'ok', '', 0, 0, 0 FROM n WHERE i > 0;
         WITH {numbers}
         INSERT INTO posts (id, dedupe_key, request_id, user_id, account_id, caption, attachment, options, state, due_at,
                            x_post_id, created_at, updated_at)
         SELECT CAST(100000000 + i AS TEXT), CAST(i AS TEXT), CAST(i AS TEXT), 'u',
                CASE WHEN i > {posts} THEN CAST(1 + i % 1000 AS TEXT) ELSE '1' END, '', '{{}}', '{{}}',
                CASE WHEN i < {posts} THEN 'posted' ELSE 'staging' END, CASE WHEN i < {posts} THEN NULL ELSE 5 END,
                CASE WHEN i < {posts} THEN CAST(i AS TEXT) END, 0, 0 FROM n;"
    )
}

/// What a restored database is asked, and the index that answers.
const RECONCILING: [(&str, &str); 7] = [
    (UNFINISHED, "posts_unsure"),
    (RECORD, "posts_lane"),
    (LOOK_FIRST, "posts_lane"),
    (ASK, "posts_lane"),
    (LOOK_ONCE_MORE, "posts_unsure"),
    (FAILED, "posts_failed"),
    (LOOK_IF_RETRIED, "posts_failed"),
];

/// What SQLite would do for a statement, a step a line.
async fn sqlite_plan(store: &Store, statement: Sql) -> Vec<String> {
    let Pool::Sqlite(pool) = &store.write else { panic!("not SQLite") };
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement.sqlite));
    let rows = sqlx::query(explain).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn a_claim_looks_only_at_what_is_due() {
    if postgres::leave_out("SQLite's plans") {
        return;
    }
    for posts in [1_000, 100_000] {
        let kept = Kept::new().await;
        let store = kept.open(Vault::new(&[7; 32])).await;
        let numbers =
            |most| format!("RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {most})");
        // What the optimiser learns of the tables may change its mind.
        script(&store, &(finished(posts, numbers) + "ANALYZE")).await;
        for (statement, index) in [
            (NEXT_LANE_DUE.into(), "INDEX x_accounts_due"),
            (NEXT_CALL_DUE.into(), "INDEX x_accounts_call"),
            (NEXT_TRANSFER_DUE.into(), "INDEX x_accounts_transfer"),
            (CLAIM_CALL, "INDEX x_accounts_call"),
            (CLAIM_TRANSFER, "INDEX x_accounts_transfer"),
            (NEXT_POST.into(), "INDEX posts_lane (account_id=? AND due_at<?)"),
            (NEXT_POST_DUE.into(), "INDEX posts_lane (account_id=?"),
        ] {
            let plan = sqlite_plan(&store, statement).await;
            let (all, statement) = (plan.join("\n"), statement.sqlite);
            assert!(all.contains(index), "{posts} finished, {statement}:\n{all}");
            assert!(!all.contains("TEMP B-TREE"), "{posts} finished, {statement}:\n{all}");
            let scans = plan.iter().any(|step| step.starts_with("SCAN") && !step.contains("INDEX"));
            assert!(!scans, "{posts} finished, {statement}:\n{all}");
        }
        for (statement, index) in RECONCILING {
            let plan = sqlite_plan(&store, statement.into()).await.join("\n");
            assert!(plan.contains(index), "{posts} finished, {statement}:\n{plan}");
            let scans =
                plan.lines().any(|step| step.starts_with("SCAN posts") && !step.contains("INDEX posts_"));
            assert!(!scans, "{posts} finished, {statement}:\n{plan}");
        }
    }
}

/// What PostgreSQL would do for a statement whatever its values are, as for one that is prepared.
async fn postgres_plan(connection: &mut PgConnection, statement: Sql, values: &str) -> String {
    let explain = format!(
        "PREPARE looked_at AS {}; EXPLAIN (COSTS OFF) EXECUTE looked_at {values}",
        statement.postgres
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
    sqlx::raw_sql("DEALLOCATE looked_at").execute(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0) + "\n").collect()
}

#[tokio::test]
async fn a_claim_on_postgresql_looks_only_at_what_is_due() {
    let Some(kept) = Kept::on_postgres().await else { return };
    let Kept::Postgres(database) = &kept else { unreachable!() };
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let numbers = |most| format!("n (i) AS (SELECT i FROM generate_series(0, {most}) AS i)");
    let rows = finished(100_000, numbers) + "ANALYZE; SET plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut connection).await.unwrap();
    for (statement, values, index) in [
        (NEXT_LANE_DUE.into(), None, "x_accounts_due"),
        (NEXT_CALL_DUE.into(), None, "x_accounts_call"),
        (NEXT_TRANSFER_DUE.into(), Some("('u')"), "x_accounts_transfer"),
        (CLAIM_CALL, Some("(9, 9, 'me')"), "x_accounts_call"),
        (CLAIM_TRANSFER, Some("(9, 9, 'me', 'v')"), "x_accounts_transfer"),
        (NEXT_POST.into(), Some("('1', 9)"), "posts_lane"),
        (NEXT_POST_DUE.into(), Some("('1')"), "posts_lane"),
    ] {
        let statement: Sql = statement;
        let plan = match values {
            Some(values) => postgres_plan(&mut connection, statement, values).await,
            None => {
                let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {}", statement.postgres));
                let rows: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut connection).await.unwrap();
                rows.join("\n")
            }
        };
        assert!(plan.contains(&format!("using {index}")), "{}:\n{plan}", statement.postgres);
        assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{}:\n{plan}", statement.postgres);
    }
    for (statement, index) in RECONCILING {
        let values = match statement {
            RECORD => "(9, 'me', '1')",
            LOOK_FIRST | LOOK_ONCE_MORE => "(9, '1')",
            ASK => "(9, '1', 9)",
            LOOK_IF_RETRIED => "('1')",
            _ => "",
        };
        let plan = postgres_plan(&mut connection, statement.into(), values).await;
        assert!(plan.contains(index), "{statement}:\n{plan}");
        assert!(!plan.contains("Seq Scan on posts"), "{statement}:\n{plan}");
    }
}

#[tokio::test]
async fn a_post_that_is_not_over_is_always_due() {
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&[7; 32])).await;
    let account = people::pending("alice").profile.id;
    people::link(&store, "alice", "alice").await;
    people::accept(&store, "alice", "alice").await;
    for state in ["staging", "inspecting", "uploading", "processing", "describing", "publishing"] {
        let rest = query("UPDATE posts SET due_at = NULL, state = $1 WHERE account_id = $2")
            .bind(state)
            .bind(&account.0)
            .execute(&store.write);
        let refused = rest.await.expect_err(state);
        assert!(matches!(&refused, sqlx::Error::Database(error) if error.is_check_violation()), "{refused}");
    }
}

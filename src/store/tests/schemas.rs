//! Two migration folders, one schema: what both databases say of themselves once migrated.

use std::{collections::BTreeSet, fs, path::Path};

use sqlx::AssertSqlSafe;

use super::Kept;
use crate::{
    config,
    store::{Store, Vault, db::engine::Pool},
};

/// Everything there is, a line each.
type Schema = BTreeSet<String>;

/// As both engines write the condition of an index, or a default.
fn plain(text: &str) -> String {
    let text = text.replace("::text", "").replace("::bigint", "").replace(['(', ')', '"'], "");
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

async fn sqlite() -> Schema {
    let folder = tempfile::tempdir().unwrap();
    let settings = config::Database::sqlite(&folder.path().join("toall.db"));
    let store = Store::open(&settings, Vault::new(&[7; 32]), 0).await.unwrap();
    let Pool::Sqlite(pool) = &store.read else { panic!("not SQLite") };
    let mut schema = Schema::new();
    let columns: Vec<(String, String, String, i64, Option<String>, i64)> = sqlx::query_as(
        "SELECT t.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk
           FROM sqlite_schema t JOIN pragma_table_info(t.name) c
          WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for (table, column, kind, not_null, default, key) in columns {
        let needed = not_null == 1 || key > 0;
        let default = default.map(|text| plain(&text));
        schema.insert(format!("column {table}.{column} {kind} needed {needed} default {default:?}"));
    }
    let indexes: Vec<(String, String, String, i64, String, Option<String>)> = sqlx::query_as(
        "SELECT t.name, i.name, i.origin, i.\"unique\",
                (SELECT group_concat(x.name, ',' ORDER BY x.seqno) FROM pragma_index_info(i.name) x),
                (SELECT s.sql FROM sqlite_schema s WHERE s.name = i.name)
           FROM sqlite_schema t JOIN pragma_index_list(t.name) i
          WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for (table, name, origin, unique, columns, text) in indexes {
        schema.insert(match origin.as_str() {
            "pk" => format!("key {table} ({columns})"),
            "u" => format!("unique {table} ({columns})"),
            _ => {
                let text = text.unwrap();
                let condition = text.split_once(" WHERE ").map(|(_, condition)| plain(condition));
                format!("index {name} on {table} ({columns}) unique {} where {condition:?}", unique == 1)
            }
        });
    }
    // The key of a rowid is no index.
    schema.insert("key post_events (id)".to_owned());
    let foreign: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT t.name, f.\"from\", f.\"table\", f.\"to\" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f
          WHERE t.type = 'table'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for (table, from, other, to) in foreign {
        schema.insert(format!("reference {table}.{from} to {other}.{to}"));
    }
    let tables: Vec<(String, String)> =
        sqlx::query_as("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(pool)
            .await
            .unwrap();
    for (table, text) in tables {
        let checks = text.matches("CHECK (").count();
        if checks > 0 {
            schema.insert(format!("{table} has {checks} checks"));
        }
    }
    schema
}

/// Table, name, type, whether it is needed, default and collation.
type Column = (String, String, String, bool, Option<String>, Option<String>);

async fn postgres(pool: &sqlx::PgPool) -> Schema {
    let mut schema = Schema::new();
    let columns: Vec<Column> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'NO', column_default::text,
                collation_name::text
           FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for (table, column, kind, needed, default, collation) in columns {
        let kind = match kind.as_str() {
            "bigint" => "INTEGER",
            "text" => "TEXT",
            "bytea" => "BLOB",
            other => other,
        };
        assert!(
            kind != "TEXT" || collation.as_deref() == Some("C"),
            "{table}.{column} compares as {collation:?}"
        );
        let default = default.map(|text| plain(&text));
        schema.insert(format!("column {table}.{column} {kind} needed {needed} default {default:?}"));
    }
    let indexes: Vec<(String, String, bool, bool, String, Option<String>)> = sqlx::query_as(
        "SELECT t.relname::text, i.relname::text, x.indisprimary, x.indisunique,
                (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(x.indkey) WITH ORDINALITY k (attribute, n)
                   JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attribute),
                pg_get_expr(x.indpred, x.indrelid)
           FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
           JOIN pg_namespace s ON s.oid = t.relnamespace
          WHERE s.nspname = 'public' AND t.relname NOT LIKE '\\_sqlx%'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for (table, name, primary, unique, columns, condition) in indexes {
        let condition = condition.map(|text| plain(&text));
        schema.insert(match (primary, unique) {
            (true, _) => format!("key {table} ({columns})"),
            (false, true) => format!("unique {table} ({columns})"),
            _ => format!("index {name} on {table} ({columns}) unique {unique} where {condition:?}"),
        });
    }
    let foreign: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT t.relname::text, a.attname::text, o.relname::text, b.attname::text
           FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class o ON o.oid = c.confrelid
           JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1]
           JOIN pg_attribute b ON b.attrelid = o.oid AND b.attnum = c.confkey[1]
          WHERE c.contype = 'f'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for (table, from, other, to) in foreign {
        schema.insert(format!("reference {table}.{from} to {other}.{to}"));
    }
    let checks: Vec<(String, i64)> = sqlx::query_as(
        "SELECT t.relname::text, count(*) FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
           JOIN pg_namespace s ON s.oid = t.relnamespace
          WHERE c.contype = 'c' AND s.nspname = 'public' GROUP BY t.relname",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    for (table, checks) in checks {
        schema.insert(format!("{table} has {checks} checks"));
    }
    schema
}

#[tokio::test]
async fn both_engines_have_the_same_tables_columns_indexes_and_keys() {
    let Some(kept) = Kept::on_postgres().await else { return };
    let store = kept.open(Vault::new(&[7; 32])).await;
    let Pool::Postgres(pool) = &store.read else { panic!("not PostgreSQL") };
    let (ours, theirs) = (sqlite().await, postgres(&pool.pool).await);
    let only = |a: &Schema, b: &Schema| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(
        (only(&ours, &theirs), only(&theirs, &ours)),
        (Vec::new(), Vec::new()),
        "only SQLite, only PostgreSQL"
    );
    assert!(ours.len() > 100, "{}", ours.len());

    let filled: Vec<String> = sqlx::query_scalar(AssertSqlSafe(
        "SELECT relname::text FROM pg_class WHERE reloptions @> ARRAY['fillfactor=80'] ORDER BY relname",
    ))
    .fetch_all(&pool.pool)
    .await
    .unwrap();
    assert_eq!(filled, ["posts", "x_accounts"]);
}

/// What each `CHECK (…)` of a migration asks, in its order.
fn checks(engine: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let asked = text.match_indices("CHECK (").map(|(at, _)| {
        let mut depth = 0;
        let end = text[at..].find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0 && c == ')'
        });
        text[at..at + end.unwrap()].split_whitespace().collect::<Vec<_>>().join(" ")
    });
    asked.collect()
}

#[test]
fn both_migrations_check_the_same() {
    let ours = checks("sqlite");
    assert!(ours.len() >= 5, "{ours:?}");
    assert_eq!(ours, checks("postgres"));
    // And the files are numbered alike.
    let names = |engine| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

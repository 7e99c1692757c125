//! Whatever is stored arrives as it was, or nothing does.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::{
    store::{
        LinkRequest, Store,
        db::sqlite,
        tests::{
            Kept, NOW,
            people::{accept, link, pending, place},
            script,
        },
    },
    ticket::Ticket,
};

const KEY: [u8; 32] = [7; 32];

/// A row at least of everything, some of it odd.
const REST: &str = "
    INSERT INTO post_media VALUES ('m1', (SELECT min(id) FROM posts), 1), ('m2', (SELECT max(id) FROM posts), 2);
    INSERT INTO post_digests VALUES ((SELECT min(id) FROM posts), hex'00ff'), ((SELECT max(id) FROM posts), hex'01');
    INSERT INTO media_segments VALUES ('m1', 0), ('m1', 10), ('m2', 9);
    UPDATE posts SET caption = 'Grüße 🏄 ''quoted'' \\ and' || chr10, sha256 = '' WHERE id = (SELECT min(id) FROM posts);
    UPDATE x_accounts SET lease_owner = 'a dead process', due_at = 5 WHERE id = 'at bob';
    INSERT INTO uploads VALUES ('u', 'telegram:alice', 'a.mp4', 'video/mp4', 9223372036854775807, NULL, NULL, 0, 0, 1, -1);
    INSERT INTO idempotency VALUES ('telegram:alice', 'key', 'hash', 'request', 1);
    INSERT INTO api_tokens VALUES ('hash', 'id', 'telegram:alice', '', 'last', 1, NULL);
    INSERT INTO limits (scope, until, reason) VALUES ('app', 1, 'reason');
    INSERT INTO incidents VALUES ('b', 1), ('B', 2), ('ä', 3), ('a', 4);
    INSERT INTO leases VALUES ('a poller', 'a dead process', 1, 1);
    INSERT INTO sessions VALUES ('s', 'id', 'telegram:alice', (SELECT payload_sealed FROM tickets LIMIT 1), 1, 1, 1);
    INSERT INTO charges VALUES ('c', 'telegram:alice', 10, 1);
    INSERT INTO operators VALUES ('telegram:alice', 1);
    INSERT INTO admissions VALUES ('telegram:alice', 'place', 'via', 1);";

fn vault() -> Vault {
    Vault::new(&KEY)
}

/// An installation with something in every table.
async fn full() -> Kept {
    let kept = Kept::new().await;
    let store = kept.open(vault()).await;
    for name in ["alice", "bob"] {
        link(&store, name, name).await;
    }
    for _ in 0..3 {
        accept(&store, "alice", "alice").await;
    }
    let request =
        LinkRequest { person: pending("carol").person, place: place("carol"), verifier: "verifier".into() };
    store.keep_request(&Ticket::draw().unwrap(), &request, NOW + 1).await.unwrap();
    let (line_feed, bytes) = match kept {
        Kept::Sqlite(_) => ("char(10)", "x'"),
        Kept::Postgres(_) => ("chr(10)", r"'\x"),
    };
    script(&store, &REST.replace("chr10", line_feed).replace("hex'", bytes)).await;
    // More than one statement writes.
    for number in 0..1_200 {
        query_event(&store, number).await;
    }
    store.close().await;
    kept
}

async fn query_event(store: &Store, number: i64) {
    let statement = format!(
        "INSERT INTO post_events (post_id, at, node, kind) VALUES ((SELECT min(id) FROM posts), {number}, 'node', 'kind')"
    );
    script(store, &statement).await;
}

async fn moved(from: &Kept, to: &Kept) -> Result<Vec<Moved>, MoveError> {
    move_database(&from.settings(), &to.settings(), &vault(), NOW, |_| {}).await
}

/// Every value of every table of a SQLite file, as text.
async fn everything(kept: &Kept) -> BTreeMap<String, Vec<String>> {
    let Kept::Sqlite(folder) = kept else { panic!("not SQLite") };
    let address = format!("sqlite:{}", folder.path().join("toall.db").display());
    let mut file = SqliteConnection::connect(&address).await.unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, group_concat('quote(' || c.name || ')', '||'',''||') FROM sqlite_schema t
           JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'
            AND t.name NOT LIKE 'sqlite%' GROUP BY t.name",
    )
    .fetch_all(&mut file)
    .await
    .unwrap();
    let mut all = BTreeMap::new();
    for (table, columns) in tables {
        let rows = AssertSqlSafe(format!("SELECT {columns} FROM {table} ORDER BY 1"));
        all.insert(table, sqlx::query_scalar(rows).fetch_all(&mut file).await.unwrap());
    }
    all
}

fn file() -> Kept {
    Kept::Sqlite(TempDir::new().unwrap())
}

#[tokio::test]
async fn everything_arrives_there_and_back_again() {
    let first = full().await;
    // On the way it is in PostgreSQL, where there is one.
    let second = Kept::on_postgres().await.unwrap_or_else(file);
    let (third, fourth) = (file(), file());
    let there = moved(&first, &second).await.unwrap();
    let back = moved(&second, &third).await.unwrap();
    assert_eq!(there, back);
    let empty: Vec<_> = there.iter().filter(|table| table.rows == 0).collect();
    assert!(empty.is_empty(), "this test puts nothing into {empty:?}");

    // What the move itself has not compared: the first against the last, by other means.
    moved(&first, &fourth).await.unwrap();
    let all = everything(&third).await;
    assert_eq!(all, everything(&fourth).await);
    assert_eq!(all.len(), there.len() + 1, "{:?}", all.keys());
    assert!(all[LEASES].is_empty(), "nobody does anything there");
    for Moved { table, rows } in &there {
        assert_eq!(all[table].len() as u64, *rows, "{table}");
    }
    if matches!(first, Kept::Sqlite(_)) {
        let mut before = everything(&first).await;
        for (table, rows) in &all {
            let before = before.remove(table).unwrap();
            let changed: Vec<_> = rows.iter().filter(|row| !before.contains(row)).collect();
            // The lane that somebody held is free.
            assert_eq!(changed.len(), usize::from(table == "x_accounts"), "{table}: {changed:?}");
        }
    }
}

#[tokio::test]
async fn where_it_went_it_goes_on() {
    let first = full().await;
    let second = Kept::on_postgres().await.unwrap_or_else(file);
    moved(&first, &second).await.unwrap();
    let store = second.open(vault()).await;
    let held: Vec<(Option<String>, i64, i64)> =
        crate::store::query("SELECT lease_owner, epoch, due_at FROM x_accounts WHERE id = 'at bob'")
            .fetch_all(&store.read)
            .await
            .unwrap();
    assert_eq!(held, [(None, 1, NOW)], "nobody holds a lane any more");
    let last = "SELECT max(id) FROM post_events";
    let before: i64 = crate::store::query(last).fetch_value(&store.read).await.unwrap();
    query_event(&store, 1).await;
    let after: i64 = crate::store::query(last).fetch_value(&store.read).await.unwrap();
    assert_eq!(after, before + 1, "events are counted on");
    let (tokens, _) = store.tokens(&pending("alice").profile.id).await.unwrap().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&tokens.refresh), "refresh of alice");
    store.close().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_changes_nothing() {
    let full = full().await;
    let (target, empty) = (file(), file());
    let refused = async |from: &config::Database, to: &config::Database, key: [u8; 32]| {
        let error = move_database(from, to, &Vault::new(&key), NOW, |_| {}).await.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error} | {source}")
    };
    let (here, there) = (full.settings(), target.settings());
    for (from, to, key, says) in [
        (&here, &there, [8; 32], "the key of this config does not open"),
        (&here, &here, KEY, "--from and --to name the same database"),
        (&empty.settings(), &there, KEY, "there is no database"),
        (
            &here,
            &config::Database {
                url: "postgres://toall:hidden@127.0.0.1:1/toall".into(),
                max_connections: 2,
                retention_days: 400,
            },
            KEY,
            "--to: PostgreSQL at 127.0.0.1:1 does not answer",
        ),
    ] {
        let said = refused(from, to, key).await;
        assert!(said.contains(says) && !said.contains("hidden"), "{said}");
    }

    // A service has it.
    let store = full.open(vault()).await;
    let said = refused(&here, &there, KEY).await;
    assert!(said.contains("in use"), "{said}");
    store.close().await;
    drop(store);

    // Tables without an installation.
    let Kept::Sqlite(folder) = &empty else { unreachable!() };
    let path = format!("sqlite:{}", folder.path().join("toall.db").display());
    sqlite::open(&path).await.unwrap().write.close().await;
    let said = refused(&empty.settings(), &there, KEY).await;
    assert!(said.contains("holds no installation of toall"), "{said}");

    // Versions.
    for (change, says) in [
        ("INSERT INTO _sqlx_migrations SELECT 9999, description, installed_on, success, checksum, execution_time
            FROM _sqlx_migrations LIMIT 1", "written by a newer version"),
        ("DELETE FROM _sqlx_migrations", "written by an older version"),
    ] {
        let other = full.copy().await;
        let store = other.open(vault()).await;
        script(&store, change).await;
        store.close().await;
        drop(store);
        let said = refused(&other.settings(), &there, KEY).await;
        assert!(said.contains(says), "{said}");
    }

    // And nothing of all this is in the way of the move, which no second one follows.
    moved(&full, &target).await.unwrap();
    let said = refused(&here, &there, KEY).await;
    assert!(said.contains("is not empty: "), "{said}");
}

#[tokio::test]
async fn stopped_or_spoilt_half_way_it_leaves_nothing_behind() {
    let full = full().await;
    for (spoil, says) in [
        (
            "BEFORE INSERT ON post_events WHEN NEW.id = 900 BEGIN SELECT RAISE(FAIL, 'full'); END",
            "could not be written",
        ),
        (
            "AFTER INSERT ON post_events WHEN NEW.id = 900 BEGIN UPDATE post_events SET at = at + 1 WHERE id = 900; END",
            "row 900 of post_events reads back otherwise",
        ),
        (
            "AFTER INSERT ON post_events WHEN NEW.id = 900 BEGIN DELETE FROM post_events WHERE id = 800; END",
            "of post_events reads back otherwise",
        ),
    ] {
        let target = file();
        let Kept::Sqlite(folder) = &target else { unreachable!() };
        let path = format!("sqlite:{}", folder.path().join("toall.db").display());
        let opened = sqlite::open(&path).await.unwrap();
        let statement = AssertSqlSafe(format!("CREATE TRIGGER spoilt {spoil}"));
        sqlx::raw_sql(statement).execute(&opened.write).await.unwrap();
        opened.read.close().await;
        opened.write.close().await;
        drop(opened);
        let error = moved(&full, &target).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let left = everything(&target).await;
        assert!(left.values().all(Vec::is_empty), "{left:?}");
    }
}

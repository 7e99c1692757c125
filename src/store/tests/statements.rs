//! The compiler does not read SQL; both engines do here, every statement there is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, Column, Either, Executor, SqlSafeStr, Statement, TypeInfo};

use super::{Kept, postgres};
use crate::store::{
    READ_ONLY, Vault,
    db::engine::{Pool, Sql},
    maintenance::{
        reconcile::{ASK, FAILED, LOOK_FIRST, LOOK_IF_RETRIED, LOOK_ONCE_MORE, RECORD, UNFINISHED},
        rekey::SEALED,
    },
    posts::{
        lease::{
            CLAIM_CALL, CLAIM_SUSPECT, CLAIM_TRANSFER, NEXT_CALL_DUE, NEXT_LANE_DUE, NEXT_POST,
            NEXT_POST_DUE, NEXT_TRANSFER_DUE,
        },
        outbox::TAKE_NOTICES,
        status_outbox::TAKE_STATUSES,
    },
};

/// The files that speak to one engine natively; every other statement goes through [`crate::store::db::engine::query`].
const NATIVE: [&str; 5] = ["backup.rs", "engine.rs", "sqlite.rs", "postgres.rs", "notify.rs"];

/// A statement in both tongues, and where it stands.
struct Found {
    at: String,
    sqlite: String,
    postgres: String,
}

/// Every argument of `query(…)` in the text of a file.
fn statements(file: &str, text: &str, found: &mut Vec<Found>) {
    for (at, call) in text.match_indices("query(") {
        let before = text[..at].chars().next_back().unwrap_or(' ');
        if before.is_alphanumeric() || before == '_' || before == ':' {
            let native = text[..at].ends_with("sqlx::");
            assert!(!native || file == "rekey.rs", "{file} speaks to sqlx by itself: {}", line(&text[at..]));
            continue;
        }
        let argument = skip(&text[at + call.len()..]);
        let (locked, argument) = match argument.strip_prefix("locking!(") {
            Some(argument) => (true, skip(argument)),
            None => (false, argument),
        };
        let at = format!("{file}: {}", line(argument));
        if let Some(literal) = argument.strip_prefix('"') {
            let sqlite = literal_value(literal);
            let postgres = if locked { format!("{sqlite} FOR NO KEY UPDATE") } else { sqlite.clone() };
            found.push(Found { at, sqlite, postgres });
        } else {
            // Those are named below.
            let known = ["NEXT_", "CLAIM_", "TAKE_", "READ_ONLY", "sealed.select", "sealed.update"];
            let known = file == "reconcile.rs" || known.iter().any(|name| argument.starts_with(name));
            assert!(known, "{at} is no literal");
        }
    }
}

fn line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Without the white space and comments it begins with.
fn skip(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix("//") {
            Some(comment) => text = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => return text,
        }
    }
}

/// What a string literal means, from after its first quote.
fn literal_value(text: &str) -> String {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().expect("a literal that ends") {
            '"' => return value,
            '\\' => value.push(chars.next().expect("an escape that ends")),
            other => value.push(other),
        }
    }
}

fn all() -> Vec<Found> {
    let mut found = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let entries = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let rooms = entries(&folder).into_iter().filter(|path| path.is_dir() && !path.ends_with("tests"));
    for path in rooms.flat_map(|room| entries(&room)).chain([folder.with_extension("rs")]) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".rs") && !NATIVE.contains(&name.as_str()) {
            statements(&name, &fs::read_to_string(&path).unwrap(), &mut found);
        }
    }
    let written = found.len();
    assert!(written > 100, "only {written} statements were found");
    let reconcile =
        [ASK, FAILED, LOOK_FIRST, LOOK_IF_RETRIED, LOOK_ONCE_MORE, RECORD, UNFINISHED].map(Sql::from);
    let named: [Sql; 11] = [
        CLAIM_CALL,
        CLAIM_TRANSFER,
        CLAIM_SUSPECT,
        NEXT_CALL_DUE.into(),
        NEXT_TRANSFER_DUE.into(),
        NEXT_LANE_DUE.into(),
        NEXT_POST.into(),
        NEXT_POST_DUE.into(),
        READ_ONLY,
        TAKE_STATUSES,
        TAKE_NOTICES,
    ];
    let sealed = SEALED.iter().flat_map(|sealed| [sealed.select.into(), sealed.update.into()]);
    found.extend(named.into_iter().chain(reconcile).chain(sealed).map(|sql: Sql| Found {
        at: sql.sqlite.to_owned(),
        sqlite: sql.sqlite.to_owned(),
        postgres: sql.postgres.to_owned(),
    }));
    found
}

#[tokio::test]
async fn sqlite_understands_every_statement() {
    if postgres::leave_out("SQLite reads the statements in the other run") {
        return;
    }
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&[7; 32])).await;
    let Pool::Sqlite(pool) = &store.write else { panic!("not SQLite") };
    let mut wrong = Vec::new();
    for Found { at, sqlite, .. } in all() {
        if let Err(error) = pool.prepare(AssertSqlSafe(sqlite).into_sql_str()).await {
            wrong.push(format!("{at}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn postgresql_understands_every_statement_and_stores_three_types() {
    let Some(kept) = Kept::on_postgres().await else { return };
    let store = kept.open(Vault::new(&[7; 32])).await;
    let Pool::Postgres(pool) = &store.write else { panic!("not PostgreSQL") };
    let mut wrong = Vec::new();
    for Found { at, postgres, .. } in all() {
        let prepared = match pool.pool.prepare(AssertSqlSafe(postgres).into_sql_str()).await {
            Ok(prepared) => prepared,
            Err(error) => {
                wrong.push(format!("{at}: {error}"));
                continue;
            }
        };
        let given = match prepared.parameters() {
            Some(Either::Left(given)) => given.iter().map(TypeInfo::name).collect::<Vec<_>>(),
            _ => panic!("{at}: its parameters are not known"),
        };
        let back = prepared.columns().iter().map(|column| column.type_info().name());
        let odd = given.into_iter().chain(back).find(|name| !["INT8", "TEXT", "BYTEA"].contains(name));
        wrong.extend(odd.map(|name| format!("{at}: {name}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

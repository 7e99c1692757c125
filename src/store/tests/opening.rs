//! What the operator reads when PostgreSQL is there and not as it should be; each case a real one.

use std::{net::Ipv4Addr, time::Duration};

use sqlx::AssertSqlSafe;

use super::{
    NOW,
    postgres::{self, Cluster, Database},
};
use crate::{
    config,
    store::{Store, Vault},
};

/// What is said on opening this address with this key.
async fn said(url: &str, key: u8) -> String {
    let settings = config::Database { url: url.into(), max_connections: 5, retention_days: 400 };
    let opened = Store::open(&settings, Vault::new(&[key; 32]), NOW).await;
    let error = opened.err().expect("it opens");
    let (said, more) = (error.to_string(), format!("{error:?}"));
    assert!(!said.contains("hush") && !more.contains("hush"), "{more}");
    assert!(!said.contains('\n'), "{said}");
    said
}

/// Does something on the server, as its owner.
async fn run(cluster: &Cluster, database: &str, statements: &str) {
    let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
    statements.execute(&mut cluster.connect(database).await).await.unwrap();
}

/// Makes somebody of the name of a database, who needs a password.
async fn somebody(cluster: &Cluster, database: &Database) {
    let name = &database.name;
    let make = format!(
        "DO $$ BEGIN CREATE ROLE with_password; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$;
         CREATE ROLE {name} LOGIN PASSWORD 'right' IN ROLE with_password"
    );
    run(cluster, "postgres", &make).await;
}

/// An address over loopback.
fn address(cluster: &Cluster, user: &str, database: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{}/{database}", cluster.port())
}

#[tokio::test]
async fn nobody_answers() {
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let said = said(&format!("postgres://toall:hush@{free}/toall"), 7).await;
    assert!(said.starts_with(&format!("PostgreSQL at {free} does not answer: ")), "{said}");
    assert!(said.ends_with("Start it, or correct the host and port in database.url"), "{said}");
}

#[tokio::test]
async fn the_password_is_wrong() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.empty().await;
    somebody(cluster, &database).await;
    let user = format!("{}:hush", database.name);
    let said = said(&address(cluster, &user, &database.name), 7).await;
    let name = &database.name;
    assert!(said.contains(&format!("does not let the user {name} in: ")), "{said}");
    assert!(said.contains("Correct the user and password in database.url"), "{said}");
}

#[tokio::test]
async fn the_database_is_missing() {
    let Some(cluster) = postgres::cluster().await else { return };
    let said = said(&address(cluster, "toall:hush", "nowhere"), 7).await;
    let port = cluster.port();
    assert_eq!(
        said,
        format!(
            "PostgreSQL at 127.0.0.1:{port} has no database nowhere. Make it with `createdb --owner=toall nowhere`, or \
             correct its name in database.url"
        )
    );
}

#[tokio::test]
async fn there_is_no_tls_where_it_is_asked_for() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.empty().await;
    let url = address(cluster, "toall:hush", &database.name) + "?sslmode=verify-full";
    let said = said(&url, 7).await;
    assert!(said.starts_with("there is no safe connection to PostgreSQL at 127.0.0.1"), "{said}");
    assert!(said.contains("it has TLS switched off"), "{said}");
    assert!(said.contains("or sslmode and sslrootcert in database.url"), "{said}");
}

#[tokio::test]
async fn the_user_may_not_make_tables() {
    let Some(cluster) = postgres::cluster().await else { return };
    // A new database, and one that somebody else has filled.
    for database in [cluster.empty().await, cluster.database().await] {
        somebody(cluster, &database).await;
        let name = &database.name;
        run(
            cluster,
            name,
            &format!(
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {name}"
            ),
        )
        .await;
        let said = said(&address(cluster, &format!("{name}:right"), name), 7).await;
        assert!(
            said.starts_with(&format!(
                "the user {name} may not make and change tables in the database {name}"
            )),
            "{said}"
        );
        assert!(said.contains(&format!("`GRANT USAGE, CREATE ON SCHEMA public TO {name}`")), "{said}");
    }
}

#[tokio::test]
async fn the_database_can_only_be_read() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.database().await;
    let name = &database.name;
    run(cluster, "postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let said = said(&database.url, 7).await;
    assert!(
        said.starts_with(&format!("the database {name} at ")) && said.contains(" can only be read: "),
        "{said}"
    );
}

/// Puts words of our own before those of the server.
async fn pretend(cluster: &Cluster, database: &Database, function: &str) {
    let name = &database.name;
    run(
        cluster,
        name,
        &format!(
            "CREATE SCHEMA pretended; CREATE FUNCTION pretended.{function};
             ALTER DATABASE {name} SET search_path = pretended, pg_catalog, public"
        ),
    )
    .await;
}

#[tokio::test]
async fn the_server_is_too_old() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.empty().await;
    let old = "current_setting(asked text) RETURNS text LANGUAGE sql AS
               $$ SELECT CASE asked WHEN 'server_version_num' THEN '140019' ELSE '14.19' END $$";
    pretend(cluster, &database, old).await;
    let said = said(&database.url, 7).await;
    assert!(
        said.ends_with("is version 14.19, and toall needs 15 or newer. Upgrade the server, or use another"),
        "{said}"
    );
}

#[tokio::test]
async fn the_clocks_differ() {
    let Some(cluster) = postgres::cluster().await else { return };
    for (by, opens) in [
        ("- interval '3 seconds'", false),
        ("+ interval '4 seconds'", false),
        ("+ interval '1 second'", true),
    ] {
        let database = cluster.empty().await;
        let late = format!(
            "clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() {by} $$"
        );
        pretend(cluster, &database, &late).await;
        let settings =
            config::Database { url: database.url.as_str().into(), max_connections: 5, retention_days: 400 };
        match Store::open(&settings, Vault::new(&[7; 32]), NOW).await {
            Ok(store) => {
                assert!(opens, "{by}");
                store.close().await;
            }
            Err(error) => {
                assert!(!opens, "{by}: {error}");
                let said = error.to_string();
                assert!(said.contains(" s apart, and 2 s is the most. Set both by NTP"), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn a_newer_version_wrote_it() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.database().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', true, '', 0)";
    run(cluster, &database.name, later).await;
    let said = said(&database.url, 7).await;
    assert!(said.contains("was written by a newer version of toall. Install that version again"), "{said}");
}

#[tokio::test]
async fn another_installation_uses_it() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.empty().await;
    let settings =
        config::Database { url: database.url.as_str().into(), max_connections: 5, retention_days: 400 };
    // It has not even linked an account yet.
    let first = Store::open(&settings, Vault::new(&[7; 32]), NOW).await.unwrap();
    let said = said(&database.url, 8).await;
    assert!(said.contains("was written with another encryption key. Put the former key back"), "{said}");
    assert!(
        said.contains("If it belongs to another installation of toall, give this one a database of its own"),
        "{said}"
    );
    first.close().await;
}

#[tokio::test]
async fn several_processes_start_at_once_on_an_empty_database() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.empty().await;
    let settings =
        config::Database { url: database.url.as_str().into(), max_connections: 5, retention_days: 400 };
    let start = || Store::open(&settings, Vault::new(&[7; 32]), NOW);
    let all = futures::future::join_all([start(), start(), start(), start()]).await;
    for store in all {
        store.unwrap().close().await;
    }
}

#[tokio::test]
async fn the_server_has_no_connection_left() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.database().await;
    somebody(cluster, &database).await;
    let name = &database.name;
    run(cluster, name, &format!("ALTER DATABASE {name} CONNECTION LIMIT 0")).await;
    let said = said(&address(cluster, &format!("{name}:right"), name), 7).await;
    assert!(
        said.ends_with("has no connection left. Raise max_connections there, or close other programs"),
        "{said}"
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let url = format!("postgres://toall:hush@{address}/toall");
    let begun = std::time::Instant::now();
    let said = said(&url, 7).await;
    assert!(said.contains("does not answer"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

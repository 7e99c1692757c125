//! PostgreSQL with fewer connections than the configuration asks for, and behind a pooler.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use toall::{
    config,
    store::{OpenError, Store, Vault, available_connections},
};

use crate::{
    postgres::{self, Cluster},
    world::{NOON, PATIENCE, World, browser},
};

/// A server with five connections: four for the pool, one to listen on.
const FIVE: [&str; 5] = [
    "fsync=off",
    "max_connections=5",
    "superuser_reserved_connections=0",
    "max_wal_senders=0",
    "shared_buffers=16MB",
];

fn vault() -> Vault {
    Vault::new(&[7; 32])
}

#[tokio::test(flavor = "multi_thread")]
async fn four_connections_do_the_work_of_ten() {
    let Some(cluster) = Cluster::start(&FIVE).await else { return };
    let database = cluster.empty().await;
    let settings =
        config::Database { url: database.url.clone().into(), max_connections: 10, retention_days: 400 };
    assert_eq!(available_connections(&settings).await.unwrap(), 5);
    let store = Store::open(&settings, vault(), NOON).await.unwrap();

    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let store = store.clone();
        callers.spawn(async move {
            for _ in 0..20 {
                store.ping().await.unwrap();
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }

    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let short = async {
        while !store.is_short_of_connections() {
            store.ping().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, short).await.expect("it is known that the server has none left");
    store.close().await;
}

/// Posts go out and the load balancer keeps the process, but the operator hears what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn check_and_readyz_report_missing_connections() {
    let Some(cluster) = Cluster::start(&FIVE).await else { return };
    let database = cluster.empty().await;
    let folder = TempDir::new().unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_toall"));
    check.arg("check").env_clear().envs([
        ("TOALL_DATA_DIR", folder.path().to_str().unwrap()),
        ("TOALL_DATABASE__URL", &database.url),
        ("TOALL_SECURITY__ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("TOALL_TWITTER__API_URL", "http://127.0.0.1:1"),
        ("TOALL_TWITTER__CLIENT_ID", "id"),
    ]);
    let checked = tokio::task::spawn_blocking(move || check.output().unwrap()).await.unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.contains("✗ connections PostgreSQL gives 5 of 11 now"), "{said}");

    let world = World::at(cluster.empty().await).await.and_linked().await;
    let film = world.film(400_000);
    for number in 1..=6 {
        world.post("alice", &format!("Wave {number}"), &film).await;
    }
    world.until("six posts are made", |world| world.x.posts().len() == 6).await;
    let readyz = world.config.public_url.join("readyz").unwrap();
    let is_short = async {
        loop {
            let store = &world.app().store;
            let pings = futures::future::join_all((0..24).map(|_| store.ping()));
            assert!(pings.await.into_iter().all(|pinged| pinged.is_ok()));
            let answer = browser().get(readyz.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let report: serde_json::Value = answer.json().await.unwrap();
            if report["parts"]["database_connections"] == "failed" {
                break report;
            }
        }
    };
    let report =
        tokio::time::timeout(PATIENCE, is_short).await.expect("the missing connections are reported");
    assert_eq!(report["status"], "degraded", "{report}");
}

/// With a real PgBouncer, where one is installed.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_named() {
    let Some(cluster) = postgres::cluster().await else { return };
    let found =
        ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| fs::exists(path).unwrap());
    let Some(program) = found else {
        eprintln!("left out: no PgBouncer here");
        return;
    };
    let database = cluster.empty().await;
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (mode, is_refused) in [("transaction", true), ("session", false)] {
        let file = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=toall\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits\n",
            cluster.port()
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program);
        command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        // It refuses to run as root.
        if let Some((user, group)) = postgres::somebody() {
            command.uid(user).gid(group);
        }
        let mut pooler = command.spawn().unwrap();
        let settings = config::Database {
            url: format!("postgres://toall@127.0.0.1:{port}/{}", database.name).into(),
            max_connections: 10,
            retention_days: 400,
        };
        let began = Instant::now();
        let opened = loop {
            match Store::open(&settings, vault(), NOON).await {
                Err(OpenError::Unreachable { .. }) if began.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                opened => break opened,
            }
        };
        match opened {
            Ok(store) => {
                assert!(!is_refused, "{mode}");
                store.close().await;
            }
            Err(error) => {
                assert!(is_refused, "{mode}: {error}");
                let said = error.to_string();
                assert!(said.contains("a pooler in transaction mode"), "{said}");
            }
        }
        pooler.kill().unwrap();
        pooler.wait().unwrap();
    }
}

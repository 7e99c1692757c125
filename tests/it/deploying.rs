//! The commands of an operator and of what supervises the service, run as the real program.

use std::{
    fs,
    io::Read,
    net::Ipv4Addr,
    os::{
        fd::OwnedFd,
        unix::{
            fs::MetadataExt,
            net::{UnixDatagram, UnixStream},
        },
    },
    process::{Command, Output},
};

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use toall::app;

use crate::{
    postgres,
    world::{PATIENCE, World},
};

/// The program with an environment of its own.
fn toall(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_toall"));
    program.env_clear().envs(env.iter().copied()).args(args).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// 78 tells a supervisor that another start cannot help; see `ops/toall.service`.
#[test]
fn a_bad_configuration_ends_with_exit_code_78() {
    for command in ["serve", "check", "reconcile"] {
        let (code, _, errors) = said(&toall(&[command], &[("TOALL_PORT", "tcp://10.0.0.2:80")]));
        assert_eq!(code, Some(78), "{command}: {errors}");
        assert!(errors.contains("TOALL_TWITTER__CLIENT_ID"), "{errors}");
        assert!(!errors.contains("TOALL_PORT"), "{errors}");
    }
    let (code, _, errors) = said(&toall(&["serve"], &[("TOALL_CONFIG", "/nonexistent/config.toml")]));
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.contains("there is no such file"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_serving_has_every_row() {
    if postgres::leave_out("pg_dump makes the backups there") {
        return;
    }
    let world = World::linked().await;
    world.post("alice", "First wave", &world.film(400_000)).await;
    world.until_row("alice", "its row is there", |_| true).await;
    let copy = world.config.data_dir.join("copy.db");

    let mut out = Vec::new();
    app::backup::backup(&world.config, &copy, &mut out).await.unwrap();

    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("toall.key") && out.contains("toall reconcile"), "{out}");
    let options = SqliteConnectOptions::new().filename(&copy).read_only(true);
    let mut copied = SqliteConnection::connect_with(&options).await.unwrap();
    let rows: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM posts), (SELECT count(*) FROM users)")
            .fetch_one(&mut copied)
            .await
            .unwrap();
    assert_eq!(rows, (1, 1));
    let again = app::backup::backup(&world.config, &copy, &mut Vec::new()).await.unwrap_err();
    assert!(again.to_string().contains("is there already"), "{again}");
}

/// The check needs no setting but the address, and asks the loopback even if a proxy is set for the outside.
#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_asks_the_service_on_this_machine() {
    let world = World::new().await;
    let port = world.config.web.listen.port().to_string();
    let everywhere = format!("{}:{port}", Ipv4Addr::UNSPECIFIED);
    let proxy = ("HTTP_PROXY", "http://127.0.0.1:1");
    let healthy = tokio::task::spawn_blocking(move || {
        toall(&["healthcheck"], &[proxy, ("TOALL_WEB__LISTEN", &everywhere)])
    });
    let (code, answer, errors) = said(&healthy.await.unwrap());
    assert_eq!(code, Some(0), "{errors}");
    assert!(answer.contains("\"status\""), "{answer}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, _, errors) = said(&toall(&["healthcheck"], &[("TOALL_WEB__LISTEN", &free)]));
    assert_eq!(code, Some(1));
    assert!(errors.starts_with(&format!("toall does not answer at {free}")), "{errors}");
}

/// As in a container: links lead to the loopback of the host, and both listeners take connections from outside.
#[test]
fn a_demo_listens_where_it_is_told() {
    let (code, out, errors) = said(&toall(&["demo", "--exit", "--listen", "0.0.0.0:0"], &[]));
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(out.contains("http://127.0.0.1:") && !out.contains("0.0.0.0"), "{out}");
}

/// Starts the program as systemd does: stderr leads to a socket that JOURNAL_STREAM names, and readiness is told to
/// another.
#[test]
fn systemd_hears_of_readiness_and_priorities() {
    let folder = tempfile::tempdir().unwrap();
    let notify = folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&notify).unwrap();
    let (journal, stderr) = UnixStream::pair().unwrap();
    let stderr = OwnedFd::from(stderr);
    let place = fs::File::from(stderr.try_clone().unwrap()).metadata().unwrap();
    let mut service = Command::new(env!("CARGO_BIN_EXE_toall"))
        .env_clear()
        .env("NOTIFY_SOCKET", &notify)
        .env("JOURNAL_STREAM", format!("{}:{}", place.dev(), place.ino()))
        .env("TOALL_WEB__LISTEN", "127.0.0.1:0")
        .env("TOALL_DATA_DIR", folder.path().join("data"))
        .env("TOALL_TWITTER__CLIENT_ID", "id")
        .arg("serve")
        .stderr(stderr)
        .spawn()
        .unwrap();

    let mut heard = [0; 64];
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = supervisor.recv(&mut heard).unwrap();
    assert_eq!(&heard[..length], b"READY=1");
    rustix::process::kill_process(rustix::process::Pid::from_child(&service), rustix::process::Signal::TERM)
        .unwrap();
    let length = supervisor.recv(&mut heard).unwrap();
    assert_eq!(&heard[..length], b"STOPPING=1");
    assert!(service.wait().unwrap().success());

    let mut lines = String::new();
    let mut journal = journal;
    journal.read_to_string(&mut lines).unwrap();
    assert!(lines.lines().any(|line| line.starts_with("<6>") && line.contains("ready")), "{lines}");
    // Neither chat is configured, which is worth a warning.
    assert!(lines.lines().any(|line| line.starts_with("<4>")), "{lines}");
    assert!(lines.lines().all(|line| line.starts_with('<')), "{lines}");
}

//! Starting and stopping the real binary: SIGTERM, a second process on the same data, and what keeps it from starting.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use fastrand::Rng;
use tempfile::TempDir;
use toall::sandbox::{Call, Effect, Exchange, Fault, Gate, Sent};

use super::{
    child::Child,
    people::ALICE,
    s3,
    site::{Ground, Site, film},
};

/// What a person reads on a terminal, without the log.
fn sentences(said: &str) -> Vec<&str> {
    said.lines().filter(|line| !line.starts_with('{')).collect()
}

fn segments_sent(exchanges: &[Exchange]) -> Vec<u32> {
    let appends = exchanges.iter().filter(|exchange| exchange.call == Some(Call::Append));
    let mut segments: Vec<u32> = appends
        .map(|append| {
            let Sent::Multipart(parts) = &append.sent else { panic!("{append:?}") };
            let index = parts.iter().find(|part| part.name == "segment_index").unwrap();
            index.text.as_deref().unwrap().parse().unwrap()
        })
        .collect();
    segments.sort_unstable();
    segments
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_in_mid_upload_sends_no_segment_twice() {
    let site = Site::new(Ground { worker: "upload_parallelism = 2", ..Ground::default() }).await;
    site.start().await;
    site.link(ALICE).await;
    let bytes = film(13_000_000, &mut Rng::with_seed(1));
    let gate = Gate::closed();
    let held = site.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())).after(1).times(2));
    site.post(ALICE, "surf.mp4", &bytes, "Stopped").await;
    let mut seen = site.x.changes();
    seen.wait_for(|_| held.fired() > 0).await.unwrap();

    site.child.signal("TERM");
    site.child.until_logged("stopping").await;
    gate.open();
    let (status, took) = site.child.end().await;

    assert_eq!(status.code(), Some(0), "{}", site.child.said());
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(site.x.posts().len(), 0, "stopped on the way");
    site.start().await;
    site.until_told(ALICE, "Posted to @alice_makes").await;
    assert_eq!(segments_sent(&site.x.exchanges()), [0, 1, 2, 3], "each once");
    assert_eq!(site.x.posts().len(), 1);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_it_starts_ends_it_well() {
    let site = Site::new(Ground::default()).await;
    // Takes calls, and answers none.
    let silence = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = std::fs::read_to_string(site.config_path()).unwrap();
    let telegram = config.split("[telegram]").nth(1).unwrap();
    let address = telegram.split("api_url = \"").nth(1).unwrap().split('"').next().unwrap();
    let silent = format!("http://{}/", silence.local_addr().unwrap());
    std::fs::write(site.config_path(), config.replace(address, &silent)).unwrap();
    site.child.start();
    // It has called, so it waits.
    let called = tokio::task::spawn_blocking(move || silence.accept().unwrap()).await.unwrap();

    let (status, took) = site.child.stop().await;

    assert_eq!((status.code(), status.signal()), (Some(0), None), "{}", site.child.said());
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(called);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_until_the_first_is_gone() {
    let site = Site::new(Ground::default()).await;
    site.start().await;
    site.link(ALICE).await;
    let (elsewhere, _held) = site.neighbour();

    for config in [site.config_path(), elsewhere.clone()] {
        let second = Child::new(&config);
        second.start();
        let (status, _) = second.end().await;
        assert_eq!(status.code(), Some(1));
        let said = second.said_now();
        let [sentence] = sentences(&said)[..] else { panic!("{said}") };
        assert_eq!(
            sentence,
            format!(
                "{} is in use by another toall process. Stop that one first: a SQLite file belongs to one process",
                site.database().display()
            )
        );
    }
    site.post(ALICE, "surf.mp4", &film(0, &mut Rng::with_seed(2)), "Undisturbed").await;
    site.until_told(ALICE, "Posted to @alice_makes").await;

    assert!(site.child.kill());
    let second = Child::new(&elsewhere);
    second.start();
    second.until_ready().await;
    site.post(ALICE, "surf.mp4", &film(0, &mut Rng::with_seed(3)), "Taken over").await;
    site.telegram
        .wait_for(|telegram| {
            let said = telegram.said(ALICE.user.id);
            (said.iter().filter(|shown| shown.text.starts_with("Posted to")).count() == 2).then_some(())
        })
        .await;
    assert_eq!(second.stop().await.0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_of_a_killed_start_is_swept_from_the_bucket() {
    let site = Site::new(Ground { bucket: true, ..Ground::default() }).await;
    let folder = site.bucket.clone().unwrap().join(s3::BUCKET).join("posts");
    fs::create_dir_all(&folder).unwrap();
    let [left, young, foreign] = [
        "probe-0193a0a0-0000-7000-8000-000000000001",
        "probe-0193a0a0-0000-7000-8000-000000000002",
        "probe-of-somebody",
    ]
    .map(|name| folder.join(name));
    for path in [&left, &young, &foreign] {
        fs::write(path, "toall").unwrap();
    }
    for path in [&left, &foreign] {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_600_000_000)).unwrap();
    }

    site.start().await;

    site.child.until_logged("orphaned files removed").await;
    assert_eq!([left.exists(), young.exists(), foreign.exists()], [false, true, true]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_from_starting_fits_on_a_screen() {
    let cases = [(
        "public_url = \"nonsense\"\n[twiter]\nclient_id = \"a\"\n[telegram]\ntoken = \"1:hidden-secret\"\n\
             [worker]\nconcurrency = 0\n"
            .to_owned(),
        vec!["public_url", "twiter", "worker.concurrency"],
    )];
    for (config, names) in cases {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config.replace("DATA", folder.path().to_str().unwrap())).unwrap();
        refused(&path, &names).await;
    }
    let folder = TempDir::new().unwrap();
    refused(&folder.path().join("absent.toml"), &["absent.toml"]).await;
}

/// It says each of these on one screen, no secret, and ends with 78.
async fn refused(config: &Path, names: &[&str]) {
    let child = Child::new(config);
    child.start();
    let (status, _) = child.end().await;
    let said = child.said();
    assert_eq!(status.code(), Some(78), "{said}");
    let lines = sentences(&said);
    assert!(!lines.is_empty() && lines.len() <= 24 && lines.iter().all(|line| line.len() < 240), "{said}");
    for name in names {
        assert!(said.contains(name), "{name} is not named: {said}");
    }
    assert!(!said.contains("hidden-secret") && !said.contains("panicked"), "{said}");
}

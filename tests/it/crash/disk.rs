//! A disk without room: the data folder is on a file system of a few megabytes, which the test fills and clears.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use fastrand::Rng;
use toall::sandbox::{Call, Effect, Fault, Gate};

use super::{
    child::BINARY,
    people::{ALICE, BOB},
    site::{Ground, Site, film},
};

const DISK_BYTES: usize = 16 << 20;

/// Whether this machine lets us mount a file system of our own; where not, says that the test is skipped.
fn can_mount() -> bool {
    let mounts = "mount -t tmpfs -o size=1m tmpfs /mnt";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", mounts]);
    let can = command.output().is_ok_and(|output| output.status.success());
    if !can {
        // Straight to stderr: what `eprintln` says of a test that passes, nobody sees.
        let _ = writeln!(
            io::stderr(),
            "Skipped: a full disk is not tested here, because this user may not mount a file system (unshare -rm)."
        );
    }
    can
}

/// Starts the service on a disk of its own, and returns where this process finds that disk.
async fn start(site: &mut Site) -> PathBuf {
    let folder = site.data.clone();
    let script = format!(
        "mount -t tmpfs -o size={DISK_BYTES},mode=700 tmpfs {0} && exec {BINARY} serve --config {1}",
        folder.display(),
        site.config_path().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOALL_")) {
        command.env_remove(name);
    }
    // Neither `unshare` nor `exec` makes another process of it.
    let id = site.child.start_as(command);
    site.trap.started();
    site.child.until_ready().await;
    let disk = Path::new("/proc").join(id.to_string()).join("root").join(folder.strip_prefix("/").unwrap());
    site.data = disk.clone();
    disk
}

/// Writes until there is no room, and then leaves `room` bytes.
fn fill(disk: &Path, room: usize) {
    let mut filler = File::create(disk.join("filler")).unwrap();
    let page = [1; 4096];
    let mut written = 0;
    while filler.write_all(&page).is_ok() {
        written += page.len();
    }
    filler.set_len((written - room.min(written)) as u64).unwrap();
}

fn clear(disk: &Path) {
    fs::remove_file(disk.join("filler")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_outlived() {
    if !can_mount() {
        return;
    }
    let mut site = Site::new(Ground::default()).await;
    let disk = start(&mut site).await;
    site.link(ALICE).await;
    site.link(BOB).await;
    let rng = &mut Rng::with_seed(5);

    // No room for the video, some for the database.
    fill(&disk, 1 << 20);
    let large = film(4_500_000, rng);
    site.post(ALICE, "surf.mp4", &large, "Too large for now").await;
    let told = site.until_told(ALICE, "The storage of this service has a problem at the moment").await;
    assert!(told.text.contains("Nothing is lost. The next try is at"), "{}", told.text);
    clear(&disk);
    site.until_told(ALICE, "Posted to @alice_makes").await;
    site.until_rest(1).await;
    assert_eq!(site.x.posts()[0].media[0].sha256_hex, Some(crate::world::sha256_hex(&large)));

    // No room at all, while a post is under way.
    let gate = Gate::closed();
    let held = site.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
    let small = film(0, rng);
    site.post(ALICE, "dawn.mp4", &small, "On its way").await;
    site.x.changes().wait_for(|_| held.fired() > 0).await.unwrap();
    site.until_said_all().await;
    fill(&disk, 0);
    gate.open();
    site.post(BOB, "dusk.mp4", &small, "Turned away").await;
    site.until_told(BOB, "Something went wrong on my side").await;
    site.child.until_logged("cannot be written down yet").await;
    let rows = site.rows().await.unwrap();
    assert_eq!(rows.len(), 2, "what was refused is not kept, nor half of it: {rows:#?}");
    assert_eq!(site.x.posts().len(), 1);
    clear(&disk);

    site.until_rest(2).await;
    site.post(BOB, "dusk.mp4", &small, "Once more").await;
    site.until_told(BOB, "Posted to @bob_films").await;
    site.until_rest(3).await;
    let texts: Vec<_> = site.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts, ["Too large for now", "On its way", "Once more"]);
    assert_eq!(
        site.count("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'").await,
        Some(1)
    );
    assert_eq!(site.staged().len(), 0, "{:?}", site.staged());
    let said = site.child.said();
    assert!(!said.contains("panicked"), "{said}");
    site.stop().await;
}

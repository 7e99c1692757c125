//! The examples of docs/api.md, run by a shell with the real curl.

use std::process::{Command, Stdio};

use crate::world::{PATIENCE, World, sample};

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_page_works() {
    for tool in ["bash", "curl", "jq"] {
        let found = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("skipped: the examples of docs/api.md need {tool}, which is not installed");
            return;
        }
    }
    let world = World::linked().await;
    let program = world.program("alice").await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 5, "the page has examples");
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::copy(sample(), folder.path().join("surf.mp4")).unwrap();
    std::fs::copy(world.film(9_000_000), folder.path().join("film.mp4")).unwrap();
    let script = format!("set -euo pipefail\n{}", blocks.join("\n"));
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(folder.path());
    shell.env("TOALL", world.config.public_url.as_str().trim_end_matches('/')).env("TOKEN", &program.token);
    let ran = tokio::task::spawn_blocking(move || shell.output().unwrap());
    // The world's clock stands still unless it is turned.
    let turned = async {
        let mut changes = world.app().store.changes();
        loop {
            changes.mark_unchanged();
            world.settle().await;
            changes.changed().await.unwrap();
        }
    };
    let ran = tokio::select! {
        ran = tokio::time::timeout(PATIENCE, ran) => ran.expect("the examples hang").unwrap(),
        () = turned => unreachable!(),
    };
    let said = format!("{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("event: end"), "{said}");
    world.settle().await;
    let mut texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    texts.sort();
    assert_eq!(texts, ["First wave of the year", "The whole day"], "{said}");
}

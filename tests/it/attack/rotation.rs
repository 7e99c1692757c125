//! `toall rotate-key`, killed at any moment, by the real binary.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use url::Url;

use super::real::Real;
use crate::{
    telegram::ALICE,
    world::{Page, browser, sample},
};

fn key(data: &Path) -> String {
    fs::read_to_string(data.join("toall.key")).unwrap()
}

async fn says(real: &Real, start: &str) -> String {
    real.telegram
        .wait_for(|telegram| {
            telegram.said(ALICE.id).into_iter().map(|shown| shown.text).find(|text| text.starts_with(start))
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_killed_at_any_moment_loses_nothing_and_ends_the_former_key() {
    let mut real = Real::new().await;
    let data = real.data();
    real.start().await;
    real.telegram.private(ALICE).text("/connect twitter");
    let offered = says(&real, "Link your X account").await;
    let link: Url =
        offered.split_whitespace().find(|word| word.starts_with("http")).unwrap().parse().unwrap();
    let form = [("user", "alice_makes"), ("decision", "authorize")];
    let answer = browser().post(link).form(&form).send().await.unwrap();
    Page::open(&answer.headers()["location"].to_str().unwrap().parse().unwrap()).await.submit(0).await;
    says(&real, "Linked @alice_makes").await;

    let first = key(&data);
    assert_eq!(real.run(&["rotate-key"], None).code(), Some(1), "a running service keeps its key");
    assert!(real.log().contains("is in use by another toall process"), "{}", real.log());
    assert_eq!(key(&data), first);
    real.end("TERM").await;

    for round in 0..10 {
        real.run(&["rotate-key"], Some(Duration::from_millis(5 + round * 8)));
    }
    // Whatever the last one left, the service starts with it.
    real.start().await;
    real.end("TERM").await;
    let ended = real.run(&["rotate-key"], None);
    assert_eq!(ended.code(), Some(0), "{}", real.log());
    assert!(real.log().contains("The former key opens nothing here any more."), "{}", real.log());
    assert_ne!(key(&data), first);
    assert!(!data.join("toall.key.former").exists());
    let old = fs::read_to_string(data.join("toall.key.old-1")).unwrap();
    assert_eq!(old, first, "the first key is kept for old backups");

    // The tokens open with the new key alone.
    real.start().await;
    real.telegram.private(ALICE).video("surf.mp4", fs::read(sample()).unwrap(), "/post With a new key");
    says(&real, "Posted to @alice_makes").await;
    real.end("TERM").await;

    let present = key(&data);
    fs::write(data.join("toall.key"), &first).unwrap();
    for words in ["serve", "rotate-key"] {
        assert_eq!(real.run(&[words], None).code(), Some(1), "{words}");
    }
    let refusals = real.log().matches("was written with another encryption key").count();
    assert_eq!(refusals, 2, "{}", real.log());
    fs::write(data.join("toall.key"), &present).unwrap();
    fs::set_permissions(data.join("toall.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(real.run(&["serve"], None).code(), Some(1));
    assert!(real.log().contains("may be read by others on this machine"), "{}", real.log());
}

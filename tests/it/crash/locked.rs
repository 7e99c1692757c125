//! Somebody else writes to the SQLite file for longer than we wait for it.

use std::time::Duration;

use fastrand::Rng;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use toall::sandbox::{Call, Effect, Fault, Gate};

use super::{
    people::{ALICE, BOB},
    site::{Ground, Site, film},
};

/// Takes the file for writing, as a backup gone wrong or a curious operator would.
async fn lock(site: &Site) -> SqliteConnection {
    let mut holder = SqliteConnectOptions::new().filename(site.database()).connect().await.unwrap();
    // The service may be in the middle of a write of its own.
    sqlx::query("PRAGMA busy_timeout = 5000").execute(&mut holder).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut holder).await.unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_held_by_somebody_else_is_waited_for_and_said() {
    let site = Site::new(Ground::default()).await;
    site.start().await;
    site.link(ALICE).await;
    site.link(BOB).await;
    let gate = Gate::closed();
    let held = site.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
    let film = film(0, &mut Rng::with_seed(4));
    site.post(ALICE, "surf.mp4", &film, "On its way").await;
    site.x.changes().wait_for(|_| held.fired() > 0).await.unwrap();

    let holder = lock(&site).await;
    gate.open();
    site.post(BOB, "dawn.mp4", &film, "Turned away").await;
    let told = site.until_told(BOB, "Something went wrong on my side").await;
    assert!(told.text.ends_with("nothing was changed. Please try again in a minute."), "{}", told.text);
    let rows = site.rows().await.unwrap();
    assert_eq!(rows.len(), 1, "what was refused is not kept: {rows:#?}");
    holder.close().await.unwrap();

    let freed = std::time::Instant::now();
    site.until_told(ALICE, "Posted to @alice_makes").await;
    assert!(freed.elapsed() < Duration::from_secs(20), "{:?}", freed.elapsed());
    site.post(BOB, "dawn.mp4", &film, "Once more").await;
    site.until_told(BOB, "Posted to @bob_films").await;
    let texts: Vec<_> = site.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts, ["On its way", "Once more"]);
    site.until_rest(2).await;
    assert!(!site.child.said().contains("panicked"), "{}", site.child.said());
    site.stop().await;
}

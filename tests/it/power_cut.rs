//! The database as a power cut leaves it, copied at any moment: it opens, is whole, and the post goes on.

use futures::future::join_all;
use sqlx::Connection;
use toall::post::State;

use crate::{
    postgres,
    world::{World, sample},
};

/// The names of a database's two files.
const FILES: [&str; 2] = ["toall.db", "toall.db-wal"];

/// Cuts the power after the `nth` write since a post was asked for, and starts on a copy made at that moment.
async fn cut_after(nth: u64) {
    let mut world = World::linked().await;
    world.post("alice", "Dark", &sample()).await;
    let mut changes = world.app().store.changes();
    let first = changes.borrow_and_update().total();
    world.until("the write", move |_| changes.borrow().total() >= first + nth).await;

    // While this is held, nothing is written, and the log is not begun anew; a checkpoint may be under way.
    let mut held = world.connection().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut held).await.unwrap();
    let copies = tempfile::TempDir::new().unwrap();
    for name in FILES {
        std::fs::copy(world.config.data_dir.join(name), copies.path().join(name)).unwrap();
    }
    world.kill().await;
    held.close().await.unwrap();
    // Not put back in place: the threads of the killed service may still be closing those files, and remove the log.
    world.config.database = toall::config::Database::sqlite(&copies.path().join("toall.db"));

    let mut copy = world.connection().await;
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut copy).await.unwrap();
    assert_eq!(whole, "ok");
    let strays: Vec<String> = sqlx::query_scalar("SELECT \"table\" FROM pragma_foreign_key_check")
        .fetch_all(&mut copy)
        .await
        .unwrap();
    assert_eq!(strays, [""; 0]);
    copy.close().await.unwrap();

    world.boot().await;
    world.settle().await;
    if world.row("alice").await.state == State::NeedsUser {
        world.press("alice", &world.last("alice"), "Post it again").await;
        world.settle().await;
    }
    assert_eq!(world.x.posts().len(), 1, "cut after {nth}");
    let row = world.row("alice").await;
    assert_eq!((row.state, row.x_post_id), (State::Posted, Some(world.x.posts()[0].id.clone())));
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_power_goes_the_post_is_made_once() {
    if postgres::leave_out("the files that SQLite leaves are looked at") {
        return;
    }
    join_all((0..12).map(|step| cut_after(step * 2 + 1))).await;
}

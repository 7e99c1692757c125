//! What one person can make the storage hold.

use std::{
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};
use toall::config::Limits;

use super::{Program, put};
use crate::{
    bell::Bell,
    world::{PATIENCE, World, sample},
};

async fn begin(program: &Program, extra: Value) -> super::Answer {
    let mut wanted = json!({"filename": "a.mp4", "content_type": "video/mp4"});
    wanted.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    program.post("upload-url", wanted).await
}

async fn give_up(program: &Program, begun: &Value) {
    let path = format!("upload?s3_key={}", begun["s3_key"].as_str().unwrap());
    assert_eq!(program.delete(&path).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_a_closed_upload_takes_no_bytes() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let given_up = begin(&program, json!({})).await.ok();
    give_up(&program, &given_up).await;
    assert_eq!(put(&given_up, vec![7; 1_000]).await.status(), 410);

    let complete = begin(&program, json!({})).await.ok();
    assert_eq!(put(&complete, std::fs::read(sample()).unwrap()).await.status(), 200);
    program.post("upload-complete", json!({"s3_key": complete["s3_key"]})).await.ok();
    assert_eq!(put(&complete, vec![7; 1_000]).await.status(), 410);
    let account = world.account_id("alice_makes");
    let post = json!({"s3_key": complete["s3_key"], "caption": "", "account_ids": [account]});
    assert_eq!(program.post("post", post).await.status, 202);
    assert_eq!(put(&complete, vec![7; 1_000]).await.status(), 410);
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);

    let parts = begin(&program, json!({"size": 9_000_000, "multipart": true})).await.ok();
    let wanted = json!({"s3_key": parts["s3_key"], "parts": [2]});
    let signed = program.post("upload-parts", wanted).await.ok();
    let bytes = usize::try_from(signed["parts"][0]["bytes"].as_u64().unwrap()).unwrap();
    give_up(&program, &parts).await;
    assert_eq!(put(&signed["parts"][0], vec![7; bytes]).await.status(), 410);
    world.pass(Duration::from_secs(30 * 24 * 3_600));
    emptied(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_counts_towards_its_day_from_its_beginning() {
    let world = World::with(|_, config| {
        config.limits = Limits { bytes_per_person_per_day: Some(1_000_000), ..config.limits.clone() };
    })
    .await;
    let (program, other) = (world.program("alice").await, world.program("bob").await);
    begin(&program, json!({"size": 1_000_001})).await.is_problem(409, "over_limit");
    begin(&program, json!({})).await.is_problem(409, "over_limit");
    let first = begin(&program, json!({"size": 600_000})).await.ok();
    begin(&program, json!({"size": 600_000})).await.is_problem(409, "over_limit");
    give_up(&program, &first).await;
    begin(&program, json!({"size": 600_000})).await.is_problem(409, "over_limit");
    begin(&other, json!({"size": 600_000})).await.ok();
    world.pass(Duration::from_secs(24 * 3_600));
    begin(&program, json!({"size": 600_000})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_given_up_without_end_come_to_an_end() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    for _ in 0..100 {
        let begun = begin(&program, json!({"size": 1})).await.ok();
        give_up(&program, &begun).await;
    }
    begin(&program, json!({"size": 1})).await.is_problem(409, "too_many_uploads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_row_knows_is_gone_within_the_hour() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let begun = begin(&program, json!({})).await.ok();
    assert_eq!(put(&begun, vec![7; 1_000]).await.status(), 200);
    world.execute("DELETE FROM uploads", "DELETE FROM uploads").await;
    // The file system keeps real time, and the world's clock is turned by hand.
    let [file] = world.staged().try_into().expect("one file is staged");
    let written = UNIX_EPOCH + Duration::from_millis(world.now().unsigned_abs());
    std::fs::File::options().write(true).open(file).unwrap().set_modified(written).unwrap();
    world.pass(Duration::from_secs(3_600));
    emptied(&world).await;
}

/// Waits until nothing is staged.
pub async fn emptied(world: &World) {
    let gone = async {
        loop {
            let folders: Vec<_> =
                world.staged().iter().filter_map(|file| file.parent().map(Path::to_path_buf)).collect();
            // A folder that has just gone cannot be watched.
            let Ok(bell) = Bell::on(&folders) else { continue };
            if world.staged().is_empty() {
                return;
            }
            bell.rung().await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await;
    assert!(gone.is_ok(), "still there: {:?}", world.staged());
}

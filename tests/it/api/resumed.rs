//! Files that arrive in parts, over a connection or a service that dies.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Program, put};
use crate::world::{World, sha256_hex};

const PART: usize = 8 * 1024 * 1024;

/// Sends these parts of a file.
async fn send_parts(program: &Program, key: &Value, file: &[u8], parts: &[usize]) {
    let signed = program.post("upload-parts", json!({"s3_key": key, "parts": parts})).await.ok();
    for part in signed["parts"].as_array().unwrap() {
        let number = usize::try_from(part["part"].as_u64().unwrap()).unwrap();
        let bytes = file.chunks(PART).nth(number - 1).unwrap();
        assert_eq!(part["bytes"], bytes.len());
        assert_eq!(put(part, bytes.to_vec()).await.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_on_after_a_kill_with_the_parts_it_has() {
    let mut world = World::linked().await;
    let program = world.program("alice").await;
    let film = world.film(20_000_000);
    let file = std::fs::read(&film).unwrap();
    let wanted =
        json!({"filename": "film.mp4", "content_type": "video/mp4", "size": file.len(), "multipart": true});
    let begun = program.post("upload-url", wanted).await.ok();
    assert_eq!(begun["upload_url"], Value::Null);
    assert_eq!(begun["multipart"], json!({"part_bytes": PART, "parts": 3}));
    let key = &begun["s3_key"];
    send_parts(&program, key, &file, &[1, 3]).await;

    world.kill().await;
    world.boot().await;
    let path = format!("upload-parts?s3_key={}", key.as_str().unwrap());
    let arrived = program.get(&path).await.ok();
    assert_eq!(
        arrived,
        json!({
            "filename": "film.mp4", "size": file.len(), "part_bytes": PART, "parts_total": 3,
            "done": [{"part": 1, "bytes": PART}, {"part": 3, "bytes": file.len() - 2 * PART}],
        })
    );
    let detail = program.post("upload-complete", json!({"s3_key": key})).await;
    assert!(detail.is_problem(409, "upload_incomplete").contains(": 2"), "{detail:?}");
    program
        .post("post", json!({"s3_key": key, "caption": "", "account_ids": [world.account_id("alice_makes")]}))
        .await
        .is_problem(409, "upload_incomplete");

    send_parts(&program, key, &file, &[2]).await;
    let complete = program.post("upload-complete", json!({"s3_key": key})).await.ok();
    assert_eq!(complete, json!({"s3_key": key, "bytes": file.len()}));
    assert_eq!(program.post("upload-complete", json!({"s3_key": key})).await.ok(), complete);
    let wanted = json!({"s3_key": key, "caption": "Long", "account_ids": [world.account_id("alice_makes")]});
    assert_eq!(program.post("post", wanted).await.status, 202);
    world.settle().await;
    assert_eq!(world.x.posts()[0].media[0].sha256_hex, Some(sha256_hex(&file)));
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_another_length_is_not_taken() {
    let world = World::linked().await;
    let program = world.program("alice").await;
    let wanted =
        json!({"filename": "f.mp4", "content_type": "video/mp4", "size": 9_000_000, "multipart": true});
    let begun = program.post("upload-url", wanted).await.ok();
    let signed = program.post("upload-parts", json!({"s3_key": begun["s3_key"], "parts": [2]})).await.ok();
    let part = &signed["parts"][0];
    let bytes = usize::try_from(part["bytes"].as_u64().unwrap()).unwrap();
    assert_eq!(put(part, vec![0; bytes - 1]).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(put(part, vec![0; bytes + 1]).await.status(), StatusCode::FORBIDDEN);
    let path = format!("upload-parts?s3_key={}", begun["s3_key"].as_str().unwrap());
    assert_eq!(program.get(&path).await.ok()["done"], json!([]));
    let path = format!("upload?s3_key={}", begun["s3_key"].as_str().unwrap());
    assert_eq!(program.delete(&path).await.status, StatusCode::NO_CONTENT);
    program.delete(&path).await.is_problem(404, "upload_not_found");
    assert_eq!(world.staged(), Vec::<std::path::PathBuf>::new());
}

//! What is on the disk by the time of the answer: a power cut right after it loses nothing.

use super::{
    super::embedded::{Synced, synced},
    *,
};

/// The paths below the folder that were brought to the disk, with the length of each, from here on.
fn since(dir: &TempDir) -> impl Fn() -> Vec<Synced> {
    let root = dir.path().canonicalize().unwrap();
    let before = synced(&root).len();
    move || {
        let all = synced(&root).split_off(before);
        all.into_iter().map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_owned(), bytes)).collect()
    }
}

#[track_caller]
fn assert_on_disk(synced: &[Synced], file: &str, bytes: u64) {
    let at = synced.iter().position(|(path, length)| path == Path::new(file) && *length == bytes);
    let at = at.unwrap_or_else(|| panic!("{file} of {bytes} bytes is not among {synced:?}"));
    let folder = Path::new(file).parent().unwrap();
    // The name of the file is in its folder.
    assert!(synced[at..].iter().any(|(path, _)| path == folder), "{folder:?} after {file}: {synced:?}");
}

#[tokio::test]
async fn an_object_is_on_the_disk_before_the_answer() {
    let (staging, _server, dir) = embedded().await;
    let new = since(&dir);
    put(&staging, "posts/whole", &sample(5)).await.unwrap();
    assert_on_disk(&new(), "toall/posts/whole", 5);
    // Joined of parts.
    let large = sample(PART_BYTES + 5);
    put(&staging, "posts/joined", &large).await.unwrap();
    assert_on_disk(&new(), "toall/posts/joined", PART_BYTES + 5);
}

/// People go on with uploads that they began before the power cut.
#[tokio::test]
async fn parts_of_an_upload_are_on_the_disk_before_the_answer() {
    let (staging, _server, dir) = embedded().await;
    let new = since(&dir);
    let upload = staging.begin_parts("uploads/a", "video/mp4").await.unwrap();
    assert_on_disk(&new(), &format!(".upload-{upload}.json"), 7);
    let url = staging.presign_part("uploads/a", &upload, 1, 5, MINUTE).await.unwrap();
    let sent = reqwest::Client::new().put(url).body("video").send().await.unwrap();
    assert!(sent.status().is_success());
    assert_on_disk(&new(), &format!(".upload_id-{upload}.part-1"), 5);
    let parts = staging.parts("uploads/a", &upload).await.unwrap().unwrap();
    staging.complete_parts("uploads/a", &upload, &parts).await.unwrap();
    assert_on_disk(&new(), "toall/uploads/a", 5);
}

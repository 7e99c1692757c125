//! Uploads in parts with the embedded storage, over lost connections and answers.

use super::*;

const KEY: &str = "uploads/a";

/// An upload whose parts have all arrived.
async fn begun(staging: &Staging, parts: u32) -> String {
    let id = staging.begin_parts(KEY, "video/mp4").await.unwrap();
    for part in 1..=parts {
        let bytes = u64::from(part) + PART_BYTES;
        let url = staging.presign_part(KEY, &id, part, bytes, MINUTE).await.unwrap();
        let sent = reqwest::Client::new().put(url).body(sample(bytes)).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 200);
    }
    id
}

#[tokio::test]
async fn an_upload_that_is_complete_is_not_known_any_more() {
    let (staging, _server, dir) = embedded().await;
    let id = begun(&staging, 2).await;
    let parts = staging.parts(KEY, &id).await.unwrap().unwrap();
    assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2]);
    let late = staging.presign_part(KEY, &id, 1, 1, MINUTE).await.unwrap();
    staging.complete_parts(KEY, &id, &parts).await.unwrap();

    // As after an answer that was lost.
    assert_eq!(staging.parts(KEY, &id).await, Ok(None));
    assert_eq!(staging.complete_parts(KEY, &id, &parts).await, Ok(()));
    assert_eq!(staging.abort_parts(KEY, &id).await, Ok(()));
    let refused = reqwest::Client::new().put(late).body("x").send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 404);
    assert_eq!(staging.size(KEY).await, Ok(2 * PART_BYTES + 3));
    for nonsense in ["nonsense", "../../escaped", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(staging.parts(KEY, nonsense).await, Ok(None), "{nonsense}");
    }
    staging.delete(KEY).await.unwrap();
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
}

/// Returns true while the parts are being joined.
fn joining(dir: &TempDir) -> bool {
    files(dir.path()).iter().any(|path| path.to_string_lossy().contains(".tmp."))
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_joined_to_the_end_when_whoever_asked_is_gone() {
    let (staging, server, dir) = embedded().await;
    let id = begun(&staging, 8).await;
    let parts = staging.parts(KEY, &id).await.unwrap().unwrap();
    let completing = {
        let (staging, id, parts) = (staging.clone(), id.clone(), parts.clone());
        tokio::spawn(async move { staging.complete_parts(KEY, &id, &parts).await })
    };
    until("the parts are being joined", || joining(&dir)).await;
    completing.abort();
    // Whoever asks meanwhile waits for the end of it.
    assert_eq!(staging.parts(KEY, &id).await, Ok(None));
    assert_eq!(staging.size(KEY).await, Ok(8 * PART_BYTES + 36));

    let id = begun(&staging, 8).await;
    let parts = staging.parts(KEY, &id).await.unwrap().unwrap();
    let completing = tokio::spawn(async move { staging.complete_parts(KEY, &id, &parts).await });
    until("the parts are being joined", || joining(&dir)).await;
    completing.abort();
    // So does a stop.
    server.shutdown().await;
    let (staging, _server) = Staging::embedded(dir.path(), 0).await.unwrap();
    assert_eq!(staging.size(KEY).await, Ok(8 * PART_BYTES + 36));
    assert!(!joining(&dir));
}

/// The file of a part.
fn part_file(dir: &TempDir, id: &str, part: u32) -> PathBuf {
    dir.path().join(format!(".upload_id-{id}.part-{part}"))
}

#[cfg(unix)]
#[test]
fn joining_that_dies_with_the_process_is_begun_anew() {
    let dir = TempDir::new().unwrap();
    let spare = TempDir::new().unwrap();
    let life = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();

    let first = life();
    let id = first.block_on(async {
        let (staging, _server) = Staging::embedded(dir.path(), 0).await.unwrap();
        let id = begun(&staging, 3).await;
        let parts = staging.parts(KEY, &id).await.unwrap().unwrap();
        // A pipe that nobody writes to: reading the second part never ends.
        let second = part_file(&dir, &id, 2);
        std::fs::rename(&second, spare.path().join("second")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&second).status().unwrap();
        assert!(made.success());
        std::fs::hard_link(&second, spare.path().join("pipe")).unwrap();
        let asked = id.clone();
        tokio::spawn(async move { staging.complete_parts(KEY, &asked, &parts).await });
        until("the first part is copied", || !part_file(&dir, &id, 1).exists()).await;
        id
    });
    first.shutdown_background();
    // What stands for the pipe everywhere is the part again.
    for path in files(dir.path()) {
        if path.file_name() == part_file(&dir, &id, 2).file_name() {
            std::fs::remove_file(&path).unwrap();
            std::fs::copy(spare.path().join("second"), path).unwrap();
        }
    }
    // Lets the reader go that outlived its life, if it came so far. Opened both ways, it waits for nobody.
    std::fs::File::options().read(true).write(true).open(spare.path().join("pipe")).unwrap();

    life().block_on(async {
        let (staging, _server) = Staging::embedded(dir.path(), 0).await.unwrap();
        let parts = staging.parts(KEY, &id).await.unwrap().expect("the upload goes on");
        assert_eq!(parts.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 2, 3]);
        staging.complete_parts(KEY, &id, &parts).await.unwrap();
        let wanted: Vec<u8> = (1..=3).flat_map(|part| sample(part + PART_BYTES)).collect();
        let whole = 3 * PART_BYTES + 6;
        assert_eq!(staging.size(KEY).await, Ok(whole));
        assert!(get(&staging, KEY, 0..whole).await.unwrap() == wanted);
        staging.delete(KEY).await.unwrap();
    });
    let left: Vec<_> =
        files(dir.path()).into_iter().filter(|path| !path.to_string_lossy().contains(".tmp.")).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// `/dev/full` stands in for the file that the parts are joined in: every write to it finds no space.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_fills_while_parts_are_joined_loses_none() {
    let (staging, _server, dir) = embedded().await;
    let id = begun(&staging, 2).await;
    let parts = staging.parts(KEY, &id).await.unwrap().unwrap();
    let before = files(dir.path());
    let full: Vec<_> = (3..6).map(|n| dir.path().join(format!(".tmp.{n}.internal.part"))).collect();
    full.iter().for_each(|path| std::os::unix::fs::symlink("/dev/full", path).unwrap());
    assert_eq!(staging.complete_parts(KEY, &id, &parts).await, Err(StagingError::Full));
    for path in &full {
        let _ = std::fs::remove_file(path);
    }
    let mut after = files(dir.path());
    after.sort();
    let mut wanted = before;
    wanted.sort();
    assert_eq!(after, wanted);

    assert_eq!(staging.parts(KEY, &id).await, Ok(Some(parts.clone())));
    staging.complete_parts(KEY, &id, &parts).await.unwrap();
    assert_eq!(staging.size(KEY).await, Ok(2 * PART_BYTES + 3));
}

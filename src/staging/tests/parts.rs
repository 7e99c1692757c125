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

/// Whether the parts are being joined.
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
    let (staging, _server) = Staging::embedded(dir.path()).await.unwrap();
    assert_eq!(staging.size(KEY).await, Ok(8 * PART_BYTES + 36));
    assert!(!joining(&dir));
}

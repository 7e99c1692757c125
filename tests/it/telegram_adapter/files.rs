//! Files of messages.

use std::time::Duration;

use futures::TryStreamExt;
use toall::{
    chat::{ChatError, Download},
    post::Attachment,
};

use super::{Running, adapter, error, post_of};
use crate::telegram::{ALICE, Fault, TOKEN, Telegram};

/// A video that alice sent, as the adapter heard of it.
async fn sent(telegram: &Telegram, bytes: Vec<u8>) -> Attachment {
    let mut running = Running::start(telegram);
    telegram.private(ALICE).video("surf.mov", bytes, "/post");
    let (_, file, _) = post_of(running.hears().await);
    running.stop().await.unwrap();
    file.unwrap()
}

fn video(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

async fn read(download: Download) -> Result<Vec<u8>, ChatError> {
    let parts: Vec<_> = download.body.try_collect().await?;
    Ok(parts.concat())
}

#[tokio::test]
async fn a_file_is_streamed_over_http() {
    let telegram = Telegram::start().await;
    let bytes = video(3 << 20);
    let file = sent(&telegram, bytes.clone()).await;
    let download = adapter(&telegram).fetch(&file).await.unwrap();
    assert_eq!(download.bytes, Some(3 << 20));
    assert!(read(download).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_file_above_the_cloud_limit_is_too_large_and_one_at_it_is_not() {
    let telegram = Telegram::start().await;
    let bot = adapter(&telegram);
    let file = sent(&telegram, vec![0; (20 << 20) + 1]).await;
    let refused = error(bot.fetch(&file).await);
    assert!(matches!(refused, ChatError::TooLarge { limit: 20_971_520 }), "{refused}");
    let file = sent(&telegram, vec![0; 20 << 20]).await;
    assert_eq!(bot.fetch(&file).await.unwrap().bytes, Some(20 << 20));
}

#[tokio::test]
async fn the_limit_depends_on_whose_server_it_is() {
    let telegram = Telegram::start().await;
    let mut settings = telegram.settings();
    settings.api_url = "https://api.telegram.org".parse().unwrap();
    let cloud = toall::chat::telegram::Telegram::new(&settings, Default::default()).unwrap();
    assert_eq!(cloud.max_file_bytes(), Some(20 << 20));
    assert_eq!(adapter(&telegram).max_file_bytes(), Some(2_000 << 20));
}

#[tokio::test]
async fn a_file_that_is_no_longer_there_is_gone() {
    let telegram = Telegram::start().await;
    let file = sent(&telegram, video(10)).await;
    let bot = adapter(&telegram);
    telegram.fail_next("download", Fault::Refuse(404, "Not Found"));
    assert!(matches!(error(bot.fetch(&file).await), ChatError::NotFound(_)));
    telegram.fail_next("download", Fault::Refuse(403, "Forbidden"));
    assert!(matches!(error(bot.fetch(&file).await), ChatError::Trouble(_)));
    telegram.forget_files();
    assert!(matches!(error(bot.fetch(&file).await), ChatError::Gone(_)));
}

#[tokio::test]
async fn downloads_fail_in_ways_that_can_be_told_apart() {
    let telegram = Telegram::start().await;
    let file = sent(&telegram, video(10)).await;
    let bot = adapter(&telegram);
    telegram.fail_next("getFile", Fault::Drop);
    assert!(matches!(error(bot.fetch(&file).await), ChatError::Trouble(_)));
    telegram.fail_next("getFile", Fault::SlowDown(4));
    let slow = error(bot.fetch(&file).await);
    assert!(matches!(slow, ChatError::SlowDown(wait) if wait == Duration::from_secs(4)));
    telegram.fail_next("download", Fault::Broken);
    assert!(matches!(error(bot.fetch(&file).await), ChatError::Trouble(_)));
    telegram.fail_next("download", Fault::Drop);
    let broken = async { read(bot.fetch(&file).await?).await };
    assert!(matches!(error(broken.await), ChatError::Trouble(_)));
    // The address holds the token, so it is not carried to wherever a redirect points.
    let elsewhere = format!("{}file/bot{TOKEN}/x", telegram.settings().api_url);
    telegram.fail_next("download", Fault::Redirect(elsewhere));
    assert!(matches!(error(bot.fetch(&file).await), ChatError::Refused(_)));
}

#[tokio::test]
async fn a_local_server_hands_over_big_files_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let telegram = Telegram::start_local(dir.path().to_owned()).await;
    let bytes = video((20 << 20) + 5);
    let file = sent(&telegram, bytes.clone()).await;
    let bot = adapter(&telegram);
    let download = bot.fetch(&file).await.unwrap();
    assert_eq!(download.bytes, Some(bytes.len() as u64));
    assert!(read(download).await.unwrap() == bytes);

    let videos = dir.path().join(TOKEN).join("videos");
    let path = std::fs::read_dir(&videos).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&path).unwrap();
    let gone = error(bot.fetch(&file).await);
    assert!(matches!(gone, ChatError::Gone(_)), "{gone}");
    std::fs::create_dir(&path).unwrap();
    let refused = error(bot.fetch(&file).await);
    assert!(matches!(refused, ChatError::Refused(_)), "{refused}");
}

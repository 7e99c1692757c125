//! Attachments: streamed, and from Discord's hosts only.

use bytes::Bytes;
use futures::TryStreamExt;
use toall::{
    account::Platform,
    chat::{ChatError, discord::Discord as Adapter},
    clock::Clock,
    post::{Attachment, Kind},
};

use crate::discord::{Attached, Discord, File};

async fn pair() -> (Discord, Adapter) {
    let clock = Clock::by_hand(0);
    let discord = Discord::start(clock.clone()).await;
    let adapter = Adapter::new(&discord.settings(), clock).unwrap();
    (discord, adapter)
}

fn named(url: &str) -> Attachment {
    Attachment {
        platform: Platform::Discord,
        source: url.to_owned(),
        name: "surf.mov".to_owned(),
        bytes: None,
        content_type: None,
        kind: Kind::Video,
    }
}

fn hosted(discord: &Discord, file: File) -> Attachment {
    let Attached { url, .. } = discord.attach("surf.mov", "video/quicktime", file);
    named(&url)
}

#[tokio::test]
async fn a_file_arrives_whole() {
    let (discord, adapter) = pair().await;
    let bytes = Bytes::from(vec![7; 3_000_000]);
    let file = hosted(&discord, File::Bytes(bytes.clone()));
    let download = adapter.fetch(&file).await.unwrap();
    assert_eq!(download.bytes, Some(3_000_000));
    let parts: Vec<Bytes> = download.body.try_collect().await.unwrap();
    assert!(parts.len() > 1);
    assert_eq!(parts.concat(), bytes);
}

#[tokio::test]
async fn the_first_bytes_arrive_before_the_last_are_sent() {
    let (discord, adapter) = pair().await;
    let file = hosted(&discord, File::Stalls(Bytes::from(vec![7; 3_000_000])));
    let mut download = adapter.fetch(&file).await.unwrap();
    let mut arrived = 0;
    while arrived < 1_500_000 {
        arrived += download.body.try_next().await.unwrap().unwrap().len();
    }
    assert_eq!(arrived, 1_500_000);
}

#[tokio::test]
async fn a_broken_download_is_trouble() {
    let (discord, adapter) = pair().await;
    let file = hosted(&discord, File::Breaks(Bytes::from(vec![7; 3_000_000])));
    let download = adapter.fetch(&file).await.unwrap();
    let broken = download.body.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(matches!(&broken, ChatError::Trouble(_)), "{broken:?}");
    assert!(!broken.to_string().contains("hm=3"), "{broken}");
}

#[tokio::test]
async fn other_hosts_are_never_asked() {
    let (discord, adapter) = pair().await;
    let (stranger, _) = pair().await;
    let elsewhere = hosted(&stranger, File::Bytes(Bytes::from_static(b"secret"))).source;
    let ours = hosted(&discord, File::Bytes(Bytes::from_static(b"moov"))).source;
    let disguised = elsewhere.replace("http://", "http://cdn.discordapp.com@");
    let with_user = ours.replace("http://", "http://alice@");
    let by_name = ours.replace("127.0.0.1", "localhost");
    for url in [&elsewhere, &disguised, &with_user, &by_name, "file:///etc/passwd", ""] {
        let answer = adapter.fetch(&named(url)).await.map(|_| ());
        assert!(matches!(answer, Err(ChatError::ForeignFile)), "{url}: {answer:?}");
    }
    let redirect = hosted(&discord, File::Redirects(elsewhere));
    let answer = adapter.fetch(&redirect).await.map(|_| ());
    assert!(matches!(answer, Err(ChatError::ForeignFile)), "{answer:?}");
}

#[tokio::test]
async fn an_expired_link_is_gone_and_an_outage_is_not() {
    let (discord, adapter) = pair().await;
    let answer = adapter.fetch(&hosted(&discord, File::Status(404))).await;
    assert!(matches!(answer.map(|_| ()), Err(ChatError::Gone(_))));
    // With a fresh signature, 403 is a network in between that lets nothing through.
    for status in [403, 500, 503] {
        let answer = adapter.fetch(&hosted(&discord, File::Status(status))).await;
        assert!(matches!(answer.map(|_| ()), Err(ChatError::Trouble(_))));
    }
}

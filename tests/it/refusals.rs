//! What is not taken, in whole sentences; and what is, to the letter.

use std::path::{Path, PathBuf};

use futures::future::join_all;
use toall::{
    chat::Ask,
    post::{Attachment, Kind, State},
    sandbox::Call,
};

use crate::world::{World, fixture, read, sample};

/// A request to post whose attachment is changed.
fn post_with(world: &World, change: impl FnOnce(&mut Attachment)) -> Ask {
    let mut ask = world.post_of("Refused", &sample());
    if let Ask::Post { file: Some(file), .. } = &mut ask {
        change(file);
    }
    ask
}

/// Asks to post and returns the answer; nothing was written down.
async fn refused(world: &World, ask: Ask) -> String {
    let before = world.said("alice").len();
    world.ask("alice", ask).await;
    assert_eq!(world.said("alice").len(), before + 1, "one answer");
    let store = &world.app().store;
    let posts = store.posts_of(&crate::world::person("alice"), 10).await.unwrap();
    assert_eq!(posts.len(), 0, "no post is kept");
    world.last_text("alice")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_an_account_gets_a_button() {
    let world = World::new().await;
    world.post("alice", "Hello", &sample()).await;
    let told = world.last("alice");
    assert_eq!(
        read(&told.message),
        "You have not linked an X account yet. Link one, then send the video again. [Connect X]"
    );
    world.press("alice", &told, "Connect X").await;
    world.question(&world.offered_link("alice"), "alice_makes").await.submit(0).await;
    world.settle().await;
    world.post("alice", "Hello", &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", "Hello", &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_video_is_refused_at_once() {
    let world = World::linked().await;
    let mut none = world.post_of("Hello", &sample());
    if let Ask::Post { file, .. } = &mut none {
        *file = None;
    }
    assert_eq!(
        refused(&world, none).await,
        "There is no video. Send one with /post and your caption under it, \
         or reply to a video with /post and your caption."
    );
    for (kind, what) in [
        (Kind::Photo, "a photo"),
        (Kind::Voice, "a voice message"),
        (Kind::Audio, "an audio file"),
        (Kind::Sticker, "a sticker"),
    ] {
        assert_eq!(
            refused(&world, post_with(&world, |file| file.kind = kind)).await,
            format!("That is {what}; I publish videos. Send the video with /post and your caption.")
        );
    }
    assert_eq!(
        refused(&world, post_with(&world, |file| file.bytes = Some(0))).await,
        "That file is empty. Send the video again."
    );
    assert_eq!(
        refused(&world, post_with(&world, |file| file.bytes = Some(9_000_000_000))).await,
        "That file is 9.0 GB. X takes at most 8.4 GB. Send a smaller version."
    );
}

/// Posts a file of whose size the chat says nothing.
async fn status_of(file: &Path) -> (World, String) {
    let world = World::linked().await;
    let ask = post_with(&world, |attachment| {
        attachment.source = file.to_str().unwrap().to_owned();
        attachment.name = "clip.mp4".to_owned();
        attachment.bytes = None;
    });
    world.ask("alice", ask).await;
    world.settle().await;
    let status = world.last_text("alice");
    (world, status)
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_the_chat_did_not_say_are_found_out() {
    let folder = tempfile::TempDir::new().unwrap();
    let made = |name: &str, bytes: u64| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    };
    for (file, sentence) in [
        (made("empty", 0), "The file is empty. Send the video again."),
        (made("endless", 9_000_000_000), "The file is larger than 8.4 GB. Send a smaller one."),
    ] {
        let (world, status) = status_of(&file).await;
        assert_eq!(status, format!("clip.mp4 was not posted to @alice_makes.\n{sentence}"));
        world.assert_at_rest_in_a_day().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_judged_by_what_is_in_it() {
    let text = fixture("README.md");
    let not_a_video = "The file is not a video, whatever its name says: it is";
    let cases = [
        (fixture("picture.mp4"), format!("{not_a_video} a picture. Send an MP4 or MOV video.")),
        (text, format!("{not_a_video} text. Send an MP4 or MOV video.")),
        (fixture("truncated.mp4"), "The end of the file is missing. Send the video again.".to_owned()),
        (
            fixture("too-short.mp4"),
            "The video is shorter than half a second, which X does not take.".to_owned(),
        ),
        (
            fixture("matroska.mkv"),
            "X does not take .mkv videos. Send it as MP4 with H.264 video and AAC sound.".to_owned(),
        ),
        (
            fixture("sound.m4a"),
            "There is no picture in the file, only sound or nothing. Send a video.".to_owned(),
        ),
    ];
    join_all(cases.map(|(file, sentence)| async move {
        let (world, status) = status_of(&file).await;
        assert_eq!(status, format!("clip.mp4 was not posted to @alice_makes.\n{sentence}"));
        assert_eq!(world.row("alice").await.state, State::Failed);
        assert_eq!(world.requests(Call::Initialize).len(), 0, "X is not bothered with it");
        world.assert_at_rest_in_a_day().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_video_that_x_takes_gets_there_byte_for_byte() {
    let names = [
        "moov-at-end.mp4",
        "quicktime.mov",
        "fragmented.mp4",
        "silent.mp4",
        "rotated.mp4",
        "high422.mp4",
        "hevc.mp4",
        "vp9.webm",
        "transport.ts",
    ];
    join_all(names.map(|name| async move {
        let world = World::linked().await;
        world.post("alice", name, &fixture(name)).await;
        world.settle().await;
        world.assert_posted_once("alice", name, &fixture(name)).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caption_too_long_is_counted_as_x_does() {
    let world = World::linked().await;
    let link = "https://example.com/a/very/long/address/that/counts/twenty-three";
    for (caption, weighted) in [
        ("a".repeat(302), 302),
        ("a".repeat(281), 281),
        ("波".repeat(141), 282),
        ("🌊".repeat(141), 282),
        (format!("{} {link}", "a".repeat(257)), 281),
    ] {
        assert_eq!(
            refused(&world, world.post_of(&caption, &sample())).await,
            format!(
                "That caption is {weighted} of 280 characters as X counts them (links count 23, emoji and CJK 2). \
                 Shorten it by {} and send it again as a reply to the video.",
                weighted - 280
            )
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invisible_character_is_pointed_at() {
    let world = World::linked().await;
    for caption in ["First\u{7} wave", "First\u{feff} wave"] {
        assert_eq!(
            refused(&world, world.post_of(caption, &sample())).await,
            "That caption holds an invisible character that X does not accept (character 6). \
             Remove it and send it again as a reply to the video."
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caption_that_fits_is_posted_to_the_letter() {
    let link = "https://example.com/a/very/long/address/that/counts/twenty-three";
    let captions = [
        String::new(),
        "a".repeat(280),
        "波".repeat(140),
        "🌊".repeat(140),
        format!("{} {link}", "a".repeat(256)),
        "two\nlines\tand  spaces".to_owned(),
        "\u{200f}שלום\u{200f} @bob_films #surf *bold* <b>x</b> `code` [a](b) & \"quotes\" \\".to_owned(),
        "👩‍👩‍👧‍👦 e\u{301} ﷽".to_owned(),
    ];
    join_all(captions.into_iter().map(|caption| async move {
        let world = World::linked().await;
        world.post("alice", &caption, &sample()).await;
        world.settle().await;
        world.assert_posted_once("alice", &caption, &sample()).await;
        let price = "\nThe text has a link, so X charges $0.20 for this post instead of $0.015.";
        let told = world.history("alice").iter().any(|text| text.contains(price));
        assert_eq!(told, caption.contains(link), "{caption}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn premium_may_write_more() {
    let world = World::new().await;
    world.link("alice", "bob_films").await;
    assert!(
        refused(&world, world.post_of(&"a".repeat(25_001), &sample()))
            .await
            .starts_with("That caption is 25001 of 25000 characters as X counts them")
    );
    let caption = "a".repeat(25_000);
    world.post("alice", &caption, &sample()).await;
    world.settle().await;
    world.assert_posted_once("alice", &caption, &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_delivered_twice_makes_one_post() {
    let world = World::linked().await;
    let ask = world.post_of("Once", &sample());
    world.ask("alice", ask.clone()).await;
    world.ask("alice", ask.clone()).await;
    world.settle().await;
    world.ask("alice", ask).await;
    world.settle().await;
    world.assert_posted_once("alice", "Once", &sample()).await;
    assert_eq!(world.said("alice").len(), 3, "and one status");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_mean_nothing_are_answered() {
    let world = World::new().await;
    let unknown = |command: &str| Ask::Unknown { command: command.to_owned() };
    let connect = |what: &str| Ask::Connect { what: what.to_owned() };
    for (ask, answer) in [
        (unknown("dance"), "I do not know /dance. /help shows what I can do."),
        (unknown("da<b>nce\n"), "I do not know /dabnce. /help shows what I can do."),
        (
            unknown(""),
            "To publish a video, send it with /post and your caption. /help shows what else I can do.",
        ),
        (connect(""), "Which service? Send /connect twitter to link an X account."),
        (connect("myspace"), "I can only connect X so far. Send /connect twitter."),
        (Ask::Posts, "You have not posted anything yet."),
        (Ask::Cancel, "You have no post under way that could be cancelled."),
        (Ask::Accounts, "You have not linked an X account yet. [Connect X]"),
    ] {
        assert_eq!(refused(&world, ask).await, answer);
    }
}

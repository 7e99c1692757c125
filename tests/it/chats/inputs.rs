//! What people really send, and who reads the answer.

use bytes::Bytes;
use toall::sandbox::{Call, Effect, Fault as OnX, Gate};

use super::{ALICE, brought::by_webhook, link_on_discord, link_on_telegram, on_discord, on_telegram};
use crate::{
    discord::File,
    telegram::{Fault, Telegram, User},
    world::{World, sample},
};

fn video() -> Bytes {
    std::fs::read(sample()).unwrap().into()
}

/// A typo in the account's name once listed the person's accounts in the channel.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_post_is_explained_to_its_person_alone() {
    let (discord, world) = on_discord().await;
    link_on_discord(&discord, &world).await;
    let long = "x".repeat(300);
    for options in [[("account", "@typo"), ("caption", "x")], [("account", ""), ("caption", &long)]] {
        let before = discord.ephemeral("alice").len();
        let file = discord.attach("surf.mp4", "video/mp4", File::Bytes(video()));
        discord.slash("alice", "general", "post", &options, Some(&file)).await;
        discord
            .wait_for("the refusal", |world| {
                let private = world.messages.values().filter(|it| it.ephemeral_for.is_some());
                private.filter(|it| !it.content.is_empty()).nth(before).cloned()
            })
            .await;
    }
    assert!(discord.messages("general").is_empty(), "{:?}", discord.messages("general"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_can_be_copied() {
    let (telegram, world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;
    telegram.private(ALICE).text("/token my_script");
    let said = telegram.wait_for(|telegram| {
        telegram.said(ALICE.id).into_iter().find(|shown| shown.text.contains("API token"))
    });
    let said = said.await;
    let token = said.text.lines().nth(1).unwrap();
    assert_eq!(said.code, [token], "{}", said.text);

    let (discord, _world) = on_discord().await;
    discord.slash("alice", "general", "token", &[("name", "my_script")], None).await;
    let said = discord.wait_for("the token", |world| {
        world.messages.values().find(|it| it.content.contains("API token")).cloned()
    });
    let raw = said.await.content;
    let token = raw.lines().nth(1).unwrap();
    assert!(token.starts_with("`toall_") && token.ends_with('`') && !token.contains('\\'), "{raw}");
}

/// An album of two pictures and a video.
fn album() -> [(&'static str, &'static str, Bytes); 3] {
    let picture = Bytes::from_static(b"jpg");
    [("photo", "a.jpg", picture.clone()), ("video", "surf.mp4", video()), ("photo", "b.jpg", picture)]
}

/// The album's video is on X, and the person was told about the rest.
async fn assert_album_is_posted(telegram: &Telegram, world: &World) {
    let rest = |telegram: &Telegram| {
        telegram
            .said(ALICE.id)
            .into_iter()
            .find(|shown| shown.text.contains("left out the rest of the album"))
    };
    telegram.wait_for(rest).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    assert_eq!(world.x.posts()[0].text, "The best of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_albums_video_is_posted_whichever_file_has_the_words() {
    let (telegram, world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;
    telegram.private(ALICE).album(&album(), "/post The best of it");
    assert_album_is_posted(&telegram, &world).await;
}

/// A poll ends with the first update there is, so the rest of an album comes with the next.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_that_arrives_in_pieces_is_posted() {
    let (telegram, world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;
    let [first, rest @ ..] = album();
    let given = telegram.given();
    telegram.private(ALICE).album(&[first], "/post The best of it");
    telegram.wait_for(|telegram| (telegram.given() > given).then_some(())).await;
    telegram.private(ALICE).album(&rest, "");
    assert_album_is_posted(&telegram, &world).await;
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
}

/// The webhook brings a chat's next update only after the one before is answered.
#[tokio::test(flavor = "multi_thread")]
async fn an_album_that_the_webhook_brings_is_posted() {
    let (telegram, world) = by_webhook().await;
    link_on_telegram(&telegram, &world).await;
    telegram.private(ALICE).album(&album(), "/post The best of it");
    assert_album_is_posted(&telegram, &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_album_without_a_video_is_refused() {
    for (telegram, world) in [on_telegram().await, by_webhook().await] {
        link_on_telegram(&telegram, &world).await;
        let picture = ("photo", "a.jpg", Bytes::from_static(b"jpg"));
        telegram.private(ALICE).album(&[picture.clone(), picture], "/post Only pictures");
        let refused = telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(2)).await;
        assert!(refused.text.starts_with("That is a photo"), "{}", refused.text);
        assert_eq!(world.x.posts().len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caption_that_is_edited_in_time_is_posted() {
    let (telegram, world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;
    let gate = Gate::closed();
    world.x.order(OnX::on(Call::Finalize, Effect::Hold(gate.clone())));
    let alice = telegram.private(ALICE);
    let asked = alice.video("surf.mp4", video(), "/post Frist wave");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(2)).await;
    let said = async |what: &'static str| {
        telegram
            .wait_for(|telegram| telegram.said(ALICE.id).into_iter().rfind(|it| it.text.contains(what)))
            .await
    };
    alice.edit(asked, &format!("/post {}", "x".repeat(300)));
    said("300 of 280").await;
    alice.edit(asked, "/post: First wave");
    said("new caption").await;
    gate.open();
    world.settle().await;
    assert_eq!(world.x.posts()[0].text, "First wave");
    alice.edit(asked, "/post Too late");
    said("too late").await;
    assert_eq!(world.x.posts().len(), 1);
    assert_eq!(world.x.posts()[0].text, "First wave");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_telegram_misses_for_a_while_is_posted() {
    let (telegram, world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;
    const MISSED: &str = "Bad Request: wrong file_id or the file is temporarily unavailable";
    for _ in 0..4 {
        telegram.fail_next("getFile", Fault::Refuse(400, MISSED));
    }
    telegram.private(ALICE).video("surf.mp4", video(), "/post patience");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(2)).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);

    let before = telegram.calls("getFile").len();
    for _ in 0..30 {
        telegram.fail_next("getFile", Fault::Refuse(400, MISSED));
    }
    telegram.private(ALICE).video("gone.mp4", video(), "/post gone");
    telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(3)).await;
    world.settle().await;
    let said = telegram.said(ALICE.id).pop().unwrap().text;
    assert!(said.contains("The chat no longer has the file"), "{said}");
    let tries = telegram.calls("getFile").len() - before;
    assert!((5..15).contains(&tries), "{tries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anonymous_administrator_hears_what_to_do() {
    let (telegram, _world) = on_telegram().await;
    let group = telegram.group(1, User { id: 79, name: "bob" });
    telegram.send_update(serde_json::json!({"message": {
        "message_id": 900, "date": 1, "text": "/post x",
        "from": {"id": 1_087_968_824, "is_bot": true, "first_name": "Group", "username": "GroupAnonymousBot"},
        "sender_chat": {"id": group.chat(), "type": "supergroup", "title": "Surf club"},
        "chat": {"id": group.chat(), "type": "supergroup", "title": "Surf club"},
    }}));
    let said = telegram.wait_for(|telegram| telegram.said(group.chat()).into_iter().next()).await;
    assert!(said.text.contains("can't see who you are"), "{}", said.text);
}

//! *Post to X* in the menu of a message: the form, and what is posted when it is sent.

use serde_json::{Value, json};
use toall::{chat::Ask, post::Kind};

use super::Bot;
use crate::discord::{Attached, Discord, File};

fn film(discord: &Discord, name: &str) -> Attached {
    discord.attach(name, "video/mp4", File::from(&b"moov"[..]))
}

/// The form that an interaction opened.
async fn form(bot: &Bot, interaction: u64) -> Value {
    let opened = bot.discord.wait_for("a form", |world| world.interactions[&interaction].form.clone()).await;
    let took = bot.discord.world().interactions[&interaction].acknowledged.unwrap().2;
    assert!(took.as_millis() < 300, "opened after {took:?}");
    opened
}

#[tokio::test(flavor = "multi_thread")]
async fn the_video_of_a_message_is_posted_with_the_caption_of_the_form() {
    let mut bot = Bot::start().await;
    let picture = bot.discord.attach("cover.png", "image/png", File::from(&b"png"[..]));
    let (video, second) = (film(&bot.discord, "surf.mp4"), film(&bot.discord, "more.mp4"));
    let carol = bot.discord.world().user("carol");
    let files = [&picture, &video, &second];
    let chosen =
        bot.discord.choose("alice", "general", &format!(" *Surf* at dawn <@{carol}>\n"), &files).await;
    let Ask::Form { key: opened, file } = bot.heard().await.ask else { panic!("no form") };
    let form = form(&bot, chosen).await;
    assert_eq!(form["title"], "Post to X");
    let field = &form["components"][0]["components"][0];
    assert_eq!(
        (&field["label"], &field["value"]),
        (&json!("Caption"), &json!("Surf at dawn @carol of renown"))
    );

    assert_eq!((file.name.as_str(), file.kind, file.source), ("surf.mp4", Kind::Video, video.url));

    let sent = bot.discord.submit("alice", "general", &form, " Surf at dawn ").await;
    let incoming = bot.heard().await;
    let Ask::Filled { key, caption, dedupe_key } = incoming.ask else { panic!("no post") };
    assert_eq!((key, caption.as_str()), (opened, "Surf at dawn"));
    assert_eq!(dedupe_key, format!("discord:{sent}"), "so that a replay is no second post");
    assert_eq!(incoming.from.name, "alice");
    let interaction = incoming.at.interaction.unwrap();
    assert!(!interaction.ephemeral && interaction.bot_may_write && !incoming.at.private);
    bot.discord.world().gateway.repeat_last();
    let Ask::Filled { dedupe_key: again, .. } = bot.heard().await.ask else { panic!("no post") };
    assert_eq!(again, dedupe_key);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_field_cannot_hold_whole_is_left_to_the_person() {
    let mut bot = Bot::start().await;
    let video = film(&bot.discord, "surf.mp4");
    for text in ["", "é".repeat(4_001).as_str()] {
        let chosen = bot.discord.choose("alice", "general", text, &[&video]).await;
        bot.heard().await;
        assert_eq!(form(&bot, chosen).await["components"][0]["components"][0]["value"], Value::Null);
    }
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_video_is_refused_in_private_without_a_form() {
    let mut bot = Bot::start().await;
    let picture = bot.discord.attach("cover.png", "image/png", File::from(&b"png"[..]));
    for (files, kind) in [(&[][..], None), (&[&picture][..], Some(Kind::Photo))] {
        let chosen = bot.discord.choose("alice", "general", "look", files).await;
        let incoming = bot.heard().await;
        let Ask::Post { file, .. } = incoming.ask else { panic!("no post") };
        assert_eq!(file.map(|file| file.kind), kind);
        assert!(incoming.at.interaction.unwrap().ephemeral);
        assert!(bot.discord.world().interactions[&chosen].form.is_none());
    }
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_moderators_may_post_what_others_wrote() {
    let mut bot = Bot::start().await;
    let video = film(&bot.discord, "surf.mp4");
    let chosen = bot.discord.choose_of("mallory", "leo", "general", "mine", &[&video]).await;
    let incoming = bot.heard().await;
    assert_eq!(incoming.ask, Ask::SomebodyElses);
    assert!(incoming.at.interaction.unwrap().ephemeral);
    assert!(bot.discord.world().interactions[&chosen].form.is_none());

    let moderator = bot.discord.world().user("maud");
    bot.discord.world().moderators.push(moderator);
    let chosen = bot.discord.choose_of("maud", "leo", "general", "theirs", &[&video]).await;
    assert!(matches!(bot.heard().await.ask, Ask::Form { .. }));
    form(&bot, chosen).await;
    bot.stop().await;
}

//! *Post to X* in the menu of a message: the form, and what is posted when it is sent.

use serde_json::{Value, json};
use toall::{chat::Ask, post::Kind};

use super::{Bot, only};
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
    let files = [&picture, &video, &second];
    let chosen = bot.discord.choose("alice", "general", " *Surf* at dawn <@1>\n", &files).await;
    let form = form(&bot, chosen).await;
    assert_eq!(form["title"], "Post to X");
    let field = &form["components"][0]["components"][0];
    assert_eq!((&field["label"], &field["value"]), (&json!("Caption"), &json!("*Surf* at dawn <@1>")));

    let sent = bot.discord.submit("alice", "general", &form, " Surf at dawn ").await;
    let incoming = bot.heard().await;
    let Ask::Post { caption, file: Some(file), dedupe_key, .. } = incoming.ask else { panic!("no post") };
    assert_eq!((caption.as_str(), file.source), ("Surf at dawn", video.url));
    assert_eq!((file.name.as_str(), file.kind), ("surf.mp4", Kind::Video));
    assert_eq!(dedupe_key, format!("discord:{sent}"), "so that a replay is no second post");
    assert_eq!(incoming.from.name, "alice");
    let interaction = incoming.at.interaction.unwrap();
    assert!(!interaction.ephemeral && interaction.bot_may_write && !incoming.at.private);
    bot.discord.world().gateway.repeat_last();
    let Ask::Post { dedupe_key: again, .. } = bot.heard().await.ask else { panic!("no post") };
    assert_eq!(again, dedupe_key);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_field_cannot_hold_whole_is_left_to_the_person() {
    let bot = Bot::start().await;
    let video = film(&bot.discord, "surf.mp4");
    for text in ["", "é".repeat(4_001).as_str()] {
        let chosen = bot.discord.choose("alice", "general", text, &[&video]).await;
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
async fn a_form_that_nobody_knows_or_that_is_another_s_posts_nothing() {
    let mut bot = Bot::start().await;
    let video = film(&bot.discord, "surf.mp4");
    let chosen = bot.discord.choose("alice", "general", "", &[&video]).await;
    let mine = form(&bot, chosen).await;
    let mut unknown = mine.clone();
    unknown["custom_id"] = json!("post:12");
    let mut foreign = mine.clone();
    foreign["custom_id"] = json!("colour");
    for (user, form) in [("bob", &mine), ("alice", &unknown), ("carol", &foreign)] {
        bot.discord.submit(user, "general", form, "mine now").await;
        bot.discord
            .wait_for("the word", |world| {
                let asked = world.users[user];
                world.messages.values().find(|shown| shown.ephemeral_for == Some(asked)).cloned()
            })
            .await;
        assert_eq!(
            only(bot.discord.ephemeral(user)).shown(),
            "I no longer know which video that was. Choose Post to X in the menu of the message again."
        );
    }
    // What comes next is the first thing that was asked.
    assert_eq!(bot.asked("alice", "general", "posts").await.ask, Ask::Posts);
    bot.stop().await;
}

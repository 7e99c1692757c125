use serde_json::{Value, json};

use super::*;
use crate::words::Deed;

/// What the bot makes of a message from alice with these fields.
fn heard(chat: &str, fields: Value) -> Option<Incoming> {
    understand(&update(chat, fields), "ToallBot")
}

fn update(chat: &str, fields: Value) -> Update {
    let mut message = json!({
        "message_id": 7,
        "date": 1_767_323_045,
        "from": {"id": 42, "is_bot": false, "first_name": "Alice", "last_name": "Smith", "username": "alice"},
        "chat": match chat {
            "private" => json!({"id": 42, "type": "private", "first_name": "Alice"}),
            "group" => json!({"id": -5, "type": "group", "title": "Surf"}),
            "channel" => json!({"id": -1_006_i64, "type": "channel", "title": "News"}),
            _ => json!({"id": -1_001_000_000_005_i64, "type": "supergroup", "title": "Surf"}),
        },
    });
    let object = message.as_object_mut().unwrap();
    object.extend(fields.as_object().unwrap().clone());
    parse(json!({"update_id": 1, "message": message}))
}

fn parse(update: Value) -> Update {
    serde_json::from_value(update).unwrap()
}

fn private(text: &str) -> Option<Ask> {
    heard("private", json!({"text": text})).map(|incoming| incoming.ask)
}

fn group(text: &str) -> Option<Ask> {
    heard("group", json!({"text": text})).map(|incoming| incoming.ask)
}

fn post(ask: Ask) -> (String, Option<Attachment>, String) {
    let Ask::Post { caption, file, dedupe_key, .. } = ask else {
        panic!("not a post: {ask:?}");
    };
    (caption, file, dedupe_key)
}

fn media(kind: &str) -> Value {
    let file = json!({"file_id": format!("id-{kind}"), "file_unique_id": "u", "file_size": 1000,
        "width": 10, "height": 10, "length": 10, "duration": 1});
    let with = |more: Value| {
        let mut file = file.clone();
        file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        file
    };
    match kind {
        "video" => {
            json!({"video": with(json!({"file_name": "surf.mov", "mime_type": "video/quicktime"}))})
        }
        "document" => {
            json!({"document": with(json!({"file_name": "surf.mkv", "mime_type": "video/x-matroska"}))})
        }
        "animation" => json!({
            "animation": with(json!({"file_name": "surf.mp4", "mime_type": "video/mp4"})),
            "document": with(json!({"file_name": "surf.mp4", "mime_type": "video/mp4"})),
        }),
        "video_note" => json!({"video_note": file}),
        "voice" => json!({"voice": with(json!({"mime_type": "audio/ogg"}))}),
        "audio" => json!({"audio": with(json!({"mime_type": "audio/mpeg"}))}),
        "sticker" => {
            json!({"sticker": with(json!({"type": "regular", "is_animated": false, "is_video": false}))})
        }
        "photo" => json!({"photo": [
            {"file_id": "small", "file_unique_id": "s", "file_size": 10, "width": 1, "height": 1},
            {"file_id": "id-photo", "file_unique_id": "u", "file_size": 1000, "width": 10, "height": 10},
        ]}),
        other => panic!("no such media: {other}"),
    }
}

fn with(mut fields: Value, more: Value) -> Value {
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

fn replied(media: Value) -> Value {
    with(
        media,
        json!({
            "message_id": 3, "date": 1_767_323_000,
            "from": {"id": 43, "is_bot": false, "first_name": "Bob"},
            "chat": {"id": -5, "type": "group", "title": "Surf"},
        }),
    )
}

#[test]
fn every_command_is_known() {
    let connect = |what: &str| Ask::Connect { what: what.into() };
    let disconnect = |what: &str| Ask::Disconnect { what: what.into() };
    let code = "c".repeat(43);
    let claim = Ask::Claim { code: code.clone() };
    let (claims, starts) = (format!("/claim {code}"), format!("/start {code}"));
    for (text, ask) in [
        ("/connect twitter", connect("twitter")),
        ("/connect", connect("")),
        ("/CONNECT  Twitter ", connect("Twitter")),
        ("/connect\ntwitter", connect("twitter")),
        ("/accounts", Ask::Accounts),
        ("/disconnect", disconnect("")),
        ("/disconnect @alice_makes", disconnect("@alice_makes")),
        ("/posts", Ask::Posts),
        ("/cancel", Ask::Cancel),
        ("/upload", Ask::Upload),
        ("/web", Ask::Web),
        ("/token", Ask::Token { name: String::new() }),
        ("/token my script", Ask::Token { name: "my script".to_owned() }),
        ("/tokens", Ask::Tokens),
        ("/help", Ask::Help),
        ("/start", Ask::Start),
        ("/start from-a-link", Ask::Start),
        (&*claims, claim.clone()),
        (&*starts, claim),
    ] {
        assert_eq!(private(text), Some(ask.clone()), "{text}");
        assert_eq!(group(text), Some(ask), "{text}");
    }
}

#[test]
fn a_private_chat_answers_everything_and_a_group_only_what_is_meant_for_the_bot() {
    let unknown = || Ask::Unknown { command: "psot".into() };
    assert_eq!(private("/psot x"), Some(unknown()));
    assert_eq!(group("/psot x"), None);
    assert_eq!(group("/psot@toallbot x"), Some(unknown()));
    assert_eq!(private("hello"), Some(Ask::Help));
    assert_eq!(group("hello"), None);
    for not_a_command in ["/", "/ post", "/usr/bin", "//post", "post", "/поставь"] {
        assert_eq!(private(not_a_command), Some(Ask::Help), "{not_a_command}");
        assert_eq!(group(not_a_command), None, "{not_a_command}");
    }
}

#[test]
fn a_command_for_another_bot_is_not_ours() {
    assert_eq!(group("/help@otherbot"), None);
    assert_eq!(group("/help@ToallBotTwo"), None);
    assert_eq!(group("/help@TOALLBOT"), Some(Ask::Help));
    assert_eq!(private("/help@otherbot"), None);
}

#[test]
fn every_kind_of_file_is_named() {
    for (media_kind, kind, name, content_type) in [
        ("video", Kind::Video, "surf.mov", Some("video/quicktime")),
        ("document", Kind::File, "surf.mkv", Some("video/x-matroska")),
        ("animation", Kind::Animation, "surf.mp4", Some("video/mp4")),
        ("video_note", Kind::VideoNote, "round video", None),
        ("voice", Kind::Voice, "voice message", Some("audio/ogg")),
        ("audio", Kind::Audio, "audio", Some("audio/mpeg")),
        ("sticker", Kind::Sticker, "sticker", None),
        ("photo", Kind::Photo, "photo", None),
    ] {
        let expected = Attachment {
            platform: Platform::Telegram,
            source: format!("id-{media_kind}"),
            name: name.into(),
            bytes: Some(1000),
            content_type: content_type.map(Into::into),
            kind,
        };
        let reply = json!({"text": "/post First wave", "reply_to_message": replied(media(media_kind))});
        let (caption, file, _) = post(heard("group", reply).unwrap().ask);
        assert_eq!((caption.as_str(), file.as_ref()), ("First wave", Some(&expected)));
        if !matches!(media_kind, "video_note" | "sticker") {
            let captioned = with(media(media_kind), json!({"caption": "/post First wave"}));
            let (caption, file, _) = post(heard("private", captioned).unwrap().ask);
            assert_eq!((caption.as_str(), file.as_ref()), ("First wave", Some(&expected)));
        }
    }
}

#[test]
fn a_file_that_telegram_says_little_about_is_a_file_all_the_same() {
    let video = json!({"video": {"file_id": "id", "file_unique_id": "u"}});
    let (_, file, _) = post(heard("private", with(video, json!({"caption": "/post"}))).unwrap().ask);
    let file = file.unwrap();
    assert_eq!((file.bytes, file.content_type), (None, None));
}

#[test]
fn a_caption_is_kept_as_typed() {
    for (text, caption) in [
        ("/post", ""),
        ("/post   ", ""),
        ("/post First", "First"),
        ("/post@toallbot First", "First"),
        ("/post\nFirst\n\n  second  line \n", "First\n\n  second  line"),
        ("/post 👨‍👩‍👧 /post @bob #x", "👨‍👩‍👧 /post @bob #x"),
        ("/post\u{a0}First", "First"),
        ("/post: First", "First"),
        ("/post:First", "First"),
        ("/post🎬 First", "First"),
        ("/post🎬First", "First"),
        ("/post@toallbot, First", "First"),
        ("/post - First", "- First"),
        ("/post—First", "First"),
        ("/post, ", ""),
        ("/post#surf", "#surf"),
        ("/post\"First\"", "\"First\""),
        ("/post: /first", "/first"),
    ] {
        let (heard, file, key) = post(private(text).unwrap());
        assert_eq!(heard, caption, "{text:?}");
        assert_eq!(file, None);
        assert_eq!(key, "telegram:42:7");
    }
}

#[test]
fn the_file_of_the_message_itself_comes_first() {
    let both = with(
        media("video"),
        json!({
            "caption": "/post", "reply_to_message": replied(media("photo")),
        }),
    );
    let (_, file, _) = post(heard("group", both).unwrap().ask);
    assert_eq!(file.unwrap().kind, Kind::Video);
}

#[test]
fn who_and_where_are_kept() {
    let incoming = heard("group", json!({"text": "/posts"})).unwrap();
    assert_eq!(
        incoming.from,
        Person { platform: Platform::Telegram, id: "42".into(), name: "@alice".into() }
    );
    let at = incoming.at;
    assert_eq!((at.chat.as_str(), at.person.as_str(), at.private), ("-5", "42", false));
    assert_eq!((at.message.as_deref(), at.thread), (Some("7"), None));
    assert!(heard("private", json!({"text": "/posts"})).unwrap().at.private);
}

#[test]
fn a_topic_is_kept_and_a_mere_reply_thread_is_not() {
    let topic = json!({"text": "/posts", "message_thread_id": 11, "is_topic_message": true});
    assert_eq!(heard("supergroup", topic).unwrap().at.thread.as_deref(), Some("11"));
    let thread = json!({"text": "/posts", "message_thread_id": 11});
    assert_eq!(heard("supergroup", thread).unwrap().at.thread, None);
}

#[test]
fn only_people_and_only_their_own_words_count() {
    let bot = json!({"id": 9, "is_bot": true, "first_name": "Bot"});
    let channel = json!({"id": -6, "type": "channel", "title": "News"});
    let origin =
        json!({"type": "user", "date": 1, "sender_user": {"id": 43, "is_bot": false, "first_name": "Bob"}});
    for silent in [
        json!({"text": "/help", "from": bot}),
        json!({"text": "/help", "from": null, "sender_chat": channel}),
        json!({"text": "just talking", "sender_chat": channel}),
        json!({"text": "/psot", "sender_chat": channel}),
        json!({"text": "/help", "sender_chat": channel, "is_automatic_forward": true}),
        json!({"text": "/help", "forward_origin": origin}),
        json!({"text": "/help", "via_bot": bot}),
        json!({"new_chat_members": [bot]}),
        json!({"pinned_message": replied(json!({"text": "/help"}))}),
    ] {
        assert!(heard("group", silent.clone()).is_none(), "{silent}");
    }
    // A forwarded video is somebody else's words, but the person can reply to it.
    let forwarded = with(media("video"), json!({"caption": "/post theirs", "forward_origin": origin}));
    assert_eq!(heard("private", forwarded).unwrap().ask, Ask::Help);
    assert!(heard("channel", json!({"text": "/help"})).is_none());
}

#[test]
fn an_anonymous_administrator_is_answered() {
    let group = json!({"id": -1_001_000_000_005_i64, "type": "supergroup", "title": "Surf"});
    let stand_in =
        json!({"id": 1_087_968_824, "is_bot": true, "first_name": "Group", "username": "GroupAnonymousBot"});
    let command = json!({"text": "/post@ToallBot x", "from": stand_in, "sender_chat": group});
    assert_eq!(heard("supergroup", command).unwrap().ask, Ask::Anonymous);
}

#[test]
fn an_edited_post_keeps_its_key() {
    let mut message = replied(json!({"text": "/post Second"}));
    message["from"] = json!({"id": 42, "is_bot": false, "first_name": "Alice"});
    let update = parse(json!({"update_id": 1, "edited_message": message}));
    let edited = understand(&update, "ToallBot").unwrap();
    let dedupe_key = "telegram:-5:3".to_owned();
    assert_eq!(edited.ask, Ask::Edit { caption: "Second".to_owned(), dedupe_key });
}

#[test]
fn a_link_keeps_its_address() {
    let linked = |text: &str, offset: usize, length: usize, url: &str| {
        let link = json!({"type": "text_link", "offset": offset, "length": length, "url": url});
        let bold = json!({"type": "bold", "offset": 6, "length": 2});
        let asked = with(media("video"), json!({"caption": text, "caption_entities": [bold, link]}));
        post(heard("private", asked).unwrap().ask).0
    };
    assert_eq!(linked("/post 😀 my reel!", 9, 7, "https://e.example/1"), "😀 my reel (https://e.example/1)!");
    assert_eq!(linked("/post e.example", 6, 9, "http://e.example/"), "http://e.example/");
    assert_eq!(linked("/post alice", 6, 5, "tg://user?id=1"), "alice");
    for (offset, length) in [(6, 0), (7, 1), (900, 1), (6, usize::MAX), (usize::MAX, 1)] {
        assert!(linked("/post 😀x", offset, length, "https://e.example/").starts_with("😀x"));
    }
}

#[test]
fn a_reply_to_another_chat_brings_its_file() {
    let elsewhere = with(media("video"), json!({"origin": {"type": "channel"}, "message_id": 5}));
    let asked = json!({"text": "/post From there", "external_reply": elsewhere});
    let (caption, file, _) = post(heard("private", asked).unwrap().ask);
    assert_eq!((caption.as_str(), file.unwrap().source.as_str()), ("From there", "id-video"));
}

#[test]
fn other_edits_and_channel_posts_are_not_heard() {
    for kind in ["edited_message", "channel_post", "edited_channel_post"] {
        let message = replied(json!({"text": "/help"}));
        let update = parse(json!({"update_id": 1, kind: message}));
        assert!(understand(&update, "ToallBot").is_none());
    }
}

#[test]
fn a_video_without_a_command_is_answered_in_private_once() {
    assert_eq!(heard("private", media("video")).unwrap().ask, Ask::Help);
    assert!(heard("group", media("video")).is_none());
    let album = with(media("video"), json!({"media_group_id": "1"}));
    assert!(heard("private", album.clone()).is_none());
    let first = with(album, json!({"caption": "/post Both"}));
    assert_eq!(post(heard("private", first).unwrap().ask).0, "Both");
}

fn pressed(query: Value) -> Option<Incoming> {
    let mut base = json!({
        "id": "q", "chat_instance": "c",
        "from": {"id": 42, "is_bot": false, "first_name": "Alice"},
        "message": replied(json!({"text": "Uploading"})),
    });
    base.as_object_mut().unwrap().extend(query.as_object().unwrap().clone());
    let update = json!({"update_id": 1, "callback_query": base});
    understand(&parse(update), "ToallBot")
}

#[test]
fn writing_or_pressing_in_a_group_shows_who_is_in_it() {
    let surf = [Group::TelegramChat("-5".to_owned())];
    assert_eq!(heard("group", json!({"text": "/posts"})).unwrap().groups, surf);
    assert_eq!(pressed(json!({"data": "connect"})).unwrap().groups, surf);
    assert_eq!(heard("private", json!({"text": "/posts"})).unwrap().groups, []);
}

#[test]
fn a_press_names_its_message_and_who_pressed() {
    let incoming = pressed(json!({"data": "connect"})).unwrap();
    assert_eq!(incoming.ask, Ask::Press(Deed::Connect));
    assert_eq!(incoming.from.id, "42");
    let at = incoming.at;
    assert_eq!((at.chat.as_str(), at.message.as_deref()), ("-5", Some("3")));
    assert!(!at.private);
}

#[test]
fn a_press_on_an_old_message_still_counts() {
    let old =
        json!({"message_id": 3, "date": 0, "chat": {"id": 42, "type": "private", "first_name": "Alice"}});
    let incoming = pressed(json!({"data": "connect", "message": old})).unwrap();
    assert!(incoming.at.private);
}

#[test]
fn a_press_that_this_version_did_not_write_is_nobodys() {
    for query in [
        json!({"data": "explode:1"}),
        json!({"data": ""}),
        json!({"game_short_name": "chess"}),
        json!({"data": "connect", "message": null}),
    ] {
        assert!(pressed(query.clone()).is_none(), "{query}");
    }
}

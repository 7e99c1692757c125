use proptest::prelude::*;
use toall::{
    account::{AccountId, Platform},
    chat::Ask,
    post::{Attachment, Kind, Options, PostId},
    words::{Act, Deed},
};

use super::each;
use crate::world::{World, read};

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,400}",
        "@?[a-z_]{0,20}",
        Just("twitter".to_owned()),
        (1..3_000_usize, any::<char>()).prop_map(|(times, c)| c.to_string().repeat(times)),
        Just("\u{202e}\u{feff}\u{0}/post".to_owned()),
    ]
}

fn files() -> impl Strategy<Value = Option<Attachment>> {
    let kinds =
        [Kind::Video, Kind::Animation, Kind::File, Kind::Photo, Kind::Voice, Kind::Audio, Kind::Sticker];
    let file = (
        words(),
        words(),
        any::<Option<u64>>(),
        prop::option::of(words()),
        prop::sample::select(kinds.to_vec()),
    );
    prop::option::of(file.prop_map(|(source, name, bytes, content_type, kind)| Attachment {
        platform: Platform::Console,
        source,
        name,
        bytes,
        content_type,
        kind,
    }))
}

fn options() -> impl Strategy<Value = Options> {
    (prop::option::of(words()), any::<bool>(), any::<bool>()).prop_map(
        |(alt_text, made_with_ai, paid_partnership)| Options {
            alt_text,
            made_with_ai,
            paid_partnership,
            ..Options::default()
        },
    )
}

fn asks() -> impl Strategy<Value = Ask> {
    let post = any::<u128>().prop_map(|id| PostId(uuid::Uuid::from_u128(id)));
    let account = "[0-9]{1,20}".prop_map(AccountId);
    let deed = prop_oneof![
        post.clone().prop_map(Deed::Cancel),
        post.clone().prop_map(Deed::Retry),
        post.clone().prop_map(Deed::PostAgain),
        post.prop_map(Deed::ItIsThere),
        account.clone().prop_map(Deed::Disconnect),
        account.prop_map(Deed::Prefer),
    ];
    let plain =
        [Ask::Posts, Ask::Accounts, Ask::Cancel, Ask::Upload, Ask::Web, Ask::Tokens, Ask::Help, Ask::Start]
            .to_vec();
    prop_oneof![
        words().prop_map(|what| Ask::Connect { what }),
        words().prop_map(|what| Ask::Disconnect { what }),
        words().prop_map(|name| Ask::Token { name }),
        words().prop_map(|command| Ask::Unknown { command }),
        (words(), words(), options(), files(), words()).prop_map(
            |(caption, account, options, file, dedupe_key)| {
                Ask::Post { caption, account, options, file, dedupe_key }
            }
        ),
        deed.prop_map(Ask::Press),
        prop::sample::select(plain),
    ]
}

#[test]
fn whatever_is_asked_is_answered() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // Nobody has linked an account, so nothing comes of a post but an answer.
    let world = runtime.block_on(World::new());
    each(&runtime, 300, 1, &asks(), async |ask| {
        world.ask("mallory", ask).await;
        let said = world.console.messages();
        prop_assert!(!said.is_empty(), "no answer");
        for shown in said {
            world.console.delete(&shown.at);
            let text = read(&shown.message);
            prop_assert!(!text.trim().is_empty());
            prop_assert!(text.chars().count() < 1_500, "too long to be read: {}", text);
            for button in &shown.message.buttons {
                if let Act::Do(deed) = &button.act {
                    prop_assert!(deed.to_string().len() <= 64);
                }
            }
        }
        Ok(())
    });
    drop(world);
}

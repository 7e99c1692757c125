#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use toall::{chat::Ask, words::Deed};
use toall_fuzz::telegram::Telegram;

thread_local! {
    static TELEGRAM: RefCell<Telegram> = RefCell::new(Telegram::start());
}

// What people type, and what buttons bring back.
fuzz_target!(|text: &str| {
    if let Ok(deed) = text.parse::<Deed>() {
        assert_eq!(deed.to_string().parse::<Deed>().ok(), Some(deed));
    }
    let alice = json!({ "id": 1, "is_bot": false, "first_name": "Alice" });
    let chat = json!({ "id": 1, "type": "private" });
    let message = json!({ "message_id": 7, "from": alice, "chat": chat, "text": text });
    let heard = TELEGRAM.with_borrow_mut(|it| it.hear(json!({ "update_id": 1, "message": message })));
    // In a private chat nobody is left without an answer, unless another bot was named.
    let ask = heard.map(|incoming| incoming.ask);
    match &ask {
        Some(
            Ask::Post { caption: rest, .. } | Ask::Connect { what: rest } | Ask::Disconnect { what: rest },
        ) => {
            assert!(text.contains(rest.as_str()) && rest.trim() == rest);
        }
        Some(Ask::Unknown { command }) => assert!((1..=32).contains(&command.len())),
        Some(_) => {}
        None => assert!(text.starts_with('/') && text.contains('@'), "{text:?}"),
    }
});

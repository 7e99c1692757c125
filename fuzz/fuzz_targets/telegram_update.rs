#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use toall_fuzz::telegram::Telegram;

thread_local! {
    static TELEGRAM: RefCell<Telegram> = RefCell::new(Telegram::start());
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(update) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Some(incoming) = TELEGRAM.with_borrow_mut(|it| it.hear(update)) {
        assert!(!incoming.from.id.is_empty() && !incoming.at.chat.is_empty());
    }
});

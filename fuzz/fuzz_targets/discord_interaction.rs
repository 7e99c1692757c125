#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use toall_fuzz::discord::Discord;

thread_local! {
    static DISCORD: RefCell<Discord> = RefCell::new(Discord::start());
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(data) = serde_json::from_slice::<Value>(bytes) else { return };
    if let Some(incoming) = DISCORD.with_borrow_mut(|it| it.hear("INTERACTION_CREATE", &data)) {
        assert!(!incoming.from.id.is_empty() && !incoming.at.chat.is_empty());
    }
});

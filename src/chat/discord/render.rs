//! From a message to the JSON that shows it on Discord.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::words::{Act, Button, Deed, Message, Span};

use super::markup::{content, web_address};

// Message flags: Discord's developer documentation, "Message Object".
pub(super) const SUPPRESS_EMBEDS: u64 = 1 << 2;
pub(super) const EPHEMERAL: u64 = 1 << 6;

// Limits: Discord's developer documentation, "Create Message" and "Component Reference".
const LABEL_LIMIT: usize = 80;
const URL_LIMIT: usize = 512;
const NONCE_LIMIT: usize = 25;
const BUTTONS_PER_ROW: usize = 5;
const ROWS: usize = 5;

/// The body that sends or replaces a message. It names every field, so that an edit leaves nothing
/// behind, and lets nothing ping.
pub(super) fn body(message: &Message) -> Value {
    let (buttons, as_text): (Vec<&Button>, Vec<&Button>) =
        message.buttons.iter().partition(|button| fits(button));
    let mut text = message.text.clone();
    for button in as_text {
        if let Act::Open(url) = &button.act {
            text.push(Span::Text(format!("\n{}: ", button.label)));
            text.push(Span::Link(url.clone()));
        }
    }
    let rows: Vec<Value> = buttons
        .chunks(BUTTONS_PER_ROW)
        .take(ROWS)
        .map(|row| {
            let row: Vec<Value> = row.iter().map(|button| component(button)).collect();
            json!({ "type": 1, "components": row })
        })
        .collect();
    json!({
        "content": content(&text),
        "flags": SUPPRESS_EMBEDS,
        "allowed_mentions": { "parse": [], "replied_user": false },
        "components": rows,
    })
}

/// A nonce of at most 25 characters that stands for `name`.
pub(super) fn nonce(name: &str) -> String {
    if name.len() <= NONCE_LIMIT {
        return name.to_owned();
    }
    URL_SAFE_NO_PAD.encode(&Sha256::digest(name)[..16])
}

/// Whether Discord takes this as a button. It refuses long links and hosts without a dot.
fn fits(button: &Button) -> bool {
    match &button.act {
        Act::Do(_) => true,
        Act::Open(link) => {
            link.len() <= URL_LIMIT
                && web_address(link).is_some_and(|url| url.host_str().is_some_and(|host| host.contains('.')))
        }
    }
}

fn component(button: &Button) -> Value {
    const SECONDARY: u8 = 2;
    const DANGER: u8 = 4;
    const LINK: u8 = 5;
    let label: String = button.label.chars().take(LABEL_LIMIT).collect();
    match &button.act {
        Act::Open(url) => json!({ "type": 2, "style": LINK, "label": label, "url": url }),
        Act::Do(deed) => {
            let style = match deed {
                Deed::Cancel(_) | Deed::Disconnect(_) => DANGER,
                _ => SECONDARY,
            };
            json!({ "type": 2, "style": style, "label": label, "custom_id": deed.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_pings_and_an_edit_leaves_nothing_behind() {
        let body = body(&Message::text("hello"));
        assert_eq!(body["allowed_mentions"], json!({ "parse": [], "replied_user": false }));
        assert_eq!(body["components"], json!([]));
        assert_eq!(body["flags"], SUPPRESS_EMBEDS);
    }

    #[test]
    fn buttons_stand_in_rows_of_five() {
        let message = (0..7).fold(Message::text("Which?"), |message, i| {
            let account = crate::account::AccountId(i.to_string());
            message.button(&format!("@{i}"), Deed::Prefer(account))
        });
        let rows = body(&message.open("Open on X", "https://x.com/"))["components"].clone();
        assert_eq!(rows[0]["components"].as_array().map(Vec::len), Some(5));
        assert_eq!(rows[1]["components"].as_array().map(Vec::len), Some(3));
        assert_eq!(rows[1]["components"][1]["custom_id"], "prefer:6");
        assert_eq!(
            rows[1]["components"][2],
            json!({ "type": 2, "style": 5, "label": "Open on X", "url": "https://x.com/" })
        );
    }

    #[test]
    fn links_that_discord_takes_for_no_button_stand_in_the_text() {
        let long = format!("https://x.com/?state={}", "a".repeat(600));
        for link in ["http://localhost:8080/upload/1", &long] {
            let body = body(&Message::text("Here.").open("Open", link));
            assert_eq!(body["components"], json!([]));
            assert_eq!(body["content"], format!("Here.\nOpen: <{link}>"));
        }
    }

    #[test]
    fn a_nonce_fits() {
        assert_eq!(nonce("move:1234567890123456789"), "move:1234567890123456789");
        let long = nonce("0192f3c4-0000-7000-8000-000000000000");
        assert_eq!(long.len(), 22);
        assert_ne!(long, nonce("0192f3c4-0000-7000-8000-000000000001"));
    }
}

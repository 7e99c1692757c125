//! From a message to Telegram's text, entities and keyboard. Never a parse mode: text stays text.

use std::ops::Range;

use jiff::{Timestamp, tz::TimeZone};
use teloxide::types::{InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity};
use unicode_segmentation::UnicodeSegmentation;
use url::{Host, Url};

use crate::words::{Act, Message, Span};

/// Longest text of a message (Bot API, `sendMessage`), counted in UTF-16 units to be on the safe side.
const TEXT_UNITS: usize = 4096;

/// A message as Telegram takes it.
pub(super) struct Outgoing {
    pub text: String,
    pub entities: Vec<MessageEntity>,
    pub keyboard: Option<InlineKeyboardMarkup>,
}

/// Renders `message`; times on the day of `now_ms` go without the date.
pub(super) fn render(message: &Message, now_ms: i64) -> Outgoing {
    let mut text = String::new();
    // Where something of our own stands, and whether it is code.
    let mut ours: Vec<(Range<usize>, bool)> = Vec::new();
    for span in &message.text {
        let start = text.len();
        match span {
            Span::Text(words) => text.push_str(words),
            Span::Link(url) => text.push_str(url),
            Span::Code(words) => text.push_str(words),
            Span::Time(at) => text.push_str(&time(*at, now_ms)),
        }
        if matches!(span, Span::Link(_) | Span::Code(_)) {
            ours.push((start..text.len(), matches!(span, Span::Code(_))));
        }
    }
    let mut lines = String::new();
    let mut rows = Vec::new();
    for button in &message.buttons {
        match &button.act {
            Act::Do(deed) => rows.push([InlineKeyboardButton::callback(&button.label, deed.to_string())]),
            Act::Open(address) => match public(address) {
                Some(url) => rows.push([InlineKeyboardButton::url(&button.label, url)]),
                None => lines.push_str(&format!("\n{}: {address}", button.label)),
            },
        }
    }
    let mut text = cut(text, TEXT_UNITS.saturating_sub(units(&lines)));
    let entities = entities(&text, &ours);
    text.push_str(&lines);
    Outgoing { entities, text, keyboard: (!rows.is_empty()).then(|| InlineKeyboardMarkup::new(rows)) }
}

fn time(at: i64, now_ms: i64) -> String {
    let utc = |ms| {
        let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
        at.to_zoned(TimeZone::UTC)
    };
    let (at, now) = (utc(at), utc(now_ms));
    let form = if at.date() == now.date() { "%H:%M UTC" } else { "%-d %b %H:%M UTC" };
    at.strftime(form).to_string()
}

/// The address as a button's, unless Telegram would refuse it (`BUTTON_URL_INVALID`): it wants one
/// that can be reached from anywhere.
fn public(address: &str) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    let reachable = match url.host()? {
        Host::Domain(name) => name.trim_end_matches('.').contains('.') && !name.ends_with(".localhost"),
        Host::Ipv4(ip) => !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()),
        Host::Ipv6(ip) => {
            !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified())
        }
    };
    (reachable && matches!(url.scheme(), "http" | "https")).then_some(url)
}

/// What is to be copied, as code; and so is what Telegram would make a link of, outside of `ours`. X names, file names and
/// what else people write would otherwise lead to its own users, to groups, and to sites of strangers.
fn entities(text: &str, ours: &[(Range<usize>, bool)]) -> Vec<MessageEntity> {
    let code = |range: Range<usize>| MessageEntity::code(units(&text[..range.start]), units(&text[range]));
    let mut found = Vec::new();
    let mut from = 0;
    for (range, is_code) in ours {
        // A long text was cut.
        let range = range.start.min(text.len())..range.end.min(text.len());
        if !text.is_char_boundary(range.start) || !text.is_char_boundary(range.end) || range.is_empty() {
            continue;
        }
        found.extend(links(text, from..range.start).map(code));
        if *is_code {
            found.push(code(range.clone()));
        }
        from = range.end;
    }
    found.extend(links(text, from..text.len()).map(code));
    found
}

/// What Telegram makes links of in a part of a text: addresses with and without a scheme, names, tags, numbers.
fn links(text: &str, part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    text[part].split_whitespace().flat_map(move |word| {
        let offset = word.as_ptr() as usize - text.as_ptr() as usize;
        let found = address(word).map_or_else(|| signed(word), |address| vec![address]);
        found.into_iter().map(move |range| offset + range.start..offset + range.end)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A word without the punctuation around it, if it holds an address or is a number to call.
fn address(word: &str) -> Option<Range<usize>> {
    let first = word.find(is_word)?;
    let last = word.rfind(is_word)?;
    let end = last + word[last..].chars().next().map_or(0, char::len_utf8);
    let bare = &word[first..end];
    let domain = bare.char_indices().any(|(at, c)| {
        matches!(c, '.' | '。' | '．' | '｡') && bare[at + c.len_utf8()..].starts_with(char::is_alphabetic)
    });
    let number = word[..first].ends_with('+') && bare.chars().filter(char::is_ascii_digit).count() >= 5;
    (domain || number || bare.contains("://")).then_some(if number { first - 1..end } else { first..end })
}

/// Each name or tag in a word: `@alice`, `#surf`, `$SURF`.
fn signed(word: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut before = None;
    for (start, c) in word.char_indices() {
        let boundary = !before.replace(c).is_some_and(is_word);
        if boundary && matches!(c, '@' | '#' | '$') {
            let rest = &word[start + 1..];
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            // `$0.20` is no cashtag.
            if length > 0 && (c != '$' || rest.starts_with(char::is_alphabetic)) {
                found.push(start..start + 1 + length);
            }
        }
    }
    found
}

fn cut(mut text: String, limit: usize) -> String {
    if units(&text) <= limit {
        return text;
    }
    let mut used = "…".encode_utf16().count();
    let mut end = 0;
    for (start, cluster) in text.grapheme_indices(true) {
        used += units(cluster);
        if used > limit {
            break;
        }
        end = start + cluster.len();
    }
    text.truncate(end);
    text.push('…');
    text
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use teloxide::types::InlineKeyboardButtonKind;

    use super::*;
    use crate::{post::PostId, words::Deed};

    /// 2 January 2026, 03:04:05 UTC.
    const NOW: i64 = 1_767_323_045_000;

    fn labels(outgoing: &Outgoing) -> Vec<&str> {
        let rows = outgoing.keyboard.iter().flat_map(|keyboard| &keyboard.inline_keyboard);
        rows.flatten().map(|button| button.text.as_str()).collect()
    }

    #[test]
    fn spans_become_plain_text() {
        let message = Message::text("<b>*soon*</b> at ")
            .time(NOW + 3_600_000)
            .then(", see ")
            .link("https://x.com/a/status/1");
        let outgoing = render(&message, NOW);
        assert_eq!(outgoing.text, "<b>*soon*</b> at 04:04 UTC, see https://x.com/a/status/1");
        assert!(outgoing.keyboard.is_none());
    }

    #[test]
    fn a_time_on_another_day_says_which() {
        let message = Message::default().time(NOW + 86_400_000);
        assert_eq!(render(&message, NOW).text, "3 Jan 03:04 UTC");
        let never = Message::default().time(i64::MAX);
        assert!(render(&never, NOW).text.ends_with("UTC"));
    }

    #[test]
    fn every_deed_fits_in_callback_data() {
        let post = PostId(uuid::Uuid::max());
        let account = crate::account::AccountId("9".repeat(20));
        for deed in [
            Deed::Cancel(post),
            Deed::Retry(post),
            Deed::PostAgain(post),
            Deed::ItIsThere(post),
            Deed::Connect,
            Deed::Disconnect(account.clone()),
            Deed::Prefer(account),
        ] {
            let outgoing = render(&Message::text("x").button("Do", deed.clone()), NOW);
            let keyboard = outgoing.keyboard.unwrap();
            let InlineKeyboardButtonKind::CallbackData(data) = &keyboard.inline_keyboard[0][0].kind else {
                panic!("not a callback button");
            };
            assert!(data.len() <= 64);
            assert_eq!(data.parse::<Deed>().unwrap(), deed);
        }
    }

    #[test]
    fn only_public_addresses_become_buttons() {
        for address in
            ["https://x.com/i/oauth2/authorize", "https://sub.example.org./x", "http://203.0.113.9:8080/"]
        {
            let outgoing = render(&Message::text("Here").open("Open", address), NOW);
            assert_eq!(labels(&outgoing), ["Open"], "{address}");
            assert_eq!(outgoing.text, "Here");
        }
        for address in [
            "http://127.0.0.1:8080/upload/1",
            "http://localhost:8080/",
            "http://toall.localhost/",
            "http://nas:8080/",
            "http://192.168.1.4/",
            "http://[::1]:8080/",
            "ftp://example.org/",
        ] {
            let outgoing = render(&Message::text("Here").open("Open", address), NOW);
            assert!(labels(&outgoing).is_empty(), "{address}");
            assert_eq!(outgoing.text, format!("Here\nOpen: {address}"));
        }
    }

    #[test]
    fn names_do_not_reach_telegram_users_of_that_name() {
        let outgoing = render(&Message::text("😀 Posted to @alice_makes, not a@b.com, @ or @@x"), NOW);
        let marked: Vec<String> = outgoing
            .entities
            .iter()
            .map(|entity| {
                let units: Vec<u16> = outgoing.text.encode_utf16().collect();
                String::from_utf16(&units[entity.offset..entity.offset + entity.length]).unwrap()
            })
            .collect();
        assert_eq!(marked, ["@alice_makes", "a@b.com", "@x"]);
    }

    #[test]
    fn nothing_that_people_write_becomes_a_link() {
        let marked = |message: Message| -> Vec<String> {
            let outgoing = render(&message, NOW);
            let units: Vec<u16> = outgoing.text.encode_utf16().collect();
            let of = |entity: &MessageEntity| {
                String::from_utf16(&units[entity.offset..entity.offset + entity.length]).unwrap()
            };
            outgoing.entities.iter().map(of).collect()
        };
        for (word, code) in [
            ("https://evil.example/claim?x=1.mp4", "https://evil.example/claim?x=1.mp4"),
            ("evil.example/@.mp4", "evil.example/@.mp4"),
            ("tg://resolve?domain=evil", "tg://resolve?domain=evil"),
            ("(t.me/evil),", "t.me/evil"),
            ("#free", "#free"),
            ("$FREE", "$FREE"),
            ("+15551234567", "+15551234567"),
            ("a@b.example", "a@b.example"),
            ("пример.рф", "пример.рф"),
            ("😀@evil_bot", "@evil_bot"),
        ] {
            assert_eq!(marked(Message::text(format!("x {word} y"))), [code], "{word}");
        }
        for plain in ["84.5 MB · 1:02 · 51 %", "Done. Next", "3 $ or # or @", "/help shows"] {
            assert_eq!(marked(Message::text(plain)), [""; 0], "{plain}");
        }
        let own = Message::text("surf.mov\n").link("https://x.com/a/status/1").then(" ").code("toall_a.b");
        assert_eq!(marked(own), ["surf.mov", "toall_a.b"]);
    }

    #[test]
    fn long_text_is_cut_between_characters_and_keeps_its_addresses() {
        let family = "👨‍👩‍👧";
        let message = Message::text(family.repeat(600)).open("Open", "http://127.0.0.1/x");
        let outgoing = render(&message, NOW);
        assert!(units(&outgoing.text) <= 4096);
        let (body, address) = outgoing.text.split_once('\n').unwrap();
        assert_eq!(address, "Open: http://127.0.0.1/x");
        let kept = body.strip_suffix('…').unwrap();
        assert_eq!(kept.len() % family.len(), 0);
        let exact = "x".repeat(4096);
        assert_eq!(render(&Message::text(&exact), NOW).text, exact);
    }
}

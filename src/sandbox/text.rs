//! How long a text is for X: a small count of the simulator's own, after twitter-text's
//! configuration v3 (docs.x.com/fundamentals/counting-characters).

use super::state::Subscription;

/// Length every URL counts for.
const URL_LENGTH: u32 = 23;

/// Returns true if X accepts a text of this length from this account.
pub(super) fn fits(text: &str, subscription: Subscription) -> bool {
    let limit = if subscription.is_premium() { 25_000 } else { 280 };
    length(text) <= limit
}

/// The weighted length. Simpler than X's: only `http://` and `https://` start a URL, and an emoji
/// made of several code points counts each of them.
fn length(text: &str) -> u32 {
    text.split_inclusive(char::is_whitespace)
        .map(|word| {
            let Some(start) = url_start(word) else {
                return word.chars().map(weight).sum::<u32>();
            };
            let end = word.trim_end().len();
            let around = word[..start].chars().chain(word[end..].chars());
            URL_LENGTH + around.map(weight).sum::<u32>()
        })
        .sum()
}

fn url_start(word: &str) -> Option<usize> {
    word.find("https://").or_else(|| word.find("http://"))
}

fn weight(character: char) -> u32 {
    match u32::from(character) {
        0..=4351 | 8192..=8205 | 8208..=8223 | 8242..=8247 => 1,
        _ => 2,
    }
}

/// Returns true if the text has more than one cashtag, which X refuses.
pub(super) fn has_many_cashtags(text: &str) -> bool {
    let is_cashtag = |word: &&str| {
        word.strip_prefix('$').is_some_and(|ticker| {
            let letters = ticker.chars().take_while(char::is_ascii_alphabetic).count();
            (1..=6).contains(&letters)
        })
    };
    text.split_whitespace().filter(is_cashtag).count() > 1
}

/// The text as the API gives it back: `&`, `<` and `>` as entities, a short link for the media.
pub(super) fn stored(text: &str, post_id: u64, has_media: bool) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    match (has_media, escaped.is_empty()) {
        (false, _) => escaped,
        (true, true) => format!("https://t.co/{post_id:x}"),
        (true, false) => format!("{escaped} https://t.co/{post_id:x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_links_and_wide_characters_as_x_does() {
        assert_eq!(length("first wave"), 10);
        assert_eq!(length("日本"), 4);
        let link = format!("see https://example.com/{} now", "a".repeat(100));
        assert_eq!(length(&link), 4 + URL_LENGTH + 4);
    }
}

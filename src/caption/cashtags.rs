//! Cashtags such as `$TWTR` or `$BRK.A`, found as X's text library (twitter-text 3.1) finds them.

/// Maximum length of a symbol, and of the suffix after its dot or underscore.
const MAX_SYMBOL: usize = 6;
const MAX_SUFFIX: usize = 2;

/// Counts the cashtags in `text`; a repeated cashtag counts each time.
pub(super) fn count(text: &[char]) -> u32 {
    let mut count = 0;
    let mut at = 0;
    while at < text.len() {
        let begins = text[at] == '$' && (at == 0 || is_space(text[at - 1]));
        match begins.then(|| symbol_end(text, at + 1)).flatten() {
            Some(end) => {
                count += 1;
                at = end;
            }
            None => at += 1,
        }
    }
    count
}

fn symbol_end(text: &[char], start: usize) -> Option<usize> {
    let letters = |from: usize| text[from..].iter().take_while(|c| c.is_ascii_alphabetic()).count();
    let len = letters(start);
    if !(1..=MAX_SYMBOL).contains(&len) {
        return None;
    }
    let end = start + len;
    if matches!(text.get(end), Some('.' | '_')) {
        let suffix = letters(end + 1);
        if (1..=MAX_SUFFIX).contains(&suffix) && may_follow(text, end + 1 + suffix) {
            return Some(end + 1 + suffix);
        }
    }
    may_follow(text, end).then_some(end)
}

/// A cashtag ends before a space, most ASCII punctuation, or the end of the text.
fn may_follow(text: &[char], at: usize) -> bool {
    let Some(&c) = text.get(at) else {
        return true;
    };
    // The library uses JavaScript's `\s` here: it includes the byte order mark and excludes these two spaces.
    let is_white = (is_space(c) && !matches!(c, '\u{85}' | '\u{180e}')) || c == '\u{feff}';
    is_white || (c.is_ascii_punctuation() && !matches!(c, '"' | '`'))
}

fn is_space(c: char) -> bool {
    matches!(c, '\u{9}'..='\u{d}' | ' ' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200a}'
        | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

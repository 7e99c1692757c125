//! Finds what X would turn into a link, by the published behaviour of its text library
//! (twitter-text 3.1): links with a scheme, and bare domains under a known top-level domain.

use std::ops::Range;

use domain::{Run, ascii_domains, is_accented_latin, label_fits, starts_with};

mod domain;
mod tld;

/// Longer than this and X links nothing, scheme included (twitter-text `MAX_URL_LENGTH`).
const MAX_URL_CHARS: usize = 4096;
/// A longer t.co code is no t.co link, and X links nothing (twitter-text `MAX_TCO_SLUG_LENGTH`).
const MAX_SHORT_CODE_CHARS: usize = 40;

/// Every link in `text`, in order, as ranges of its characters.
///
/// `text` is taken as NFC. The time taken grows with the length of the text and no faster.
pub(super) fn find(text: &[char]) -> Vec<Range<usize>> {
    let mut links = Vec::new();
    let mut run = Run::default();
    let (mut at, mut ended) = (0, 0);
    while at < text.len() {
        // A link needs a character before it that could not be a part of it; the first
        // character of the text is tried as that one, then as the start of the link.
        let after = precedes_link(text[at]).then(|| candidate(text, at + 1, &mut run)).flatten();
        let fresh = at == ended || !precedes_link(text[at - 1]);
        let may_start = at == 0 || (fresh && is_pair(text[at]));
        let inner = after.is_some() && matches!(text[at], '-' | '_' | '.' | '/');
        let Some(found) = after.or_else(|| may_start.then(|| candidate(text, at, &mut run)).flatten()) else {
            at += 1;
            continue;
        };
        (at, ended) = (found.end, found.end);
        found.links(text, inner, &mut links);
    }
    links
}

/// A stretch of text with the shape of a link.
struct Candidate {
    start: usize,
    domain: Range<usize>,
    has_path: bool,
    end: usize,
}

impl Candidate {
    /// What of this X would link: all of it after a scheme, only the ASCII domains otherwise, and those not where
    /// they are the `inner` part of something longer.
    fn links(&self, text: &[char], inner: bool, links: &mut Vec<Range<usize>>) {
        let has_scheme = self.start < self.domain.start;
        // The library adds the scheme to the length even when the text has one.
        let scheme = if has_scheme { self.domain.start - self.start } else { "https://".len() };
        let domain = &text[self.domain.clone()];
        if scheme + self.end - self.start > MAX_URL_CHARS || !domain.split(|&c| c == '.').all(label_fits) {
            return;
        }
        let mut plain = ascii_domains(text, self.domain.clone());
        if starts_with(domain, "xn--") && plain.is_empty() {
            return;
        }
        if has_scheme {
            match short_code(text, self) {
                Some(code) if code.len() > MAX_SHORT_CODE_CHARS => {}
                Some(code) => {
                    let end = query(text, code.end).unwrap_or(code.end);
                    links.push(self.start..end);
                }
                None => links.push(self.start..self.end),
            }
            return;
        }
        if inner {
            return;
        }
        // Where other characters stand between, the library drops them from the link; here they and the path weigh.
        if self.has_path
            && let Some(last) = plain.last_mut().filter(|last| last.end == self.domain.end)
        {
            last.end = self.end;
        }
        links.append(&mut plain);
    }
}

/// The candidate that starts right at `start`.
fn candidate(text: &[char], start: usize, run: &mut Run) -> Option<Candidate> {
    let domain_start = start + scheme_len(&text[start..]);
    let (start, domain) = match run.domain_from(text, domain_start) {
        Some(domain) => (start, domain),
        // `http.com` begins with no scheme.
        None if domain_start > start => (start, run.domain_from(text, start)?),
        None => return None,
    };
    let mut end = port(text, domain.end).unwrap_or(domain.end);
    let path_end = path(text, end);
    end = path_end.unwrap_or(end);
    end = query(text, end).unwrap_or(end);
    let has_path = path_end.is_some();
    Some(Candidate { start, domain, has_path, end })
}

fn scheme_len(text: &[char]) -> usize {
    ["http://", "https://"].into_iter().find(|scheme| starts_with(text, scheme)).map_or(0, str::len)
}

/// Where the code of a `https://t.co/CODE` stands: X takes nothing after the code but a query.
fn short_code(text: &[char], link: &Candidate) -> Option<Range<usize>> {
    let host = &text[link.domain.clone()];
    if host.len() != 4 || !starts_with(host, "t.co") || text.get(link.domain.end) != Some(&'/') {
        return None;
    }
    let start = link.domain.end + 1;
    let code = &text[start..link.end.max(start)];
    let len = code.iter().take_while(|c| c.is_ascii_alphanumeric()).count();
    (len > 0).then_some(start..start + len)
}

fn port(text: &[char], at: usize) -> Option<usize> {
    let digits = text.get(at + 1..)?.iter().take_while(|c| c.is_ascii_digit()).count();
    (text[at] == ':' && digits > 0).then_some(at + 1 + digits)
}

/// End of the path at `at`, without the punctuation that ends the sentence around it.
fn path(text: &[char], at: usize) -> Option<usize> {
    if text.get(at) != Some(&'/') {
        return None;
    }
    let mut end = at + 1;
    let mut scan = end;
    while let Some(&c) = text.get(scan) {
        if let Some(after) = parentheses(text, scan) {
            scan = after;
            end = after;
        } else if in_path(c) {
            scan += 1;
            if ends_path(c) {
                end = scan;
            }
        } else {
            break;
        }
    }
    Some(end)
}

/// End of a balanced pair of parentheses at `at`; one pair may stand within.
fn parentheses(text: &[char], at: usize) -> Option<usize> {
    let skip = |from: usize| from + text[from..].iter().take_while(|&&c| in_path(c)).count();
    if text[at] != '(' {
        return None;
    }
    let mut scan = skip(at + 1);
    let mut filled = scan > at + 1;
    if text.get(scan) == Some(&'(') {
        let inner = skip(scan + 1);
        if inner == scan + 1 || text.get(inner) != Some(&')') {
            return None;
        }
        scan = skip(inner + 1);
        filled = true;
    }
    (filled && text.get(scan) == Some(&')')).then_some(scan + 1)
}

fn query(text: &[char], at: usize) -> Option<usize> {
    if text.get(at) != Some(&'?') {
        return None;
    }
    let rest = &text[at + 1..];
    let len = rest.iter().take_while(|&&c| in_query(c)).count();
    let last = rest[..len].iter().rposition(|&c| ends_query(c))?;
    Some(at + 1 + last + 1)
}

fn precedes_link(c: char) -> bool {
    !c.is_ascii_alphanumeric() && !matches!(c, '@' | '＠' | '$' | '#' | '＃') && !super::is_refused_by_x(c)
}

/// Two units of UTF-16, in which the library reads: to it, the first is a character that may stand before a link.
fn is_pair(c: char) -> bool {
    c.len_utf16() == 2
}

fn in_path(c: char) -> bool {
    ends_path(c)
        || matches!(
            c,
            '!' | '*' | '\'' | ';' | ':' | ',' | '.' | '$' | '%' | '[' | ']' | '–' | '~' | '@' | '|' | '&'
        )
}

fn ends_path(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '+' | '-' | '=' | '_' | '#' | '/' | '\u{400}'..='\u{4ff}')
        || is_accented_latin(c)
}

fn in_query(c: char) -> bool {
    ends_query(c)
        || matches!(
            c,
            '!' | '?'
                | '*'
                | '\''
                | '@'
                | '('
                | ')'
                | ';'
                | ':'
                | '+'
                | '$'
                | '%'
                | '['
                | ']'
                | '.'
                | ','
                | '~'
                | '|'
        )
}

fn ends_query(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '&' | '=' | '#' | '/')
}

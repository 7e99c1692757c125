//! Finds what X would turn into a link, by the published behaviour of its text library
//! (twitter-text 3.1): links with a scheme, and bare domains under a known top-level domain.

use std::ops::Range;

use super::LINK_WEIGHT;
use domain::{Run, ascii_domains, is_accented_latin, label_fits, starts_with};

mod domain;
mod tld;

#[cfg(test)]
pub(super) use tld::TLDS;

/// Longest text that X links, including the scheme (twitter-text `MAX_URL_LENGTH`).
const MAX_URL_UNITS: usize = 4096;
/// Longest code of a t.co link; X does not link a longer one (twitter-text `MAX_TCO_SLUG_LENGTH`).
const MAX_SHORT_CODE_CHARS: usize = 40;

/// A link that X would make.
#[derive(Debug)]
pub(super) struct Link {
    /// The characters that the link's weight replaces.
    pub range: Range<usize>,
    pub weight: u32,
}

/// Returns every link in `text`, in order.
///
/// `text` must be in NFC. Runs in time linear in the length of the text.
pub(super) fn find(text: &[char]) -> Vec<Link> {
    let mut links = Vec::new();
    let mut run = Run::default();
    let (mut at, mut ended) = (0, 0);
    while at < text.len() {
        // The character before a link must be one that cannot belong to it. The library reads UTF-16 units, so the
        // first half of a surrogate pair is such a character, and the link starts with the second half.
        let fresh = at == ended || !precedes_link(text[at - 1]);
        let halved = (fresh && text[at].len_utf16() == 2).then(|| candidate(text, at, &mut run)).flatten();
        let (found, inner) = if let Some(half) = halved {
            (Some(Candidate { halved: true, ..half }), false)
        } else if let Some(after) =
            precedes_link(text[at]).then(|| candidate(text, at + 1, &mut run)).flatten()
        {
            (Some(after), matches!(text[at], '-' | '_' | '.' | '/'))
        } else if at == 0 {
            (candidate(text, at, &mut run), false)
        } else {
            (None, false)
        };
        let Some(found) = found else {
            at += 1;
            continue;
        };
        (at, ended) = (found.end, found.end);
        found.links(text, inner, &mut links);
    }
    links
}

/// A range of text that has the form of a link.
struct Candidate {
    start: usize,
    domain: Range<usize>,
    has_path: bool,
    end: usize,
    /// True if only the second surrogate of the first character belongs to the link.
    halved: bool,
}

impl Candidate {
    /// Adds the parts that X would link: everything if there is a scheme; otherwise only the ASCII domains, unless
    /// they are the `inner` part of a longer word.
    fn links(&self, text: &[char], inner: bool, links: &mut Vec<Link>) {
        let has_scheme = self.start < self.domain.start;
        // The library adds the scheme's length even if the text already contains a scheme.
        let scheme = if has_scheme { self.domain.start - self.start } else { "https://".len() };
        let domain = &text[self.domain.clone()];
        let len: usize = text[self.start..self.end].iter().map(|c| c.len_utf16()).sum();
        if scheme + len - usize::from(self.halved) > MAX_URL_UNITS || !self.labels_fit(domain) {
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
                    links.push(Link { range: self.start..end, weight: LINK_WEIGHT });
                }
                None => links.push(Link { range: self.start..self.end, weight: LINK_WEIGHT }),
            }
            return;
        }
        if inner {
            return;
        }
        let last = plain.pop();
        links.extend(plain.into_iter().map(|range| Link { range, weight: LINK_WEIGHT }));
        if let Some(last) = last {
            links.push(if self.has_path {
                self.with_path(text, last)
            } else {
                Link { range: last, weight: LINK_WEIGHT }
            });
        }
    }

    fn labels_fit(&self, domain: &[char]) -> bool {
        let mut halved = self.halved;
        domain.split(|&c| c == '.').all(|label| label_fits(label, std::mem::take(&mut halved)))
    }

    /// The last plain domain of several, with the path.
    ///
    /// The library drops the characters between domain and path from the link, but then skips the link's length from
    /// its start. It therefore counts the characters at the end a second time.
    fn with_path(&self, text: &[char], plain: Range<usize>) -> Link {
        let mut left = self.end - self.domain.end;
        let mut end = plain.end;
        while left > 0 {
            // The library counts UTF-16 units. A surrogate that is left over has weight 2.
            match left.checked_sub(text[end].len_utf16()) {
                Some(rest) => left = rest,
                None => {
                    return Link {
                        range: plain.start..end + 1,
                        weight: LINK_WEIGHT + super::weight(text[end]),
                    };
                }
            }
            end += 1;
        }
        Link { range: plain.start..end, weight: LINK_WEIGHT }
    }
}

/// Returns the candidate that starts exactly at `start`.
fn candidate(text: &[char], start: usize, run: &mut Run) -> Option<Candidate> {
    let domain_start = start + scheme_len(&text[start..]);
    let (start, domain) = match run.domain_from(text, domain_start) {
        Some(domain) => (start, domain),
        // `http.com` starts like a scheme but has none.
        None if domain_start > start => (start, run.domain_from(text, start)?),
        None => return None,
    };
    let mut end = port(text, domain.end).unwrap_or(domain.end);
    let path_end = path(text, end);
    end = path_end.unwrap_or(end);
    end = query(text, end).unwrap_or(end);
    let has_path = path_end.is_some();
    Some(Candidate { start, domain, has_path, end, halved: false })
}

fn scheme_len(text: &[char]) -> usize {
    ["http://", "https://"].into_iter().find(|scheme| starts_with(text, scheme)).map_or(0, str::len)
}

/// Range of the code in `https://t.co/CODE`. X accepts only a query after the code.
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
            // Parentheses can end the path only directly after a character that could also end it.
            if end == scan {
                end = after;
            }
            scan = after;
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

/// End of a balanced pair of parentheses at `at`, which may contain one more pair.
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

fn in_path(c: char) -> bool {
    ends_path(c)
        || matches!(
            c,
            '!' | '*' | '\'' | ';' | ':' | ',' | '.' | '$' | '%' | '[' | ']' | '–' | '~' | '@' | '|' | '&'
        )
}

fn ends_path(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '+' | '-' | '=' | '_' | '#' | '/' | '\u{400}'..='\u{4ff}' | '\u{1c80}'..='\u{1c87}')
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

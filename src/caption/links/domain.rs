//! Domains within a text: which stretch of it is one, and how far it goes.

use std::ops::Range;

use idna::punycode;

use super::tld::is_tld;

/// Longest label of a domain in its ASCII form (RFC 1035).
const MAX_LABEL_BYTES: usize = 63;
/// No top-level domain is longer than this, in ASCII or in its own script.
const MAX_TLD_CHARS: usize = 24;

/// A stretch of characters that domains are made of, cut at its dots. Kept between attempts, so
/// that each character is looked at a fixed number of times however many attempts fail.
#[derive(Default)]
pub(super) struct Run {
    range: Range<usize>,
    labels: Vec<Label>,
}

struct Label {
    range: Range<usize>,
    last_underscore: Option<usize>,
    /// End of the top-level domain that this label begins with.
    tld_end: Option<usize>,
    /// End of the farthest domain that has this whole label in front.
    domain_end: Option<usize>,
}

impl Run {
    /// The longest domain starting at `start`.
    pub(super) fn domain_from(&mut self, text: &[char], start: usize) -> Option<Range<usize>> {
        if !text.get(start).copied().is_some_and(in_label) {
            return None;
        }
        if !self.range.contains(&start) {
            *self = Self::read(text, start);
        }
        let index = self.labels.partition_point(|label| label.range.end <= start);
        let end = self.domain_end(text, index, start)?;
        Some(start..end)
    }

    fn read(text: &[char], start: usize) -> Self {
        let len = text[start..].iter().take_while(|&&c| in_run(c)).count();
        let range = start..start + len;
        let mut labels = Vec::new();
        let mut from = start;
        for to in range.clone().chain([range.end]) {
            if to == range.end || text[to] == '.' {
                labels.push(Label {
                    range: from..to,
                    last_underscore: text[from..to].iter().rposition(|&c| c == '_').map(|i| from + i),
                    tld_end: None,
                    domain_end: None,
                });
                from = to + 1;
            }
        }
        let mut run = Self { range, labels };
        if run.labels.len() > 1 {
            for index in (0..run.labels.len()).rev() {
                run.labels[index].tld_end = tld_end(text, run.labels[index].range.clone());
                run.labels[index].domain_end = run.domain_end(text, index, run.labels[index].range.start);
            }
        }
        run
    }

    /// End of the farthest domain whose first label is what `labels[index]` has from `start` on.
    fn domain_end(&self, text: &[char], index: usize, start: usize) -> Option<usize> {
        let label = &self.labels[index];
        let next = self.labels.get(index + 1)?;
        let body = text.get(start..label.range.end)?;
        let (&first, &last) = (body.first()?, body.last()?);
        if !in_label(first) || !in_label(last) {
            return None;
        }
        // An underscore may stand in a subdomain, never in the name before the top-level domain.
        let is_name = label.last_underscore.is_none_or(|at| at < start);
        next.domain_end.or(next.tld_end.filter(|_| is_name))
    }
}

/// End of the top-level domain at the beginning of a label, if the characters after it allow one.
fn tld_end(text: &[char], label: Range<usize>) -> Option<usize> {
    let word = &text[label.clone()];
    if starts_with(word, "xn--") {
        let rest = word.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '-');
        return Some(label.start + rest.count()).filter(|end| *end > label.start + "xn--".len());
    }
    let may_follow = |at: usize| {
        let closed = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '@' | '+' | '-'));
        text.get(label.start + at).is_none_or(closed)
    };
    let in_name = |c: &&char| c.is_ascii_alphanumeric() || !c.is_ascii();
    let longest = word.iter().take_while(in_name).take(MAX_TLD_CHARS).count();
    // Scripts mix in some: `vermögensberater`.
    let end = (1..=longest).rev().filter(|&len| may_follow(len)).find(|&len| {
        let name: String = word[..len].iter().flat_map(|c| c.to_lowercase()).collect();
        match name.is_ascii() {
            true => is_tld(&name),
            false => punycode::encode_str(&name).is_some_and(|ascii| is_tld(&format!("xn--{ascii}"))),
        }
    })?;
    Some(label.start + end)
}

/// The domains without characters outside ASCII and accented Latin: X links no others when the
/// scheme is missing, so that CJK text may touch a domain.
pub(super) fn ascii_domains(text: &[char], domain: Range<usize>) -> Vec<Range<usize>> {
    let mut links = Vec::new();
    let text = &text[..domain.end];
    let is_plain = |c: char| c == '-' || c.is_ascii_alphanumeric() || is_accented_latin(c);
    let mut at = domain.start;
    while at < domain.end {
        // Labels and dots in a row, then the last dot after which a top-level domain stands.
        let mut scan = at;
        let mut found = None;
        loop {
            let len = text[scan..].iter().take_while(|&&c| is_plain(c)).count();
            if len == 0 || text.get(scan + len) != Some(&'.') {
                break;
            }
            scan += len + 1;
            let label = text[scan..].iter().take_while(|&&c| c != '.').count();
            found = tld_end(text, scan..scan + label).or(found);
        }
        match found {
            Some(end) => {
                links.push(at..end);
                at = end;
            }
            // Nothing starts in the labels just read, whatever character one begins at.
            None => at = scan.max(at + 1),
        }
    }
    place_as_the_library_does(text, domain.start, &mut links);
    links
}

/// Moves each domain to where its text first stands after the domain before it: the library looks for the text again
/// instead of keeping the place, and so finds `t.co` inside an earlier `t.co1`.
fn place_as_the_library_does(text: &[char], start: usize, domains: &mut [Range<usize>]) {
    let mut from = start;
    for domain in domains {
        let found = text[domain.clone()].to_vec();
        if let Some(at) = text[from..].windows(found.len()).position(|window| window == found) {
            *domain = from + at..from + at + found.len();
        }
        from = domain.end;
    }
}

/// Returns true if a label, in its ASCII form, is one that DNS allows. Of a `halved` label, only the second half of the
/// first character, a pair of UTF-16, is part.
pub(super) fn label_fits(label: &[char], halved: bool) -> bool {
    // The ASCII form has at least one byte for each character.
    if label.is_empty() || label.len() > MAX_LABEL_BYTES {
        return false;
    }
    let mut code_points: Vec<u32> = label.iter().map(|&c| c.into()).collect();
    if halved {
        let mut units = [0; 2];
        label[0].encode_utf16(&mut units);
        code_points[0] = units[1].into();
    }
    // The library encodes what stands between full stops of other scripts on its own, and takes the sum.
    let parts = code_points.split(|c| matches!(c, 0x3002 | 0xff0e | 0xff61));
    let len: usize = parts.map(|part| ascii_len(part) + 1).sum();
    len - 1 <= MAX_LABEL_BYTES
}

/// Length of a label's ASCII form. Takes code points, since half a pair has one and is no `char` (RFC 3492, 6.3).
fn ascii_len(label: &[u32]) -> usize {
    const SKEW: u32 = 38;
    let basic = label.iter().filter(|&&c| c < 0x80).count();
    if basic == label.len() {
        return label.len();
    }
    let mut len = "xn--".len() + basic + usize::from(basic > 0);
    let (mut delta, mut bias, mut n, mut handled) = (0_u32, 72, 0x80, basic as u32);
    while let Some(&next) = label.iter().filter(|&&c| c >= n).min() {
        // At most 63 code points of at most 21 bits: nothing overflows.
        delta += (next - n) * (handled + 1);
        n = next;
        for &c in label {
            if c < n {
                delta += 1;
            }
            if c == n {
                let mut q = delta;
                for k in (36_u32..).step_by(36) {
                    len += 1;
                    let threshold = k.saturating_sub(bias).clamp(1, 26);
                    if q < threshold {
                        break;
                    }
                    q = (q - threshold) / (36 - threshold);
                }
                // Adapts the bias to the size of the deltas.
                delta /= if handled as usize == basic { 700 } else { 2 };
                delta += delta / (handled + 1);
                let mut k = 0;
                while delta > 455 {
                    delta /= 35;
                    k += 36;
                }
                bias = k + 36 * delta / (delta + SKEW);
                delta = 0;
                handled += 1;
            }
        }
        delta += 1;
        n += 1;
    }
    len
}

pub(super) fn starts_with(text: &[char], prefix: &str) -> bool {
    text.len() >= prefix.len() && prefix.chars().zip(text).all(|(p, c)| p == c.to_ascii_lowercase())
}

/// May begin or end a label: neither punctuation nor space, so letters of every script.
fn in_label(c: char) -> bool {
    !matches!(c,
        '!' | '#' | '%' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | '\\' | '-' | '.' | '/' | ':' | ';' | '<' | '='
        | '>' | '?' | '@' | '[' | ']' | '^' | '_' | '{' | '|' | '}' | '~' | '$'
        | '\u{9}'..='\u{d}' | ' ' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200a}'
        | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        && !crate::caption::is_refused_by_x(c)
}

fn in_run(c: char) -> bool {
    in_label(c) || matches!(c, '-' | '_' | '.')
}

/// Latin letters with marks, and marks. The last line is letters of which the library takes the other case: it ignores
/// case, and `ʒ` is the small form of `Ʒ`, `ι` that of the mark U+0345.
pub(super) fn is_accented_latin(c: char) -> bool {
    matches!(c, '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' | '\u{253}' | '\u{254}' | '\u{256}'
        | '\u{257}' | '\u{259}' | '\u{25b}' | '\u{263}' | '\u{268}' | '\u{26f}' | '\u{272}' | '\u{289}' | '\u{28b}'
        | '\u{2bb}' | '\u{300}'..='\u{36f}' | '\u{1e00}'..='\u{1eff}'
        | '\u{260}' | '\u{269}' | '\u{275}' | '\u{280}' | '\u{283}' | '\u{288}' | '\u{28a}' | '\u{28c}' | '\u{292}'
        | '\u{399}' | '\u{3b9}' | '\u{1fbe}' | '\u{2c65}' | '\u{2c66}' | '\u{2c7e}' | '\u{2c7f}' | '\u{a7dc}')
}

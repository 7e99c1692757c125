//! Discord's markup: text escaped so that nothing in it acts as any.

use unicode_segmentation::UnicodeSegmentation;
use url::Url;

use crate::words::Span;

/// Length of a message's content (Discord's developer documentation, "Create Message").
const CONTENT_LIMIT: usize = 2000;

/// The text, escaped, and cut where it is too long: never inside a link, an escape or a character
/// as people see it.
pub(super) fn content(spans: &[Span]) -> String {
    let mut content = Content::default();
    let mut plain = String::new();
    for span in spans {
        match span {
            // Joined first: markup could otherwise hide in the seam of two texts.
            Span::Text(text) => plain.push_str(text),
            Span::Link(link) => match web_address(link) {
                // Angle brackets say where the link ends; the parsed form holds none.
                Some(url) => {
                    content.text(&std::mem::take(&mut plain));
                    content.piece(&format!("<{url}>"));
                }
                None => plain.push_str(link),
            },
            // Inside backticks nothing is escaped, so that what is copied is what was meant.
            Span::Code(text) if !text.contains(['`', '\n']) && !text.is_empty() => {
                content.text(&std::mem::take(&mut plain));
                content.piece(&format!("`{text}`"));
            }
            Span::Code(text) => plain.push_str(text),
            Span::Time(at) => {
                content.text(&std::mem::take(&mut plain));
                content.piece(&format!("<t:{}:t>", at.div_euclid(1000)));
            }
        }
    }
    content.text(&plain);
    content.out
}

/// The address that a link opens, if it is one of the web's.
pub(super) fn web_address(link: &str) -> Option<Url> {
    Url::parse(link).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

#[derive(Default)]
struct Content {
    out: String,
    /// Length of `out` in UTF-16 units, the strictest way that Discord may count.
    units: usize,
    /// Up to where `out` stays if an ellipsis must follow.
    safe: usize,
    full: bool,
    line: Line,
}

/// How far into its line the next character stands; some markup counts only at the start.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Start,
    /// Only digits so far: a dot would make it a numbered list.
    Number,
    Middle,
}

impl Content {
    fn text(&mut self, text: &str) {
        for (at, cluster) in text.grapheme_indices(true) {
            let mut piece = String::new();
            for (offset, c) in cluster.char_indices() {
                if self.must_escape(c, &text[at + offset + c.len_utf8()..]) {
                    piece.push('\\');
                }
                piece.push(c);
                self.line = match self.line {
                    _ if c == '\n' => Line::Start,
                    Line::Start if c.is_whitespace() => Line::Start,
                    Line::Start | Line::Number if c.is_ascii_digit() => Line::Number,
                    _ => Line::Middle,
                };
            }
            self.append(&piece);
        }
    }

    fn piece(&mut self, piece: &str) {
        self.line = Line::Middle;
        self.append(piece);
    }

    fn append(&mut self, piece: &str) {
        if self.full {
            return;
        }
        let units = self.units + piece.encode_utf16().count();
        if units > CONTENT_LIMIT {
            self.full = true;
            self.out.truncate(self.safe);
            self.out.truncate(self.out.trim_end().len());
            self.out.push('…');
            return;
        }
        self.out.push_str(piece);
        self.units = units;
        if units < CONTENT_LIMIT {
            self.safe = self.out.len();
        }
    }

    /// Whether `c`, followed by `rest`, could be part of markup, a mention or a link. A backslash
    /// makes any of Discord's punctuation plain ("Markdown Text 101", Discord's support pages).
    fn must_escape(&self, c: char, rest: &str) -> bool {
        match c {
            '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '[' | ']' => true,
            '#' | '>' | '-' | '+' => self.line == Line::Start,
            '.' | ')' => self.line == Line::Number,
            ':' => rest.starts_with("//"),
            '@' => rest.starts_with("everyone") || rest.starts_with("here"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Message;

    fn text(text: &str) -> String {
        content(&[Span::Text(text.to_owned())])
    }

    #[test]
    fn text_is_never_markup() {
        for (plain, sent) in [
            ("Uploading to @alice_makes", r"Uploading to @alice\_makes"),
            ("84 MB · 0:42 · 51 %", "84 MB · 0:42 · 51 %"),
            ("*bold* **b** ***", r"\*bold\* \*\*b\*\* \*\*\*"),
            ("__u__ ~~s~~ ||spoiler||", r"\_\_u\_\_ \~\~s\~\~ \|\|spoiler\|\|"),
            ("`code` ```block```", r"\`code\` \`\`\`block\`\`\`"),
            ("[here](https://evil.example)", r"\[here\](https\://evil.example)"),
            ("<@1> <@&2> <#3> <t:0:R>", r"\<@1> \<@&2> \<#3> \<t:0:R>"),
            ("<:smile:4> </post:5> <id:guide>", r"\<:smile:4> \</post:5> \<id:guide>"),
            ("<https://evil.example>", r"\<https\://evil.example>"),
            ("@everyone and @here", r"\@everyone and \@here"),
            ("# big\n## less\n-# small", "\\# big\n\\## less\n\\-# small"),
            ("> quote\n>>> all", "\\> quote\n\\>>> all"),
            ("- a\n  - b\n+ c\n* d", "\\- a\n  \\- b\n\\+ c\n\\* d"),
            ("1. one\n 12) two\n1.5 MB", "1\\. one\n 12\\) two\n1\\.5 MB"),
            (r"a \* b \", r"a \\\* b \\"),
            (r"¯\_(ツ)_/¯", r"¯\\\_(ツ)\_/¯"),
            ("a - b > c # d 1. e", "a - b > c # d 1. e"),
            ("👩‍👩‍👧 día 日本", "👩‍👩‍👧 día 日本"),
        ] {
            assert_eq!(text(plain), sent);
        }
    }

    #[test]
    fn markup_does_not_hide_in_the_seam_of_two_texts() {
        let parts = ["@", "everyone https:", "//evil.example\n", "# big"];
        let spans = parts.map(|part| Span::Text(part.to_owned()));
        assert_eq!(content(&spans), "\\@everyone https\\://evil.example\n\\# big");
    }

    #[test]
    fn links_open_and_times_are_local() {
        let message = Message::text("Posted: ")
            .link("https://x.com/alice_makes/status/1?a=*_*#<b>")
            .then("\nNext at ")
            .time(1_763_800_000_999)
            .then(" or ")
            .link("javascript:alert(1)");
        assert_eq!(
            content(&message.text),
            "Posted: <https://x.com/alice_makes/status/1?a=*_*#%3Cb%3E>\n\
             Next at <t:1763800000:t> or javascript:alert(1)"
        );
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_safe_point() {
        assert_eq!(text(&"a".repeat(2000)), "a".repeat(2000));
        assert_eq!(text(&"a".repeat(2001)), "a".repeat(1999) + "…");
        assert_eq!(text(&"*".repeat(1500)), "\\*".repeat(999) + "…");
        let family = text(&"👩‍👩‍👧".repeat(300));
        assert_eq!(family, "👩‍👩‍👧".repeat(249) + "…");
        let long = "a".repeat(1990);
        let link = Message::text(format!("{long} ")).link("https://x.com/alice/status/1");
        assert_eq!(content(&link.text), long + "…");
    }
}

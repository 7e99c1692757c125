//! A text of Discord's as people see it there: without markup, and with names in place of ids.

use std::{collections::HashMap, fmt::Write};

use jiff::{Timestamp, tz::TimeZone};

/// Markup nested deeper than this stays as it is.
const DEPTH: usize = 8;

/// Names of what a text mentions, by id.
#[derive(Default)]
pub(super) struct Names {
    pub(super) users: HashMap<u64, String>,
    pub(super) roles: HashMap<u64, String>,
    pub(super) channels: HashMap<u64, String>,
}

/// The text as Discord shows it at `now_ms`.
pub(super) fn as_shown(text: &str, names: &Names, now_ms: i64) -> String {
    let view = View { names, now_ms };
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, code, after)) = code_block(rest) {
        view.inline(&without_line_marks(before), DEPTH, &mut shown);
        shown.push_str(code);
        rest = after;
    }
    view.inline(&without_line_marks(rest), DEPTH, &mut shown);
    shown.trim().to_owned()
}

/// The text with names in place of ids, and otherwise as it is.
pub(super) fn with_names(text: &str, names: &Names, now_ms: i64) -> String {
    let view = View { names, now_ms };
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        match view.reference(rest) {
            Some((name, after)) => {
                shown.push_str(&name);
                rest = after;
            }
            None => {
                shown.push('<');
                rest = &rest[1..];
            }
        }
    }
    shown.push_str(rest);
    shown.trim().to_owned()
}

/// The text with the line breaks that a one-line field cannot hold: `\n` as typed, unless the backslash is escaped.
pub(super) fn with_line_breaks(text: &str) -> String {
    let mut broken = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some('n')) => {
                rest.next();
                broken.push('\n');
            }
            ('\\', Some('\\')) => {
                rest.next();
                broken.push_str("\\\\");
            }
            _ => broken.push(c),
        }
    }
    broken
}

/// What stands before the first block of code, the code, and what follows.
fn code_block(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("```")?;
    if before.ends_with('\\') {
        return None;
    }
    let (code, after) = rest.split_once("```")?;
    let language = |c: char| c.is_ascii_alphanumeric() || "_+-.#".contains(c);
    let code = match code.split_once('\n') {
        Some((first, code)) if first.chars().all(language) => code,
        _ => code,
    };
    let code = code.trim_matches('\n');
    (!code.is_empty()).then_some((before, code, after))
}

/// The lines without what makes them headings and quotes, and with the dots of lists.
fn without_line_marks(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(without_mark).collect();
    lines.join("\n")
}

fn without_mark(line: &str) -> String {
    let line = line.strip_prefix(">>> ").or_else(|| line.strip_prefix("> ")).unwrap_or(line);
    for mark in ["# ", "## ", "### ", "-# "] {
        if let Some(heading) = line.strip_prefix(mark).filter(|heading| !heading.trim().is_empty()) {
            return heading.trim().to_owned();
        }
    }
    let bare = line.trim_start_matches(' ');
    let indent = &line[..line.len() - bare.len()];
    match bare.strip_prefix("- ").or_else(|| bare.strip_prefix("* ")) {
        Some(item) if !item.trim().is_empty() => format!("{indent}• {item}"),
        _ => line.to_owned(),
    }
}

struct View<'a> {
    names: &'a Names,
    now_ms: i64,
}

impl View<'_> {
    fn inline(&self, text: &str, depth: usize, shown: &mut String) {
        let mut rest = text;
        let mut before = None;
        while let Some(c) = rest.chars().next() {
            let after = self.piece(rest, before, depth, shown).unwrap_or_else(|| {
                shown.push(c);
                &rest[c.len_utf8()..]
            });
            before = rest[..rest.len() - after.len()].chars().next_back();
            rest = after;
        }
    }

    /// Writes the piece of markup that `text` begins with and returns what follows it.
    fn piece<'t>(
        &self,
        text: &'t str,
        before: Option<char>,
        depth: usize,
        shown: &mut String,
    ) -> Option<&'t str> {
        // Discord leaves this one whole, although a backslash is in it.
        const SHRUG: &str = "¯\\_(ツ)_/¯";
        if let Some(after) = text.strip_prefix(SHRUG) {
            shown.push_str(SHRUG);
            return Some(after);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            // An address is no markup, whatever is in it.
            let end = text.find(|c: char| c.is_whitespace() || c == '<').unwrap_or(text.len());
            let address = text[..end].trim_end_matches(['*', '|', '~', ')', ']']);
            shown.push_str(address);
            return Some(&text[address.len()..]);
        }
        match text.as_bytes()[0] {
            b'\\' => {
                let c = text[1..].chars().next()?;
                if c.is_ascii_alphanumeric() || c.is_whitespace() {
                    return None;
                }
                shown.push(c);
                Some(&text[1 + c.len_utf8()..])
            }
            b'<' => {
                let (name, after) = self.reference(text)?;
                shown.push_str(&name);
                Some(after)
            }
            b'`' => {
                let (code, after) = code(text)?;
                shown.push_str(code);
                Some(after)
            }
            _ if depth == 0 => None,
            b'[' => {
                let (label, address, after) = masked(text)?;
                let mut name = String::new();
                self.inline(label, depth - 1, &mut name);
                let bare = |address: &str| {
                    let address = address.trim_start_matches("https://").trim_start_matches("http://");
                    address.trim_end_matches('/').to_owned()
                };
                match bare(&name) == bare(address) {
                    true => shown.push_str(address),
                    false => write!(shown, "{name} ({address})").ok()?,
                }
                Some(after)
            }
            _ => {
                let (inner, after) = wrapped(text, before)?;
                self.inline(inner, depth - 1, shown);
                Some(after)
            }
        }
    }

    /// The text of what stands between angle brackets at the start, and what follows it.
    fn reference<'t>(&self, text: &'t str) -> Option<(String, &'t str)> {
        let (inside, after) = text.strip_prefix('<')?.split_once('>')?;
        let id = |text: &str| text.parse::<u64>().ok();
        let named = |names: &HashMap<u64, String>, sign: char, id: u64, unknown: &str| {
            format!("{sign}{}", names.get(&id).map_or(unknown, String::as_str))
        };
        let shown = if let Some(role) = inside.strip_prefix("@&") {
            named(&self.names.roles, '@', id(role)?, "role")
        } else if let Some(user) = inside.strip_prefix("@!").or_else(|| inside.strip_prefix('@')) {
            named(&self.names.users, '@', id(user)?, "someone")
        } else if let Some(channel) = inside.strip_prefix('#') {
            named(&self.names.channels, '#', id(channel)?, "channel")
        } else if let Some(emoji) = inside.strip_prefix("a:").or_else(|| inside.strip_prefix(':')) {
            let (name, number) = emoji.split_once(':')?;
            id(number)?;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            (!name.is_empty() && name.chars().all(plain)).then(|| format!(":{name}:"))?
        } else if let Some(time) = inside.strip_prefix("t:") {
            self.time(time)?
        } else if let Some(command) = inside.strip_prefix('/') {
            let (name, number) = command.rsplit_once(':')?;
            id(number)?;
            format!("/{name}")
        } else if let Some(page) = inside.strip_prefix("id:") {
            match page.split(':').next()? {
                "guide" => "Server Guide",
                "browse" => "Browse Channels",
                "customize" => "Channels & Roles",
                "home" => "Server Guide",
                "linked-roles" => "Linked Roles",
                _ => return None,
            }
            .to_owned()
        } else {
            let (scheme, _) = inside.split_once(':')?;
            let address = ["https", "http", "mailto", "tel", "sms"].contains(&scheme);
            (address && !inside.contains(char::is_whitespace)).then(|| inside.to_owned())?
        };
        Some((shown, after))
    }

    /// A timestamp, `SECONDS` or `SECONDS:STYLE`. Discord shows it in each reader's own zone; X has none, so this names UTC.
    fn time(&self, text: &str) -> Option<String> {
        let (seconds, style) = text.split_once(':').unwrap_or((text, "f"));
        let seconds: i64 = seconds.parse().ok()?;
        let at = Timestamp::from_second(seconds).ok()?.to_zoned(TimeZone::UTC);
        let form = match style {
            "t" => "%H:%M UTC",
            "T" => "%H:%M:%S UTC",
            "d" => "%d/%m/%Y",
            "D" => "%-d %B %Y",
            "f" | "s" => "%-d %B %Y %H:%M UTC",
            "F" | "S" => "%A, %-d %B %Y %H:%M UTC",
            "R" => return Some(relative(seconds.saturating_sub(self.now_ms / 1_000))),
            _ => return None,
        };
        Some(at.strftime(form).to_string())
    }
}

/// How far away a moment is, as Discord says it.
fn relative(seconds: i64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let distance = seconds.unsigned_abs();
    let (count, unit) = UNITS
        .into_iter()
        .find(|(size, _)| distance >= *size)
        .map_or((0, "second"), |(size, unit)| (distance / size, unit));
    let amount = match (count, unit) {
        (1, "hour") => "an hour".to_owned(),
        (1, unit) => format!("a {unit}"),
        (count, unit) => format!("{count} {unit}s"),
    };
    match seconds < 0 {
        true => format!("{amount} ago"),
        false => format!("in {amount}"),
    }
}

/// The code between equal runs of backticks at the start, and what follows.
fn code(text: &str) -> Option<(&str, &str)> {
    let inner = text.trim_start_matches('`');
    let fence = &text[..text.len() - inner.len()];
    let mut from = 0;
    while let Some(at) = inner[from..].find(fence).map(|at| from + at) {
        let run = inner[at..].len() - inner[at..].trim_start_matches('`').len();
        if run == fence.len() && at > 0 {
            let code = &inner[..at];
            // A space on each side lets the code itself begin with a backtick.
            let spaced = code.starts_with([' ']) && code.ends_with(' ') && code.contains('`');
            return Some((if spaced { code.trim() } else { code }, &inner[at + run..]));
        }
        from = at + run;
    }
    None
}

/// The label and the address of a masked link at the start, and what follows.
fn masked(text: &str) -> Option<(&str, &str, &str)> {
    let mut open = 0_usize;
    let close = text.char_indices().find_map(|(at, c)| {
        match c {
            '[' => open += 1,
            ']' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })?;
    let label = &text[1..close];
    let target = text[close + 1..].strip_prefix('(')?;
    let mut open = 1_usize;
    let end = target.char_indices().find_map(|(at, c)| {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        (open == 0).then_some(at)
    })?;
    // A title in quotes may follow the address; it is shown on hovering only.
    let address = target[..end].split_whitespace().next()?;
    let address = address.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(address);
    let opens = address.starts_with("https://") || address.starts_with("http://");
    (opens && !label.trim().is_empty()).then_some((label, address, &target[end + 1..]))
}

/// What a pair of marks at the start encloses, and what follows: bold, italic, underlined, struck out, hidden.
fn wrapped(text: &str, before: Option<char>) -> Option<(&str, &str)> {
    for mark in ["**", "__", "~~", "||"] {
        if let Some(found) = text.strip_prefix(mark).and_then(|inner| enclosed(inner, mark)) {
            return Some(found);
        }
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mark = if text.starts_with('*') { "*" } else { "_" };
    let inner = text.strip_prefix(mark)?;
    if inner.starts_with(char::is_whitespace) || (mark == "_" && before.is_some_and(is_word)) {
        return None;
    }
    let (inside, after) = enclosed(inner, mark)?;
    let ends = match mark {
        "_" => !after.starts_with(is_word),
        _ => !inside.ends_with(char::is_whitespace),
    };
    ends.then_some((inside, after))
}

/// The text up to the next `mark` that is not escaped and not part of a longer run, and what follows it.
fn enclosed<'t>(inner: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    let sign = mark.chars().next()?;
    let mut rest = inner;
    while let Some(at) = rest.find([sign, '\\']) {
        let here = inner.len() - rest.len() + at;
        if rest[at..].starts_with('\\') {
            let escaped = rest[at + 1..].chars().next().map_or(0, char::len_utf8);
            rest = &rest[at + 1 + escaped..];
            continue;
        }
        let run = rest[at..].len() - rest[at..].trim_start_matches(sign).len();
        // `***x***` closes both; in `*a **b** c*` the pairs belong to something inside.
        let closes = run == mark.len() || (run == 3 && mark.len() <= 2 && here > 0);
        if closes && here > 0 {
            let end = here + run - mark.len();
            return Some((&inner[..end], &inner[end + mark.len()..]));
        }
        rest = &rest[at + run..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_323_045_000;

    fn names() -> Names {
        Names {
            users: HashMap::from([(1, "Alice *A*".to_owned())]),
            roles: HashMap::from([(2, "surfers".to_owned())]),
            channels: HashMap::from([(3, "waves".to_owned())]),
        }
    }

    fn shown(text: &str) -> String {
        as_shown(text, &names(), NOW)
    }

    #[test]
    fn ids_become_names() {
        for (sent, seen) in [
            ("<@1> <@!1> <@&2> <#3>", "@Alice *A* @Alice *A* @surfers #waves"),
            ("<@9> <@!9> <@&9> <#9>", "@someone @someone @role #channel"),
            ("<:wave:12><a:party_1:13>", ":wave::party_1:"),
            ("</post:5> </posts list:6>", "/post /posts list"),
            (
                "<id:guide> <id:browse> <id:customize> <id:linked-roles:7>",
                "Server Guide Browse Channels Channels & Roles Linked Roles",
            ),
            (
                "<https://example.com/a_b_c> <mailto:a@b.example>",
                "https://example.com/a_b_c mailto:a@b.example",
            ),
            (
                "<t:1767323045> <t:1767323045:t> <t:1767323045:T>",
                "2 January 2026 03:04 UTC 03:04 UTC 03:04:05 UTC",
            ),
            (
                "<t:1767323045:d> <t:1767323045:D> <t:1767323045:F>",
                "02/01/2026 2 January 2026 Friday, 2 January 2026 03:04 UTC",
            ),
            ("<t:1767330245:R>, <t:1767319445:R>, <t:1767323046:R>", "in 2 hours, an hour ago, in a second"),
            (
                "a < b > c <3 <@> <@x> <t:x> <:x:> <x> <javascript:x>",
                "a < b > c <3 <@> <@x> <t:x> <:x:> <x> <javascript:x>",
            ),
            ("`<@1>` and \\<@1>", "<@1> and <@1>"),
        ] {
            assert_eq!(shown(sent), seen, "{sent}");
        }
    }

    #[test]
    fn markup_is_not_published() {
        for (sent, seen) in [
            ("**bold** *it* _it_ __under__ ~~gone~~ ||secret||", "bold it it under gone secret"),
            ("***both*** **a *b* c** *a **b** c*", "both a b c a b c"),
            ("__**x**__ ||~~y~~||", "x y"),
            ("snake_case_name 2*3*4 a * b * c", "snake_case_name 234 a * b * c"),
            ("2 * 3 _ ~~ a || b `", "2 * 3 _ ~~ a || b `"),
            ("`a*b*` ``c`d`` `` `e` ``", "a*b* c`d `e`"),
            ("```rust\nlet a = *b;\n```after", "let a = *b;after"),
            ("```one line```", "one line"),
            ("# Title\n## Sub\n### Third\n-# small\n#hashtag", "Title\nSub\nThird\nsmall\n#hashtag"),
            ("> quote\n>>> all\nplain", "quote\nall\nplain"),
            ("- a\n  - b\n* c\n1. d\n-e", "• a\n  • b\n• c\n1. d\n-e"),
            (r"\*not\* \_it\_ \# \\ \a", r"*not* _it_ # \ \a"),
            (r"¯\_(ツ)_/¯", r"¯\_(ツ)_/¯"),
            ("[my reel](https://example.com/r_1_2)", "my reel (https://example.com/r_1_2)"),
            ("[my reel](<https://example.com> \"title\")!", "my reel (https://example.com)!"),
            ("[example.com](https://example.com/)", "https://example.com/"),
            (
                "[**b**](https://e.example/(x)) [x] [x](y) [](https://e.example)",
                "b (https://e.example/(x)) [x] [x](y) [](https://e.example)",
            ),
            (
                "https://example.com/__a__/b_c_ **https://example.com/c**",
                "https://example.com/__a__/b_c_ https://example.com/c",
            ),
            ("día 日本 👩‍👩‍👧 **é**", "día 日本 👩‍👩‍👧 é"),
        ] {
            assert_eq!(shown(sent), seen, "{sent}");
        }
    }

    #[test]
    fn a_typed_line_break_is_one() {
        assert_eq!(with_line_breaks(r"a\nb\n\nc \\n \x"), "a\nb\n\nc \\\\n \\x");
        assert_eq!(shown(&with_line_breaks(r"a\nb \\n")), "a\nb \\n");
    }

    #[test]
    fn names_alone_are_replaced_where_nothing_else_is_markup() {
        assert_eq!(with_names("*a* <@1> <t:x> <", &names(), NOW), "*a* @Alice *A* <t:x> <");
    }

    #[test]
    fn hostile_markup_is_read_in_time() {
        for sign in ["*_", "[", "**__", "||~~", "`", "<@", "\\", "[a](", "```", "> "] {
            let text = sign.repeat(4_000 / sign.len());
            let began = std::time::Instant::now();
            shown(&text);
            assert!(began.elapsed().as_secs() < 5, "{sign}: {:?}", began.elapsed());
        }
    }
}

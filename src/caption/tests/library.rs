//! The counter compared with X's own text library, where Node and the library are installed:
//! `npm ci --prefix tests/twitter-text`. `CAPTION_TEXTS=100000` compares that many texts, and
//! `CAPTION_SEED=7` others.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use proptest::{
    sample::select,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde::Deserialize;

use super::*;

/// Texts given to one run of Node.
const BATCH: usize = 20_000;

#[derive(Debug, Deserialize, PartialEq)]
struct LibraryCount {
    weighted: u32,
    links: u32,
    cashtags: u32,
}

/// Compares the counts of every text; `None` where the library is not installed.
fn differences(texts: &[String]) -> Option<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twitter-text");
    if !folder.join("node_modules/twitter-text").exists() {
        eprintln!("skipped: X's text library is not installed (npm ci --prefix tests/twitter-text)");
        return None;
    }
    let mut found = Vec::new();
    for batch in texts.chunks(BATCH) {
        let mut node = Command::new("node")
            .arg(folder.join("count.js"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        // The script reads all of its input before it writes, so neither side waits for the other.
        node.stdin.take().unwrap().write_all(&serde_json::to_vec(batch).unwrap()).unwrap();
        let output = node.wait_with_output().unwrap();
        assert!(output.status.success());
        let counts: Vec<LibraryCount> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(counts.len(), batch.len());
        for (text, library) in batch.iter().zip(counts) {
            let Count { weighted, links, cashtags } = count(text);
            let ours = LibraryCount { weighted, links, cashtags };
            if ours != library {
                found.push(format!("{text:?}: {ours:?}, the library {library:?}"));
            }
        }
    }
    Some(found)
}

#[track_caller]
fn assert_agreement(texts: &[String]) {
    if let Some(differences) = differences(texts) {
        let some: Vec<_> = differences.iter().take(20).map(String::as_str).collect();
        assert!(some.is_empty(), "{} of {}:\n{}", differences.len(), texts.len(), some.join("\n"));
        eprintln!("{} texts agree with X's text library", texts.len());
    }
}

/// Every emoji in every skin tone, with and without each of its variation selectors, and with one too many.
fn emoji_forms() -> Vec<String> {
    let mut forms = Vec::new();
    for emoji in emojis::iter().flat_map(|emoji| emoji.skin_tones().into_iter().flatten().chain([emoji])) {
        let chars: Vec<char> = emoji.as_str().chars().filter(|c| *c != '\u{fe0f}').collect();
        // A selector may stand behind each character but joiners, selectors and tags.
        let places: Vec<usize> = (0..chars.len())
            .filter(|&i| !matches!(chars[i], '\u{200d}' | '\u{20e3}' | '\u{e0020}'..='\u{e007f}'))
            .take(5)
            .collect();
        for selected in 0..1_u32 << places.len() {
            let mut form = String::new();
            for (index, c) in chars.iter().enumerate() {
                form.push(*c);
                if places.iter().position(|&place| place == index).is_some_and(|bit| selected & 1 << bit != 0)
                {
                    form.push('\u{fe0f}');
                }
            }
            forms.push(form);
        }
        let text: String = emoji.as_str().replace('\u{fe0f}', "\u{fe0e}");
        forms.extend([format!("{emoji}\u{fe0e}"), format!("{emoji}🏽"), format!("a{emoji}{emoji}b"), text]);
    }
    // All pairs of the letters that flags are spelled in.
    let letters = '\u{1f1e6}'..='\u{1f1ff}';
    forms.extend(letters.clone().flat_map(|a| letters.clone().map(move |b| String::from_iter([a, b]))));
    forms
}

/// Texts of what links, emoji, cashtags and sentences are made of.
fn texts() -> impl Strategy<Value = String> {
    let domain_parts = select(vec![
        "example",
        "www.",
        "a",
        "-",
        "_",
        ".",
        ".com",
        ".co",
        ".uk",
        ".co.uk",
        ".de",
        ".рф",
        ".москва",
        ".みんな",
        ".중국",
        ".рф",
        ".香港",
        ".السعودية",
        ".xn--p1ai",
        "xn--",
        "xn--e1afmkfd",
        "пример",
        "例え",
        "münchen",
        "ü",
        ".museum",
        ".vermögensberater",
        ".COM",
        ".zip",
        ".onion",
        ".kids",
        ".music",
        ".an",
        "波",
        "한국",
        "t.co",
        "ι",
        "ʒ",
        "ɠ",
        "ᲀ",
        "K",
        "ſ",
        "İ",
        "ß",
        "\"",
        "`",
        "𝒜",
        "👩",
        "👩🏽",
        "1️⃣",
    ]);
    let link_parts = select(vec![
        "https://",
        "http://",
        "HTTP://",
        "hTTps://",
        "https://t.co/",
        "//",
        "example.com",
        "example.com/",
        "t.co/",
        "abc",
        "/",
        "?",
        "=",
        "&",
        "#",
        "(",
        ")",
        "()",
        "(a)",
        "(a(b))",
        "](",
        "[",
        "]",
        ":",
        ":80",
        "@",
        "@you/",
        "!",
        ".",
        ",",
        ";",
        "'",
        "*",
        "~",
        "|",
        "%20",
        "+",
        "–",
        "—",
        "…",
        "é",
        "волна",
        "波",
        "1",
        "-",
        "_",
    ]);
    let emoji_parts = select(vec![
        "👩",
        "👨",
        "👧",
        "\u{200d}",
        "🏽",
        "🏿",
        "\u{fe0f}",
        "\u{fe0e}",
        "\u{20e3}",
        "1",
        "#",
        "*",
        "🇵",
        "🇹",
        "🏴",
        "\u{e0067}",
        "\u{e0062}",
        "\u{e0065}",
        "\u{e006e}",
        "\u{e007f}",
        "❤",
        "⭐",
        "☺",
        "♀",
        "♂",
        "©",
        "™",
        "🏳",
        "🌈",
        "🏄",
        "🕵",
        "⛹",
        "☝",
        "✊",
        "💋",
        "🚀",
        "⚕",
        "👁",
        "🗨",
        "♾",
        "ℹ",
        "‼",
        "㊙",
        "🀄",
        "\u{e50a}",
        "🫩",
        "🧑",
    ]);
    let words = select(vec![
        "wave",
        "First",
        "the",
        " ",
        " ",
        " ",
        "\n",
        "\t",
        "\u{a0}",
        "\u{3000}",
        "\u{2028}",
        "\u{200f}",
        "\u{202a}",
        "\u{2067}",
        "\u{feff}",
        "\u{85}",
        "\u{180e}",
        "$TWTR",
        "$",
        "$BRK.A",
        "$a_b",
        "$A.BCD",
        "$5",
        "#surf",
        "@me",
        "＠",
        "＃",
        "e\u{301}",
        "\u{301}",
        "ᄒ",
        "ᅡ",
        "ᆫ",
        "각",
        "שלום",
        "สวัสดี",
        "波乗り",
        "\u{10ff}",
        "\u{1100}",
        "“",
        "”",
        "‘",
        "⁂",
        "\u{2010}",
        "\u{2032}",
        "me@example.com",
        "(",
        ")",
        "[https://example.com/](https://example.com/)",
        "https://en.wikipedia.org/wiki/Wave_(sea)",
        "(https://example.com/a_(b)_c)",
        "example.com.",
        "a.b.c.de",
    ]);
    let emoji = select(emojis::iter().map(|emoji| emoji.as_str()).collect::<Vec<_>>());
    let any_char =
        prop_oneof![any::<char>(), proptest::char::range('\u{a1}', '\u{2fff}')].prop_map(String::from);
    let piece = prop_oneof![
        3 => domain_parts.prop_map(str::to_owned),
        3 => link_parts.prop_map(str::to_owned),
        2 => emoji_parts.prop_map(str::to_owned),
        3 => words.prop_map(str::to_owned),
        1 => emoji.prop_map(str::to_owned),
        1 => any_char,
        1 => ("[🧑波é。．a]{1,12}", 1..6_usize).prop_map(|(part, times)| part.repeat(times)),
        1 => select(super::super::links::TLDS.split_whitespace().collect::<Vec<_>>()).prop_map(|tld| format!(".{tld}")),
    ];
    proptest::collection::vec(piece, 1..30).prop_map(|pieces| pieces.concat())
}

#[test]
fn every_form_of_every_emoji_weighs_what_x_counts() {
    assert_agreement(&emoji_forms());
}

#[test]
fn generated_texts_weigh_what_x_counts() {
    let texts_wanted = std::env::var("CAPTION_TEXTS").map_or(2_000, |count| count.parse().unwrap());
    // The same texts each time unless another seed is asked for.
    let seed: u8 = std::env::var("CAPTION_SEED").map_or(0, |seed| seed.parse().unwrap());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = texts();
    let texts: Vec<String> =
        (0..texts_wanted).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    assert_agreement(&texts);
}

#[test]
fn every_top_level_domain_links_as_x_links_it() {
    let names = super::super::links::TLDS.lines().map(str::to_owned).chain(
        ["kids", "music", "cpa", "spa", "zip", "mov", "invalid", "xn--", "example", "local"]
            .map(str::to_owned),
    );
    let texts: Vec<String> = names
        .flat_map(|ascii| {
            let name = idna::domain_to_unicode(&ascii).0;
            [
                format!("a.{ascii}"),
                format!("https://a.{name}/b"),
                format!("a.{name}波"),
                format!("http://a.{name}.b"),
            ]
        })
        .collect();
    assert_agreement(&texts);
}

#[test]
fn every_character_beside_a_link_counts_as_x_counts_it() {
    // One in 16, starting elsewhere in each plane; all of them take half a minute.
    let step = if std::env::var_os("CAPTION_TEXTS").is_some() { 1 } else { 61 };
    let texts: Vec<String> = ('\0'..='\u{10ffff}')
        .step_by(step)
        .flat_map(|c| [format!("{c}a.com{c} b{c}.com http://b{c}.com/{c}a{c} a{c}.co.uk $A{c} {c}")])
        .collect();
    assert_agreement(&texts);
}

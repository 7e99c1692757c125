use proptest::prelude::*;

use super::*;

/// Text and what it weighs.
const WEIGHTS: &[(&str, u32)] = &[
    ("", 0),
    ("Surf's up", 9),
    ("two\nlines", 9),
    ("windows\r\nlines", 14),
    ("tab\there", 8),
    // Scripts of one weight per character, and of two.
    ("première", 8),
    ("волна", 5),
    ("κύμα", 4),
    ("גל", 2),
    ("موجة", 4),
    ("คลื่น", 5),
    ("तरंग", 4),
    ("波", 2),
    ("なみ", 4),
    ("파도", 4),
    ("ﬁn", 3),
    ("a 波", 4),
    ("\u{10ff}", 1),
    ("\u{1100}", 2),
    ("\u{10000}", 2),
    ("ＡＢ", 4),
    // General punctuation: the dashes, quotes and spaces of one weight, the others of two.
    ("\u{2000}\u{200d}", 2),
    ("\u{200e}\u{200f}", 4),
    ("‐–—―", 4),
    ("‘’“”", 4),
    ("\u{201f}\u{2020}", 3),
    ("…", 2),
    ("′″‴‵‶‷", 6),
    ("‹›", 4),
    ("€", 2),
    ("£¥", 2),
    ("→", 2),
    // Composed before it is counted.
    ("e\u{301}", 1),
    ("A\u{30a}ngstro\u{308}m", 8),
    ("\u{1112}\u{1161}\u{11ab}", 2),
    ("x\u{301}", 2),
    // One emoji, however it is put together.
    ("🌊", 2),
    ("🏄🌊", 4),
    ("👍🏽", 2),
    ("🏄🏿‍♀️", 2),
    ("👨‍👩‍👧‍👦", 2),
    ("👩🏻‍❤️‍💋‍👨🏿", 2),
    ("🇵🇹", 2),
    ("🇵🇹🇪🇸", 4),
    ("🏴󠁧󠁢󠁳󠁣󠁴󠁿", 2),
    ("🏳️‍🌈", 2),
    ("🏳‍🌈", 2),
    ("1️⃣", 2),
    ("#⃣", 2),
    ("❤️", 2),
    ("❤", 2),
    ("☺", 2),
    ("🧑‍🧑‍🧒", 2),
    ("🐦‍🔥", 2),
    ("🫩", 2),
    ("🇵", 2),
    ("🇽🇽", 4),
    ("😀‍😀", 5),
    // Emoji only by the mark after them.
    ("©", 1),
    ("©️", 2),
    ("®", 1),
    ("7", 1),
    ("#7", 2),
    ("™", 2),
    // Links.
    ("https://example.com", 23),
    ("http://x.co", 23),
    ("look: https://example.com/a/very/long/path/that/would/never/fit/otherwise?with=a&long=query", 29),
    ("https://example.com https://example.org", 47),
    ("example.com", 23),
    ("example.com!", 24),
    ("波example.com波", 27),
    ("https://example.com/🌊", 25),
    ("mail me@example.com", 19),
];

/// Text and the links in it.
const LINKS: &[(&str, &[&str])] = &[
    ("no link here", &[]),
    ("see https://example.com for more", &["https://example.com"]),
    ("HTTPS://Example.COM/Path", &["HTTPS://Example.COM/Path"]),
    ("a.co b.co", &["a.co", "b.co"]),
    // Bare domains, and what only looks like one.
    ("example.com", &["example.com"]),
    ("www.example.co.uk", &["www.example.co.uk"]),
    ("shop.museum", &["shop.museum"]),
    ("my.app", &["my.app"]),
    ("readme.md", &["readme.md"]),
    ("end.Next", &["end.Next"]),
    ("end. Next", &[]),
    ("a.notatld", &[]),
    ("https://a.notatld", &[]),
    ("video.mp4", &[]),
    ("3.14", &[]),
    ("192.168.0.1", &[]),
    ("https://localhost", &[]),
    ("example.comx", &[]),
    ("example.com.", &["example.com"]),
    ("example.com.au", &["example.com.au"]),
    ("example.com-x", &[]),
    ("example.com_x", &["example.com"]),
    ("foo.com.notatld", &["foo.com"]),
    ("onionsite.onion", &["onionsite.onion"]),
    // The character in front.
    ("me@example.com", &[]),
    ("@example.com", &[]),
    ("#example.com", &[]),
    ("$example.com", &[]),
    ("(example.com)", &["example.com"]),
    ("\"example.com\"", &["example.com"]),
    ("/example.com", &[]),
    ("-example.com", &[]),
    ("_example.com", &[]),
    ("ftp://example.com", &[]),
    ("\u{202a}example.com", &["example.com"]),
    ("\u{feff}example.com", &[]),
    ("xhttps://example.com", &[]),
    ("波https://example.com", &["https://example.com"]),
    ("https:// example.com", &["example.com"]),
    ("https://user:word@example.com/", &[]),
    // Scripts.
    ("波example.com波", &["example.com"]),
    ("example.com/波", &["example.com/"]),
    ("https://波.com/波", &["https://波.com/"]),
    ("波.com", &[]),
    ("café.com", &["café.com"]),
    ("https://пример.рф", &["https://пример.рф"]),
    ("пример.рф", &[]),
    ("example.рф", &["example.рф"]),
    ("https://xn--e1afmkfd.xn--p1ai/x", &["https://xn--e1afmkfd.xn--p1ai/x"]),
    ("example.com/волна", &["example.com/волна"]),
    ("example.com。org", &["example.com"]),
    ("example.com波example.org/a", &["example.com", "example.org/a"]),
    // Labels.
    ("https://a_b.example.com", &["https://a_b.example.com"]),
    ("a_b.example.com", &["b.example.com"]),
    ("https://a_b.com", &[]),
    ("https://-a.com", &[]),
    ("https://a-.com", &[]),
    ("https://a--b.com", &["https://a--b.com"]),
    ("https://a..com", &[]),
    // Ports, paths, queries and the punctuation after them.
    ("https://example.com:8080/x", &["https://example.com:8080/x"]),
    ("https://example.com:8080", &["https://example.com:8080"]),
    ("example.com:8080", &["example.com"]),
    ("https://example.com:", &["https://example.com"]),
    ("https://example.com/a.", &["https://example.com/a"]),
    ("https://example.com/a, b", &["https://example.com/a"]),
    ("https://example.com/a?!", &["https://example.com/a"]),
    ("https://example.com/a.b/c;d=1,2", &["https://example.com/a.b/c;d=1,2"]),
    ("https://example.com/~me/@you/#part", &["https://example.com/~me/@you/#part"]),
    ("https://example.com?q=1", &["https://example.com?q=1"]),
    ("example.com?q=1", &["example.com"]),
    ("example.com/?q=1&r=(2).", &["example.com/?q=1&r=(2"]),
    ("(https://example.com/a)", &["https://example.com/a"]),
    ("https://example.com/Wave_(sea)", &["https://example.com/Wave_(sea)"]),
    ("https://example.com/a(b(c)d)e", &["https://example.com/a(b(c)d)e"]),
    ("https://example.com/a(b(c(d)))", &["https://example.com/a"]),
    ("https://example.com/()", &["https://example.com/"]),
    ("<https://example.com/a>", &["https://example.com/a"]),
    ("https://t.co/Ab12/more", &["https://t.co/Ab12"]),
    ("https://t.co/Ab12?a=1", &["https://t.co/Ab12?a=1"]),
    ("https://t.co/", &["https://t.co/"]),
];

fn links_in(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    links::find(&chars).into_iter().map(|range| chars[range].iter().collect()).collect()
}

#[test]
fn weighs_text_as_x_does() {
    for (text, weighted) in WEIGHTS {
        assert_eq!(count(text).weighted, *weighted, "{text:?}");
    }
}

#[test]
fn finds_the_links_that_x_would_make() {
    for (text, links) in LINKS {
        assert_eq!(links_in(text), *links, "{text:?}");
        assert_eq!(count(text).links as usize, links.len(), "{text:?}");
        let Ok(caption) = Caption::parse(*text, 280) else { continue };
        assert_eq!(caption.has_link(), !links.is_empty(), "{text:?}");
    }
}

#[test]
fn long_labels_codes_and_addresses_are_no_links() {
    let cases = [
        (format!("{}.com", "a".repeat(63)), 1),
        (format!("{}.com", "a".repeat(64)), 0),
        (format!("https://{}.com", "波".repeat(20)), 1),
        (format!("https://{}.com", "波".repeat(60)), 0),
        (format!("https://t.co/{}", "a".repeat(40)), 1),
        (format!("https://t.co/{}", "a".repeat(41)), 0),
        (format!("https://example.com/{}", "a".repeat(4000)), 1),
        (format!("https://example.com/{}", "a".repeat(4096)), 0),
    ];
    for (text, links) in cases {
        assert_eq!(links_in(&text).len(), links, "{text}");
    }
}

#[test]
fn a_caption_fits_up_to_its_limit() {
    assert_eq!(Caption::parse("波".repeat(140), 280).unwrap().count().weighted, 280);
    let error = Caption::parse("波".repeat(151), 280).unwrap_err();
    assert_eq!(error, CaptionError::TooLong { weighted: 302, limit: 280 });
    assert_eq!(
        error.to_string(),
        "the caption is 302 of 280 characters as X counts them (links count 23, emoji and CJK 2); shorten it by 22"
    );
    assert!(Caption::parse("a".repeat(25_000), 25_000).is_ok());
    assert_eq!(count(&"a".repeat(300)).over(280), 20);
    assert_eq!(count("a").over(280), 0);
}

#[test]
fn a_caption_is_kept_to_the_letter() {
    let text = "  e\u{301}\r\n\t\u{200f}שלום\u{200d}  ";
    assert_eq!(Caption::parse(text, 280).unwrap().as_str(), text);
    assert_eq!(Caption::parse("", 280).unwrap().as_str(), "");
}

#[test]
fn control_characters_are_refused_not_dropped() {
    for character in
        ['\0', '\u{7}', '\u{b}', '\u{1b}', '\u{7f}', '\u{85}', '\u{9f}', '\u{feff}', '\u{fffe}', '\u{ffff}']
    {
        let error = Caption::parse(format!("ab{character}c"), 280).unwrap_err();
        assert_eq!(error, CaptionError::Refused { character, position: 3 });
    }
    assert_eq!(
        Caption::parse("\u{7}", 280).unwrap_err().to_string(),
        "the caption holds an invisible character that X does not accept (U+0007, character 1); remove it"
    );
}

#[test]
fn every_known_emoji_weighs_two() {
    for emoji in emojis::iter().flat_map(|emoji| emoji.skin_tones().into_iter().flatten().chain([emoji])) {
        assert_eq!(count(emoji.as_str()).weighted, 2, "{emoji} {:?}", emoji.as_str());
        assert!(emoji.as_str().chars().count() <= MAX_EMOJI_CHARS, "{emoji}");
    }
}

#[test]
fn the_time_taken_grows_with_the_length_only() {
    let started = std::time::Instant::now();
    for unit in [
        "波",
        "a.",
        "波.",
        "_.",
        "a_.",
        "-.",
        "https://",
        "(",
        "/(",
        "a.com",
        "波.com/(",
        ".com",
        "?",
        "🏴",
        "👩‍",
    ] {
        count(&unit.repeat(100_000 / unit.len()));
    }
    count(&format!("{}_.com", "a".repeat(100_000)));
    count(&format!("{}.com", "波".repeat(100_000)));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

/// Pieces that links, emoji and composed characters are made of.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "https://",
            "http://",
            "example",
            ".",
            ".com",
            ".рф",
            "t.co/",
            "/",
            "?",
            "=",
            "(",
            ")",
            ":",
            "80",
            "@",
            "#",
            "$",
            "-",
            "_",
            "波",
            "é",
            "e\u{301}",
            "\u{301}",
            " ",
            "\n",
            "\u{202a}",
            "👩",
            "\u{200d}",
            "🏽",
            "\u{fe0f}",
            "\u{20e3}",
            "1",
            "🇵",
            "🇹",
            "🏴",
            "\u{e0067}",
            "\u{e007f}",
            "ᄒ",
            "ᅡ",
            "xn--",
            "\u{feff}",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_counted(text in prop_oneof![any::<String>(), pieces()]) {
        let counted = count(&text);
        prop_assert!(counted.weighted >= LINK_WEIGHT * counted.links);
        prop_assert_eq!(counted.weighted == 0, text.is_empty());
    }

    #[test]
    fn normal_form_counts_the_same(text in pieces()) {
        let normal: String = text.nfc().collect();
        prop_assert_eq!(count(&normal), count(&text));
    }

    #[test]
    fn texts_apart_count_apart(one in pieces(), other in pieces()) {
        // A space separates; what stands before it cannot change what stands after it.
        let (one, other) = (format!("{one} "), format!(" {other}"));
        let (a, b, both) = (count(&one), count(&other), count(&format!("{one}{other}")));
        prop_assert_eq!(both.weighted, a.weighted + b.weighted);
        prop_assert_eq!(both.links, a.links + b.links);
    }

    #[test]
    fn links_lie_in_order_within_the_text(text in pieces()) {
        let chars: Vec<char> = text.nfc().collect();
        let mut last = 0;
        for link in links::find(&chars) {
            prop_assert!(last <= link.start && link.start < link.end && link.end <= chars.len());
            prop_assert!(chars[link.clone()].contains(&'.'));
            last = link.end;
        }
    }

    #[test]
    fn a_caption_within_its_limit_is_taken(text in pieces(), limit in 0..400_u32) {
        match Caption::parse(text.as_str(), limit) {
            Ok(caption) => {
                prop_assert_eq!(caption.as_str(), text.as_str());
                prop_assert!(caption.count().over(limit) == 0);
            }
            Err(CaptionError::TooLong { weighted, .. }) => prop_assert!(weighted > limit),
            Err(CaptionError::Refused { character, position }) => {
                prop_assert_eq!(text.chars().nth(position - 1), Some(character));
            }
        }
    }
}

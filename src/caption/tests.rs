//! A name for each published rule, and properties that hold for any text.

mod cashtags;
mod domains;
mod emoji;
mod library;
mod links;
mod weights;

use proptest::prelude::*;

use super::*;

/// Asserts what each text weighs.
#[track_caller]
fn weigh(cases: &[(&str, u32)]) {
    for (text, weighted) in cases {
        assert_eq!(count(text).weighted, *weighted, "{text:?}");
    }
}

/// Asserts which links each text has, and that they are what it is counted by.
#[track_caller]
fn link(cases: &[(&str, &[&str])]) {
    for (text, links) in cases {
        assert_eq!(links_in(text), *links, "{text:?}");
        let counted = count(text);
        assert_eq!(counted.links as usize, links.len(), "{text:?}");
        assert_eq!(
            Caption::parse(*text, PREMIUM_LIMIT).is_ok_and(|caption| caption.has_link()),
            !links.is_empty() && !text.contains(is_refused),
            "{text:?}"
        );
    }
}

/// The links of a text that is in normal form.
fn links_in(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    super::links::find(&chars).into_iter().map(|link| chars[link.range].iter().collect()).collect()
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
    #![proptest_config(ProptestConfig::with_cases(10_000))]

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
        for link in super::links::find(&chars).into_iter().map(|link| link.range) {
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
            Err(error @ CaptionError::TooLong { weighted, .. }) => {
                // The person reads what X would count.
                prop_assert_eq!(weighted, count(&text).weighted);
                let (told, over) = (error.to_string(), weighted - limit);
                let counted = format!("{weighted} of {limit} characters");
                let advice = format!("shorten it by {over}");
                prop_assert!(told.contains(&counted) && told.ends_with(&advice));
            }
            Err(CaptionError::Cashtags(cashtags)) => prop_assert!(cashtags > 1),
            Err(CaptionError::Refused { character, position }) => {
                prop_assert_eq!(text.chars().nth(position - 1), Some(character));
            }
        }
    }
}

//! What one character weighs: the ranges of the library's `config/v3.json`, after normal form C.

use super::*;

#[test]
fn each_range_begins_and_ends_where_it_is_published() {
    let of = |code: u32| count(&char::from_u32(code).unwrap().to_string()).weighted;
    for (range, weight) in [
        (0x0..=0x10ff, 1),
        (0x1100..=0x1fff, 2),
        (0x2000..=0x200d, 1),
        (0x200e..=0x200f, 2),
        (0x2010..=0x201f, 1),
        (0x2020..=0x2031, 2),
        (0x2032..=0x2037, 1),
        (0x2038..=0x303f, 2),
        (0xac00..=0xd7ff, 2),
        (0xe000..=0xf8ff, 2),
        (0x1_0000..=0x1_00ff, 2),
        (0x10_ff00..=0x10_ffff, 2),
    ] {
        for code in range {
            let character = char::from_u32(code).unwrap();
            // Some have another normal form, such as the Greek extended letters; they weigh as that.
            if character.nfc().eq([character]) {
                assert_eq!(of(code), weight, "U+{code:04X}");
            }
        }
    }
}

#[test]
fn every_character_of_unicode_weighs_one_or_two() {
    for character in '\0'..=char::MAX {
        let expected = character.nfc().map(weight).sum::<u32>();
        assert_eq!(count(&character.to_string()).weighted, expected, "{character:?}");
    }
}

#[test]
fn latin_greek_cyrillic_and_their_neighbours_weigh_one() {
    weigh(&[
        ("", 0),
        ("Surf's up", 9),
        ("two\nlines", 9),
        ("windows\r\nlines", 14),
        ("tab\there", 8),
        ("première", 8),
        ("Straße", 6),
        ("волна", 5),
        ("κύμα", 4),
        ("գիրք", 4),
        ("คลื่น", 5),
        ("तरंग", 4),
        ("წიგნი", 5),
        ("£¥", 2),
        ("\u{10ff}", 1),
    ]);
}

#[test]
fn cjk_hangul_and_full_width_weigh_two() {
    weigh(&[
        ("波", 2),
        ("なみ", 4),
        ("ナミ", 4),
        ("ﾅﾐ", 4),
        ("파도", 4),
        ("ＡＢ", 4),
        ("。、", 4),
        ("a 波", 4),
        ("𠮷", 2),
        ("\u{1100}", 2),
        ("\u{10000}", 2),
    ]);
}

#[test]
fn right_to_left_scripts_weigh_one_and_marks_of_direction_two() {
    weigh(&[
        ("גל", 2),
        ("موجة", 4),
        ("סרטון 123 abc", 13),
        ("\u{200e}\u{200f}", 4),
        ("\u{202b}שלום\u{202c}", 8),
        ("\u{2067}مرحبا\u{2069}", 9),
        ("a\u{61c}b", 3),
    ]);
}

#[test]
fn dashes_quotes_and_primes_weigh_one_and_other_symbols_two() {
    weigh(&[
        ("‐–—―", 4),
        ("‘’“”„", 5),
        ("\u{201f}\u{2020}", 3),
        ("…", 2),
        ("•", 2),
        ("′″‴‵‶‷", 6),
        ("‹›", 4),
        ("€", 2),
        ("™", 2),
        ("→", 2),
    ]);
}

#[test]
fn zero_width_characters_are_counted_where_no_emoji_holds_them() {
    weigh(&[
        ("a\u{200b}b", 3),
        ("\u{200c}\u{200d}", 2),
        ("क\u{94d}\u{200d}ष", 4),
        ("\u{2060}", 2),
        ("a\u{fe0f}", 3),
        ("\u{ad}", 1),
    ]);
}

#[test]
fn text_is_composed_before_it_is_counted() {
    weigh(&[
        ("e\u{301}", 1),
        ("A\u{30a}ngstro\u{308}m", 8),
        ("\u{1112}\u{1161}\u{11ab}", 2),
        ("\u{212b}", 1),
        ("\u{1f71}", 1),
        // No composed form exists.
        ("x\u{301}", 2),
        ("ﬁn", 3),
        // Compatibility forms stay: it is not NFKC.
        ("²", 1),
        ("①", 2),
    ]);
    for (composed, apart) in [("é", "e\u{301}"), ("한", "\u{1112}\u{1161}\u{11ab}"), ("ǖ", "u\u{308}\u{304}")]
    {
        assert_eq!(count(composed), count(apart), "{composed}");
    }
}

#[test]
fn three_characters_are_invalid_and_marks_of_direction_are_not() {
    for character in ['\u{feff}', '\u{fffe}', '\u{ffff}'] {
        let error = Caption::parse(format!("ab{character}"), LIMIT).unwrap_err();
        assert_eq!(error, CaptionError::Refused { character, position: 3 });
    }
    // Invalid to older versions of the library, allowed by the present one.
    for character in '\u{202a}'..='\u{202e}' {
        assert!(Caption::parse(format!("ab{character}"), LIMIT).is_ok(), "{character:?}");
    }
}

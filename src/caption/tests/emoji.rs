//! One emoji weighs two, however it is put together, as far as X's text library knows it.

use super::*;

#[test]
fn a_single_emoji_weighs_two() {
    weigh(&[("🌊", 2), ("🏄🌊", 4), ("a🌊b", 4), ("⌚", 2), ("☀", 2), ("🫩", 2)]);
}

#[test]
fn the_mark_that_asks_for_a_picture_weighs_nothing() {
    weigh(&[("❤️", 2), ("❤", 2), ("☺️", 2), ("☺", 2), ("☀️", 2), ("🖐️", 2), ("🅰️", 2)]);
}

#[test]
fn the_mark_that_asks_for_text_is_counted_as_a_character() {
    weigh(&[("❤\u{fe0e}", 4), ("☺\u{fe0e}", 4), ("©\u{fe0e}", 3)]);
}

#[test]
fn a_mark_too_many_is_counted_as_a_character() {
    weigh(&[("📺\u{fe0f}", 4), ("❤️\u{fe0f}", 4), ("1\u{fe0f}", 3), ("#\u{fe0f}", 3), ("*\u{fe0f}a", 4)]);
}

#[test]
fn signs_are_emoji_only_with_the_mark() {
    weigh(&[("©", 1), ("©️", 2), ("®", 1), ("®️", 2), ("7", 1), ("#7", 2), ("*", 1)]);
}

#[test]
fn a_keycap_weighs_two_with_the_mark_or_without() {
    for key in ['#', '*', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'] {
        assert_eq!(count(&format!("{key}\u{fe0f}\u{20e3}")).weighted, 2, "{key}");
        assert_eq!(count(&format!("{key}\u{20e3}")).weighted, 2, "{key}");
    }
    weigh(&[("🔟", 2), ("a\u{20e3}", 3), ("11️⃣", 3)]);
}

#[test]
fn a_flag_weighs_two_and_letters_that_make_none_two_each() {
    weigh(&[("🇵🇹", 2), ("🇵🇹🇪🇸", 4), ("🇺🇳", 2), ("🇵", 2), ("🇵🇹🇪", 4), ("🇽🇽", 4), ("🇽🇵🇹", 4), ("🇵 🇹", 5)]);
}

#[test]
fn a_flag_spelled_in_tags_weighs_two() {
    weigh(&[
        ("🏴󠁧󠁢󠁳󠁣󠁴󠁿", 2),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", 2),
        ("🏴󠁧󠁢󠁷󠁬󠁳󠁿", 2),
        ("🏴", 2),
        // Texas is in no list: the black flag, five tags and their end.
        ("🏴\u{e0075}\u{e0073}\u{e0074}\u{e0078}\u{e007f}", 12),
        ("🏴\u{e0067}", 4),
    ]);
}

#[test]
fn a_tone_of_skin_belongs_to_what_it_can_colour() {
    weigh(&[("👍🏽", 2), ("🏄🏿", 2), ("☝🏻", 2), ("✊🏿✊🏻", 4), ("🏽", 2), ("🌊🏽", 4), ("👍🏽🏽", 4)]);
}

#[test]
fn joined_emoji_weigh_two_in_their_full_form() {
    weigh(&[
        ("👨‍👩‍👧‍👦", 2),
        ("👩‍👩‍👧", 2),
        ("👩‍❤️‍💋‍👨", 2),
        ("🏄🏿‍♀️", 2),
        ("🏄‍♀️", 2),
        ("👩🏽‍🚀", 2),
        ("👨🏻‍⚕️", 2),
        ("🏳️‍🌈", 2),
        ("🏴‍☠️", 2),
        ("👩🏾‍🦰", 2),
    ]);
}

#[test]
fn joined_emoji_that_lack_a_mark_are_counted_by_their_parts() {
    weigh(&[("🏳\u{200d}🌈", 5), ("🏄\u{200d}♀", 5), ("👩\u{200d}❤\u{200d}👨", 8), ("🏴\u{200d}☠", 5)]);
}

#[test]
fn joiners_between_what_does_not_join_are_counted() {
    weigh(&[("😀‍😀", 5), ("👩‍", 3), ("‍👩", 3), ("👩‍👩‍👩", 8), ("a‍b", 3)]);
}

#[test]
fn emoji_that_are_younger_than_the_library_are_counted_by_their_parts() {
    weigh(&[
        ("🧑‍🤝‍🧑", 8),
        ("🧑‍🎄", 5),
        ("❤️‍🔥", 5),
        ("🐻‍❄️", 5),
        ("🐦‍🔥", 5),
        ("🧑‍🧑‍🧒", 8),
        ("🫷🏽", 4),
        // Of its time, yet unknown to it.
        ("♾️", 4),
        ("👁️‍🗨️", 5),
    ]);
}

#[test]
fn an_emoji_ends_a_link_and_weighs_beside_it() {
    weigh(&[
        ("https://example.com/🌊", 25),
        ("https://example.com🌊", 25),
        ("🌊https://example.com", 25),
        ("🌊example.com", 25),
        ("example.com/a🌊b", 26),
        ("https://example.com/?q=🌊", 25),
        ("https://🌊.com", 23),
        ("https://i❤.ws/x", 23),
        ("👨‍👩‍👧‍👦example.com👨‍👩‍👧‍👦", 27),
    ]);
}

#[test]
fn no_emoji_weighs_more_than_its_parts() {
    let all = emojis::iter().flat_map(|emoji| emoji.skin_tones().into_iter().flatten().chain([emoji]));
    let mut whole = 0;
    for emoji in all {
        let weighted = count(emoji.as_str()).weighted;
        let parts: u32 = emoji.as_str().chars().map(weight).sum();
        assert!((2..=parts.max(2)).contains(&weighted), "{emoji} {:?}: {weighted}", emoji.as_str());
        whole += u32::from(weighted == 2);
    }
    assert!(whole > 2_700, "{whole}");
}

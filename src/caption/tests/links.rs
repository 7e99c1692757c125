//! Links: what stands around them, and how far they go.

use super::*;

#[test]
fn every_link_weighs_23() {
    weigh(&[
        ("https://example.com", 23),
        ("http://x.co", 23),
        ("look: https://example.com/a/very/long/path/that/would/never/fit/otherwise?with=a&long=query", 29),
        ("https://example.com https://example.org", 47),
        ("example.com", 23),
        ("example.com!", 24),
        ("波example.com波", 27),
        ("mail me@example.com", 19),
        ("Watch https://example.com and example.org, then t.co/abc!", 88),
    ]);
}

#[test]
fn the_scheme_is_http_in_any_case_and_no_other() {
    link(&[
        ("no link here", &[]),
        ("see https://example.com for more", &["https://example.com"]),
        ("HTTPS://Example.COM/Path", &["HTTPS://Example.COM/Path"]),
        ("hTTp://a.b.cd", &["hTTp://a.b.cd"]),
        ("ftp://example.com", &[]),
        ("xhttps://example.com", &[]),
        ("https:// example.com", &["example.com"]),
        ("https:/example.com", &[]),
        ("mailto:me@example.com", &[]),
        ("javascript:example.com", &["example.com"]),
    ]);
}

#[test]
fn letters_digits_and_the_signs_of_names_and_tags_stand_before_no_link() {
    link(&[
        ("@example.com", &[]),
        ("＠https://example.com", &[]),
        ("#example.com", &[]),
        ("see ＃https://example.com", &[]),
        ("$example.com", &[]),
        ("@https://example.com", &[]),
        ("#https://example.com", &[]),
        ("$https://example.com", &[]),
        ("$TVI.CA", &[]),
        ("\u{feff}example.com", &[]),
        ("\u{fffe}https://example.com", &[]),
    ]);
}

#[test]
fn an_emoji_between_a_sign_and_a_domain_sets_it_free() {
    // The library reads halves of a pair in UTF-16, and takes the first for what stands before the link.
    link(&[
        ("#👩.example.com", &["example.com"]),
        ("@🇵.co.uk", &["co.uk"]),
        ("https://t.co/🏽.co.uk", &["https://t.co/", "co.uk"]),
        ("//🏽.example.com", &[]),
        ("see 👩.example.com", &["example.com"]),
    ]);
}

#[test]
fn punctuation_before_a_link_leaves_it_whole() {
    link(&[
        ("(example.com)", &["example.com"]),
        ("\"example.com\"", &["example.com"]),
        ("“example.com”", &["example.com"]),
        ("'https://example.com'", &["https://example.com"]),
        ("<https://example.com/a>", &["https://example.com/a"]),
        ("波https://example.com", &["https://example.com"]),
        ("!https://example.com", &["https://example.com"]),
        ("*example.com*", &["example.com"]),
        ("\u{a0}example.com", &["example.com"]),
        ("\u{3000}example.com", &["example.com"]),
        ("a\nexample.com\nb", &["example.com"]),
    ]);
}

#[test]
fn marks_of_direction_may_stand_around_a_link() {
    link(&[
        ("\u{202a}example.com", &["example.com"]),
        ("\u{202b}https://example.com/a\u{202c}", &["https://example.com/a"]),
        ("\u{200f}example.com\u{200f}", &["example.com"]),
        ("\u{2067}example.com\u{2069}", &["example.com"]),
        ("שלוםexample.com", &["example.com"]),
        ("صفحة example.com/a هنا", &["example.com/a"]),
    ]);
}

#[test]
fn a_bare_domain_after_a_dash_underscore_dot_or_slash_is_part_of_something() {
    link(&[
        ("/example.com", &[]),
        ("-example.com", &[]),
        ("_example.com", &[]),
        (".example.com", &[]),
        ("path/to/example.com", &[]),
        ("/https://example.com", &["https://example.com"]),
        ("-https://example.com", &["https://example.com"]),
    ]);
}

#[test]
fn mail_addresses_are_no_links() {
    link(&[
        ("me@example.com", &[]),
        ("john.doe@example.com", &[]),
        ("john.doe.gov@mail.com", &[]),
        ("john.doe.jp@mail.com", &[]),
        ("a+b@example.co.uk", &[]),
        ("https://user:word@example.com/", &[]),
    ]);
}

#[test]
fn a_port_belongs_to_a_link_with_a_scheme_or_a_path() {
    link(&[
        ("https://example.com:8080/x", &["https://example.com:8080/x"]),
        ("https://example.com:8080", &["https://example.com:8080"]),
        ("example.com:8080/x", &["example.com:8080/x"]),
        ("example.com:8080", &["example.com"]),
        ("https://example.com:", &["https://example.com"]),
        ("https://example.com:x", &["https://example.com"]),
    ]);
}

#[test]
fn a_path_goes_on_to_its_last_character_that_is_no_punctuation() {
    link(&[
        ("https://example.com/a.", &["https://example.com/a"]),
        ("https://example.com/a, b", &["https://example.com/a"]),
        ("https://example.com/a?!", &["https://example.com/a"]),
        ("https://example.com/a!!!", &["https://example.com/a"]),
        ("https://example.com/a........", &["https://example.com/a"]),
        ("https://example.com/a:", &["https://example.com/a"]),
        ("https://example.com/a'", &["https://example.com/a"]),
        ("https://example.com/a\"", &["https://example.com/a"]),
        ("https://example.com/a…", &["https://example.com/a"]),
        ("https://example.com/a-", &["https://example.com/a-"]),
        ("https://example.com/a.b/c;d=1,2", &["https://example.com/a.b/c;d=1,2"]),
        ("https://example.com/a|b", &["https://example.com/a|b"]),
        ("https://example.com/~me/@you/#part", &["https://example.com/~me/@you/#part"]),
        ("https://example.com/#!/a", &["https://example.com/#!/a"]),
        ("https://example.com/%E6%B3%A2", &["https://example.com/%E6%B3%A2"]),
    ]);
}

#[test]
fn a_path_takes_cyrillic_and_accented_latin_and_no_other_script() {
    link(&[
        ("example.com/волна", &["example.com/волна"]),
        ("https://example.com/vidéo", &["https://example.com/vidéo"]),
        ("example.com/波", &["example.com/"]),
        ("https://example.com/κύμα", &["https://example.com/"]),
        ("https://example.com/گل", &["https://example.com/"]),
    ]);
}

#[test]
fn parentheses_belong_to_a_path_in_pairs() {
    link(&[
        ("(https://example.com/a)", &["https://example.com/a"]),
        ("https://example.com/Wave_(sea)", &["https://example.com/Wave_(sea)"]),
        ("(https://example.com/Wave_(sea))", &["https://example.com/Wave_(sea)"]),
        ("https://example.com/a(b(c)d)e", &["https://example.com/a(b(c)d)e"]),
        ("https://example.com/a(b(c(d)))", &["https://example.com/a"]),
        ("https://example.com/()", &["https://example.com/"]),
        ("https://example.com/(a", &["https://example.com/"]),
    ]);
}

#[test]
fn a_query_follows_a_scheme_or_a_path() {
    link(&[
        ("https://example.com?q=1", &["https://example.com?q=1"]),
        ("example.com?q=1", &["example.com"]),
        ("example.com/?q=1&r=(2).", &["example.com/?q=1&r=(2"]),
        ("https://example.com/?a=b?c", &["https://example.com/?a=b?c"]),
        ("https://example.com/?q=-", &["https://example.com/?q=-"]),
        ("https://example.com/?", &["https://example.com/"]),
        ("https://example.com/?波=1", &["https://example.com/"]),
    ]);
}

#[test]
fn a_short_link_of_x_ends_with_its_code() {
    link(&[
        ("https://t.co/Ab12/more", &["https://t.co/Ab12"]),
        ("https://t.co/Ab12's", &["https://t.co/Ab12"]),
        ("https://t.co/Ab12: more", &["https://t.co/Ab12"]),
        ("https://t.co/Ab12-", &["https://t.co/Ab12"]),
        ("https://t.co/Ab12?a=1", &["https://t.co/Ab12?a=1"]),
        ("HTTPS://T.CO/Ab12+x", &["HTTPS://T.CO/Ab12"]),
        ("https://t.co/", &["https://t.co/"]),
        ("https://t.co https://t.co", &["https://t.co", "https://t.co"]),
    ]);
    assert_eq!(links_in(&format!("https://t.co/{}", "a".repeat(40))).len(), 1);
    assert_eq!(links_in(&format!("https://t.co/{}", "a".repeat(41))).len(), 0);
}

#[test]
fn more_than_4096_characters_are_no_link_and_weigh_what_they_are() {
    // The library reckons a scheme of eight characters on top, even where there is one.
    let link = |len: usize| format!("https://example.com/{}", "a".repeat(len - 20));
    assert_eq!(count(&link(4088)), Count { weighted: 23, links: 1, cashtags: 0 });
    assert_eq!(count(&link(4089)), Count { weighted: 4089, links: 0, cashtags: 0 });
    let bare = |len: usize| format!("example.com/{}", "a".repeat(len - 12));
    assert_eq!(count(&bare(4088)), Count { weighted: 23, links: 1, cashtags: 0 });
    assert_eq!(count(&bare(4089)), Count { weighted: 4089, links: 0, cashtags: 0 });
}

/// The library places a bare domain where its text first stands after the domain before it, even inside a longer word.
#[test]
fn a_bare_domain_is_placed_as_the_library_places_it() {
    let text = ".рф#surfᆫ՛example.com.◓$$TWTR%20e\u{301}👩🚀t.co1️⃣🏽t.co/㊙?";
    assert_eq!(count(text).weighted, 88);
    let text = ".co.uk＠](example.comwave.みんなexample.com/.tunesволна.onion.co.uk.suſ";
    assert_eq!(count(text).weighted, 52);
}

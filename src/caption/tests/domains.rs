//! Domains: of every top-level domain, in every script, with and without a scheme.

use super::*;

/// Every top-level domain of the root zone, in its own script.
fn top_level() -> impl Iterator<Item = String> {
    crate::caption::links::TLDS.lines().map(|name| match name.strip_prefix("xn--") {
        Some(code) => idna::punycode::decode_to_string(code).unwrap(),
        None => (*name).to_owned(),
    })
}

#[test]
fn every_top_level_domain_makes_a_link_with_a_scheme_and_without() {
    let mut seen = 0;
    for name in top_level() {
        for text in [format!("example.{name}"), format!("a.b.{}", name.to_uppercase())] {
            assert_eq!(links_in(&text), [text.as_str()], "{text}");
            assert_eq!(count(&text).weighted, LINK_WEIGHT, "{text}");
            let full = format!("http://{text}/path");
            assert_eq!(links_in(&full), [full.as_str()], "{full}");
        }
        seen += 1;
    }
    assert!(seen > 1_400, "{seen}");
}

#[test]
fn every_top_level_domain_in_its_ascii_form_makes_a_link() {
    for name in crate::caption::links::TLDS.lines() {
        let text = format!("see example.{name}!");
        assert_eq!(links_in(&text), [format!("example.{name}")], "{text}");
    }
}

#[test]
fn a_country_needs_no_path_and_no_scheme() {
    // Until version 2.0.4 the library linked short domains of countries only with a path.
    link(&[
        ("vine.co twitch.tv it.so foo.jp", &["vine.co", "twitch.tv", "it.so", "foo.jp"]),
        ("t.co", &["t.co"]),
        ("bit.ly/abc", &["bit.ly/abc"]),
        ("www.example.co.uk", &["www.example.co.uk"]),
        ("example.com.au", &["example.com.au"]),
        ("foo.co.jp/a", &["foo.co.jp/a"]),
    ]);
}

#[test]
fn names_that_left_the_root_zone_are_links_still() {
    link(&[
        ("onionsite.onion", &["onionsite.onion"]),
        ("example.mcdonalds", &["example.mcdonalds"]),
        ("example.an", &["example.an"]),
        ("https://example.诺基亚/x", &["https://example.诺基亚/x"]),
    ]);
}

#[test]
fn what_ends_in_no_top_level_domain_is_no_link() {
    link(&[
        ("a.notatld", &[]),
        ("https://a.notatld", &[]),
        ("video.mp4", &[]),
        ("test.tar.bz2", &[]),
        ("3.14", &[]),
        ("e.g.", &[]),
        ("https://localhost", &[]),
        ("localhost:8080", &[]),
        ("com", &[]),
        (".com", &[]),
        ("example.comx", &[]),
        ("example.com2", &[]),
        ("end. Next", &[]),
    ]);
}

#[test]
fn addresses_in_numbers_are_no_links() {
    link(&[
        ("192.168.0.1", &[]),
        ("http://192.168.0.1/index.html", &[]),
        ("http://[2001:db8::1]/", &[]),
        ("2130706433", &[]),
    ]);
}

#[test]
fn the_farthest_top_level_domain_ends_the_link() {
    link(&[
        ("foo.com.notatld", &["foo.com"]),
        ("shop.museum", &["shop.museum"]),
        ("readme.md", &["readme.md"]),
        ("end.Next", &["end.Next"]),
        ("example.com.", &["example.com"]),
        ("example.com.br.x", &["example.com.br"]),
    ]);
}

#[test]
fn without_a_scheme_only_ascii_and_accented_latin_make_a_name() {
    link(&[
        ("波.com", &[]),
        ("café.com", &["café.com"]),
        ("ELPAÍS.com", &["ELPAÍS.com"]),
        ("пример.рф", &[]),
        ("example.рф", &["example.рф"]),
        ("example.みんな", &["example.みんな"]),
        ("גל.com", &[]),
        ("☃.net", &[]),
    ]);
}

#[test]
fn with_a_scheme_a_name_may_be_of_any_script() {
    link(&[
        ("https://пример.рф", &["https://пример.рф"]),
        ("https://波.com/波", &["https://波.com/"]),
        ("http://☃.net/", &["http://☃.net/"]),
        ("http://foobar.中国/", &["http://foobar.中国/"]),
        ("http://foobar.پاکستان/", &["http://foobar.پاکستان/"]),
        ("https://موقع.وزارة-الاتصالات.مصر/ar", &["https://موقع.وزارة-الاتصالات.مصر/ar"]),
    ]);
}

#[test]
fn punycode_is_taken_as_it_is() {
    link(&[
        ("https://xn--e1afmkfd.xn--p1ai/x", &["https://xn--e1afmkfd.xn--p1ai/x"]),
        ("xn--e1afmkfd.xn--p1ai", &["xn--e1afmkfd.xn--p1ai"]),
        ("http://xn--ls8h.XN--ls8h.la/", &["http://xn--ls8h.XN--ls8h.la/"]),
        ("example.xn--", &[]),
    ]);
}

#[test]
fn cjk_and_hangul_may_touch_a_domain() {
    link(&[
        ("波example.com波", &["example.com"]),
        ("動画はexample.com/aです。", &["example.com/a"]),
        ("example.com。org", &["example.com"]),
        ("example.com波example.org/a", &["example.com", "example.org/a"]),
        ("영상twitter.com한국t.co/abc", &["twitter.com", "t.co/abc"]),
        ("「example.com」", &["example.com"]),
    ]);
}

#[test]
fn dashes_stand_within_labels_and_underscores_within_subdomains() {
    link(&[
        ("https://a--b.com", &["https://a--b.com"]),
        ("https://a-b.c-d.com", &["https://a-b.c-d.com"]),
        ("https://-a.com", &[]),
        ("https://a-.com", &[]),
        ("https://www.-a.com", &[]),
        ("https://a_b.example.com", &["https://a_b.example.com"]),
        ("https://a_b.c-d.com", &["https://a_b.c-d.com"]),
        ("https://a_b.com", &[]),
        ("https://_a.example.com", &[]),
        ("https://a_.example.com", &[]),
        ("https://example.c_om", &[]),
        ("a_b.example.com", &["b.example.com"]),
        ("example.com_x", &["example.com"]),
        ("example.com-x", &[]),
        ("https://a..com", &[]),
    ]);
}

#[test]
fn a_label_has_63_bytes_in_its_ascii_form() {
    for (text, links) in [
        (format!("{}.com", "a".repeat(63)), 1),
        (format!("{}.com", "a".repeat(64)), 0),
        (format!("https://{}.com", "波".repeat(20)), 1),
        (format!("https://{}.com", "波".repeat(60)), 0),
    ] {
        assert_eq!(links_in(&text).len(), links, "{text}");
    }
}

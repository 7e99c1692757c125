//! Cashtags: how many X finds, and that two are refused.

use super::*;

#[test]
fn cashtags_are_counted_as_x_counts_them() {
    for (text, cashtags) in [
        ("$TWTR", 1),
        ("$a $b\n$c", 3),
        ("$BRK.A, $BRK_BA!", 2),
        ("$TWTR $TWTR", 2),
        ("up ($TWTR)", 0),
        ("a$TWTR", 0),
        ("$$TWTR", 0),
        ("$5 and $5.00", 0),
        ("$TOOLONG", 0),
        ("$TWTR1", 0),
        ("$TWTR$GOOG", 1),
        ("$BRK.ABC", 1),
        ("\u{3000}$TWTR\u{3000}$GOOG", 2),
        ("$TWTR\" $GOOG`", 0),
        ("$TWTR波", 0),
        ("$É $ſ", 0),
    ] {
        assert_eq!(count(text).cashtags, cashtags, "{text:?}");
    }
}

#[test]
fn two_cashtags_are_refused() {
    assert!(Caption::parse("$TWTR costs $5", 280).is_ok());
    let error = Caption::parse("$TWTR beats $GOOG", 280).unwrap_err();
    assert_eq!(error, CaptionError::Cashtags(2));
    assert_eq!(error.to_string(), "the caption has 2 cashtags and X takes one; keep one $ symbol");
}

#![no_main]

use libfuzzer_sys::fuzz_target;
use toall::caption::{Caption, CaptionError, LIMIT, count};

fuzz_target!(|text: &str| {
    let counted = count(text);
    assert_eq!(counted.weighted == 0, text.is_empty());
    assert!(counted.weighted >= 23 * counted.links);
    match Caption::parse(text, LIMIT) {
        Ok(caption) => {
            assert_eq!((caption.as_str(), caption.count()), (text, counted));
            assert!(counted.weighted <= LIMIT);
        }
        Err(CaptionError::TooLong { weighted, limit }) => {
            assert_eq!((weighted, limit), (counted.weighted, LIMIT));
            assert!(weighted > LIMIT);
        }
        Err(CaptionError::Refused { character, position }) => {
            assert_eq!(text.chars().nth(position - 1), Some(character));
        }
    }
});

//! The text of a post, counted the way X counts it.
//!
//! Weights: configuration v3 of X's text library (twitter-text `config/v3.json`) and the page
//! "Counting characters" of X's developer documentation.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::account::Tier;

mod cashtags;
mod emoji;
mod links;
#[cfg(test)]
mod tests;

/// What an account may post, in weighted characters.
pub const LIMIT: u32 = 280;
/// What an account with Premium may post (X's changelog, 2024-08-20).
pub const PREMIUM_LIMIT: u32 = 25_000;
/// What an account with this subscription may post. For Basic it is unsure, so the lower limit holds.
pub fn limit_for(tier: Tier) -> u32 {
    match tier {
        Tier::Premium | Tier::PremiumPlus => PREMIUM_LIMIT,
        Tier::Free | Tier::Basic => LIMIT,
    }
}

/// What every link weighs, whatever its length: X replaces it by a t.co address.
const LINK_WEIGHT: u32 = 23;
const EMOJI_WEIGHT: u32 = 2;
/// Cashtags that X takes in a post made by an app (X's page "Create or edit a post").
const MAX_CASHTAGS: u32 = 1;

/// A text that X accepts for an account with the limit it was parsed for.
///
/// The text is kept to the letter: never cut, trimmed or normalised. An empty one is allowed,
/// since a post with a video needs no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    text: String,
    count: Count,
}

impl Caption {
    /// Takes `text` if X would, for an account that may post `limit` weighted characters.
    ///
    /// # Errors
    /// [`CaptionError::Refused`] for a character that no post may hold, looked for first;
    /// [`CaptionError::Cashtags`] for more than one of them; [`CaptionError::TooLong`] with the count and the limit.
    pub fn parse(text: impl Into<String>, limit: u32) -> Result<Self, CaptionError> {
        let text = text.into();
        if let Some((index, character)) = text.chars().enumerate().find(|(_, c)| is_refused(*c)) {
            return Err(CaptionError::Refused { character, position: index + 1 });
        }
        let count = count(&text);
        if count.cashtags > MAX_CASHTAGS {
            return Err(CaptionError::Cashtags(count.cashtags));
        }
        if count.weighted > limit {
            return Err(CaptionError::TooLong { weighted: count.weighted, limit });
        }
        Ok(Self { text, count })
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How X counts it.
    pub fn count(&self) -> Count {
        self.count
    }

    /// Whether X would make a link of something in the text, which raises the price of the post
    /// from $0.015 to $0.20 (X's pricing page; whether a bare domain counts is not stated there,
    /// so it does here).
    pub fn has_link(&self) -> bool {
        self.count.links > 0
    }
}

/// What a text weighs for X.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Weighted characters, to be compared with the account's limit.
    pub weighted: u32,
    /// Links, each of which weighs 23.
    pub links: u32,
    /// Cashtags such as `$TWTR`.
    pub cashtags: u32,
}

impl Count {
    /// By how much the text exceeds `limit`; 0 if it fits.
    pub fn over(self, limit: u32) -> u32 {
        self.weighted.saturating_sub(limit)
    }
}

/// Why X would not take a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptionError {
    /// More weighted characters than the account may post.
    #[error(
        "the caption is {weighted} of {limit} characters as X counts them (links count 23, emoji and CJK 2); \
         shorten it by {}", .weighted - .limit
    )]
    TooLong {
        /// What the text weighs.
        weighted: u32,
        /// What the account may post.
        limit: u32,
    },
    /// More cashtags than X takes.
    #[error("the caption has {0} cashtags and X takes one; keep one $ symbol")]
    Cashtags(u32),
    /// A control character, or one of the three that X's text library calls invalid.
    #[error(
        "the caption holds an invisible character that X does not accept ({}, character {position}); \
         remove it", CodePoint(*.character)
    )]
    Refused {
        /// The first such character.
        character: char,
        /// Its place in the text; the first character is 1.
        position: usize,
    },
}

/// Counts `text` as X does, after putting it into Unicode normal form C. Refuses nothing.
pub fn count(text: &str) -> Count {
    let text: Vec<char> = text.nfc().collect();
    let links = links::find(&text);
    let mut count = Count {
        weighted: 0,
        links: u32::try_from(links.len()).unwrap_or(u32::MAX),
        cashtags: cashtags::count(&text),
    };
    let mut links = links.into_iter().peekable();
    let mut sequences = emoji::find(&text).into_iter().peekable();
    let mut at = 0;
    while at < text.len() {
        // The library looks up what begins at each position: an emoji that begins within a link is not one any more.
        while sequences.next_if(|sequence| sequence.start < at).is_some() {}
        let (weight, end) = if let Some(link) = links.next_if(|link| link.range.start == at) {
            (link.weight, link.range.end)
        } else if let Some(sequence) = sequences.next_if(|sequence| sequence.start == at) {
            (EMOJI_WEIGHT, sequence.end)
        } else {
            (weight(text[at]), at + 1)
        };
        count.weighted = count.weighted.saturating_add(weight);
        at = end;
    }
    count
}

/// 1 for the scripts and punctuation that say little in one character, 2 for all others.
fn weight(c: char) -> u32 {
    match u32::from(c) {
        0..=4351 | 8192..=8205 | 8208..=8223 | 8242..=8247 => 1,
        _ => 2,
    }
}

/// No post may hold it: X's text library calls three characters invalid, and control characters
/// other than tab and line ends have no place in a text. Marks of direction and joiners stay.
fn is_refused(c: char) -> bool {
    is_refused_by_x(c) || (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

fn is_refused_by_x(c: char) -> bool {
    matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// `U+0007`, for characters that cannot be shown.
struct CodePoint(char);

impl fmt::Display for CodePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}", u32::from(self.0))
    }
}

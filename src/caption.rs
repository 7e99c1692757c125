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

/// Longest caption of an account without Premium, in weighted characters.
pub const LIMIT: u32 = 280;
/// Longest caption of an account with Premium (X's changelog, 2024-08-20).
pub const PREMIUM_LIMIT: u32 = 25_000;
/// Longest caption for this subscription. X does not document Basic, so it gets the lower limit.
pub fn limit_for(tier: Tier) -> u32 {
    match tier {
        Tier::Premium | Tier::PremiumPlus => PREMIUM_LIMIT,
        Tier::Free | Tier::Basic => LIMIT,
    }
}

/// Weight of every link, regardless of its length: X replaces it by a t.co address.
const LINK_WEIGHT: u32 = 23;
const EMOJI_WEIGHT: u32 = 2;
/// Most cashtags that X accepts in a post made by an app (X's page "Create or edit a post").
const MAX_CASHTAGS: u32 = 1;

/// A text that X accepts for an account with the limit it was parsed for.
///
/// The text is never cut, trimmed or normalised. An empty text is allowed, since a post with a
/// video needs none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    text: String,
    count: Count,
}

impl Caption {
    /// Accepts `text` if X would accept it from an account limited to `limit` weighted characters.
    ///
    /// # Errors
    /// [`CaptionError::Refused`] for a character that X refuses in any post (checked first);
    /// [`CaptionError::Cashtags`] for more than one cashtag; [`CaptionError::TooLong`] with the count and the limit.
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

    /// The text exactly as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text's weight, links and cashtags as X counts them.
    pub fn count(&self) -> Count {
        self.count
    }

    /// Returns true if X would turn part of the text into a link, which raises the price of the post
    /// from $0.015 to $0.20 (X's pricing page). That page does not say whether a bare domain counts;
    /// here it does, so that no price is understated.
    pub fn has_link(&self) -> bool {
        self.count.links > 0
    }
}

/// A text's weight, as X counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Weighted characters; the account's limit applies to these.
    pub weighted: u32,
    /// Links, each of which weighs 23.
    pub links: u32,
    /// Cashtags such as `$TWTR`.
    pub cashtags: u32,
}

impl Count {
    /// Number of weighted characters beyond `limit`; 0 if the text fits.
    pub fn over(self, limit: u32) -> u32 {
        self.weighted.saturating_sub(limit)
    }
}

/// Reason why X would refuse a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptionError {
    /// More weighted characters than the account may post.
    #[error(
        "the caption is {weighted} of {limit} characters as X counts them (links count 23, emoji and CJK 2); \
         shorten it by {}", .weighted - .limit
    )]
    TooLong {
        /// Weight of the text.
        weighted: u32,
        /// The account's limit.
        limit: u32,
    },
    /// More cashtags than X accepts.
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
        /// Its position in the text; the first character is 1.
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
        // The library looks up sequences by their start, so an emoji that starts inside a link no longer counts.
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

/// Weight of one character: 1 for alphabetic scripts and common punctuation, 2 for all others.
fn weight(c: char) -> u32 {
    match u32::from(c) {
        0..=4351 | 8192..=8205 | 8208..=8223 | 8242..=8247 => 1,
        _ => 2,
    }
}

/// Returns true for characters that no post may contain: the three that X's text library calls
/// invalid, and control characters other than tab and line ends. Direction marks and joiners are allowed.
fn is_refused(c: char) -> bool {
    is_refused_by_x(c) || (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

fn is_refused_by_x(c: char) -> bool {
    matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Formats a character that cannot be displayed, as `U+0007`.
struct CodePoint(char);

impl fmt::Display for CodePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}", u32::from(self.0))
    }
}

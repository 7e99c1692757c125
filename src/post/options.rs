//! Options of a post on X besides its text.

use serde::{Deserialize, Serialize};

/// Maximum characters of an alternative text (X's OpenAPI, `CreateMediaMetadataMetadataAltText`).
pub const ALT_TEXT_LIMIT: u16 = 1_000;

/// The options of a post. The default is X's own: everyone may reply, and nothing is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Restricts replies; everyone may reply when `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replies: Option<Replies>,
    /// Describes the video to people who cannot see it. [`Options::check`] limits it to [`ALT_TEXT_LIMIT`]
    /// characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alt_text: Option<String>,
    /// Content warnings that X shows before the video.
    pub sensitive: Sensitive,
    pub made_with_ai: bool,
    pub paid_partnership: bool,
}

/// People who may reply to a post, in X's own terms (`reply_settings` of `POST /2/tweets`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replies {
    /// Accounts that the account follows.
    Following,
    /// Accounts that the post mentions.
    MentionedUsers,
    /// Subscribers of the account.
    Subscribers,
    /// Verified accounts.
    Verified,
}

impl Replies {
    /// Parses X's word.
    pub fn from_word(word: &str) -> Option<Replies> {
        Some(match word {
            "following" => Replies::Following,
            "mentionedUsers" => Replies::MentionedUsers,
            "subscribers" => Replies::Subscribers,
            "verified" => Replies::Verified,
            _ => return None,
        })
    }
}

/// The kinds of content that X warns about, in X's own terms (`sensitive_media_warning` of `POST /2/media/metadata`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sensitive {
    pub adult_content: bool,
    pub graphic_violence: bool,
    pub other: bool,
}

impl Sensitive {
    /// Returns true if any warning is set.
    pub fn any(self) -> bool {
        self.adult_content || self.graphic_violence || self.other
    }
}

/// The alternative text is longer than X accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the alternative text is {characters} characters long; X takes {ALT_TEXT_LIMIT}")]
pub struct AltTextTooLong {
    pub characters: usize,
}

impl Options {
    /// Refuses options that X would refuse.
    pub fn check(&self) -> Result<(), AltTextTooLong> {
        match self.alt_text.as_deref().map_or(0, |text| text.chars().count()) {
            characters if characters > usize::from(ALT_TEXT_LIMIT) => Err(AltTextTooLong { characters }),
            _ => Ok(()),
        }
    }

    /// Returns true if the options concern the video itself. Those need a separate call, which X bills.
    pub fn describe_video(&self) -> bool {
        self.alt_text.is_some() || self.sensitive.any()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_default() {
        assert_eq!(serde_json::from_str::<Options>("{}").unwrap(), Options::default());
        let some: Options =
            serde_json::from_str(r#"{"replies":"mentionedUsers","sensitive":{"other":true}}"#).unwrap();
        assert_eq!(some.replies, Some(Replies::MentionedUsers));
        assert!(some.sensitive.any() && some.describe_video());
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), some);
    }

    #[test]
    fn the_words_for_replies_are_those_of_the_stored_form() {
        for replies in [Replies::Following, Replies::MentionedUsers, Replies::Subscribers, Replies::Verified]
        {
            let word = serde_json::to_value(replies).unwrap();
            assert_eq!(Replies::from_word(word.as_str().unwrap()), Some(replies));
        }
        assert_eq!(Replies::from_word("everyone"), None);
    }

    #[test]
    fn an_alternative_text_is_measured_in_characters() {
        let with = |text: String| Options { alt_text: Some(text), ..Options::default() };
        assert_eq!(with("é".repeat(1_000)).check(), Ok(()));
        assert_eq!(with("é".repeat(1_001)).check(), Err(AltTextTooLong { characters: 1_001 }));
    }
}

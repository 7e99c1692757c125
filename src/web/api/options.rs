//! What X lets a person say about a post besides its text, as programs write it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::post;

/// What X is told besides the text. All of it may be left out.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Who may reply; everyone when absent.
    replies: Option<Replies>,
    /// Describes the video to those who do not see it.
    #[schema(max_length = 1000)]
    alt_text: Option<String>,
    sensitive: Sensitive,
    made_with_ai: bool,
    paid_partnership: bool,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum Replies {
    Following,
    MentionedUsers,
    Subscribers,
    Verified,
}

/// What X is to warn of before it shows the video.
#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Sensitive {
    adult_content: bool,
    graphic_violence: bool,
    other: bool,
}

impl From<Options> for post::Options {
    fn from(options: Options) -> Self {
        let Sensitive { adult_content, graphic_violence, other } = options.sensitive;
        post::Options {
            replies: options.replies.map(|replies| match replies {
                Replies::Following => post::Replies::Following,
                Replies::MentionedUsers => post::Replies::MentionedUsers,
                Replies::Subscribers => post::Replies::Subscribers,
                Replies::Verified => post::Replies::Verified,
            }),
            alt_text: options.alt_text,
            sensitive: post::Sensitive { adult_content, graphic_violence, other },
            made_with_ai: options.made_with_ai,
            paid_partnership: options.paid_partnership,
        }
    }
}

//! Posting, and finding one's own post again.

use reqwest::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{X, XError, call, extended, send};
use crate::{
    account::AccountId,
    post::{Options, Replies},
};

/// X shows at most 3,200 posts of a timeline, 100 a page (docs.x.com, x-api/posts/timelines/integrate).
const PAGES: usize = 32;

/// Reason why there is no post id, sorted by whether a post may exist.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Not a byte of the request left: there is no post, and trying again is safe.
    #[error("the post was not sent")]
    NotSent(#[source] XError),
    /// X refused: there is no post.
    #[error("X did not accept the post")]
    Refused(#[source] XError),
    /// There may be a post: ask [`X::find_post`] before trying again.
    #[error("X left open whether it made the post")]
    Unknown(#[source] XError),
}

impl X {
    /// Makes a post with one video and returns its id: `POST /2/tweets`.
    ///
    /// **Not safe to repeat**: X has no idempotency key. The error tells whether a post may exist.
    pub async fn create_post(
        &self,
        access: &SecretString,
        text: &str,
        media_id: &str,
        options: &Options,
    ) -> Result<String, CreateError> {
        #[derive(Serialize)]
        struct Post<'a> {
            text: &'a str,
            media: Attached<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reply_settings: Option<Replies>,
            #[serde(skip_serializing_if = "is_false")]
            made_with_ai: bool,
            #[serde(skip_serializing_if = "is_false")]
            paid_partnership: bool,
        }
        #[derive(Serialize)]
        struct Attached<'a> {
            media_ids: [&'a str; 1],
        }
        #[derive(Deserialize)]
        struct Created {
            #[serde(deserialize_with = "super::id")]
            id: String,
        }
        let body = Post {
            text,
            media: Attached { media_ids: [media_id] },
            reply_settings: options.replies,
            made_with_ai: options.made_with_ai,
            paid_partnership: options.paid_partnership,
        };
        let request = self.post(self.at(&["2", "tweets"]), access).json(&body);
        let answer = send(call::CREATE, request).await.map_err(|error| match &error {
            XError::Unreachable(cause) if cause.is_connect() || cause.is_builder() => {
                CreateError::NotSent(error)
            }
            _ => CreateError::Unknown(error),
        })?;
        self.heard(&answer);
        // A server that timed out (408) may still have passed the request on.
        let refused = answer.status.is_client_error() && answer.status != StatusCode::REQUEST_TIMEOUT;
        let answer = answer.accepted().map_err(|error| match refused {
            true => CreateError::Refused(error),
            false => CreateError::Unknown(error),
        })?;
        let created: Created = answer.data().map_err(CreateError::Unknown)?;
        Ok(created.id)
    }

    /// Looks for the account's own post with one of these media ids: `GET /2/users/{id}/tweets`, billed per post read.
    ///
    /// Reads all posts since `since_ms` (Unix milliseconds; the caller must allow for clock differences). `None` means
    /// that X showed everything since then without the post. X may show a new post with a delay.
    pub async fn find_post(
        &self,
        access: &SecretString,
        user: &AccountId,
        since_ms: i64,
        media: &[&str],
    ) -> Result<Option<String>, XError> {
        let since = jiff::Timestamp::from_second(since_ms.div_euclid(1_000)).unwrap_or_default();
        let mut url = self.at(&["2", "users", &user.0, "tweets"]);
        // The expansion makes X send `attachments` with each post. The parameter for fields would do so too, but has two
        // spellings.
        url.query_pairs_mut()
            .append_pair("start_time", &since.to_string())
            .append_pair("max_results", "100")
            .append_pair("expansions", "attachments.media_keys");

        let mut next: Option<String> = None;
        for _ in 0..PAGES {
            let mut url = url.clone();
            if let Some(token) = &next {
                url.query_pairs_mut().append_pair("pagination_token", token);
            }
            let answer = send(call::TIMELINE, self.get(url, access)).await?.accepted()?;
            let page: Page = serde_json::from_slice(&answer.body)
                .map_err(|_| XError::Garbled("it is not a page of a timeline"))?;
            // Take the oldest match on the page, since a repost shows the same media.
            if let Some(post) = page.data.into_iter().rev().find(|post| post.shows(media)) {
                return Ok(Some(post.id));
            }
            if !page.errors.is_empty() {
                return Err(XError::Garbled("it is a page of a timeline with parts missing"));
            }
            match page.meta.next_token {
                Some(token) => next = Some(token),
                None => return Ok(None),
            }
        }
        Err(XError::Garbled("the timeline has no end"))
    }

    /// URL of an account's profile.
    pub fn profile_link(&self, username: &str) -> Url {
        extended(&self.settings.web_url, &[username])
    }

    /// URL of a post: `{web_url}/{username}/status/{id}`, or the form without a user name if `username` is empty.
    pub fn post_link(&self, username: &str, post_id: &str) -> Url {
        match username {
            "" => extended(&self.settings.web_url, &["i", "web", "status", post_id]),
            _ => extended(&self.settings.web_url, &[username, "status", post_id]),
        }
    }
}

/// Returns true if the option is unset. Unset options are left out of the request, since X might refuse the field.
fn is_false(declared: &bool) -> bool {
    !declared
}

/// A page of a timeline. An empty page has no `data`; a page without `meta` proves nothing about missing posts.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    data: Vec<Post>,
    meta: Meta,
    #[serde(default)]
    errors: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Meta {
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Post {
    #[serde(deserialize_with = "super::id")]
    id: String,
    attachments: Option<Attachments>,
}

#[derive(Deserialize)]
struct Attachments {
    #[serde(default)]
    media_keys: Vec<String>,
}

impl Post {
    /// Returns true if the post shows one of `media`. A media key is a category number, an underscore and the media id.
    fn shows(&self, media: &[&str]) -> bool {
        let keys = self.attachments.iter().flat_map(|attachments| &attachments.media_keys);
        keys.filter_map(|key| key.split_once('_')).any(|(_, id)| media.contains(&id))
    }
}

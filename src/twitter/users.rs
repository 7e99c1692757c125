//! The person behind a token.

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::{X, XError, call, error, send};
use crate::account::{AccountId, Profile, Tier};

impl X {
    /// Returns the profile of the token's account: `GET /2/users/me`, one billed user read.
    pub async fn me(&self, access: &SecretString) -> Result<Profile, XError> {
        #[derive(Deserialize)]
        struct Me {
            #[serde(deserialize_with = "super::id")]
            id: String,
            username: String,
            name: String,
            profile_image_url: Option<String>,
            subscription_type: Option<String>,
        }
        let mut url = self.at(&["2", "users", "me"]);
        url.query_pairs_mut().append_pair("user.fields", "subscription_type,profile_image_url");
        let me: Me = send(call::ME, self.get(url, access)).await?.accepted()?.data()?;

        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if me.username.is_empty() || me.username.len() > 50 || !me.username.chars().all(plain) {
            return Err(XError::Garbled("it names no possible user"));
        }
        Ok(Profile {
            id: AccountId(me.id),
            username: me.username,
            name: error::tidy(&me.name),
            avatar_url: me.profile_image_url.filter(|url| is_web_address(url)),
            tier: match me.subscription_type.as_deref() {
                Some("Basic") => Tier::Basic,
                Some("Premium") => Tier::Premium,
                Some("PremiumPlus") => Tier::PremiumPlus,
                _ => Tier::Free,
            },
        })
    }
}

fn is_web_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
}

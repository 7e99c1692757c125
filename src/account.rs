//! Identities: the person in a chat, the place they write from, and the X account they publish to.

use std::{fmt, str::FromStr};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// A chat service that people use `toall` from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Discord,
    Telegram,
    /// The terminal of `toall demo`, and the chat of tests.
    Console,
}

impl Platform {
    pub const ALL: [Platform; 3] = [Platform::Discord, Platform::Telegram, Platform::Console];

    /// The word stored in the database and used in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Platform::Discord => "discord",
            Platform::Telegram => "telegram",
            Platform::Console => "console",
        }
    }

    /// The name people know it by.
    pub fn title(self) -> &'static str {
        match self {
            Platform::Discord => "Discord",
            Platform::Telegram => "Telegram",
            Platform::Console => "console",
        }
    }
}

impl FromStr for Platform {
    type Err = UnknownPlatform;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Platform::ALL.into_iter().find(|platform| platform.as_str() == word).ok_or(UnknownPlatform)
    }
}

/// A stored platform word that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown chat platform")]
pub struct UnknownPlatform;

/// A person as their chat service knows them. Identity is `platform` and `id`; the name is for reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub platform: Platform,
    /// The chat service's own id, never a user name: names change hands.
    pub id: String,
    /// Shown to people, above all on the confirmation page. Holds the unique user name where the service has one,
    /// since a display name can imitate somebody.
    pub name: String,
}

/// A person by platform and id alone, as the configuration names them: `discord:1234`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PersonRef {
    pub platform: Platform,
    pub id: String,
}

impl From<&Person> for PersonRef {
    fn from(person: &Person) -> PersonRef {
        PersonRef { platform: person.platform, id: person.id.clone() }
    }
}

impl fmt::Display for PersonRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.platform.as_str(), self.id)
    }
}

impl FromStr for PersonRef {
    type Err = UnknownPlatform;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (platform, id) = text.split_once(':').ok_or(UnknownPlatform)?;
        Ok(PersonRef { platform: platform.parse()?, id: id.to_owned() })
    }
}

impl PersonRef {
    /// The private chat with this person; needs no earlier message from them.
    pub fn private_place(&self) -> Place {
        Place {
            platform: self.platform,
            chat: self.id.clone(),
            thread: None,
            message: None,
            person: self.id.clone(),
            // An id alone does not prove that this is a chat with the bot. Both adapters then write to the person.
            private: false,
            interaction: None,
        }
    }

    /// Returns true if `person` is the same one.
    pub fn is(&self, person: &Person) -> bool {
        self.platform == person.platform && self.id == person.id
    }
}

/// A server or group that people are members of, by its chat service's own id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    DiscordServer(String),
    DiscordRole(String),
    /// A group or supergroup.
    TelegramChat(String),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::DiscordServer(id) => write!(f, "discord_server:{id}"),
            Group::DiscordRole(id) => write!(f, "discord_role:{id}"),
            Group::TelegramChat(id) => write!(f, "telegram_chat:{id}"),
        }
    }
}

/// A stored group of a kind that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown kind of group")]
pub struct UnknownGroup;

impl FromStr for Group {
    type Err = UnknownGroup;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, id) = text.split_once(':').ok_or(UnknownGroup)?;
        match kind {
            "discord_server" => Ok(Group::DiscordServer(id.to_owned())),
            "discord_role" => Ok(Group::DiscordRole(id.to_owned())),
            "telegram_chat" => Ok(Group::TelegramChat(id.to_owned())),
            _ => Err(UnknownGroup),
        }
    }
}

/// The place of a request, with everything needed to answer there, now or after a restart.
///
/// Stored sealed, because of the interaction token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    pub platform: Platform,
    /// Discord channel id or Telegram chat id.
    pub chat: String,
    /// Telegram forum topic, so that an answer lands where the question was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The message that holds the request; the bot replies to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The asker's id on this platform, for a direct message.
    pub person: String,
    /// True for a direct chat with the bot, where only the asker reads.
    pub private: bool,
    /// The Discord interaction of the request, while its token is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Interaction>,
}

/// A Discord interaction. Its token can be used for answers for 15 minutes
/// (Discord's developer documentation, "Receiving and Responding to Interactions").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interaction {
    pub application: String,
    #[serde(with = "secret")]
    pub token: SecretString,
    /// Expiry of the token in Unix milliseconds.
    pub expires_at: i64,
    /// True if the bot may write and edit messages in this channel, so that a status can outlive the token.
    pub bot_may_write: bool,
    /// True if only the asker sees the answer to this interaction.
    pub ephemeral: bool,
}

/// The readers of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everyone in the place.
    Everyone,
    /// The asker alone: Discord ephemeral, Telegram private chat.
    Asker,
}

impl Audience {
    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Audience::Everyone => "everyone",
            Audience::Asker => "asker",
        }
    }

    /// Reads the stored word; an unknown one keeps the answer private.
    pub fn from_stored(word: &str) -> Self {
        match word {
            "everyone" => Audience::Everyone,
            _ => Audience::Asker,
        }
    }
}

/// A message of ours that can be edited: chat and message id, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRef {
    pub chat: String,
    pub message: String,
}

/// A numeric X user id, kept as text: it exceeds 2^53. Shown to programs as `twitter:{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub String);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Subscription of an X account (`subscription_type` of `GET /2/users/me`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    #[default]
    Free,
    Basic,
    Premium,
    PremiumPlus,
}

impl Tier {
    /// The word stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Free => "free",
            Tier::Basic => "basic",
            Tier::Premium => "premium",
            Tier::PremiumPlus => "premium_plus",
        }
    }

    /// Reads the stored word. A word written by a newer version counts as no subscription.
    pub fn from_stored(word: &str) -> Self {
        match word {
            "basic" => Tier::Basic,
            "premium" => Tier::Premium,
            "premium_plus" => Tier::PremiumPlus,
            _ => Tier::Free,
        }
    }
}

/// Public profile of an X account, as `GET /2/users/me` returns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub id: AccountId,
    /// Without the `@`.
    pub username: String,
    /// The display name; free text chosen by its owner.
    pub name: String,
    pub avatar_url: Option<String>,
    pub tier: Tier,
}

/// A linked X account as people and the worker see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub username: String,
    pub name: String,
    pub avatar_url: Option<String>,
    pub tier: Tier,
    pub state: AccountState,
    /// Time when X last confirmed this profile, in Unix milliseconds.
    pub profile_at: i64,
    /// True if this person's `/post` publishes to this account.
    pub preferred: bool,
    /// Number of other people's connections that this person may end; 0 for everyone but the owner.
    pub others_to_end: u32,
}

/// Age at which a profile is read again before a decision depends on it. X bills one read per account and day.
const PROFILE_FRESH_MS: i64 = 24 * 3_600_000;

impl Account {
    /// Returns true if the subscription may have changed since the profile was read.
    pub fn may_have_changed(&self, now: i64) -> bool {
        now - self.profile_at >= PROFILE_FRESH_MS
    }
}

/// State of the connection to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    Active,
    ReconnectNeeded,
}

/// The tokens that X issued for one account, and their scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tokens {
    #[serde(with = "secret")]
    pub access: SecretString,
    #[serde(with = "secret")]
    pub refresh: SecretString,
    /// Time of issue in Unix milliseconds.
    pub issued_at: i64,
    /// Unix milliseconds.
    pub access_expires_at: i64,
    /// Space separated, as X granted them.
    pub scope: String,
}

impl Tokens {
    /// Lifetime of the access token in milliseconds.
    pub fn lifetime(&self) -> i64 {
        self.access_expires_at.saturating_sub(self.issued_at).max(0)
    }
}

/// Serialises secrets inside values that are only serialised to be sealed.
mod secret {
    use secrecy::{ExposeSecret, SecretString};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose_secret())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
        String::deserialize(from).map(SecretString::from)
    }
}

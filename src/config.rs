//! What the operator sets: typed sections of `config.toml`, each key also as `TOALL_SECTION__KEY`.

mod chat_mode;
mod exposed;
mod file;
mod key;
mod keys;
mod lists;
mod load;
mod parse;
mod problem;
mod rotation;
mod sources;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use secrecy::SecretString;
use url::{Host, Url};

use crate::{
    account::{Group, Person, PersonRef},
    post::Mills,
};
pub use chat_mode::{DiscordMode, TelegramMode};
pub use exposed::exposed;

pub use key::{EncryptionKey, KeyError, load_or_create_key, load_or_create_key_file};
pub use load::{Parameters, Settings, database_address, parameter};
pub use problem::{ConfigErrors, Place, Problem};
pub use rotation::{Retired, begin_rotation, end_rotation, former_key};

/// The whole configuration, complete and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// How browsers reach the web part.
    pub public_url: Url,
    /// Holds the SQLite file, the embedded staging and the generated key.
    pub data_dir: PathBuf,
    /// Bytes of disk space that the embedded staging leaves free.
    pub min_free: u64,
    pub web: Web,
    pub metrics: Option<Metrics>,
    pub database: Database,
    pub security: Security,
    pub discord: Option<Discord>,
    pub telegram: Option<Telegram>,
    pub twitter: Twitter,
    /// `None` means the embedded S3 under `data_dir`.
    pub staging: Option<Staging>,
    pub worker: Worker,
    pub access: Access,
    pub limits: Limits,
}

impl Config {
    /// The address X sends browsers back to; it must be registered, to the letter, in the X app.
    pub fn callback_url(&self) -> Url {
        self.public("api/social/callback")
    }

    /// How a path of ours is reached from outside.
    fn public(&self, path: &str) -> Url {
        let mut url = self.public_url.clone();
        url.set_path(&format!("{}/{path}", self.public_url.path().trim_end_matches('/')));
        url
    }

    /// True if browsers on this machine only reach it.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.public_url)
    }

    /// What works, yet is probably not meant; one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.public_url.scheme() == "http" && !is_loopback(&self.public_url) {
            warnings.push(format!(
                "public_url is {}, so logins travel unencrypted. Put a proxy with HTTPS in front and use its https:// address.",
                self.public_url
            ));
        }
        if self.discord.is_none() && self.telegram.is_none() {
            warnings.push(
                "Neither [discord] nor [telegram] is set, so nobody can reach toall from a chat.".into(),
            );
        }
        warnings
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The environment of this process, for [`Settings::read`]. Unlike `std::env::vars` it does not panic on odd bytes.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// The public HTTP listener.
#[derive(Clone, Debug)]
pub struct Web {
    pub listen: SocketAddr,
    /// Proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<IpNet>,
}

impl Web {
    /// Listens on this address, behind proxies of this machine only.
    pub fn on(listen: SocketAddr) -> Web {
        let v4 = IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
        Web { listen, trusted_proxies: vec![v4, IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST))] }
    }
}

/// The Prometheus listener.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub listen: SocketAddr,
}

/// Where rows are kept.
#[derive(Clone, Debug)]
pub struct Database {
    /// `sqlite:PATH`, or `postgres://…`, which may hold a password.
    pub url: SecretString,
    /// On PostgreSQL, how many connections this process opens at most, besides the one that it listens on.
    pub max_connections: u32,
    /// Finished posts are deleted after this many days.
    pub retention_days: u32,
}

impl Database {
    /// The SQLite file at `path`.
    pub fn sqlite(path: &Path) -> Database {
        Database {
            url: format!("sqlite:{}", path.display()).into(),
            max_connections: 10,
            retention_days: 400,
        }
    }
}

/// Keys that guard stored secrets.
#[derive(Clone, Debug)]
pub struct Security {
    /// Base64 of 32 bytes; `None` means the key file in `data_dir`, made when missing.
    pub encryption_key: Option<SecretString>,
    /// The key before, while it is being changed.
    pub former_encryption_key: Option<SecretString>,
}

/// The Discord bot.
#[derive(Clone, Debug)]
pub struct Discord {
    pub token: SecretString,
    pub api_url: Url,
    /// Attachments are fetched from these only: `host` or `host:port`.
    pub media_hosts: Vec<String>,
    pub mode: DiscordMode,
}

/// The Telegram bot.
#[derive(Clone, Debug)]
pub struct Telegram {
    pub token: SecretString,
    pub api_url: Url,
    pub mode: TelegramMode,
}

/// The X app.
#[derive(Clone, Debug)]
pub struct Twitter {
    pub client_id: String,
    /// `None` means a public client.
    pub client_secret: Option<SecretString>,
    pub authorize_url: Url,
    pub api_url: Url,
    /// Links are `{web_url}/{username}/status/{id}`.
    pub web_url: Url,
}

/// An S3 bucket of the operator's.
#[derive(Clone, Debug)]
pub struct Staging {
    /// `None` means AWS.
    pub endpoint_url: Option<Url>,
    pub bucket: String,
    pub region: String,
    /// Absent keys mean the standard AWS credential chain.
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<SecretString>,
    pub force_path_style: bool,
}

/// How much is done at once, and what to do when X leaves us in doubt.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Steps in progress in this process that only make short calls.
    pub concurrency: usize,
    /// Steps in progress in this process that move a whole file.
    pub transfers: usize,
    /// The most APPEND requests in flight per post; the worker adapts their number below this.
    pub upload_parallelism: usize,
    pub on_unsure: OnUnsure,
    /// Seconds to keep looking for a post whose creation was not answered.
    pub settle_secs: u64,
}

/// What to do about a post that may or may not be on X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnsure {
    Ask,
    Retry,
}

/// The people who may use the bot, and those who are told what only its operator can fix. By default: nobody.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Admits everyone, whatever the lists below say.
    pub open: bool,
    /// Members of these are admitted.
    pub groups: Vec<Group>,
    /// These people are admitted wherever they are.
    pub people: Vec<PersonRef>,
    /// Told in private, and admitted. The database holds those who claimed the bot.
    pub operators: Vec<PersonRef>,
    /// Never admitted, whatever else is set. None of them is in `operators`.
    pub blocked: Vec<PersonRef>,
}

impl Access {
    /// Admits everyone: for a demonstration or a test.
    pub fn everyone() -> Access {
        Access { open: true, ..Access::default() }
    }

    /// True for a person whom the operator keeps out.
    pub fn blocks(&self, person: &Person) -> bool {
        self.blocked.iter().any(|listed| listed.is(person))
    }

    /// True for a person who may use the bot wherever they are.
    pub fn names(&self, person: &Person) -> bool {
        self.people.iter().chain(&self.operators).any(|listed| listed.is(person))
    }

    /// The first of these groups whose members may use the bot.
    pub fn admitting<'a>(&self, groups: &'a [Group]) -> Option<&'a Group> {
        groups.iter().find(|group| self.groups.contains(group))
    }
}

/// Limits on what one person, and all of them together, may use. `None` means no limit; `keys` holds the defaults of
/// the configuration.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Within any 24 hours.
    pub posts_per_person_per_day: Option<u32>,
    /// Within any 24 hours.
    pub bytes_per_person_per_day: Option<u64>,
    /// Posts under way at once.
    pub in_flight_per_person: Option<u32>,
    /// For posts and connections in a calendar month (UTC).
    pub monthly_budget: Option<Mills>,
    /// Connections of accounts begun within any hour.
    pub connections_per_person_per_hour: Option<u32>,
}

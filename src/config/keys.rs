//! The settings there are, what stands in for an absent one, and the nearest one to a misspelt name.

/// What holds when a setting is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// This text counts as given.
    Default(&'static str),
    /// Nothing, or what `load` works out from other settings.
    Nothing,
    /// A problem, mended as the text says.
    Problem(&'static str),
}
use Absent::{Default, Nothing, Problem};

/// Every setting, in the order of `config.example.toml`.
pub(super) const KEYS: &[(&str, Absent)] = &[
    ("public_url", Default("http://127.0.0.1:8080")),
    ("data_dir", Default("data")),
    ("min_free", Default("1 GB")),
    ("web.listen", Default("127.0.0.1:8080")),
    ("web.trusted_proxies", Default("127.0.0.0/8, ::1")),
    ("metrics.listen", Default("127.0.0.1:9464")),
    ("database.url", Nothing),
    ("database.max_connections", Default("10")),
    ("database.retention_days", Default("400")),
    ("security.encryption_key", Nothing),
    ("security.former_encryption_key", Nothing),
    ("discord.token", Problem("Copy it from discord.com/developers › your app › Bot, or remove [discord].")),
    ("discord.api_url", Default("https://discord.com")),
    ("discord.media_hosts", Default("cdn.discordapp.com, media.discordapp.net")),
    ("discord.mode", Default("gateway")),
    ("telegram.token", Problem("@BotFather gives it in Telegram. Or remove [telegram].")),
    ("telegram.api_url", Default("https://api.telegram.org")),
    ("telegram.mode", Default("polling")),
    ("twitter.client_id", Problem("Copy it from console.x.com › your app › Keys and tokens.")),
    ("twitter.client_secret", Nothing),
    ("twitter.authorize_url", Default("https://x.com/i/oauth2/authorize")),
    ("twitter.api_url", Default("https://api.x.com")),
    ("twitter.web_url", Default("https://x.com")),
    ("staging.endpoint_url", Nothing),
    ("staging.bucket", Default("toall")),
    ("staging.region", Default("us-east-1")),
    ("staging.access_key_id", Nothing),
    ("staging.secret_access_key", Nothing),
    ("staging.force_path_style", Nothing),
    ("worker.concurrency", Default("8")),
    ("worker.transfers", Default("4")),
    ("worker.upload_parallelism", Default("16")),
    ("worker.on_unsure", Default("ask")),
    ("worker.settle_secs", Default("60")),
    ("access.open", Default("false")),
    ("access.discord_servers", Nothing),
    ("access.discord_roles", Nothing),
    ("access.telegram_chats", Nothing),
    ("access.people", Nothing),
    ("access.operators", Nothing),
    ("access.blocked", Nothing),
    ("limits.posts_per_person_per_day", Default("50")),
    ("limits.bytes_per_person_per_day", Default("none")),
    ("limits.in_flight_per_person", Default("100")),
    ("limits.monthly_budget_usd", Default("25.00")),
    ("limits.connections_per_person_per_hour", Default("5")),
];

/// Names that X's own tools use for the same settings; a `TOALL_` variable goes before them.
const ALIASES: &[(&str, &str)] =
    &[("TWITTER_CLIENT_ID", "twitter.client_id"), ("TWITTER_CLIENT_SECRET", "twitter.client_secret")];

/// What holds when `key` is not given.
pub(super) fn when_absent(key: &str) -> Absent {
    KEYS.iter().find(|(name, _)| *name == key).map_or(Nothing, |(_, absent)| *absent)
}

/// The known key of this name.
pub(super) fn find(key: &str) -> Option<&'static str> {
    KEYS.iter().map(|(name, _)| *name).find(|name| *name == key)
}

/// The section names, each once.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().filter_map(|(name, _)| Some(name.split_once('.')?.0)).collect();
    sections.dedup();
    sections
}

/// The names of the settings in one section, without the section.
pub(super) fn within(section: &str) -> Vec<&'static str> {
    KEYS.iter()
        .filter_map(|(name, _)| name.split_once('.').filter(|(s, _)| *s == section))
        .map(|(_, key)| key)
        .collect()
}

/// The environment variable that sets `key`.
pub(super) fn variable(key: &str) -> String {
    format!("TOALL_{}", key.to_uppercase().replace('.', "__"))
}

/// The key that a `TOALL_` variable sets.
pub(super) fn of_variable(variable: &str) -> Option<&'static str> {
    KEYS.iter().map(|(name, _)| *name).find(|name| self::variable(name) == variable)
}

/// The key that a variable of another prefix sets.
pub(super) fn of_alias(variable: &str) -> Option<&'static str> {
    ALIASES.iter().find(|(alias, _)| *alias == variable).map(|(_, key)| *key)
}

/// The setting that an unknown name outside of sections probably stands for: `client_id` is `twitter.client_id`.
pub(super) fn nearest_key(name: &str) -> Option<&'static str> {
    let last = |key: &'static str| key.rsplit_once('.').map_or(key, |(_, last)| last);
    let near = nearest(name, KEYS.iter().map(|(key, _)| last(key)))?;
    let mut same = KEYS.iter().map(|(key, _)| *key).filter(|key| last(key) == near);
    // `token` alone stands for two settings, so it stands for neither.
    same.next().filter(|_| same.next().is_none())
}

/// The candidate most like `name`, when one is alike enough to be what was meant.
pub(super) fn nearest<T: AsRef<str>>(name: &str, candidates: impl IntoIterator<Item = T>) -> Option<T> {
    let name: String = name.to_lowercase().chars().take(64).collect();
    candidates
        .into_iter()
        .map(|candidate| (likeness(&name, &candidate.as_ref().to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// From 0 (nothing alike) to 1 (the same). A name left half-said, as `secret` for `client_secret`, is alike too.
fn likeness(name: &str, candidate: &str) -> f64 {
    let half_said = name.len() >= 4 && (candidate.contains(name) || name.contains(candidate));
    strsim::normalized_damerau_levenshtein(name, candidate).max(if half_said { 0.7 } else { 0.0 })
}

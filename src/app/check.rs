//! `toall check`: tries every part and says what to mend.

mod listeners;
mod reach;

use std::{
    fmt::Display,
    io::{self, Write},
    sync::Arc,
};

use super::{
    StartError,
    storage::{self, Agreement},
};
use crate::{
    account::Group,
    chat::{ChatError, discord::Discord, telegram::Telegram},
    clock::Clock,
    config::{self, Config},
    network,
    staging::{Staging, cors_rule},
    store::{OpenError, available_connections, look_for_installation},
    twitter::{OAuthError, X, XError},
    words,
};

/// Tries each part, one line each, to `out`; `fix` adds a CORS rule that the bucket lacks. False when any part does not work.
/// `exposed` is what there is to say of the file itself (see [`crate::config::exposed`]).
pub async fn check(
    config: &Config,
    exposed: Option<String>,
    fix: bool,
    out: &mut impl Write,
) -> io::Result<bool> {
    let mut report = Report { out, good: true };
    report.line("config", Ok::<_, String>("read, complete"))?;
    for warning in exposed.into_iter().chain(config.warnings()) {
        report.note("config", &warning)?;
    }
    let clock = Clock::system();
    // Before this process takes some for itself.
    let connections = match storage::is_for_several(config) {
        true => Some(connections(config).await),
        false => None,
    };
    // Others may be running on it, of the older version.
    let older = storage::is_for_several(config)
        && matches!(look_for_installation(&config.database).await, Err(OpenError::Older { .. }));
    // Held until the end, so that nothing starts while its files are tried.
    let store = match older {
        true => None,
        false => Some(super::open_store(config, &clock).await),
    };
    let running = matches!(store, Some(Err(StartError::Database(OpenError::InUse { .. }))));
    match &store {
        None => report.note("database", "of an older version: it will be brought up to date at the start")?,
        Some(Ok(store)) => report.line("database", store.ping().await.map(|()| "opened, up to date"))?,
        Some(Err(_)) if running => report.note("database", "in use: toall is running on it")?,
        Some(Err(error)) => report.line("database", Err::<&str, _>(error))?,
    }
    // If the database cannot be opened, its own line says why.
    if let (Some(connections), None | Some(Ok(_))) = (connections, &store) {
        report.line("connections", connections)?;
    }
    // On PostgreSQL the database does not tell whether somebody uses the files; opening them would clear uploads away.
    let lock =
        (config.staging.is_none() && storage::is_for_several(config)).then(|| Agreement::embedded(config));
    let in_use = matches!(lock, Some(Err(StartError::EmbeddedInUse { .. })));
    if in_use || (running && config.staging.is_none()) {
        report.note("staging", "embedded: in use, toall is running on it")?;
    } else {
        match super::open_staging(config).await {
            Ok((staging, _server)) => {
                let place = if config.staging.is_some() { "bucket" } else { "embedded" };
                let tried = staging.probe().await;
                let works = tried.is_ok();
                report.line("staging", tried.map(|()| format!("{place}: wrote, read and deleted a file")))?;
                // Storage that takes no file at all has its line.
                if works {
                    let parts = staging.probe_parts().await;
                    report.line(
                        "parts",
                        parts.map(|()| "storage takes files in parts, lists and joins them"),
                    )?;
                }
                if config.staging.is_some() {
                    report.line("uploads", browsers_may_upload(config, &staging, fix).await)?;
                }
            }
            Err(error) => report.line("staging", Err::<&str, _>(error))?,
        }
    }
    drop(lock);
    if storage::is_for_several(config) && config.staging.is_none() {
        report.note(
            "staging",
            "embedded: for one process that runs every role; several need a bucket in [staging]",
        )?;
    }
    match &config.discord {
        None => report.note("Discord", "off: there is no [discord] in the config")?,
        Some(settings) => {
            let tried = async {
                let discord = Discord::new(settings, clock.clone())?;
                Ok((discord.check().await?, listeners::discord(config, settings.mode, &discord).await?))
            };
            let tried = tried.await.map_err(|error| chat_mend("discord", settings.api_url.as_str(), &error));
            report.chat("Discord", tried)?;
        }
    }
    match &config.telegram {
        None => report.note("Telegram", "off: there is no [telegram] in the config")?,
        Some(settings) => {
            let tried = async {
                let telegram = Telegram::new(settings, clock.clone())?;
                Ok((telegram.check().await?, listeners::telegram(config, settings.mode, &telegram).await?))
            };
            let tried = tried.await.map_err(|error| chat_mend("telegram", settings.api_url.as_str(), &error));
            report.chat("Telegram", tried)?;
        }
    }
    match X::new(&config.twitter, config.callback_url()) {
        Ok(x) => {
            let tried = x.check_app().await;
            let tried = tried.map_err(|error| x_mend(config.twitter.api_url.as_str(), &error));
            report.line("X app", tried.map(|()| "X knows the client id and secret"))?;
        }
        Err(error) => report.line("X app", Err::<&str, _>(error))?,
    }
    report.line("public URL", public_url(config).await)?;
    // toall speaks no TLS, so a proxy stands even before an address of this machine if that begins with https.
    let has_no_proxy = config.is_local() && config.public_url.scheme() == "http";
    match (has_no_proxy, super::vault(config)) {
        (true, _) => {}
        (false, Err(error)) => report.line("proxy", Err::<&str, _>(error))?,
        (false, Ok(vault)) => {
            let vault = Arc::new(vault);
            let answering = reach::stand_in(config.web.listen, vault.clone()).await;
            let reached =
                reach::reach(&config.public_url, config.web.listen, &vault, answering.is_some()).await;
            report.line("proxy", reached)?;
        }
    }
    report.note("access", &who_may(&config.access))?;
    report.note("limits", &how_much(&config.limits))?;
    let claimed = match &store {
        Some(Ok(store)) => store.operators().await.unwrap_or_default(),
        _ => Vec::new(),
    };
    if config.access.operators.is_empty() && claimed.is_empty() {
        report.note(
            "operators",
            "none yet. `toall serve` makes a code, and /claim CODE in a chat makes its sender the operator",
        )?;
    }
    if let Some(Ok(store)) = store {
        store.close().await;
    }
    let good = report.good;
    if good {
        writeln!(report.out, "\nEverything works.")?;
    } else {
        writeln!(report.out, "\nMend what is marked ✗, then run this again.")?;
    }
    Ok(good)
}

fn who_may(access: &config::Access) -> String {
    if access.open {
        return "everyone in the chats the bot is in, and on Telegram everyone who finds it (access.open)"
            .to_owned();
    }
    let count = |wanted: fn(&Group) -> bool| access.groups.iter().filter(|group| wanted(group)).count();
    let named = [
        (count(|group| matches!(group, Group::DiscordServer(_))), "Discord server"),
        (count(|group| matches!(group, Group::DiscordRole(_))), "Discord role"),
        (count(|group| matches!(group, Group::TelegramChat(_))), "Telegram group"),
        (access.people.len(), "named person"),
    ];
    let named = named.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{what}: {count}"));
    match named.collect::<Vec<_>>().join(", ") {
        nobody if nobody.is_empty() => "operators only; [access] lets others in".to_owned(),
        named => format!("members and people on the lists only ({named})"),
    }
}

fn how_much(limits: &config::Limits) -> String {
    let each = |what: Option<String>| what.map(|what| format!("{what} per person and day"));
    let limited = [
        each(limits.posts_per_person_per_day.map(|posts| format!("posts: {posts}"))),
        each(limits.bytes_per_person_per_day.map(words::size)),
        limits.in_flight_per_person.map(|posts| format!("{posts} posts of a person at once")),
        limits.connections_per_person_per_hour.map(|most| format!("{most} connections per person and hour")),
        Some(match limits.monthly_budget {
            Some(budget) => format!("{budget} a month"),
            None => "no monthly budget".to_owned(),
        }),
    ];
    limited.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What there is to say of a part.
#[derive(Debug)]
enum Said {
    Good(String),
    Note(String),
    Bad(String),
}

struct Report<'a, W> {
    out: &'a mut W,
    good: bool,
}

impl<W: Write> Report<'_, W> {
    fn line(&mut self, part: &str, outcome: Result<impl Display, impl Display>) -> io::Result<()> {
        match outcome {
            Ok(said) => writeln!(self.out, "✓ {part:<11} {said}"),
            Err(error) => {
                self.good = false;
                writeln!(self.out, "✗ {part:<11} {error}")
            }
        }
    }

    /// Whose token it is, and how what people ask comes in.
    fn chat(&mut self, part: &str, tried: Result<(String, Said), String>) -> io::Result<()> {
        let (name, said) = match tried {
            Ok(tried) => tried,
            Err(error) => return self.line(part, Err::<&str, _>(error)),
        };
        self.line(part, Ok::<_, String>(format!("the token is {name}'s")))?;
        match said {
            Said::Good(said) => self.line(part, Ok::<_, String>(said)),
            Said::Note(said) => self.note(part, &said),
            Said::Bad(said) => self.line(part, Err::<&str, _>(said)),
        }
    }

    fn note(&mut self, part: &str, said: &str) -> io::Result<()> {
        writeln!(self.out, "· {part:<11} {said}")
    }
}

/// PostgreSQL must give this process as many connections as the configuration says, beside those that others hold.
async fn connections(config: &Config) -> Result<String, String> {
    // One more listens.
    let wanted = config.database.max_connections + 1;
    match available_connections(&config.database).await {
        Ok(found) if found >= wanted => Ok(format!("PostgreSQL gives all {wanted}")),
        Ok(found) => Err(format!(
            "PostgreSQL gives {found} of {wanted} now, and posts wait for one another. Raise max_connections there, or \
             lower database.max_connections here; each process needs that many and one to listen on."
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// A bucket takes files from pages only when its CORS rules say so.
async fn browsers_may_upload(config: &Config, staging: &Staging, fix: bool) -> Result<String, String> {
    let origin = config.public_url.origin().ascii_serialization();
    match staging.lets_browsers_put(&origin).await {
        Ok(true) => Ok(format!("the bucket takes files from pages of {origin}")),
        Ok(false) if fix => match staging.let_browsers_put(&origin).await {
            Ok(()) => Ok(format!("the bucket takes files from pages of {origin} from now on")),
            Err(error) => {
                Err(format!("the rule for pages of {origin} could not be added to the bucket: {error}"))
            }
        },
        Ok(false) => Err(format!(
            "the bucket does not take files from pages of {origin}. Run `toall check --fix`, or save this as cors.json and run `aws s3api \
             put-bucket-cors --bucket {} --cors-configuration file://cors.json`:\n{}",
            config.staging.as_ref().map_or("", |staging| staging.bucket.as_str()),
            cors_rule(&origin)
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// What a chat's refusal means for the config.
fn chat_mend(section: &str, api_url: &str, error: &ChatError) -> String {
    match error {
        // The reason says what to do.
        ChatError::Refused(why) => format!("{}.", why.trim_end_matches('.')),
        ChatError::Forbidden(why) => format!("{why}. Copy the token again into {section}.token."),
        _ => format!("{error}. Check this machine's network, and {section}.api_url ({api_url})."),
    }
}

/// What X's refusal means for the config.
fn x_mend(api_url: &str, error: &OAuthError) -> String {
    match error {
        OAuthError::ClientRejected => {
            "X does not accept the app. Copy twitter.client_id and twitter.client_secret again from console.x.com, and \
             make the app a Web App; leave the secret out for a Native App."
                .to_owned()
        }
        OAuthError::X(XError::Unreachable(cause)) => {
            let cause = network::cause(cause);
            format!("X could not be reached: {cause}. Check this machine's network, and twitter.api_url ({api_url}).")
        }
        error => format!("{error}. Try again in a few minutes."),
    }
}

/// The callback must be registered at X to the letter, and browsers must reach it.
async fn public_url(config: &Config) -> Result<String, String> {
    let callback = config.callback_url();
    let host = config.public_url.host_str().unwrap_or_default();
    let port = config.public_url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
    match found.map(Iterator::count) {
        Ok(1..) => Ok(format!("register this callback in the X app, to the letter: {callback}")),
        _ => Err(format!(
            "the name {host} leads nowhere. Correct public_url in the config, or set up its DNS entry."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::{PersonRef, Platform},
        config::{Access, Limits},
        post::Mills,
    };

    #[test]
    fn who_may_and_how_much_are_one_line_each() {
        assert_eq!(
            who_may(&Access::everyone()),
            "everyone in the chats the bot is in, and on Telegram everyone who finds it (access.open)"
        );
        assert_eq!(who_may(&Access::default()), "operators only; [access] lets others in");
        let people = vec![PersonRef { platform: Platform::Discord, id: "1".to_owned() }];
        let groups = vec![Group::DiscordRole("2".to_owned()), Group::DiscordRole("3".to_owned())];
        assert_eq!(
            who_may(&Access { groups, people, ..Access::default() }),
            "members and people on the lists only (Discord role: 2, named person: 1)"
        );
        assert_eq!(how_much(&Limits::default()), "no monthly budget");
        let limits = Limits {
            posts_per_person_per_day: Some(20),
            bytes_per_person_per_day: Some(2_000_000_000),
            in_flight_per_person: Some(5),
            monthly_budget: Some(Mills(25_000)),
            connections_per_person_per_hour: Some(5),
        };
        assert_eq!(
            how_much(&limits),
            "posts: 20 per person and day, 2.0 GB per person and day, 5 posts of a person at once, \
             5 connections per person and hour, $25.00 a month"
        );
    }
}

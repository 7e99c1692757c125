//! `toall check`: tries every part and says what to mend.

use std::{
    fmt::Display,
    io::{self, Write},
};

use crate::{
    chat::{discord::Discord, telegram::Telegram},
    clock::Clock,
    config::Config,
    twitter::X,
};

/// Tries each part, one line each, to `out`. False when any part does not work.
pub async fn check(config: &Config, out: &mut impl Write) -> io::Result<bool> {
    let mut report = Report { out, good: true };
    report.line("config", Ok::<_, String>("read, complete"))?;
    for warning in config.warnings() {
        report.note("config", &warning)?;
    }
    let clock = Clock::system();
    match super::open_store(config, &clock).await {
        Ok(store) => {
            report.line("database", store.ping().await.map(|()| "opened, up to date"))?;
            store.close().await;
        }
        Err(error) => report.line("database", Err::<&str, _>(error))?,
    }
    match super::open_staging(config).await {
        Ok((staging, _server)) => {
            let place = if config.staging.is_some() { "bucket" } else { "embedded" };
            let tried = staging.probe().await;
            report.line("staging", tried.map(|()| format!("{place}: wrote, read and deleted a file")))?;
        }
        Err(error) => report.line("staging", Err::<&str, _>(error))?,
    }
    match &config.discord {
        None => report.note("Discord", "off: there is no [discord] in the config")?,
        Some(settings) => {
            let tried = async { Discord::new(settings, clock.clone())?.check().await }.await;
            report.line("Discord", tried.map(|name| format!("the token is {name}'s")))?;
        }
    }
    match &config.telegram {
        None => report.note("Telegram", "off: there is no [telegram] in the config")?,
        Some(settings) => {
            let tried = async { Telegram::new(settings, clock.clone())?.check().await }.await;
            report.line("Telegram", tried.map(|name| format!("the token is {name}'s")))?;
        }
    }
    match X::new(&config.twitter, config.callback_url()) {
        Ok(x) => {
            let tried = x.check_app().await;
            report.line("X app", tried.map(|()| "X knows the client id and secret"))?;
        }
        Err(error) => report.line("X app", Err::<&str, _>(error))?,
    }
    report.line("public URL", public_url(config).await)?;
    let good = report.good;
    if good {
        writeln!(report.out, "\nEverything works.")?;
    } else {
        writeln!(report.out, "\nMend what is marked ✗, then run this again.")?;
    }
    Ok(good)
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

    fn note(&mut self, part: &str, said: &str) -> io::Result<()> {
        writeln!(self.out, "· {part:<11} {said}")
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

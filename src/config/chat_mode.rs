//! How what people ask reaches the service: it goes and asks the chats, or the chats come to it.

use figment::value::Value;
use url::{Host, Url};

use super::{Config, Discord, Telegram, parse};

/// The ports that Telegram's own servers bring updates to (Bot API, `setWebhook`).
const TELEGRAMS_PORTS: [u16; 4] = [443, 80, 88, 8443];

/// How updates come from Telegram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelegramMode {
    /// One process asks for them, and needs no address that Telegram can reach.
    Polling,
    /// Telegram brings each to `{public_url}/telegram/webhook`, to any process behind it.
    Webhook,
}

/// How interactions come from Discord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscordMode {
    /// By connections to Discord that are kept open, one for each shard.
    Gateway,
    /// Discord brings each to `{public_url}/discord/interactions`, to any process behind it.
    Http,
}

impl Config {
    /// Where Telegram brings updates, in [`TelegramMode::Webhook`].
    pub fn telegram_webhook_url(&self) -> Url {
        self.public("telegram/webhook")
    }

    /// Where Discord brings interactions, in [`DiscordMode::Http`].
    pub fn discord_endpoint_url(&self) -> Url {
        self.public("discord/interactions")
    }
}

pub(super) fn telegram_mode(value: &Value) -> Result<TelegramMode, String> {
    match parse::text(value)?.as_str() {
        "polling" => Ok(TelegramMode::Polling),
        "webhook" => Ok(TelegramMode::Webhook),
        _ => Err(format!("is {}; \"polling\" or \"webhook\" is needed.", parse::show(value))),
    }
}

pub(super) fn discord_mode(value: &Value) -> Result<DiscordMode, String> {
    match parse::text(value)?.as_str() {
        "gateway" => Ok(DiscordMode::Gateway),
        "http" => Ok(DiscordMode::Http),
        _ => Err(format!("is {}; \"gateway\" or \"http\" is needed.", parse::show(value))),
    }
}

/// Why Telegram cannot bring updates to this address. A Bot API server of one's own brings them anywhere
/// (Bot API, "Using a Local Bot API Server").
pub(super) fn unfit_for_telegram(telegram: &Telegram, public_url: &Url) -> Option<String> {
    let cloud = telegram.api_url.host() == Some(Host::Domain("api.telegram.org"));
    if telegram.mode == TelegramMode::Polling || !cloud {
        return None;
    }
    let mend =
        "Put a proxy with HTTPS in front and set public_url to its address, or set this to \"polling\".";
    let port = public_url.port_or_known_default().unwrap_or_default();
    if public_url.scheme() != "https" {
        Some(format!(
            "is \"webhook\", but Telegram calls https addresses only, and public_url is {public_url}. {mend}"
        ))
    } else if !TELEGRAMS_PORTS.contains(&port) {
        Some(format!(
            "is \"webhook\", but Telegram calls the ports 443, 80, 88 and 8443 only, and that of public_url is {port}. \
             {mend}"
        ))
    } else {
        None
    }
}

/// Why Discord cannot bring interactions to this address.
pub(super) fn unfit_for_discord(discord: &Discord, public_url: &Url) -> Option<String> {
    let discords_own = discord.api_url.host() == Some(Host::Domain("discord.com"));
    if discord.mode == DiscordMode::Gateway || !discords_own || public_url.scheme() == "https" {
        return None;
    }
    Some(format!(
        "is \"http\", but Discord calls https addresses only, and public_url is {public_url}. Put a proxy with HTTPS in \
         front and set public_url to its address, or set this to \"gateway\"."
    ))
}

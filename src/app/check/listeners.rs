//! Whether the chats bring what people ask to where this config expects it.

use super::Said;
use crate::{
    chat::{
        ChatError,
        discord::{Discord, is_ours},
        telegram::{Telegram, Webhook},
    },
    config::{Config, DiscordMode, TelegramMode},
};

/// How updates come from Telegram.
pub(super) async fn telegram(
    config: &Config,
    mode: TelegramMode,
    telegram: &Telegram,
) -> Result<Said, ChatError> {
    let ours = config.telegram_webhook_url();
    Ok(webhook(mode, ours.as_str(), &telegram.webhook().await?))
}

fn webhook(mode: TelegramMode, ours: &str, webhook: &Webhook) -> Said {
    let waiting = match webhook.pending {
        0 => "nothing waits".to_owned(),
        pending => format!("{pending} updates wait"),
    };
    match (mode, webhook.url.as_deref()) {
        (TelegramMode::Polling, None) => Said::Good(format!("toall asks for updates; {waiting}")),
        (TelegramMode::Polling, Some(url)) => Said::Note(format!(
            "Telegram brings updates to {url}; at its start toall ends that and asks for them; {waiting}"
        )),
        (TelegramMode::Webhook, None) => {
            Said::Note(format!("no webhook is set yet; toall sets {ours} at its start; {waiting}"))
        }
        (TelegramMode::Webhook, Some(url)) if url != ours => Said::Note(format!(
            "Telegram brings updates to {url}; at its start toall has them brought to {ours}; {waiting}"
        )),
        (TelegramMode::Webhook, Some(url)) => match &webhook.last_error {
            None => Said::Good(format!("Telegram brings updates to {url}; {waiting}")),
            // Telegram tells the last error for ever; while nothing waits, it is over.
            Some(error) if webhook.pending == 0 => Said::Good(format!(
                "Telegram brings updates to {url}; {waiting}; the last trouble was {}: {error}",
                moment(webhook.last_error_at)
            )),
            Some(error) => Said::Bad(format!(
                "Telegram could not bring updates to {url}, last at {}: {error}; {waiting}. public_url must reach toall \
                 from outside, by https with a certificate that Telegram trusts.",
                moment(webhook.last_error_at)
            )),
        },
    }
}

fn moment(at_ms: Option<i64>) -> String {
    let at = at_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "some time ago".to_owned(), |at| at.to_string())
}

/// How interactions come from Discord.
pub(super) async fn discord(
    config: &Config,
    mode: DiscordMode,
    discord: &Discord,
) -> Result<Said, ChatError> {
    let ours = config.discord_endpoint_url();
    let said = endpoint(mode, ours.as_str(), discord.endpoint().await?.as_deref());
    if mode == DiscordMode::Gateway
        && let Said::Good(_) | Said::Note(_) = said
        && let Err(error) = discord.check_gateway().await
    {
        return Ok(Said::Bad(no_gateway(&error)));
    }
    Ok(said)
}

fn no_gateway(error: &ChatError) -> String {
    match error {
        ChatError::Refused(why) => why.clone(),
        ChatError::SlowDown(wait) => format!(
            "the bot has begun all the sessions that Discord grants it a day; it gets more in {} min.",
            wait.as_secs().div_ceil(60)
        ),
        error => {
            format!("{error}. Let this machine open WebSocket connections to Discord's gateway (port 443).")
        }
    }
}

fn endpoint(mode: DiscordMode, ours: &str, set: Option<&str>) -> Said {
    match (mode, set) {
        (DiscordMode::Gateway, None) => {
            Said::Good("the gateway is open; interactions come over it".to_owned())
        }
        (DiscordMode::Gateway, Some(url)) if is_ours(url) => Said::Note(format!(
            "Discord brings interactions to {url}; at its start toall ends that and listens to the gateway"
        )),
        (DiscordMode::Gateway, Some(url)) => Said::Bad(format!(
            "Discord brings interactions to {url}, so the gateway hears none. Empty \"Interactions Endpoint URL\" at \
             discord.com/developers › your app › General Information, or set discord.mode to \"http\"."
        )),
        (DiscordMode::Http, Some(url)) if url == ours => {
            Said::Good(format!("Discord brings interactions to {url}"))
        }
        (DiscordMode::Http, None) => {
            Said::Note(format!("no interactions endpoint is set yet; toall sets {ours} at its start"))
        }
        (DiscordMode::Http, Some(url)) => Said::Note(format!(
            "Discord brings interactions to {url}; at its start toall has them brought to {ours}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://toall.example.org/telegram/webhook";

    #[test]
    fn each_state_of_the_doors_has_its_line() {
        let hook = |url: Option<&str>, pending, error: Option<&str>| Webhook {
            url: url.map(str::to_owned),
            pending,
            last_error: error.map(str::to_owned),
            last_error_at: error.map(|_| 1_795_348_800_000),
        };
        let refused = Some("Wrong response from the webhook: 502 Bad Gateway");
        let hooks = [
            hook(None, 0, None),
            hook(Some("https://elsewhere.example/"), 3, None),
            hook(Some(OURS), 0, None),
            hook(Some(OURS), 0, refused),
            hook(Some(OURS), 7, refused),
        ];
        let mut report = String::new();
        for mode in [TelegramMode::Polling, TelegramMode::Webhook] {
            for hook in &hooks {
                report += &format!("{mode:?}: {:?}\n", webhook(mode, OURS, hook));
            }
        }
        let ours = "https://toall.example.org/discord/interactions";
        for mode in [DiscordMode::Gateway, DiscordMode::Http] {
            for set in [None, Some(ours), Some("https://elsewhere.example/")] {
                report += &format!("{mode:?}: {:?}\n", endpoint(mode, ours, set));
            }
        }
        insta::assert_snapshot!(report);
    }
}

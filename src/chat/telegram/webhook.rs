//! The webhook: Telegram brings each update by itself, to any process that serves the public address.

use std::{sync::OnceLock, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use teloxide::Bot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use super::{
    album::{Albums, brings_video, lacks_video, part_of_album},
    backoff::Spell,
    call::call,
    deliver::{Closed, deliver, read},
    error::sort,
    identify::introduce,
    wire::{GetWebhookInfo, SetWebhook, UPDATES},
};
use crate::{
    chat::{ChatError, Inbox},
    clock::Clock,
    health::Part,
};

/// Time in which the video of an album follows the file with the command.
const ALBUM_ARRIVES: Duration = Duration::from_secs(1);
/// What the secret is for, so that no other use of the token gives the same.
const PURPOSE: &[u8] = b"toall telegram webhook 1";
/// Updates that Telegram may bring at the same time (Bot API, `setWebhook`: 1 to 100, its default is 40). It brings those of
/// one chat one after the other (`WebhookActor.cpp` of tdlib/telegram-bot-api).
const CONNECTIONS: u8 = 40;
/// How often it is looked whether the webhook is still ours, in milliseconds: a process of another mode, which is about to
/// be replaced, may have taken it away.
const LOOK_MS: i64 = 60_000;

/// What shows that Telegram sent an update. Every process with the bot's token knows it, and it tells nothing of the token.
#[derive(Clone)]
pub(super) struct Proof(hmac::Key);

impl Proof {
    pub(super) fn new(token: &SecretString) -> Proof {
        Proof(hmac::Key::new(hmac::HMAC_SHA256, token.expose_secret().as_bytes()))
    }

    /// What Telegram is told to show. base64url has the characters that it allows.
    fn secret(&self) -> SecretString {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, PURPOSE)).into()
    }

    /// Compares in constant time.
    pub(super) fn is(&self, shown: &[u8]) -> bool {
        URL_SAFE_NO_PAD.decode(shown).is_ok_and(|tag| hmac::verify(&self.0, PURPOSE, &tag).is_ok())
    }
}

/// Has Telegram bring updates to `url` until `stop`, and tells `name` what the bot is called. Trouble is waited out.
pub(super) async fn run(
    bot: &Bot,
    proof: &Proof,
    name: &OnceLock<String>,
    part: &Part,
    url: &Url,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<(), ChatError> {
    let mut spell = Spell::new(part);
    let mut registered = false;
    while !stop.is_cancelled() {
        let next_look = clock.now_ms() + LOOK_MS;
        let asked = async {
            match registered {
                true => look(bot, proof, url).await,
                false => register(bot, proof, name, url).await,
            }
        };
        match stop.run_until_cancelled(asked).await {
            None => {}
            Some(Ok(())) => {
                registered = true;
                spell.end();
                stop.run_until_cancelled(clock.sleep_until(next_look)).await;
            }
            Some(Err(error @ ChatError::Refused(_))) => return Err(error),
            Some(Err(error)) => spell.wait_out(&error, stop).await,
        }
    }
    Ok(())
}

async fn register(bot: &Bot, proof: &Proof, name: &OnceLock<String>, url: &Url) -> Result<(), ChatError> {
    let me = introduce(bot).await?;
    name.get_or_init(|| me);
    // The address may be the same and the rest another; to ask for the same again changes nothing.
    set(bot, proof, url).await?;
    info!(%url, "Telegram brings what people ask");
    Ok(())
}

/// Sets the webhook again if it is another by now. Where it was is not told: the addresses of others may hold secrets.
async fn look(bot: &Bot, proof: &Proof, url: &Url) -> Result<(), ChatError> {
    match info(bot).await?.url {
        Some(set) if set == url.as_str() => return Ok(()),
        Some(_) => {
            warn!(%url, "another program has had the updates brought elsewhere; setting the webhook again")
        }
        None => warn!(%url, "another program has taken the webhook away; setting it again"),
    }
    set(bot, proof, url).await
}

async fn set(bot: &Bot, proof: &Proof, url: &Url) -> Result<(), ChatError> {
    let secret = proof.secret();
    let request = SetWebhook {
        url: url.as_str(),
        secret_token: secret.expose_secret(),
        max_connections: CONNECTIONS,
        allowed_updates: UPDATES,
    };
    match call(bot, &request).await.map_err(sort) {
        Ok(_) => Ok(()),
        Err(ChatError::Refused(reason)) => Err(ChatError::Trouble(format!(
            "Telegram does not take {url} as webhook ({reason}). public_url must reach this service from outside"
        ))),
        Err(error) => Err(error),
    }
}

/// Hands over an update as Telegram brought it; `Err` when it is to come again.
pub(super) async fn receive(
    bot: &Bot,
    albums: &Albums,
    update: &[u8],
    me: &str,
    inbox: &Inbox,
) -> Result<(), Closed> {
    let Some(update) = read(update) else { return Ok(()) };
    albums.note(&update);
    let album = part_of_album(&update).map(|(message, id)| (message.chat.id, id.to_owned()));
    let Some((chat, id)) = album else { return deliver(bot, albums, [update], me, inbox).await };
    if lacks_video(&update, me) {
        // Telegram brings the next file only after this one is answered, so the command is kept in memory alone. The
        // album's video, when it comes, is answered after the post is stored.
        albums.hold(update);
        let (bot, albums, me, inbox) = (bot.clone(), albums.clone(), me.to_owned(), inbox.clone());
        tokio::spawn(async move {
            tokio::time::sleep(ALBUM_ARRIVES).await;
            let Some(command) = albums.take(chat, &id) else { return };
            if deliver(&bot, &albums, [command], &me, &inbox).await.is_err() {
                warn!("stopped before the rest of an album came; its command is lost");
            }
        });
        return Ok(());
    }
    let command = if brings_video(&update) { albums.take(chat, &id) } else { None };
    deliver(bot, albums, command.into_iter().chain([update]), me, inbox).await
}

/// How Telegram's webhook fares.
#[derive(Debug)]
pub struct Webhook {
    /// Where updates are brought; `None` while there is no webhook.
    pub url: Option<String>,
    /// How many updates wait.
    pub pending: u64,
    /// Why the last update that could not be brought was not, in Telegram's words.
    pub last_error: Option<String>,
    /// When that was, in Unix milliseconds.
    pub last_error_at: Option<i64>,
}

/// What Telegram says about the webhook.
pub(super) async fn info(bot: &Bot) -> Result<Webhook, ChatError> {
    let info = call(bot, &GetWebhookInfo {}).await.map_err(sort)?;
    Ok(Webhook {
        url: Some(info.url).filter(|url| !url.is_empty()),
        pending: info.pending_update_count,
        last_error: info.last_error_message,
        last_error_at: info.last_error_date.map(|seconds| seconds.saturating_mul(1_000)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_has_the_same_secret_and_no_other_is_taken() {
        let token = SecretString::from("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw");
        let secret = Proof::new(&token).secret();
        let secret = secret.expose_secret();
        // Reckoned with Python's hmac: changed by nothing but a change of what Telegram is told.
        assert_eq!(secret, "_MVRi_uYDky8UyGC0EQOaFPm-gIKzWUc0hHkWJdcSNs");
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        let proof = Proof::new(&token);
        assert!(proof.is(secret.as_bytes()));
        let other = Proof::new(&"110201543:another".into()).secret();
        for wrong in
            ["", &secret[1..], &format!("{secret}A"), other.expose_secret(), "é", token.expose_secret()]
        {
            assert!(!proof.is(wrong.as_bytes()), "{wrong}");
        }
    }
}

//! The interactions endpoint: Discord brings each interaction by itself, to any process that serves the public address.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ring::signature::{ED25519, UnparsedPublicKey};
use serenity::model::{application::Interaction, id::ApplicationId};
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::chat::{ChatError, Inbox};

use super::{
    hear::{Door, Hearing},
    pause::Pauses,
    rest::{Application, Rest},
};

/// The path of our endpoints, whatever stands before it.
const OUR_PATH: &str = "/discord/interactions";
/// How far a request's time may be from ours, in milliseconds: a copy that is older is refused.
const FRESH_MS: i64 = 5 * 60_000;
/// How long a stop waits until what was taken is stored.
const LEAVE_WITHIN: Duration = Duration::from_secs(4);

/// What to answer to a request at the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The body `{"type":1}`, to Discord's PING.
    Pong,
    /// 202: it is acknowledged by a request of our own ("Receiving and Responding to Interactions").
    Accepted,
    /// 401: Discord did not sign this, or long ago.
    Forged,
    /// 400: signed, and yet not to be understood.
    Unreadable,
    /// 503: this process does not know Discord's key yet, or stops.
    NotNow,
}

/// This process's side of the endpoint. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Endpoint {
    /// The key that Discord signs with, once it is known.
    key: Arc<OnceLock<[u8; 32]>>,
    at_work: TaskTracker,
}

impl Endpoint {
    /// Has Discord bring interactions to `url`, and returns at `stop`, when what was taken is stored.
    pub(super) async fn run(
        &self,
        hearing: &Hearing,
        url: &Url,
        stop: &CancellationToken,
    ) -> Result<(), ChatError> {
        let mut pauses = Pauses::new();
        loop {
            pauses.begin(&hearing.clock);
            match stop.run_until_cancelled(self.register(hearing, url)).await {
                None => break,
                Some(Ok(())) => {
                    tracing::info!(%url, "Discord brings what people ask");
                    stop.cancelled().await;
                    break;
                }
                Some(Err(error @ ChatError::Refused(_))) => return Err(error),
                Some(Err(error)) => {
                    tracing::warn!(%error, "Discord brings nothing yet; trying again");
                    let wait = pauses.after(&error, &hearing.clock);
                    let _ = stop.run_until_cancelled(sleep(wait)).await;
                }
            }
        }
        self.at_work.close();
        if timeout(LEAVE_WITHIN, self.at_work.wait()).await.is_err() {
            tracing::warn!("left Discord before everything was answered");
        }
        Ok(())
    }

    async fn register(&self, hearing: &Hearing, url: &Url) -> Result<(), ChatError> {
        let application = hearing.rest.application().await?;
        let key = unhex(&application.verify_key)
            .ok_or_else(|| ChatError::Trouble("Discord's key could not be read".to_owned()))?;
        self.key.get_or_init(|| key);
        hearing.rest.register_commands(application.id).await?;
        if application.interactions_endpoint_url.as_deref() == Some(url.as_str()) {
            return Ok(());
        }
        // Discord tries the address, with a right and a wrong signature, before it answers.
        hearing.rest.set_endpoint(Some(url)).await.map_err(|problem| match problem.into() {
            ChatError::Refused(reason) => ChatError::Trouble(format!(
                "Discord does not take {url} as interactions endpoint ({reason}). public_url must reach this service \
                 from outside, by https"
            )),
            error => error,
        })
    }

    /// Takes a request: `signature` and `timestamp` are its headers `X-Signature-Ed25519` and `X-Signature-Timestamp`.
    pub(super) fn receive(
        &self,
        hearing: &Hearing,
        (signature, timestamp): (&str, &str),
        body: &[u8],
        inbox: &Inbox,
    ) -> Answer {
        let Some(key) = self.key.get() else { return Answer::NotNow };
        let signed = [timestamp.as_bytes(), body].concat();
        let genuine = unhex::<64>(signature).is_some_and(|signature| {
            UnparsedPublicKey::new(&ED25519, key).verify(&signed, &signature).is_ok()
        });
        if !genuine {
            return Answer::Forged;
        }
        let at = timestamp.parse().map_or(i64::MIN, |seconds: i64| seconds.saturating_mul(1_000));
        let off = at.abs_diff(hearing.clock.now_ms());
        if off > FRESH_MS.unsigned_abs() {
            tracing::warn!(
                seconds = off / 1_000,
                "refused what Discord signed at another time: a copy, or this machine's clock is wrong"
            );
            return Answer::Forged;
        }
        let Ok(interaction) = serde_json::from_slice::<Interaction>(body) else {
            tracing::warn!("Discord sent something unreadable; left out");
            return Answer::Unreadable;
        };
        if let Interaction::Ping(_) = interaction {
            return Answer::Pong;
        }
        if self.at_work.is_closed() {
            return Answer::NotNow;
        }
        let (hearing, inbox) = (hearing.clone(), inbox.clone());
        self.at_work.spawn(async move { hearing.hear(interaction, Door::Http, &inbox).await });
        Answer::Accepted
    }
}

/// Takes an endpoint of ours away that would keep interactions from the gateway, and names one of somebody else's. Returns
/// the application.
pub(super) async fn leave(rest: &Rest) -> Result<ApplicationId, ChatError> {
    let application = rest.application().await?;
    match application.foreign_endpoint() {
        Some(url) => tracing::warn!(
            %url,
            "Discord brings interactions elsewhere, so nobody is heard here. Empty \"Interactions Endpoint URL\" at \
             discord.com/developers (your application, General Information), or set discord.mode to \"http\""
        ),
        None if application.interactions_endpoint_url.is_some() => rest.set_endpoint(None).await?,
        None => {}
    }
    Ok(application.id)
}

impl Application {
    /// An endpoint that no toall has set.
    fn foreign_endpoint(&self) -> Option<&str> {
        self.interactions_endpoint_url.as_deref().filter(|url| !is_ours(url))
    }
}

/// Whether an interactions endpoint is one that toall has set, and takes away where it listens to the gateway.
pub fn is_ours(url: &str) -> bool {
    url.ends_with(OUR_PATH)
}

/// Bytes from hexadecimal digits, exactly so many.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok().filter(|_| digits.len() == 2 * N)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_whole_or_not_at_all() {
        assert_eq!(unhex("bf7DEA78"), Some([0xbf, 0x7d, 0xea, 0x78]));
        for wrong in ["bf7dea7", "bf7dea789", "bf7dea7x", "+f7dea78", "", "é7dea78"] {
            assert_eq!(unhex::<4>(wrong), None, "{wrong}");
        }
    }
}

//! The interactions endpoint: Discord brings each interaction by itself, to any process that serves the public address.

use std::{
    convert::Infallible,
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
    pause::Pauses,
    receive::{Door, Hearing},
    rest::{Application, Rest, WRONG_TOKEN},
};

/// The path of our endpoints, whatever stands before it.
const OUR_PATH: &str = "/discord/interactions";
/// How far a request's time may be from ours, in milliseconds: a copy that is older is refused.
const FRESH_MS: i64 = 5 * 60_000;
/// How often it is looked whether the endpoint is still as this mode wants it, in milliseconds: a process of another mode,
/// which is about to be replaced, may have changed it.
const LOOK_MS: i64 = 60_000;
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
        let mut registered = false;
        while !stop.is_cancelled() {
            pauses.begin(&hearing.clock);
            let next_look = hearing.clock.now_ms() + LOOK_MS;
            let asked = async {
                match registered {
                    true => look(&hearing.rest, url).await,
                    false => self.register(&hearing.rest, url).await,
                }
            };
            match stop.run_until_cancelled(asked).await {
                None => {}
                Some(Ok(())) => {
                    registered = true;
                    hearing.part.works();
                    pauses = Pauses::new();
                    stop.run_until_cancelled(hearing.clock.sleep_until(next_look)).await;
                }
                Some(Err(error @ ChatError::Refused(_))) if !registered || is_wrong_token(&error) => {
                    return Err(error);
                }
                Some(Err(error)) => {
                    hearing.part.fails();
                    tracing::warn!(%error, "whether Discord brings what people ask is not known; trying again");
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

    async fn register(&self, rest: &Rest, url: &Url) -> Result<(), ChatError> {
        let application = rest.application().await?;
        let key = unhex(&application.verify_key)
            .ok_or_else(|| ChatError::Trouble("Discord's key could not be read".to_owned()))?;
        self.key.get_or_init(|| key);
        rest.register_commands(application.id).await?;
        if !application.brings_to(url) {
            set(rest, url).await?;
        }
        tracing::info!(%url, "Discord brings what people ask");
        Ok(())
    }

    /// Whether what Discord signs can be told from what it does not: its key is known.
    pub(super) fn is_open(&self) -> bool {
        self.key.get().is_some()
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

fn is_wrong_token(error: &ChatError) -> bool {
    matches!(error, ChatError::Refused(reason) if reason == WRONG_TOKEN)
}

/// Sets the endpoint again if it is another by now.
async fn look(rest: &Rest, url: &Url) -> Result<(), ChatError> {
    let application = rest.application().await?;
    if application.brings_to(url) {
        return Ok(());
    }
    match application.interactions_endpoint_url {
        Some(_) => {
            tracing::warn!(%url, "somebody has had interactions brought elsewhere; setting the endpoint again")
        }
        None => tracing::warn!(%url, "somebody has taken the endpoint away; setting it again"),
    }
    set(rest, url).await
}

/// Discord tries the address, with a right and a wrong signature, before it answers.
async fn set(rest: &Rest, url: &Url) -> Result<(), ChatError> {
    rest.set_endpoint(Some(url)).await.map_err(|problem| match problem.into() {
        ChatError::Refused(reason) => ChatError::Trouble(format!(
            "Discord does not take {url} as interactions endpoint ({reason}). public_url must reach this service from \
             outside, by https"
        )),
        error => error,
    })
}

/// Sees to it, now and then, that no endpoint of ours keeps interactions from the gateway.
pub(super) async fn stay_away(hearing: &Hearing) -> Infallible {
    loop {
        hearing.clock.sleep_until(hearing.clock.now_ms() + LOOK_MS).await;
        if let Err(error) = leave(&hearing.rest).await {
            tracing::debug!(%error, "where Discord brings interactions is not known; looking again later");
        }
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
        None if application.interactions_endpoint_url.is_some() => {
            tracing::warn!("Discord brought interactions to an endpoint of toall's; taking it away");
            rest.set_endpoint(None).await?;
        }
        None => {}
    }
    Ok(application.id)
}

impl Application {
    fn brings_to(&self, url: &Url) -> bool {
        self.interactions_endpoint_url.as_deref() == Some(url.as_str())
    }

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

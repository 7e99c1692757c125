//! Discord: slash commands and buttons come in over the gateway or an HTTP endpoint, messages go out over REST.

mod acknowledge;
mod commands;
mod endpoint;
mod gateway;
mod interaction;
mod markup;
mod media;
mod menu;
mod pause;
mod probe;
mod receive;
mod render;
mod rest;
mod shard;
mod shown;
mod throttle;
mod turns;

use std::{num::NonZeroU64, str::FromStr, time::Duration};

use serde_json::{Value, json};
use serenity::{
    http::{
        LightMethod::{self, *},
        Route,
    },
    model::id::{ApplicationId, ChannelId, MessageId},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    account::{Group, Interaction, MessageRef, Place},
    chat::{Audience, ChatError, Download, Inbox},
    clock::Clock,
    config,
    health::Part,
    post::Attachment,
    words::{self, Message},
};

pub use self::{
    endpoint::{Answer, is_ours},
    gateway::Shards,
};

use self::{
    acknowledge::{Acknowledged, Acknowledgements},
    endpoint::Endpoint,
    media::Media,
    receive::Hearing,
    rest::{Problem, Rest},
};

/// What is left of an interaction token's 15 minutes when `Interaction::expires_at` is reached, in
/// milliseconds: enough to say where the message went.
const MARGIN_MS: i64 = 60_000;

/// Time from an interaction's arrival to [`Interaction::expires_at`], in milliseconds.
const LIVES_MS: i64 = interaction::TOKEN_LIFE_MS - MARGIN_MS;
/// Time in which an interaction is acknowledged or never, in milliseconds.
const ACKNOWLEDGED_MS: i64 = 3_000;
/// Looks for an acknowledgement that another process makes, and the time between two.
const LOOKS: u32 = 12;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A bot on Discord. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Discord {
    rest: Rest,
    media: Media,
    clock: Clock,
    hearing: Hearing,
    endpoint: Endpoint,
}

impl Discord {
    /// Prepares the clients; nothing is sent yet. Refuses settings that can never work.
    pub fn new(settings: &config::Discord, clock: Clock) -> Result<Discord, ChatError> {
        let rest = Rest::new(settings)?;
        Ok(Discord {
            media: Media::new(&settings.media_hosts)?,
            hearing: Hearing {
                rest: rest.clone(),
                clock: clock.clone(),
                acknowledgements: Acknowledgements::default(),
                part: Part::default(),
            },
            endpoint: Endpoint::default(),
            rest,
            clock,
        })
    }

    /// Asks Discord who the token belongs to and returns the bot's name.
    /// [`ChatError::Refused`] says that the token is wrong.
    pub async fn check(&self) -> Result<String, ChatError> {
        let bot: BotUser = self.rest.json(Route::UserMe, Get, None).await?;
        self.rest.application().await?;
        Ok(bot.username)
    }

    /// Whether interactions can be received from Discord.
    pub fn part(&self) -> &Part {
        &self.hearing.part
    }

    /// How many shards Discord recommends for this bot.
    pub async fn recommended_shards(&self) -> Result<u32, ChatError> {
        Ok(turns::ask(&self.rest).await?.shards.max(1))
    }

    /// Begins a session at the gateway and ends it again.
    ///
    /// # Errors
    /// [`ChatError::Refused`] when Discord never lets this bot in; else the cause that keeps it out now.
    pub async fn check_gateway(&self) -> Result<(), ChatError> {
        let gateway = turns::ask(&self.rest).await?;
        if gateway.session_start_limit.remaining == 0 {
            let wait = Duration::from_millis(gateway.session_start_limit.reset_after);
            return Err(ChatError::SlowDown(wait));
        }
        probe::identify(&gateway.url, self.rest.gateway_token(), gateway.shards.max(1)).await
    }

    /// Registers the commands, then delivers what people ask over the gateway until `stop`, as far as it comes on these
    /// `shards`.
    ///
    /// Reconnects by itself. Returns an error only when trying again cannot help: the token is wrong, or the number of
    /// shards.
    pub async fn run(&self, inbox: Inbox, shards: &Shards, stop: CancellationToken) -> Result<(), ChatError> {
        gateway::run(&self.hearing, shards, &inbox, &stop).await
    }

    /// Registers the commands, and has Discord bring what people ask to `url`, where every process that serves it hands
    /// it to [`Discord::receive`]. Returns at `stop`, once what was taken is stored.
    ///
    /// Trouble is waited out. Returns an error only when trying again cannot help: the token is wrong.
    pub async fn run_endpoint(&self, url: &Url, stop: &CancellationToken) -> Result<(), ChatError> {
        self.endpoint.run(&self.hearing, url, stop).await
    }

    /// Whether [`Discord::receive`] can take anything yet.
    pub fn is_open(&self) -> bool {
        self.endpoint.is_open()
    }

    /// Takes what was brought to the endpoint, with its headers `X-Signature-Ed25519` and `X-Signature-Timestamp`. What
    /// Discord signed is acknowledged and delivered after this has returned.
    pub fn receive(&self, signature: &str, timestamp: &str, body: &[u8], inbox: &Inbox) -> Answer {
        self.endpoint.receive(&self.hearing, (signature, timestamp), body, inbox)
    }

    /// Where Discord brings interactions; `None` while they come over the gateway.
    pub async fn endpoint(&self) -> Result<Option<String>, ChatError> {
        Ok(self.rest.application().await?.interactions_endpoint_url)
    }

    /// Sends a message and returns where it stands.
    ///
    /// While the interaction in `to` lives, this fills the answer that the person already waits for,
    /// which can be repeated safely. Later it is a message by the bot, which Discord drops when it
    /// saw the same `nonce` in the last minutes; where the bot may not write, a direct message.
    pub async fn say(
        &self,
        to: &Place,
        audience: Audience,
        message: &Message,
        nonce: Option<&str>,
    ) -> Result<MessageRef, ChatError> {
        let body = render::body(message);
        if let Some(interaction) = self.live(to) {
            match self.answer_once_acknowledged(interaction, audience, &body).await {
                Err(problem) if problem.is_gone() => {}
                answered => return Ok(answered?),
            }
        }
        if audience == Audience::Asker && !to.private {
            return self.tell(&to.person, body, nonce).await;
        }
        match self.post(&to.chat, body.clone(), nonce).await {
            Err(problem) if !to.private && (problem.is_forbidden() || problem.is_gone()) => {
                self.tell(&to.person, body, nonce).await
            }
            posted => Ok(posted?),
        }
    }

    /// Replaces a message of ours.
    ///
    /// Where the bot may not write, only the interaction token can edit; shortly before that dies, the
    /// message moves to a direct message, and the returned reference names the new one.
    pub async fn edit(
        &self,
        place: &Place,
        at: &MessageRef,
        message: &Message,
    ) -> Result<MessageRef, ChatError> {
        let body = render::body(message);
        let direct = place.private || at.chat != place.chat;
        let by_bot = direct
            || place
                .interaction
                .as_ref()
                .is_none_or(|interaction| interaction.bot_may_write && !interaction.ephemeral);
        let live = self.live(place);
        if by_bot {
            let channel_id = id::<ChannelId>(&at.chat)?;
            let message_id = id::<MessageId>(&at.message)?;
            let route = Route::ChannelMessage { channel_id, message_id };
            match self.message(route, Patch, &body).await {
                // To the bot itself, an ephemeral message does not exist.
                Err(problem) if live.is_some() && (problem.is_gone() || problem.is_forbidden()) => {}
                Err(problem) if !direct && problem.is_forbidden() => {}
                edited => return Ok(edited?),
            }
        }
        if let Some(interaction) = live {
            match self.edit_by_token(interaction, at, &body).await {
                Err(problem) if problem.is_dead_token() => {}
                edited => return Ok(edited?),
            }
        }
        self.move_to_direct(place, at, body).await
    }

    /// See [`Chats::is_member`](super::Chats::is_member). The bot must be in the server itself.
    pub async fn is_member(&self, person: &str, server: &Group, via: &Group) -> Result<bool, ChatError> {
        let Group::DiscordServer(server) = server else {
            return Err(ChatError::Refused("not a server of Discord".to_owned()));
        };
        let unreadable = |_| ChatError::Refused("not an id of Discord".to_owned());
        let route = Route::GuildMember {
            guild_id: server.parse().map_err(unreadable)?,
            user_id: person.parse().map_err(unreadable)?,
        };
        match self.rest.json::<rest::Member>(route, LightMethod::Get, None).await {
            Ok(member) => Ok(match via {
                Group::DiscordRole(role) => member.roles.contains(role),
                _ => true,
            }),
            Err(problem) if problem.is_no_member() => Ok(false),
            Err(problem) => Err(problem.into()),
        }
    }

    /// Fetches an attachment, from Discord's media hosts only. Its address is signed for a day; a post may wait longer
    /// for its turn, and then a new one is asked for.
    pub async fn fetch(&self, file: &Attachment) -> Result<Download, ChatError> {
        match self.media.fetch(&file.source).await {
            Err(ChatError::Gone(_) | ChatError::Forbidden(_)) => {}
            fetched => return fetched,
        }
        let fresh = self.rest.refreshed(&file.source).await?;
        // Refused although its signature is new: that is not about the file.
        self.media.fetch(&fresh).await.map_err(|error| match error {
            ChatError::Forbidden(why) => ChatError::Trouble(why),
            error => error,
        })
    }

    fn live<'a>(&self, place: &'a Place) -> Option<&'a Interaction> {
        place.interaction.as_ref().filter(|interaction| self.clock.now_ms() < interaction.expires_at)
    }

    /// Answers by the interaction token, which Discord does not know before the acknowledgement.
    async fn answer_once_acknowledged(
        &self,
        interaction: &Interaction,
        audience: Audience,
        body: &Value,
    ) -> Result<MessageRef, Problem> {
        let due = self.hearing.acknowledgements.of(rest::token(interaction));
        if let Some(due) = due {
            if let Some(Acknowledged::Now { ephemeral: true }) = due.make(audience).await {
                let ephemeral = Interaction { ephemeral: true, ..interaction.clone() };
                return self.answer(&ephemeral, audience, body).await;
            }
            return self.answer(interaction, audience, body).await;
        }
        // Another process may have stored the post a moment ago and be about to acknowledge it.
        let mut looks = 0;
        loop {
            match self.answer(interaction, audience, body).await {
                Err(problem) if problem.is_dead_token() && looks < LOOKS && self.is_new(interaction) => {
                    looks += 1;
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                answered => return answered,
            }
        }
    }

    /// True while an interaction may not be acknowledged yet.
    fn is_new(&self, interaction: &Interaction) -> bool {
        let came_at = interaction.expires_at.saturating_sub(LIVES_MS);
        self.clock.now_ms() < came_at.saturating_add(ACKNOWLEDGED_MS)
    }

    /// Answers by the interaction token.
    async fn answer(
        &self,
        interaction: &Interaction,
        audience: Audience,
        body: &Value,
    ) -> Result<MessageRef, Problem> {
        let application_id = id::<ApplicationId>(&interaction.application)?;
        let token = rest::token(interaction);
        let original = Route::WebhookOriginalInteractionResponse { application_id, token };
        if interaction.ephemeral || audience == Audience::Everyone {
            return self.message(original, Patch, body).await;
        }
        // The first follow-up takes the place of a deferred answer and is as public as that is:
        // a private one must find the place empty.
        let standing: Result<StandingMessage, Problem> = self.rest.json(original, Get, None).await;
        match standing {
            Ok(message) if message.flags & StandingMessage::LOADING != 0 => {
                self.rest.send(original, Delete, None).await?;
            }
            Ok(_) => {}
            Err(problem) if problem.is_gone() && !problem.is_dead_token() => {}
            Err(problem) => return Err(problem),
        }
        let mut body = body.clone();
        body["flags"] = json!(render::SUPPRESS_EMBEDS | render::EPHEMERAL);
        let follow_up = Route::WebhookFollowupMessages { application_id, token };
        self.message(follow_up, Post, &body).await
    }

    async fn edit_by_token(
        &self,
        interaction: &Interaction,
        at: &MessageRef,
        body: &Value,
    ) -> Result<MessageRef, Problem> {
        let route = Route::WebhookFollowupMessage {
            application_id: id(&interaction.application)?,
            token: rest::token(interaction),
            message_id: id(&at.message)?,
        };
        self.message(route, Patch, body).await
    }

    async fn move_to_direct(
        &self,
        place: &Place,
        at: &MessageRef,
        body: Value,
    ) -> Result<MessageRef, ChatError> {
        let nonce = format!("move:{}", at.message);
        let moved = self.tell(&place.person, body, Some(&nonce)).await?;
        let token_lives = |interaction: &&Interaction| {
            self.clock.now_ms() < interaction.expires_at.saturating_add(MARGIN_MS)
        };
        if let Some(interaction) = place.interaction.as_ref().filter(token_lives) {
            let closing = render::body(&words::moved());
            if let Err(problem) = self.edit_by_token(interaction, at, &closing).await {
                tracing::debug!(message = at.message, %problem, "could not close a moved message");
            }
        }
        Ok(moved)
    }

    /// Sends a direct message.
    async fn tell(&self, person: &str, body: Value, nonce: Option<&str>) -> Result<MessageRef, ChatError> {
        let recipient = json!({ "recipient_id": person });
        let channel: Channel = self.rest.json(Route::UserMeDmChannels, Post, Some(&recipient)).await?;
        Ok(self.post(&channel.id, body, nonce).await?)
    }

    /// Writes into a channel as the bot.
    async fn post(&self, channel: &str, mut body: Value, nonce: Option<&str>) -> Result<MessageRef, Problem> {
        let channel_id = id(channel)?;
        if let Some(nonce) = nonce {
            body["nonce"] = json!(render::nonce(nonce));
            body["enforce_nonce"] = json!(true);
        }
        self.message(Route::ChannelMessages { channel_id }, Post, &body).await
    }

    /// Sends a request whose answer is a message.
    async fn message(
        &self,
        route: Route<'_>,
        method: serenity::http::LightMethod,
        body: &Value,
    ) -> Result<MessageRef, Problem> {
        let standing: StandingMessage = self.rest.json(route, method, Some(body)).await?;
        Ok(MessageRef { chat: standing.channel_id, message: standing.id })
    }
}

/// Reads a stored snowflake.
fn id<T: From<NonZeroU64>>(text: &str) -> Result<T, Problem> {
    NonZeroU64::from_str(text)
        .map(T::from)
        .map_err(|_| Problem::Refused("that is not a Discord id".to_owned()))
}

#[derive(serde::Deserialize)]
struct BotUser {
    username: String,
}

#[derive(serde::Deserialize)]
struct Channel {
    id: String,
}

#[derive(serde::Deserialize)]
struct StandingMessage {
    id: String,
    channel_id: String,
    #[serde(default)]
    flags: u64,
}

impl StandingMessage {
    /// The bot "is thinking": deferred and not answered yet (message flag in Discord's documentation).
    const LOADING: u64 = 1 << 7;
}

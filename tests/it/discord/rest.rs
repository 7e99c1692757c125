//! The stand-in's REST API and media host.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State as Extract,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    State, TOKEN, checks, endpoint,
    world::{APPLICATION, BOT, EPHEMERAL, File, GUILD, LOADING, ROLE, World, user_json},
};

const SUPPRESS_EMBEDS: u64 = 1 << 2;
const TOKEN_LIFE_MS: i64 = 15 * 60 * 1000;
/// How long a nonce is remembered.
const NONCE_LIFE_MS: i64 = 5 * 60 * 1000;

/// Status, JSON error code, message.
type Refusal = (u16, u64, String);

pub(super) async fn answer(
    Extract(state): Extract<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_file = state.world().files.contains_key(uri.path());
    if !introduced(&headers) {
        let path = uri.path();
        state.world().refusals.push(format!("{method} {path}: no User-Agent of a bot"));
        return match is_file {
            true => (StatusCode::FORBIDDEN, "error code: 1010").into_response(),
            false => {
                let refusal = json!({ "code": 40333, "message": "internal network error" });
                (StatusCode::FORBIDDEN, axum::Json(refusal)).into_response()
            }
        };
    }
    if let Some(file) = state.world().files.get(uri.path()).cloned() {
        let expiry = uri.query().and_then(|query| query.strip_prefix("ex=")?.split('&').next());
        let expires = expiry.and_then(|hex| i64::from_str_radix(hex, 16).ok());
        let lives = expires.is_some_and(|at| state.clock.now_ms() / 1_000 < at);
        return if lives { serve_file(file) } else { StatusCode::NOT_FOUND.into_response() };
    }
    let path = uri.path().trim_start_matches("/api/v10").to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if method == Method::PATCH
        && path == "/applications/@me"
        && let Some(url) = body["interactions_endpoint_url"].as_str()
        && let Err(why) = endpoint::probe(&state, url).await
    {
        let invalid = json!({ "interactions_endpoint_url": { "_errors": [{ "message": why }] } });
        let refusal = json!({ "code": 50035, "message": "Invalid Form Body", "errors": invalid });
        return (StatusCode::BAD_REQUEST, axum::Json(refusal)).into_response();
    }
    let mut world = state.world();
    world.requests.push((state.clock.now_ms(), format!("{method} {path}")));
    let fault = world.fault(method.as_str(), &path);
    let response = match fault {
        Some(fault) if !fault.done => (fault.status, fault.body),
        fault => {
            let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
            let mut call = Call {
                now_ms: state.clock.now_ms(),
                gateway_url: &state.gateway_url,
                authorized: headers
                    .get(header::AUTHORIZATION)
                    .is_some_and(|value| value.as_bytes() == format!("Bot {TOKEN}").as_bytes()),
                world: &mut world,
                body: &body,
            };
            let true_answer = call.handle(method.as_str(), &parts);
            match (fault, true_answer) {
                (Some(fault), _) => (fault.status, fault.body),
                (None, Ok(answer)) => answer,
                (None, Err((status, code, message))) => {
                    if status == 400 && code != ALREADY_ACKNOWLEDGED {
                        world.refusals.push(format!("{method} {path}: {message}"));
                    }
                    (status, json!({ "code": code, "message": message }))
                }
            }
        }
    };
    drop(world);
    state.changed();
    let (status, body) = response;
    let status = StatusCode::from_u16(status).expect("a status");
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    match body {
        // Not Discord's own answer, but that of something in front of it.
        Value::String(page) => (status, page).into_response(),
        body => (status, axum::Json(body)).into_response(),
    }
}

/// Whether a request names its bot as Discord asks: `DiscordBot (URL, VERSION)`.
fn introduced(headers: &HeaderMap) -> bool {
    let name = headers.get(header::USER_AGENT).and_then(|name| name.to_str().ok());
    let inside = name.and_then(|name| name.strip_prefix("DiscordBot (")?.split_once(')'));
    inside.and_then(|(inside, _)| inside.split_once(", ")).is_some_and(|(url, version)| {
        url.starts_with("https://") && version.starts_with(|c: char| c.is_ascii_digit())
    })
}

const ALREADY_ACKNOWLEDGED: u64 = 40060;

struct Call<'a> {
    now_ms: i64,
    gateway_url: &'a str,
    authorized: bool,
    world: &'a mut World,
    body: &'a Value,
}

impl Call<'_> {
    fn handle(&mut self, method: &str, parts: &[&str]) -> Result<(u16, Value), Refusal> {
        match (method, parts) {
            ("POST", ["interactions", id, token, "callback"]) => return self.callback(id, token),
            (_, ["webhooks", application, token, rest @ ..]) => {
                return self.webhook(method, application, token, rest);
            }
            _ if !self.authorized => return Err((401, 0, "401: Unauthorized".to_owned())),
            _ => {}
        }
        match (method, parts) {
            ("GET", ["users", "@me"]) => Ok((200, user_json(BOT, "toall", true))),
            ("GET", ["applications", "@me"]) => Ok((200, self.application())),
            ("PATCH", ["applications", "@me"]) => {
                self.world.endpoint = self.body["interactions_endpoint_url"].as_str().map(str::to_owned);
                Ok((200, self.application()))
            }
            ("GET", ["gateway"]) => Ok((200, json!({ "url": self.gateway_url }))),
            ("GET", ["gateway", "bot"]) => Ok((
                200,
                json!({
                    "url": self.world.gateway.address.as_deref().unwrap_or(self.gateway_url),
                    "shards": self.world.gateway.shards,
                    "session_start_limit": {
                        "total": 1000, "remaining": self.world.gateway.starts_left,
                        "reset_after": 40, "max_concurrency": self.world.gateway.concurrency,
                    },
                }),
            )),
            ("GET", ["guilds", guild, "members", user]) if *guild == GUILD.to_string() => {
                match self.world.members.get(&parse(user)) {
                    Some(None) => Err((404, 10007, "Unknown Member".to_owned())),
                    roles => {
                        let roles = roles.cloned().flatten().unwrap_or_else(|| vec![ROLE.to_string()]);
                        let user = user_json(parse(user), "somebody", false);
                        Ok((200, json!({ "user": user, "roles": roles, "deaf": false, "mute": false })))
                    }
                }
            }
            ("PUT", ["applications", id, "commands"]) if *id == APPLICATION.to_string() => {
                checks::commands(self.body).map_err(invalid)?;
                self.world.commands = self.body.as_array().cloned().unwrap_or_default();
                Ok((200, self.body.clone()))
            }
            ("POST", ["users", "@me", "channels"]) => {
                let user = parse(self.body["recipient_id"].as_str().unwrap_or_default());
                if !self.world.users.values().any(|known| *known == user) {
                    return Err((400, 50033, "Invalid Recipient(s)".to_owned()));
                }
                let id = self.world.direct_with(user);
                Ok((200, json!({ "id": id.to_string(), "type": 1 })))
            }
            ("POST", ["attachments", "refresh-urls"]) => {
                let original = self.body["attachment_urls"][0].as_str().unwrap_or_default();
                let bare = original.split('?').next().unwrap_or_default();
                let known = self.world.files.keys().any(|path| bare.ends_with(path));
                let refreshed = match known {
                    true => vec![json!({
                        "original": original,
                        "refreshed": signed(bare, self.now_ms),
                    })],
                    false => Vec::new(),
                };
                Ok((200, json!({ "refreshed_urls": refreshed })))
            }
            ("POST", ["channels", channel, "messages"]) => self.create(parse(channel)),
            (_, ["channels", channel, "messages", id]) => {
                self.check_channel(parse(channel))?;
                let id = parse(id);
                let posted = self.world.messages.get(&id);
                if posted.is_none_or(|it| it.channel != parse(channel) || it.ephemeral_for.is_some()) {
                    return Err(unknown_message());
                }
                self.on_message(method, id)
            }
            _ => Err((404, 0, "404: Not Found".to_owned())),
        }
    }

    fn application(&self) -> Value {
        json!({
            "id": APPLICATION.to_string(), "name": "toall", "verify_key": endpoint::verify_key(),
            "interactions_endpoint_url": self.world.endpoint,
        })
    }

    fn callback(&mut self, id: &str, token: &str) -> Result<(u16, Value), Refusal> {
        let id = parse(id);
        let known = self.world.interactions.get(&id);
        let Some(interaction) = known.filter(|interaction| interaction.token == token) else {
            return Err((404, 10062, "Unknown interaction".to_owned()));
        };
        if interaction.acknowledged.is_some() {
            let message = "Interaction has already been acknowledged.".to_owned();
            return Err((400, ALREADY_ACKNOWLEDGED, message));
        }
        if interaction.sent.elapsed().as_secs() >= 3 {
            return Err((404, 10062, "Unknown interaction".to_owned()));
        }
        let kind = self.body["type"].as_u64().unwrap_or(0);
        let data = &self.body["data"];
        match kind {
            4 => checks::message(data, SUPPRESS_EMBEDS | EPHEMERAL).map_err(invalid)?,
            5 | 6 => {}
            9 => checks::form(data).map_err(invalid)?,
            _ => return Err(invalid(format!("callback type {kind}"))),
        }
        let flags = data["flags"].as_u64().unwrap_or(0) & EPHEMERAL;
        if kind == 4 {
            let (channel, user) = (interaction.channel, interaction.user);
            let id = self.world.write(channel, flags, Some(user));
            if let Some(posted) = self.world.messages.get_mut(&id) {
                posted.apply(data);
            }
        }
        if kind == 9
            && let Some(interaction) = self.world.interactions.get_mut(&id)
        {
            interaction.form = Some(data.clone());
        }
        self.world.acknowledge(id, kind, flags);
        Ok((204, Value::Null))
    }

    fn webhook(
        &mut self,
        method: &str,
        application: &str,
        token: &str,
        rest: &[&str],
    ) -> Result<(u16, Value), Refusal> {
        let mut interactions = self.world.interactions.values();
        let Some(interaction) = interactions
            .find(|interaction| interaction.token == token)
            .filter(|_| application == APPLICATION.to_string())
        else {
            return Err((404, 10015, "Unknown Webhook".to_owned()));
        };
        if self.now_ms - interaction.at_ms >= TOKEN_LIFE_MS {
            return Err((401, 50027, "Invalid Webhook Token".to_owned()));
        }
        if interaction.acknowledged.is_none() {
            return Err((404, 10015, "Unknown Webhook".to_owned()));
        }
        let (channel, user) = (interaction.channel, interaction.user);
        let original = interaction.original;
        match rest {
            [] => {
                checks::message(self.body, SUPPRESS_EMBEDS | EPHEMERAL).map_err(invalid)?;
                // The first follow-up fills a deferred answer, whatever its flags say.
                let waiting = original.filter(|id| self.is_thinking(*id));
                let flags = self.body["flags"].as_u64().unwrap_or(0);
                let id = waiting.unwrap_or_else(|| self.world.write(channel, flags, Some(user)));
                self.replace(id);
                Ok((200, self.world.messages[&id].json()))
            }
            ["messages", id] => {
                let id = match *id {
                    "@original" => original.ok_or_else(unknown_message)?,
                    id => parse(id),
                };
                self.on_message(method, id)
            }
            _ => Err((404, 0, "404: Not Found".to_owned())),
        }
    }

    fn on_message(&mut self, method: &str, id: u64) -> Result<(u16, Value), Refusal> {
        if !self.world.messages.contains_key(&id) {
            return Err(unknown_message());
        }
        match method {
            "GET" => {}
            "DELETE" => {
                self.world.messages.remove(&id);
                return Ok((204, Value::Null));
            }
            "PATCH" => {
                checks::message(self.body, SUPPRESS_EMBEDS).map_err(invalid)?;
                if !self.is_thinking(id)
                    && let Some(posted) = self.world.messages.get_mut(&id)
                {
                    posted.edits += 1;
                }
                self.replace(id);
            }
            _ => return Err((405, 0, "405: Method Not Allowed".to_owned())),
        }
        Ok((200, self.world.messages[&id].json()))
    }

    fn create(&mut self, channel: u64) -> Result<(u16, Value), Refusal> {
        self.check_channel(channel)?;
        checks::message(self.body, SUPPRESS_EMBEDS).map_err(invalid)?;
        let nonce = self.body["nonce"].as_str().map(str::to_owned);
        if let (Some(nonce), true) = (&nonce, self.body["enforce_nonce"] == true) {
            let twin = self.world.nonces.get(nonce).filter(|(at, _)| self.now_ms - at < NONCE_LIFE_MS);
            if let Some((_, twin)) = twin {
                return Ok((200, twin.json()));
            }
        }
        let id = self.world.write(channel, 0, None);
        self.replace(id);
        if let (Some(nonce), Some(posted)) = (nonce, self.world.messages.get(&id)) {
            self.world.nonces.insert(nonce, (self.now_ms, posted.clone()));
        }
        Ok((200, self.world.messages[&id].json()))
    }

    fn check_channel(&self, channel: u64) -> Result<(), Refusal> {
        match self.world.channels.get(&channel) {
            None => Err((404, 10003, "Unknown Channel".to_owned())),
            Some(channel) if channel.bot_may_write => Ok(()),
            Some(channel) if channel.direct_with.is_some() => {
                Err((403, 50007, "Cannot send messages to this user".to_owned()))
            }
            Some(_) => Err((403, 50001, "Missing Access".to_owned())),
        }
    }

    fn is_thinking(&self, id: u64) -> bool {
        let posted = self.world.messages.get(&id);
        posted.is_some_and(|posted| posted.flags & LOADING != 0)
    }

    fn replace(&mut self, id: u64) {
        if let Some(posted) = self.world.messages.get_mut(&id) {
            posted.apply(self.body);
        }
    }
}

impl World {
    fn fault(&mut self, method: &str, path: &str) -> Option<super::Fault> {
        let fault = self
            .faults
            .iter_mut()
            .find(|fault| fault.times > 0 && fault.on.0 == method && path.contains(fault.on.1))?;
        fault.times -= 1;
        Some(fault.clone())
    }
}

fn invalid(message: String) -> Refusal {
    (400, 50035, message)
}

fn unknown_message() -> Refusal {
    (404, 10008, "Unknown Message".to_owned())
}

/// Ids that are none become 0, which nothing has.
fn parse(id: &str) -> u64 {
    id.parse().unwrap_or(0)
}

/// An attachment's address, signed for a day.
pub(super) fn signed(url: &str, now_ms: i64) -> String {
    format!("{url}?ex={:x}&is=2&hm=3", now_ms / 1_000 + 86_400)
}

fn serve_file(file: File) -> Response {
    let half = |bytes: &Bytes| bytes.slice(..bytes.len() / 2);
    let with_length =
        |bytes: &Bytes, body: Body| ([(header::CONTENT_LENGTH, bytes.len())], body).into_response();
    match &file {
        File::Bytes(bytes) => with_length(bytes, Body::from(bytes.clone())),
        File::Stalls(bytes) => {
            let start = stream::iter([Ok::<_, std::io::Error>(half(bytes))]);
            with_length(bytes, Body::from_stream(start.chain(stream::pending())))
        }
        File::Breaks(bytes) => {
            let end = Err(std::io::Error::other("ordered to break"));
            with_length(bytes, Body::from_stream(stream::iter([Ok(half(bytes)), end])))
        }
        File::Redirects(to) => (StatusCode::FOUND, [(header::LOCATION, to.clone())]).into_response(),
        File::Status(status) => StatusCode::from_u16(*status).expect("a status").into_response(),
    }
}

//! What the stand-in remembers.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{DIRECT, endpoint::Brought, gateway::Gateway};

pub const APPLICATION: u64 = 900_000_000_000_000_001;
pub const BOT: u64 = 900_000_000_000_000_002;
/// The server that every channel is on.
pub const GUILD: u64 = 900_000_000_000_000_003;
/// The role that everybody there has.
pub const ROLE: u64 = 900_000_000_000_000_004;

/// Message flags.
pub const LOADING: u64 = 1 << 7;
pub const EPHEMERAL: u64 = 1 << 6;

#[derive(Debug, Default)]
pub struct World {
    /// Roles of users in the server now: nobody's where they left. Others have [`ROLE`].
    pub members: HashMap<u64, Option<Vec<String>>>,
    last_id: u64,
    pub users: BTreeMap<String, u64>,
    /// Users who may manage messages.
    pub moderators: Vec<u64>,
    pub channels: BTreeMap<u64, Channel>,
    pub messages: BTreeMap<u64, Posted>,
    pub interactions: BTreeMap<u64, Interaction>,
    /// The global commands as last registered.
    pub commands: Vec<Value>,
    pub files: HashMap<String, File>,
    /// Every request, as `METHOD /path`, and when it came.
    pub requests: Vec<(i64, String)>,
    /// Messages that were sent with a nonce, and when; Discord knows them even if they were deleted since.
    pub nonces: HashMap<String, (i64, Posted)>,
    /// Every request refused because of what it said; an honest client causes none.
    pub refusals: Vec<String>,
    pub faults: Vec<Fault>,
    pub gateway: Gateway,
    /// Where interactions are brought instead of over the gateway.
    pub endpoint: Option<String>,
    /// Every interaction that was brought there.
    pub brought: Vec<Brought>,
}

#[derive(Clone, Debug)]
pub struct Channel {
    pub name: String,
    pub bot_may_write: bool,
    pub thread: bool,
    pub direct_with: Option<u64>,
}

/// A message of the bot's.
#[derive(Clone, Debug)]
pub struct Posted {
    pub id: u64,
    pub channel: u64,
    /// As sent, with escapes.
    pub content: String,
    pub flags: u64,
    pub components: Vec<Value>,
    pub ephemeral_for: Option<u64>,
    pub edits: u32,
}

#[derive(Debug)]
pub struct Interaction {
    pub user: u64,
    pub channel: u64,
    pub token: String,
    pub at_ms: i64,
    pub sent: Instant,
    /// Callback type and flags, and how long it took.
    pub acknowledged: Option<(u64, u64, Duration)>,
    /// The form that was opened.
    pub form: Option<Value>,
    /// The message that `@original` means.
    pub original: Option<u64>,
    pressed: Option<u64>,
}

/// An answer to order, instead of the true one.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `METHOD` and a part of the path.
    pub on: (&'static str, &'static str),
    pub times: u32,
    pub status: u16,
    pub body: Value,
    /// Whether the request is carried out before it is answered so.
    pub done: bool,
}

/// How a path on the media host answers.
#[derive(Clone, Debug)]
pub enum File {
    Bytes(Bytes),
    /// Half of the bytes, then silence.
    Stalls(Bytes),
    /// Half of the bytes, then the connection drops.
    Breaks(Bytes),
    Redirects(String),
    Status(u16),
}

impl File {
    pub fn size(&self) -> usize {
        match self {
            File::Bytes(bytes) | File::Stalls(bytes) | File::Breaks(bytes) => bytes.len(),
            File::Redirects(_) | File::Status(_) => 1,
        }
    }
}

impl World {
    /// Whether the bot can be reached by whichever door it has.
    pub fn online(&self) -> Option<()> {
        (self.gateway.is_heard() || self.endpoint.is_some()).then_some(())
    }

    pub fn snowflake(&mut self) -> u64 {
        self.last_id += 1;
        1_000_000_000_000_000_000 + self.last_id
    }

    /// The id of a user, who exists from now on.
    pub fn user(&mut self, name: &str) -> u64 {
        if let Some(id) = self.users.get(name) {
            return *id;
        }
        let id = self.snowflake();
        self.users.insert(name.to_owned(), id);
        id
    }

    /// The id of a channel, which exists from now on.
    pub fn channel(&mut self, name: &str) -> u64 {
        let known = self.channels.iter().find(|(_, known)| known.name == name);
        if let Some((id, _)) = known {
            return *id;
        }
        let id = self.snowflake();
        let channel =
            Channel { name: name.to_owned(), bot_may_write: true, thread: false, direct_with: None };
        self.channels.insert(id, channel);
        id
    }

    /// The id of the direct channel with a user.
    pub fn direct(&mut self, user: &str) -> u64 {
        let with = self.user(user);
        self.direct_with(with)
    }

    pub fn direct_with(&mut self, user: u64) -> u64 {
        let id = self.channel(&format!("{DIRECT}:{user}"));
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.direct_with = Some(user);
        }
        id
    }

    /// Makes a channel where the bot may, or may not, write from now on.
    pub fn let_bot_write(&mut self, channel: &str, allowed: bool) {
        let id = self.channel(channel);
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.bot_may_write = allowed;
        }
    }

    /// An option of a slash command as a client sends it: of the type that was registered, and of its choices.
    pub fn option(&self, command: &str, name: &str, value: &str) -> Value {
        let named = |list: &[Value], name: &str| list.iter().find(|it| it["name"] == name).cloned();
        let command = named(&self.commands, command).expect("no such command");
        let options = command["options"].as_array().map_or(&[][..], Vec::as_slice);
        let option = named(options, name).unwrap_or_else(|| panic!("no option {name} in {command}"));
        let choices = option["choices"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(choices.is_empty() || choices.iter().any(|choice| choice["value"] == value), "{option}");
        match option["type"].as_u64() {
            Some(5) => json!({ "name": name, "type": 5, "value": value == "true" }),
            kind => json!({ "name": name, "type": kind, "value": value }),
        }
    }

    pub fn begin_interaction(
        &mut self,
        user: &str,
        channel: &str,
        at_ms: i64,
        sent: Instant,
        pressed: Option<u64>,
    ) -> u64 {
        let user_id = self.user(user);
        let channel = match channel {
            DIRECT => self.direct(user),
            name => self.channel(name),
        };
        let id = self.snowflake();
        let interaction = Interaction {
            user: user_id,
            channel,
            token: format!("interaction-token-{id}"),
            at_ms,
            sent,
            acknowledged: None,
            form: None,
            original: None,
            pressed,
        };
        self.interactions.insert(id, interaction);
        id
    }

    /// The `INTERACTION_CREATE` for an interaction.
    pub fn interaction_event(&self, id: u64, kind: u8, data: Value, message: Option<Value>) -> Value {
        let interaction = &self.interactions[&id];
        let channel = &self.channels[&interaction.channel];
        let name = self.users.iter().find(|(_, id)| **id == interaction.user);
        let user = user_json(interaction.user, name.map_or("?", |(name, _)| name), false);
        // VIEW_CHANNEL, and the permission to send in channels or in threads.
        let send = if channel.thread { 1_u64 << 38 } else { 1 << 11 };
        let permissions = (1 << 10) | if channel.bot_may_write { send } else { 0 };
        let kind_of_channel = match (channel.direct_with, channel.thread) {
            (Some(_), _) => 1,
            (None, true) => 11,
            (None, false) => 0,
        };
        let mut event = json!({
            "id": id.to_string(), "application_id": APPLICATION.to_string(), "type": kind,
            "data": data, "channel_id": interaction.channel.to_string(),
            "channel": { "id": interaction.channel.to_string(), "type": kind_of_channel },
            "token": interaction.token, "version": 1, "locale": "en-GB", "entitlements": [],
            "app_permissions": permissions.to_string(), "attachment_size_limit": 10_485_760,
            "authorizing_integration_owners": { "0": GUILD.to_string() },
        });
        if channel.direct_with.is_some() {
            event["user"] = user;
            event["context"] = json!(1);
            event["authorizing_integration_owners"] = json!({ "0": "0" });
        } else {
            event["member"] = json!({
                "user": user, "nick": "the one and only", "roles": [ROLE.to_string()], "joined_at": null,
                "deaf": false, "mute": false, "flags": 0,
                "permissions": (if self.moderators.contains(&interaction.user) { 1 << 13 } else { 0 }).to_string(),
            });
            event["guild_id"] = json!(GUILD.to_string());
            event["guild_locale"] = json!("en-GB");
            event["context"] = json!(0);
        }
        if let Some(message) = message {
            event["message"] = message;
        }
        event
    }

    /// Takes an acknowledgement: type 5 leaves a message that "is thinking", type 6 the pressed one.
    pub fn acknowledge(&mut self, id: u64, kind: u64, flags: u64) {
        let Some(interaction) = self.interactions.get(&id) else {
            return;
        };
        let (channel, user, pressed) = (interaction.channel, interaction.user, interaction.pressed);
        let took = interaction.sent.elapsed();
        let original = match kind {
            5 => Some(self.write(channel, LOADING | flags, Some(user))),
            _ => pressed,
        };
        if let Some(interaction) = self.interactions.get_mut(&id) {
            interaction.acknowledged = Some((kind, flags, took));
            interaction.original = original;
        }
    }

    /// When requests came whose method and path are like this, in Unix milliseconds.
    pub fn times(&self, method: &str, path: &str) -> Vec<i64> {
        let like = |said: &str| said.starts_with(method) && said.contains(path);
        self.requests.iter().filter(|(_, said)| like(said)).map(|(at, _)| *at).collect()
    }

    /// Somebody deletes a message.
    pub fn delete(&mut self, message: u64) {
        self.messages.remove(&message).expect("no such message");
    }

    /// Adds an empty message; `reader` matters if it is ephemeral.
    pub fn write(&mut self, channel: u64, flags: u64, reader: Option<u64>) -> u64 {
        let id = self.snowflake();
        let posted = Posted {
            id,
            channel,
            content: String::new(),
            flags,
            components: Vec::new(),
            ephemeral_for: reader.filter(|_| flags & EPHEMERAL != 0),
            edits: 0,
        };
        self.messages.insert(id, posted);
        id
    }
}

impl Posted {
    /// The text as people see it: escapes and link brackets are not shown.
    pub fn shown(&self) -> String {
        let mut shown = String::new();
        let mut rest = self.content.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\\' => shown.extend(rest.next()),
                '<' if rest.peek() == Some(&'h') => {
                    shown.extend(rest.by_ref().take_while(|c| *c != '>'));
                }
                c => shown.push(c),
            }
        }
        shown
    }

    pub fn buttons(&self) -> impl Iterator<Item = &Value> {
        self.components.iter().flat_map(|row| row["components"].as_array().into_iter().flatten())
    }

    /// The labels of the buttons, in order.
    pub fn labels(&self) -> Vec<&str> {
        self.buttons().filter_map(|b| b["label"].as_str()).collect()
    }

    /// Puts what a request body says in place of what was there.
    pub fn apply(&mut self, body: &Value) {
        if let Some(content) = body["content"].as_str() {
            self.content = content.to_owned();
        }
        if let Some(components) = body["components"].as_array() {
            self.components = components.clone();
        }
        let kept = self.flags & EPHEMERAL;
        self.flags = kept | (body["flags"].as_u64().unwrap_or(0) & !EPHEMERAL);
    }

    /// The message object of the API.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id.to_string(), "channel_id": self.channel.to_string(), "type": 0,
            "author": user_json(BOT, "toall", true), "content": self.content,
            "timestamp": "2026-01-01T00:00:00.000000+00:00", "edited_timestamp": null,
            "tts": false, "mention_everyone": false, "mentions": [], "mention_roles": [],
            "attachments": [], "embeds": [], "pinned": false, "flags": self.flags,
            "components": self.components,
        })
    }
}

pub fn user_json(id: u64, name: &str, bot: bool) -> Value {
    json!({
        "id": id.to_string(), "username": name, "discriminator": "0", "avatar": null,
        "global_name": format!("{name} of renown"), "bot": bot,
    })
}

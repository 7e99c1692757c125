//! A stand-in for Discord: REST, gateway and media host on loopback. It refuses what Discord refuses.

mod checks;
pub mod endpoint;
mod gateway;
mod rest;
mod world;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use toall::{clock::Clock, config};
use tokio::{net::TcpListener, sync::watch};

pub use self::world::{Fault, File, GUILD, Posted, ROLE, World};

/// The token of the only bot there is.
pub const TOKEN: &str = "MTIz.stand-in.token";

/// The channel name that means the direct channel between a user and the bot.
pub const DIRECT: &str = "@bot";

/// A condition that has not come true in this long is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running stand-in. Dropping it leaves its tasks to end with the runtime.
#[derive(Clone)]
pub struct Discord {
    address: String,
    state: Arc<State>,
}

pub(crate) struct State {
    clock: Clock,
    gateway_url: String,
    world: Mutex<World>,
    changes: watch::Sender<u64>,
}

impl State {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics while it holds the world")
    }

    /// Wakes everyone who waits for a condition.
    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl Discord {
    pub async fn start(clock: Clock) -> Discord {
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = rest.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            clock,
            gateway_url: format!("ws://{}", gateway.local_addr().unwrap()),
            world: Mutex::new(World::default()),
            changes: watch::Sender::new(0),
        });
        tokio::spawn(gateway::serve(gateway, state.clone()));
        let app = axum::Router::new().fallback(rest::answer).with_state(state.clone());
        tokio::spawn(async move { axum::serve(rest, app).await });
        Discord { address, state }
    }

    /// What makes an adapter talk to this stand-in.
    pub fn settings(&self) -> config::Discord {
        config::Discord {
            token: TOKEN.into(),
            api_url: format!("http://{}", self.address).parse().unwrap(),
            media_hosts: vec![self.address.clone()],
            mode: config::DiscordMode::Gateway,
        }
    }

    /// What the service stands at, to be read or changed.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.state.world()
    }

    /// Moves whenever the world may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.state.changes.subscribe()
    }

    /// Waits until `condition` finds something in the world.
    pub async fn wait_for<T>(&self, what: &str, mut condition: impl FnMut(&World) -> Option<T>) -> T {
        let mut changes = self.changes();
        let found = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = condition(&self.world()) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain for {what}; {:#?}", self.world()),
        }
    }

    /// A user sends a slash command. Returns the interaction's id.
    pub async fn slash(
        &self,
        user: &str,
        channel: &str,
        command: &str,
        options: &[(&str, &str)],
        attachment: Option<&Attached>,
    ) -> u64 {
        self.wait_for("the bot to be online", World::online).await;
        let mut given: Vec<Value> =
            options.iter().map(|(name, value)| self.world().option(command, name, value)).collect();
        let mut resolved = json!({});
        if let Some(file) = attachment {
            given.push(json!({ "name": "video", "type": 11, "value": file.id.to_string() }));
            resolved = json!({ "attachments": { file.id.to_string(): file.json() } });
        }
        let carol = self.world().user("carol");
        resolved["users"] = json!({ carol.to_string(): world::user_json(carol, "carol", false) });
        let id = self.world().snowflake().to_string();
        let data = json!({
            "id": id, "name": command, "type": 1, "options": given, "resolved": resolved,
        });
        self.interact(user, channel, 2, data, None).await
    }

    /// A user presses the button called `label`. Returns the interaction's id.
    pub async fn press(&self, user: &str, message: u64, label: &str) -> u64 {
        let (channel, custom_id, shown) = {
            let world = self.world();
            let posted = &world.messages[&message];
            let custom_id = posted
                .buttons()
                .find(|button| button["label"] == label)
                .unwrap_or_else(|| panic!("no button {label} under {posted:?}"))["custom_id"]
                .clone();
            let name = world.channels[&posted.channel].name.clone();
            (name, custom_id, posted.json())
        };
        let data = json!({ "custom_id": custom_id, "component_type": 2 });
        self.interact(user, &channel, 3, data, Some((message, shown))).await
    }

    /// A user chooses *Post to X* in the menu of a message of their own with these files. Returns the interaction's id.
    pub async fn choose(&self, user: &str, channel: &str, content: &str, files: &[&Attached]) -> u64 {
        self.choose_of(user, user, channel, content, files).await
    }

    /// The same of a message of `author`'s.
    pub async fn choose_of(
        &self,
        user: &str,
        author: &str,
        channel: &str,
        content: &str,
        files: &[&Attached],
    ) -> u64 {
        self.wait_for("the bot to be online", World::online).await;
        let (target, mut message) = {
            let mut world = self.world();
            assert!(world.commands.iter().any(|it| it["name"] == "Post to X" && it["type"] == 3));
            let (channel, id) = (world.channel(channel), world.user(author));
            let target = world.write(channel, 0, None);
            let mut message = world.messages.remove(&target).unwrap().json();
            message["author"] = world::user_json(id, author, false);
            let carol = world.user("carol");
            message["mentions"] = json!([world::user_json(carol, "carol", false)]);
            (target.to_string(), message)
        };
        message["content"] = json!(content);
        message["attachments"] = files.iter().map(|file| file.json()).collect();
        let data = json!({
            "id": target, "name": "Post to X", "type": 3, "target_id": target,
            "resolved": { "messages": { target: message } },
        });
        self.interact(user, channel, 2, data, None).await
    }

    /// A user sends the form that an interaction opened, with this text in its one field. Returns the new interaction's id.
    pub async fn submit(&self, user: &str, channel: &str, form: &Value, text: &str) -> u64 {
        let field = &form["components"][0]["components"][0];
        let data = json!({
            "custom_id": form["custom_id"],
            "components": [{ "type": 1, "components": [
                { "type": 4, "custom_id": field["custom_id"], "value": text },
            ] }],
        });
        self.interact(user, channel, 5, data, None).await
    }

    async fn interact(
        &self,
        user: &str,
        channel: &str,
        kind: u8,
        data: Value,
        message: Option<(u64, Value)>,
    ) -> u64 {
        self.wait_for("the bot to be online", World::online).await;
        let now_ms = self.state.clock.now_ms();
        let mut world = self.world();
        let (pressed, shown) = message.unzip();
        let id = world.begin_interaction(user, channel, now_ms, Instant::now(), pressed);
        let event = world.interaction_event(id, kind, data, shown);
        match world.endpoint.clone() {
            Some(url) => endpoint::bring(&self.state, url, &event),
            None => world.gateway.dispatch("INTERACTION_CREATE", event),
        }
        drop(world);
        self.state.changed();
        id
    }

    /// Puts a file on the media host, as if it had been attached to a command.
    pub fn attach(&self, name: &str, content_type: &str, file: File) -> Attached {
        let mut world = self.world();
        let id = world.snowflake();
        let path = format!("/attachments/{id}/{name}");
        let size = file.size();
        let url = rest::signed(&format!("http://{}{path}", self.address), self.state.clock.now_ms());
        world.files.insert(path, file);
        Attached { id, name: name.to_owned(), content_type: content_type.to_owned(), size, url }
    }

    /// What everyone in a channel sees, oldest first.
    pub fn messages(&self, channel: &str) -> Vec<Posted> {
        let mut world = self.world();
        let id = world.channel(channel);
        let seen = |posted: &&Posted| posted.channel == id && posted.ephemeral_for.is_none();
        world.messages.values().filter(seen).cloned().collect()
    }

    /// What only `user` sees, wherever it is.
    pub fn ephemeral(&self, user: &str) -> Vec<Posted> {
        let mut world = self.world();
        let id = Some(world.user(user));
        let seen = |posted: &&Posted| posted.ephemeral_for == id;
        world.messages.values().filter(seen).cloned().collect()
    }

    /// The direct messages between `user` and the bot.
    pub fn dms(&self, user: &str) -> Vec<Posted> {
        let mut world = self.world();
        let id = world.direct(user);
        let seen = |posted: &&Posted| posted.channel == id && posted.ephemeral_for.is_none();
        world.messages.values().filter(seen).cloned().collect()
    }
}

/// A file as a command names it.
#[derive(Clone, Debug)]
pub struct Attached {
    pub id: u64,
    pub name: String,
    pub content_type: String,
    pub size: usize,
    pub url: String,
}

impl Attached {
    fn json(&self) -> Value {
        json!({
            "id": self.id.to_string(), "filename": self.name, "size": self.size,
            "url": self.url, "proxy_url": self.url, "content_type": self.content_type,
        })
    }
}

impl From<&'static [u8]> for File {
    fn from(bytes: &'static [u8]) -> Self {
        File::Bytes(Bytes::from_static(bytes))
    }
}

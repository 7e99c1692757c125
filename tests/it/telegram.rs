//! A stand-in for Telegram: the Bot API over HTTP, and the people who use the bot.
//!
//! It refuses what Telegram refuses, in Telegram's words.

mod methods;
mod state;
mod webhook;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::{Value, json};
use toall::config;
use tokio::sync::watch;

pub use self::state::{Call, Fault, Hook, Shown};
use self::state::{Shared, State};

/// The bot's token. The stand-in knows no other.
pub const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
/// The bot's user name.
pub const BOT: &str = "ToallTestBot";
/// Real time after which a condition that does not come true fails the test.
const GUARD: Duration = Duration::from_secs(20);

/// A running stand-in. Clones are the same one.
#[derive(Clone)]
pub struct Telegram {
    shared: Arc<Shared>,
    address: SocketAddr,
}

/// A person with an account at Telegram.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub id: i64,
    pub name: &'static str,
}

pub const ALICE: User = User { id: 4201, name: "Alice" };
pub const BOB: User = User { id: 4202, name: "Bob" };

impl Telegram {
    /// Starts one that acts as Telegram's own servers do: files up to 20 MB, over HTTP.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// Starts one that acts as a local Bot API server: files of any size, by absolute paths under `dir`.
    pub async fn start_local(dir: PathBuf) -> Self {
        Self::serve(Some(dir)).await
    }

    async fn serve(local: Option<PathBuf>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(local));
        let router = axum::Router::new().fallback(methods::handle).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        tokio::spawn(webhook::bring(Arc::clone(&shared)));
        Telegram { shared, address }
    }

    /// What an operator would configure to use it.
    pub fn settings(&self) -> config::Telegram {
        config::Telegram {
            token: SecretString::from(TOKEN),
            api_url: format!("http://{}", self.address).parse().unwrap(),
            mode: config::TelegramMode::Polling,
        }
    }

    /// What `user` does in a private chat with the bot, which this opens.
    pub fn private(&self, user: User) -> Speaker {
        self.shared.change(|state| state.opened.insert(user.id));
        let chat = json!({"id": user.id, "type": "private", "first_name": user.name});
        self.speaker(user, user.id, chat)
    }

    /// What `user` does in a group that the bot is a member of. `group` is a positive number.
    pub fn group(&self, group: i64, user: User) -> Speaker {
        let id = -1_000_000_000_000 - group;
        let chat = json!({"id": id, "type": "supergroup", "title": "Surf club"});
        self.speaker(user, id, chat)
    }

    fn speaker(&self, user: User, id: i64, chat: Value) -> Speaker {
        self.shared.change(|state| {
            state.met.insert(user.id);
            state.chats.entry(id).or_default();
        });
        Speaker { telegram: self.clone(), user, chat, fields: json!({}) }
    }

    /// The messages of a chat as its members see them now, oldest first.
    pub fn messages(&self, chat: i64) -> Vec<Shown> {
        self.shared.read(|state| {
            let messages = state.chats.get(&chat).into_iter().flatten();
            messages.map(Shown::new).collect()
        })
    }

    /// What the bot said in a chat, oldest first.
    pub fn said(&self, chat: i64) -> Vec<Shown> {
        let mut messages = self.messages(chat);
        messages.retain(|message| message.by_bot);
        messages
    }

    /// How many updates were given to polls so far; one that is not confirmed counts each time.
    pub fn given(&self) -> usize {
        self.shared.read(|state| state.given)
    }

    /// Requests so far, oldest first.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.shared.read(|state| {
            let calls = state.calls.iter();
            let calls = calls.filter(|call| call.method.eq_ignore_ascii_case(method));
            calls.cloned().collect()
        })
    }

    /// Moves after every request and whatever people do.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Waits until `look` finds something, looking again after every request.
    pub async fn wait_for<T>(&self, mut look: impl FnMut(&Telegram) -> Option<T>) -> T {
        let mut changes = self.changes();
        let found = tokio::time::timeout(GUARD, async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look(self) {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("it did not happen; the chats: {:#?}", self.everything()),
        }
    }

    fn everything(&self) -> Vec<Shown> {
        self.shared.read(|state| state.chats.values().flatten().map(Shown::new).collect())
    }

    /// How many updates the bot has not confirmed yet.
    pub fn unconfirmed(&self) -> usize {
        self.shared.read(|state| state.updates.len())
    }

    /// Sends the last update once more, as after a crash.
    pub fn redeliver(&self) {
        self.shared.change(|state| {
            let last = state.last_update.clone().unwrap();
            state.push_update(last);
        });
    }

    /// Sends the bot an update as it stands, readable or not.
    pub fn send_update(&self, update: Value) {
        self.shared.change(|state| state.push_update(update));
    }

    /// Makes the next `method` (or `download`) end so; several queue up.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        self.shared.change(|state| {
            let faults = &mut state.faults;
            faults.push_back((method.to_lowercase(), fault));
        });
    }

    /// Enforces Telegram's limit of 30 messages a second for the whole bot from now on.
    pub fn enforce_limit(&self) {
        self.shared.change(|state| state.limit = Some(Default::default()));
    }

    /// How many messages were over the limit.
    pub fn over_limit(&self) -> usize {
        self.shared.read(|state| state.limit.as_ref().map_or(0, |(_, refused)| *refused))
    }

    /// Another program takes the webhook away.
    pub fn drop_webhook(&self) {
        self.shared.change(|state| state.webhook = None);
    }

    /// A webhook that somebody set earlier, which keeps polling from working.
    pub fn set_webhook(&self) {
        let hook = Hook { url: "http://127.0.0.1:1/".to_owned(), secret: String::new() };
        self.shared.change(|state| state.webhook = Some(hook));
    }

    /// The webhook that is set.
    pub fn webhook(&self) -> Option<Hook> {
        self.shared.read(|state| state.webhook.clone())
    }

    /// What became of each update that was brought: its number, and the status of the answer.
    pub fn brought(&self) -> Vec<(i64, u16)> {
        self.shared.read(|state| state.brought.clone())
    }

    /// The person blocks the bot.
    pub fn block(&self, user: User) {
        self.shared.change(|state| state.shut.insert(user.id));
    }

    /// The person lets the bot write again.
    pub fn unblock(&self, user: User) {
        self.shared.change(|state| state.shut.remove(&user.id));
    }

    /// The bot is removed from a chat.
    pub fn kick(&self, chat: i64) {
        self.shared.change(|state| state.shut.insert(chat));
    }

    /// A member leaves a group.
    pub fn leave(&self, chat: i64, user: User) {
        self.shared.change(|state| state.left.insert((chat, user.id)));
    }

    /// The group becomes a supergroup with another id.
    pub fn migrate(&self, from: i64, to: i64) {
        self.shared.change(|state| {
            state.moved.insert(from, to);
            state.chats.entry(to).or_default();
        });
    }

    /// Somebody deletes a message.
    pub fn delete(&self, chat: i64, message: i64) {
        self.shared.change(|state| {
            let messages = state.chats.get_mut(&chat).unwrap();
            messages.retain(|shown| shown["message_id"] != message);
        });
    }

    /// The service says of all its files that they are at this path.
    pub fn claim_path(&self, path: &str) {
        self.shared.change(|state| state.files.values_mut().for_each(|file| path.clone_into(&mut file.path)));
    }

    /// The ids of its files, oldest first.
    pub fn file_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.shared.read(|state| state.files.keys().cloned().collect());
        ids.sort();
        ids
    }

    /// The service forgets its files.
    pub fn forget_files(&self) {
        self.shared.change(|state| state.files.clear());
    }
}

/// A person in a chat.
#[derive(Clone)]
pub struct Speaker {
    telegram: Telegram,
    user: User,
    chat: Value,
    fields: Value,
}

impl Speaker {
    /// The id of the chat.
    pub fn chat(&self) -> i64 {
        self.chat["id"].as_i64().unwrap()
    }

    /// The same person, replying to a message of this chat.
    pub fn reply(mut self, message: i64) -> Self {
        let chat = self.chat();
        self.fields["reply_to_message"] = self.telegram.shared.read(|state| {
            let mut message = state.message(chat, message).unwrap().clone();
            message.as_object_mut().unwrap().remove("reply_to_message");
            message
        });
        self
    }

    /// The same person, in a forum topic.
    pub fn topic(mut self, topic: i64) -> Self {
        let chat = self.chat();
        self.telegram.shared.change(|state| state.topics.insert((chat, topic)));
        self.fields["message_thread_id"] = json!(topic);
        self.fields["is_topic_message"] = json!(true);
        self
    }

    /// Writes, and returns the message's id.
    pub fn text(&self, text: &str) -> i64 {
        self.send(json!({"text": text}))
    }

    /// Sends a video with a caption, and returns the message's id.
    pub fn video(&self, name: &str, bytes: impl Into<Bytes>, caption: &str) -> i64 {
        self.file("video", name, bytes, caption)
    }

    /// Sends a file of a kind by the Bot API's name for it: `video`, `document`, `animation`,
    /// `video_note`, `photo`, `voice`, `audio` or `sticker`.
    pub fn file(&self, kind: &str, name: &str, bytes: impl Into<Bytes>, caption: &str) -> i64 {
        let bytes = bytes.into();
        let mut file = json!({
            "file_id": "", "file_unique_id": "u", "file_size": bytes.len(), "file_name": name,
            "width": 1280, "height": 720, "length": 240, "duration": 1,
            "type": "regular", "is_animated": false, "is_video": false,
        });
        let id = self.telegram.shared.change(|state| state.keep(name, bytes));
        file["file_id"] = json!(id);
        let media = if kind == "photo" { json!([file]) } else { file };
        let mut message = json!({kind: media});
        if !caption.is_empty() {
            message["caption"] = json!(caption);
        }
        self.send(message)
    }

    /// Edits the caption of a message.
    pub fn edit(&self, message: i64, caption: &str) {
        self.telegram.shared.change(|state| {
            let edited = state.message_mut(self.chat(), message).unwrap();
            edited["caption"] = json!(caption);
            edited["edit_date"] = json!(1_767_323_046);
            let edited = edited.clone();
            state.push_update(json!({"edited_message": edited}));
        });
    }

    /// Sends files as an album, the caption under the first. Returns the ids of the messages. As from a phone, the bot may
    /// have the first before the second is there.
    pub fn album(&self, files: &[(&str, &str, Bytes)], caption: &str) -> Vec<i64> {
        let mut speaker = self.clone();
        speaker.fields["media_group_id"] = json!("album-1");
        let send = |(at, (kind, name, bytes)): (usize, &(&str, &str, Bytes))| {
            speaker.file(kind, name, bytes.clone(), if at == 0 { caption } else { "" })
        };
        files.iter().enumerate().map(send).collect()
    }

    /// Presses the button with `label` under a message. Panics if there is none to press.
    pub fn press(&self, message: i64, label: &str) {
        let chat = self.chat();
        self.telegram.shared.change(|state| {
            let message = state.message(chat, message).unwrap().clone();
            let shown = Shown::new(&message);
            let button = shown.buttons.iter().find(|button| button.label == label);
            let data = button.and_then(|button| button.data.clone());
            let data = data.unwrap_or_else(|| panic!("no button {label:?} on {shown:?}"));
            let query = json!({
                "id": state.next_query(), "from": self.sender(), "chat_instance": "1",
                "message": message, "data": data,
            });
            state.push_update(json!({"callback_query": query}));
        });
    }

    fn sender(&self) -> Value {
        json!({"id": self.user.id, "is_bot": false, "first_name": self.user.name})
    }

    fn send(&self, content: Value) -> i64 {
        let mut message = json!({"date": 1_767_323_045, "from": self.sender(), "chat": self.chat});
        for fields in [&self.fields, &content] {
            let fields = fields.as_object().unwrap().clone();
            message.as_object_mut().unwrap().extend(fields);
        }
        self.telegram.shared.change(|state: &mut State| {
            let id = state.add_message(self.chat(), &mut message);
            state.push_update(json!({"message": message}));
            id
        })
    }
}

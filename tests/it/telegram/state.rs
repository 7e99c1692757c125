//! What the stand-in remembers.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

/// The state, and a bell that rings whenever it may have changed.
pub struct Shared {
    state: Mutex<State>,
    pub changes: watch::Sender<u64>,
}

impl Shared {
    pub fn new(local: Option<PathBuf>) -> Self {
        Shared { state: Mutex::new(State { local, ..State::default() }), changes: watch::Sender::new(0) }
    }

    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let done = act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|count| *count += 1);
        done
    }
}

#[derive(Default)]
pub struct State {
    /// Where files are served from, if by path.
    pub local: Option<PathBuf>,
    /// Updates not confirmed yet, by their ids.
    pub updates: BTreeMap<i64, Value>,
    pub last_update: Option<Value>,
    /// How many updates polls were answered with, again and again.
    pub given: usize,
    pub chats: BTreeMap<i64, Vec<Value>>,
    /// People the bot shares a chat with.
    pub met: HashSet<i64>,
    /// People who opened a private chat with the bot.
    pub opened: HashSet<i64>,
    /// Chats that shut the bot out.
    pub shut: HashSet<i64>,
    /// Groups that became supergroups.
    pub moved: HashMap<i64, i64>,
    /// Members who left, by group.
    pub left: HashSet<(i64, i64)>,
    pub topics: HashSet<(i64, i64)>,
    pub files: HashMap<String, File>,
    pub faults: VecDeque<(String, Fault)>,
    /// Enforce the limit for the whole bot: when each message of the last second was taken, and how many were refused.
    pub limit: Option<(VecDeque<Instant>, usize)>,
    pub calls: Vec<Call>,
    pub webhook: Option<Hook>,
    /// What became of each update that was brought to the webhook: its number and the answer's status.
    pub brought: Vec<(i64, u16)>,
    /// Button presses that wait for their acknowledgement.
    pub queries: HashSet<String>,
    /// Counts polls: a newer one ends the older.
    pub poll: u64,
    last_id: i64,
}

pub struct File {
    pub path: String,
    pub bytes: Bytes,
}

/// Where updates are brought, as `setWebhook` was told.
#[derive(Clone, Debug)]
pub struct Hook {
    pub url: String,
    pub secret: String,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub body: Value,
}

/// How a request may go wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// 429 with so many seconds to wait.
    SlowDown(u32),
    /// A refusal with this code and description.
    Refuse(u16, &'static str),
    /// No answer, while the connection stays.
    Hang,
    /// 500 with a page instead of JSON.
    Broken,
    /// The connection breaks in the middle of the answer.
    Drop,
    /// This result, with so many bytes of blanks behind it.
    Long(Value, usize),
    /// A redirect to this address.
    Redirect(String),
}

impl State {
    /// Counts a message against the limit, 30 in a second; false when it is over.
    pub fn takes_message(&mut self) -> bool {
        let Some((taken, refused)) = &mut self.limit else { return true };
        let now = Instant::now();
        taken.retain(|at| now - *at < Duration::from_secs(1));
        if taken.len() < 30 {
            taken.push_back(now);
            return true;
        }
        *refused += 1;
        false
    }

    pub fn message(&self, chat: i64, id: i64) -> Option<&Value> {
        let mut messages = self.chats.get(&chat)?.iter();
        messages.find(|message| message["message_id"] == id)
    }

    pub fn message_mut(&mut self, chat: i64, id: i64) -> Option<&mut Value> {
        let mut messages = self.chats.get_mut(&chat)?.iter_mut();
        messages.find(|message| message["message_id"] == id)
    }

    pub fn add_message(&mut self, chat: i64, message: &mut Value) -> i64 {
        let id = self.next_id();
        message["message_id"] = json!(id);
        self.chats.entry(chat).or_default().push(message.clone());
        id
    }

    pub fn push_update(&mut self, mut update: Value) {
        let id = self.next_id();
        update["update_id"] = json!(id);
        self.updates.insert(id, update.clone());
        self.last_update = Some(update);
    }

    pub fn next_query(&mut self) -> String {
        let id = self.next_id().to_string();
        self.queries.insert(id.clone());
        id
    }

    /// Keeps a file and returns its id.
    pub fn keep(&mut self, name: &str, bytes: Bytes) -> String {
        let number = self.next_id();
        let (_, extension) = name.rsplit_once('.').unwrap_or(("", "bin"));
        let mut path = format!("videos/file_{number}.{extension}");
        if let Some(dir) = &self.local {
            // As the real one does: the folder is named by the token.
            let dir = dir.join(super::TOKEN);
            std::fs::create_dir_all(dir.join("videos")).unwrap();
            path = dir.join(&path).to_str().unwrap().to_owned();
            std::fs::write(&path, &bytes).unwrap();
        }
        let id = format!("file-{number}");
        self.files.insert(id.clone(), File { path, bytes });
        id
    }

    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }
}

/// A message as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub id: i64,
    pub text: String,
    pub by_bot: bool,
    pub reply_to: Option<i64>,
    pub topic: Option<i64>,
    pub buttons: Vec<ShownButton>,
    /// Pieces shown in a fixed-width font.
    pub code: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownButton {
    pub label: String,
    pub url: Option<String>,
    pub data: Option<String>,
}

impl Shown {
    pub fn new(message: &Value) -> Self {
        let words = message["text"].as_str().or(message["caption"].as_str());
        let text = words.unwrap_or_default().to_owned();
        let rows = message["reply_markup"]["inline_keyboard"].as_array();
        let buttons = rows.into_iter().flatten().filter_map(Value::as_array).flatten();
        let string = |value: &Value| value.as_str().map(str::to_owned);
        let entities = message["entities"].as_array().into_iter().flatten();
        let units: Vec<u16> = text.encode_utf16().collect();
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        Shown {
            id: message["message_id"].as_i64().unwrap(),
            by_bot: message["from"]["is_bot"] == true,
            reply_to: message["reply_to_message"]["message_id"].as_i64(),
            topic: message["message_thread_id"].as_i64(),
            buttons: buttons
                .map(|button| ShownButton {
                    label: string(&button["text"]).unwrap(),
                    url: string(&button["url"]),
                    data: string(&button["callback_data"]),
                })
                .collect(),
            code: entities
                .filter(|entity| entity["type"] == "code")
                .map(|entity| {
                    let start = number(&entity["offset"]);
                    String::from_utf16(&units[start..start + number(&entity["length"])]).unwrap()
                })
                .collect(),
            text,
        }
    }
}

//! The stand-in's gateway: one session for each shard, which can be dropped and resumed.

use std::{collections::BTreeMap, sync::Arc};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{
    State, TOKEN,
    world::{APPLICATION, BOT, user_json},
};

/// The bot's sessions, one for each shard, each connected or waiting to be resumed.
#[derive(Debug)]
pub struct Gateway {
    sessions: BTreeMap<u32, Session>,
    /// How many shards are recommended, and how many sessions may begin at a time and today.
    pub shards: u32,
    pub concurrency: u64,
    pub starts_left: u64,
    /// How often a session was begun, and resumed.
    pub identified: u32,
    pub resumed: u32,
    /// Each begun session's shard and number of shards, and when it began.
    pub begun: Vec<(u32, u32, i64)>,
    /// The shard of each that was resumed.
    pub went_on: Vec<u32>,
    /// So many identifications are taken and never answered.
    pub silent: u32,
    /// Closes with this code whoever identifies.
    pub refuses: Option<u16>,
    /// The address that REST names, in place of the true one.
    pub address: Option<String>,
}

impl Default for Gateway {
    fn default() -> Self {
        Gateway {
            sessions: BTreeMap::new(),
            shards: 1,
            concurrency: 1,
            starts_left: 999,
            identified: 0,
            resumed: 0,
            begun: Vec::new(),
            went_on: Vec::new(),
            silent: 0,
            refuses: None,
            address: None,
        }
    }
}

#[derive(Debug, Default)]
struct Session {
    /// Absent once it is forgotten.
    id: Option<String>,
    events: Vec<Value>,
    line: Option<mpsc::UnboundedSender<Line>>,
}

#[derive(Debug)]
enum Line {
    Send(Value),
    /// The connection breaks without a word.
    Break,
    /// The connection is closed with this code.
    Close(u16),
}

impl Session {
    fn say(&self, line: Line) {
        if let Some(to) = &self.line {
            // A broken line means that the event waits for the resume.
            let _ = to.send(line);
        }
    }

    fn dispatch(&mut self, name: &str, data: Value) {
        let event = json!({ "op": 0, "t": name, "s": self.events.len() + 1, "d": data });
        self.events.push(event.clone());
        self.say(Line::Send(event));
    }
}

impl Gateway {
    /// The id of the first shard's session, once there is one.
    pub fn session(&self) -> Option<String> {
        self.sessions.get(&0)?.id.clone()
    }

    /// Whether any shard has a session.
    pub fn is_heard(&self) -> bool {
        self.sessions.values().any(|session| session.id.is_some())
    }

    /// How many shards have a session that is connected.
    pub fn connected(&self) -> usize {
        let open = |session: &&Session| {
            session.id.is_some() && session.line.as_ref().is_some_and(|line| !line.is_closed())
        };
        self.sessions.values().filter(open).count()
    }

    fn of(&mut self, shard: u32) -> &mut Session {
        self.sessions.entry(shard).or_default()
    }

    /// Sends an event, or keeps it until the session is resumed. It goes to the shard that the event's server is on, by
    /// Discord's formula; what is direct to the first.
    pub fn dispatch(&mut self, name: &str, data: Value) {
        let shards = self.begun.last().map_or(1, |(_, total, _)| u64::from(*total));
        let server = data["guild_id"].as_str().and_then(|id| id.parse::<u64>().ok());
        let shard = server.map_or(0, |id| (id >> 22) % shards);
        self.of(u32::try_from(shard).unwrap()).dispatch(name, data);
    }

    /// Sends the last event once more, as a replay that the bot has already seen.
    pub fn repeat_last(&mut self) {
        let session = self.of(0);
        if let Some(event) = session.events.last().cloned() {
            session.say(Line::Send(event));
        }
    }

    /// Breaks the first shard's connection; the session stays to be resumed.
    pub fn break_connection(&mut self) {
        self.break_shard(0);
    }

    /// Breaks a shard's connection; the session stays to be resumed.
    pub fn break_shard(&mut self, shard: u32) {
        let session = self.of(shard);
        session.say(Line::Break);
        session.line = None;
    }

    /// Closes the first shard's connection with a code of Discord's; the session stays to be resumed.
    pub fn close(&mut self, code: u16) {
        let session = self.of(0);
        session.say(Line::Close(code));
        session.line = None;
    }

    /// Forgets the first shard's session and breaks the connection: a resume will be refused.
    pub fn forget_session(&mut self) {
        self.of(0).id = None;
        self.break_connection();
    }

    /// Asks the bot to reconnect, as Discord does before it restarts a node.
    pub fn ask_to_reconnect(&mut self) {
        self.of(0).say(Line::Send(json!({ "op": 7, "d": null })));
    }
}

pub(super) async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, state.clone()));
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let (line, mut lines) = mpsc::unbounded_channel();
    let hello = json!({ "op": 10, "d": { "heartbeat_interval": 41_250 } });
    if socket.send(Message::Text(hello.to_string())).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            next = lines.recv() => match next {
                Some(Line::Send(event)) => {
                    if socket.send(Message::Text(event.to_string())).await.is_err() {
                        return;
                    }
                }
                Some(Line::Close(code)) => {
                    let close = CloseFrame { code: CloseCode::from(code), reason: "ordered".into() };
                    let _ = socket.close(Some(close)).await;
                    return;
                }
                Some(Line::Break) | None => return,
            },
            heard = socket.next() => {
                let Some(Ok(Message::Text(text))) = heard else {
                    // A close frame, an error or the end: the bot has left.
                    let _ = socket.close(None).await;
                    return;
                };
                let said: Value = serde_json::from_str(&text).expect("the bot speaks JSON");
                if let Err(close) = hear(&said, &line, &state) {
                    let _ = socket.close(Some(close)).await;
                    return;
                }
                state.changed();
            }
        }
    }
}

fn hear(said: &Value, line: &mpsc::UnboundedSender<Line>, state: &State) -> Result<(), CloseFrame<'static>> {
    let mut world = state.world();
    let gateway = &mut world.gateway;
    let answer = |value: Value| {
        let _ = line.send(Line::Send(value));
    };
    let data = &said["d"];
    let authentic = || {
        let token = data["token"].as_str().unwrap_or_default();
        if token.trim_start_matches("Bot ") == TOKEN {
            return Ok(());
        }
        Err(CloseFrame { code: CloseCode::from(4004), reason: "Authentication failed.".into() })
    };
    match said["op"].as_u64() {
        Some(1) => answer(json!({ "op": 11 })),
        Some(2) => {
            authentic()?;
            if let Some(code) = gateway.refuses {
                return Err(CloseFrame { code: CloseCode::from(code), reason: "ordered".into() });
            }
            gateway.identified += 1;
            if gateway.silent > 0 {
                gateway.silent -= 1;
                return Ok(());
            }
            let part = |at: usize| u32::try_from(data["shard"][at].as_u64().unwrap()).unwrap();
            let (shard, total) = (part(0), part(1));
            if total < gateway.shards {
                return Err(CloseFrame { code: CloseCode::from(4011), reason: "Sharding required.".into() });
            }
            gateway.begun.push((shard, total, state.clock.now_ms()));
            let id = format!("session-{}", gateway.identified);
            let session = gateway.of(shard);
            *session = Session { id: Some(id.clone()), events: Vec::new(), line: Some(line.clone()) };
            session.dispatch(
                "READY",
                json!({
                    "v": 10, "user": user_json(BOT, "toall", true), "guilds": [],
                    "session_id": id, "resume_gateway_url": "ws://127.0.0.1:1",
                    "shard": data["shard"],
                    "application": { "id": APPLICATION.to_string(), "flags": 0 },
                }),
            );
        }
        Some(6) => {
            authentic()?;
            let known = |session: &Session| session.id.as_deref() == data["session_id"].as_str();
            let shard = gateway.sessions.iter().find(|(_, session)| known(session)).map(|(shard, _)| *shard);
            let Some(shard) = shard else {
                answer(json!({ "op": 9, "d": false }));
                return Ok(());
            };
            gateway.resumed += 1;
            gateway.went_on.push(shard);
            let session = gateway.of(shard);
            session.line = Some(line.clone());
            let seen = data["seq"].as_u64().unwrap_or(0);
            for event in &session.events {
                if event["s"].as_u64() > Some(seen) {
                    answer(event.clone());
                }
            }
            session.dispatch("RESUMED", json!({}));
        }
        _ => {}
    }
    Ok(())
}

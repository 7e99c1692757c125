//! The stand-in's gateway: one session at a time, which can be dropped and resumed.

use std::sync::Arc;

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

/// The bot's session, connected or waiting to be resumed.
#[derive(Debug, Default)]
pub struct Gateway {
    session: Option<String>,
    events: Vec<Value>,
    line: Option<mpsc::UnboundedSender<Line>>,
    pub identified: u32,
    pub resumed: u32,
    /// So many identifications are taken and never answered.
    pub silent: u32,
}

#[derive(Debug)]
enum Line {
    Send(Value),
    /// The connection breaks without a word.
    Break,
    /// The connection is closed with this code.
    Close(u16),
}

impl Gateway {
    /// The id of the session, once there is one.
    pub fn session(&self) -> Option<String> {
        self.session.clone()
    }

    /// Sends an event, or keeps it until the session is resumed.
    pub fn dispatch(&mut self, name: &str, data: Value) {
        let event = json!({ "op": 0, "t": name, "s": self.events.len() + 1, "d": data });
        self.events.push(event.clone());
        if let Some(line) = &self.line {
            // A broken line means that the event waits for the resume.
            let _ = line.send(Line::Send(event));
        }
    }

    /// Sends the last event once more, as a replay that the bot has already seen.
    pub fn repeat_last(&mut self) {
        if let Some(event) = self.events.last().cloned()
            && let Some(line) = &self.line
        {
            let _ = line.send(Line::Send(event));
        }
    }

    /// Breaks the connection; the session stays to be resumed.
    pub fn break_connection(&mut self) {
        if let Some(line) = self.line.take() {
            let _ = line.send(Line::Break);
        }
    }

    /// Closes the connection with a code of Discord's; the session stays to be resumed.
    pub fn close(&mut self, code: u16) {
        if let Some(line) = self.line.take() {
            let _ = line.send(Line::Close(code));
        }
    }

    /// Forgets the session and breaks the connection: a resume will be refused.
    pub fn forget_session(&mut self) {
        self.session = None;
        self.break_connection();
    }

    /// Asks the bot to reconnect, as Discord does before it restarts a node.
    pub fn ask_to_reconnect(&mut self) {
        if let Some(line) = &self.line {
            let _ = line.send(Line::Send(json!({ "op": 7, "d": null })));
        }
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
            gateway.identified += 1;
            if gateway.silent > 0 {
                gateway.silent -= 1;
                return Ok(());
            }
            gateway.events.clear();
            gateway.line = Some(line.clone());
            let session = format!("session-{}", gateway.identified);
            gateway.session = Some(session.clone());
            gateway.dispatch(
                "READY",
                json!({
                    "v": 10, "user": user_json(BOT, "toall", true), "guilds": [],
                    "session_id": session, "resume_gateway_url": "ws://127.0.0.1:1",
                    "shard": data["shard"],
                    "application": { "id": APPLICATION.to_string(), "flags": 0 },
                }),
            );
        }
        Some(6) => {
            authentic()?;
            if data["session_id"].as_str() != gateway.session.as_deref() {
                answer(json!({ "op": 9, "d": false }));
                return Ok(());
            }
            gateway.resumed += 1;
            gateway.line = Some(line.clone());
            let seen = data["seq"].as_u64().unwrap_or(0);
            for event in &gateway.events {
                if event["s"].as_u64() > Some(seen) {
                    answer(event.clone());
                }
            }
            gateway.dispatch("RESUMED", json!({}));
        }
        _ => {}
    }
    Ok(())
}

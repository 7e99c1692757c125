//! Tries the gateway. serenity tries again and again without naming the cause.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, protocol::CloseFrame},
};
use url::Url;

use crate::chat::ChatError;

use super::rest::WRONG_TOKEN;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long a connection may take, and a session to begin.
const ANSWERED: Duration = Duration::from_secs(10);

/// Opens a connection to the gateway at `url` and closes it again. The error names the cause.
pub(super) async fn reach(url: &str) -> Result<(), ChatError> {
    let mut socket = connect(url).await?;
    // Discord has answered; it need not hear the goodbye.
    let _ = timeout(ANSWERED, socket.close(None)).await;
    Ok(())
}

/// Begins a session as one of `total` shards and ends it again. `token` is the bot's own.
pub(super) async fn identify(url: &str, token: &str, total: u32) -> Result<(), ChatError> {
    let mut socket = connect(url).await?;
    let began = timeout(ANSWERED, begin(&mut socket, token, total)).await;
    let _ = timeout(ANSWERED, socket.close(None)).await;
    began.unwrap_or_else(|_| Err(trouble("the gateway took the connection and then said nothing")))
}

async fn connect(url: &str) -> Result<Socket, ChatError> {
    let unusable = || trouble("Discord names an address of its gateway that cannot be used");
    let mut url = Url::parse(url).map_err(|_| unusable())?;
    url.set_query(Some("v=10&encoding=json"));
    let connected = timeout(ANSWERED, connect_async(url.as_str())).await;
    let connected = connected.map_err(|_| trouble("no connection to the gateway in time"))?;
    connected.map(|(socket, _)| socket).map_err(|error| match error {
        // Its text holds the address.
        tungstenite::Error::Url(_) => unusable(),
        error => trouble(&format!("no connection to the gateway: {error}")),
    })
}

async fn begin(socket: &mut Socket, token: &str, total: u32) -> Result<(), ChatError> {
    let broken =
        |error: tungstenite::Error| trouble(&format!("the connection to the gateway broke: {error}"));
    while let Some(message) = socket.next().await {
        let said: Value = match message.map_err(broken)? {
            Message::Text(text) => serde_json::from_str(&text).unwrap_or_default(),
            Message::Close(frame) => return Err(closed(frame.as_ref())),
            _ => continue,
        };
        // Opcodes: Discord's developer documentation, "Gateway Opcodes".
        match said["op"].as_u64() {
            Some(10) => {
                let identify = json!({ "op": 2, "d": {
                    "token": token, "intents": 0, "shard": [0, total],
                    "properties": { "os": std::env::consts::OS, "browser": "toall", "device": "toall" },
                }});
                socket.send(Message::Text(identify.to_string())).await.map_err(broken)?;
            }
            Some(0) if said["t"] == "READY" => return Ok(()),
            Some(9) => return Err(trouble("the gateway begins no session just now")),
            _ => {}
        }
    }
    Err(trouble("the gateway closed the connection"))
}

fn closed(frame: Option<&CloseFrame<'_>>) -> ChatError {
    let Some(frame) = frame else { return trouble("the gateway closed the connection") };
    match u16::from(frame.code) {
        4004 => ChatError::Refused(WRONG_TOKEN.to_owned()),
        code @ (4013 | 4014) => ChatError::Refused(intents_refused(code)),
        4010 | 4011 => trouble("Discord wants this bot to use more shards"),
        code => trouble(&format!("the gateway closed the connection (code {code}: {})", frame.reason)),
    }
}

/// A close that is about intents (4013 and 4014 in "Gateway Close Event Codes").
pub(super) fn intents_refused(code: u16) -> String {
    format!(
        "Discord's gateway refuses the events that toall asks for (code {code}), although it asks for none. Is          discord.api_url Discord's own address?"
    )
}

fn trouble(what: &str) -> ChatError {
    ChatError::Trouble(what.to_owned())
}

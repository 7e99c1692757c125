//! Discord, with one interaction at a time over its gateway.

use std::time::Duration;

use axum::{Json, Router, extract::Request};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use toall::{
    chat::{Delivery, Incoming, discord},
    clock::Clock,
    config,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::mpsc,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;

/// The real adapter in front of a Discord that sends what it is told to.
pub struct Discord {
    runtime: Runtime,
    listener: TcpListener,
    line: Option<WebSocketStream<TcpStream>>,
    sequence: u64,
    inbox: mpsc::Receiver<Delivery>,
}

impl Discord {
    pub fn start() -> Discord {
        let runtime = crate::runtime();
        let (sender, inbox) = mpsc::channel(16);
        let listener = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let gateway = format!("ws://{}", listener.local_addr().expect("an address"));
            let url = crate::serve(Router::new().fallback(async move |request: Request| {
                Json(match request.uri().path() {
                    path if path.ends_with("/oauth2/applications/@me") => {
                        json!({ "id": "900000000000000001" })
                    }
                    path if path.ends_with("/gateway/bot") => json!({
                        "url": gateway, "shards": 1,
                        "session_start_limit":
                            { "total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1 },
                    }),
                    _ => json!([]),
                })
            }));
            let settings = config::Discord {
                token: "a.discord.token".to_owned().into(),
                api_url: url.await.parse().expect("an address"),
                media_hosts: Vec::new(),
                mode: config::DiscordMode::Gateway,
            };
            let adapter =
                discord::Discord::new(&settings, Clock::by_hand(crate::NOW)).expect("settings that work");
            tokio::spawn(async move { adapter.run(sender, &discord::Shards::All, CancellationToken::new()).await });
            listener
        });
        Discord { runtime, listener, line: None, sequence: 0, inbox }
    }

    /// Sends an event to the adapter and returns what the adapter makes of it, once it has read the event.
    pub fn hear(&mut self, name: &str, data: &Value) -> Option<Incoming> {
        let (listener, inbox) = (&self.listener, &mut self.inbox);
        self.runtime.block_on(async {
            let mut line = match self.line.take() {
                Some(line) => line,
                None => connect(listener, &mut self.sequence).await,
            };
            self.sequence += 1;
            let event = json!({ "op": 0, "t": name, "s": self.sequence, "d": data });
            let sent = line.send(Message::Text(event.to_string())).await.is_ok();
            // It answers a call for a heartbeat after it has read what came before.
            if sent && line.send(Message::Text(json!({ "op": 1, "d": null }).to_string())).await.is_ok() {
                while let Some(Ok(Message::Text(said))) = line.next().await {
                    if said.contains("\"op\":1") {
                        self.line = Some(line);
                        break;
                    }
                }
            }
            let delivery = tokio::time::timeout(Duration::from_millis(2), inbox.recv()).await.ok()??;
            let _ = delivery.done.send(());
            Some(delivery.incoming)
        })
    }
}

async fn connect(listener: &TcpListener, sequence: &mut u64) -> WebSocketStream<TcpStream> {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let Ok(mut line) = tokio_tungstenite::accept_async(stream).await else { continue };
        let hello = json!({ "op": 10, "d": { "heartbeat_interval": 3_600_000 } });
        let _ = line.send(Message::Text(hello.to_string())).await;
        while let Some(Ok(Message::Text(said))) = line.next().await {
            let said: Value = serde_json::from_str(&said).unwrap_or_default();
            *sequence += 1;
            let (name, data) = match said["op"].as_u64() {
                Some(2) => (
                    "READY",
                    json!({
                        "v": 10, "user": { "id": "900000000000000002", "username": "toall", "discriminator": "0000" },
                        "guilds": [], "session_id": "session", "resume_gateway_url": "ws://127.0.0.1:1",
                        "shard": [0, 1], "application": { "id": "900000000000000001", "flags": 0 },
                    }),
                ),
                Some(6) => ("RESUMED", json!({})),
                _ => continue,
            };
            let event = json!({ "op": 0, "t": name, "s": *sequence, "d": data });
            let _ = line.send(Message::Text(event.to_string())).await;
            return line;
        }
    }
}

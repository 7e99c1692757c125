//! Telegram, with one update at a time.

use std::sync::Arc;

use axum::{Json, Router, extract::Request};
use serde_json::{Value, json};
use toall::{
    chat::{Delivery, Incoming, telegram},
    clock::Clock,
    config,
};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, mpsc},
};
use tokio_util::sync::CancellationToken;

/// The real adapter in front of a Telegram that sends what it is told to.
pub struct Telegram {
    runtime: Runtime,
    updates: mpsc::UnboundedSender<Value>,
    polls: mpsc::UnboundedReceiver<()>,
    inbox: mpsc::Receiver<Delivery>,
}

impl Telegram {
    /// Starts both; returns once the adapter asks for updates.
    pub fn start() -> Telegram {
        let runtime = crate::runtime();
        let (updates, sent) = mpsc::unbounded_channel::<Value>();
        let (polled, mut polls) = mpsc::unbounded_channel();
        let (sender, inbox) = mpsc::channel(16);
        runtime.block_on(async {
            let sent = Arc::new(Mutex::new(sent));
            let url = crate::serve(Router::new().fallback(async move |request: Request| {
                let result = match request.uri().path() {
                    path if path.ends_with("/GetMe") => json!({ "username": "toall_bot" }),
                    path if path.ends_with("/GetUpdates") => {
                        let _ = polled.send(());
                        json!([sent.lock().await.recv().await])
                    }
                    _ => json!(true),
                };
                Json(json!({ "ok": true, "result": result }))
            }));
            let settings = config::Telegram {
                token: "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw".to_owned().into(),
                api_url: url.await.parse().expect("an address"),
                mode: config::TelegramMode::Polling,
            };
            let adapter =
                telegram::Telegram::new(&settings, Clock::by_hand(crate::NOW)).expect("settings that work");
            tokio::spawn(async move { adapter.run(sender, CancellationToken::new()).await });
            polls.recv().await.expect("the adapter polls");
        });
        Telegram { runtime, updates, polls, inbox }
    }

    /// What the service makes of an update; returns when the adapter asks for the next one.
    pub fn hear(&mut self, update: Value) -> Option<Incoming> {
        self.updates.send(update).expect("the stand-in runs");
        self.runtime.block_on(async {
            let mut heard = None;
            loop {
                tokio::select! {
                    biased;
                    Some(delivery) = self.inbox.recv() => {
                        assert!(heard.is_none(), "one update, two requests");
                        heard = Some(delivery.incoming);
                        let _ = delivery.done.send(());
                    }
                    polled = self.polls.recv() => {
                        polled.expect("the adapter polls");
                        return heard;
                    }
                }
            }
        })
    }
}

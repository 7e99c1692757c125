//! Discord's side of the interactions endpoint: signs what it brings, and tries an address before it takes it.

use std::sync::Arc;

use reqwest::StatusCode;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use toall::ticket::hex;

use super::State;
use crate::world::browser;

/// An interaction that was brought, as it was sent; the same can be sent again.
#[derive(Clone, Debug)]
pub struct Brought {
    pub signature: String,
    pub timestamp: String,
    pub body: String,
    /// The status of the answer; 0 when none came.
    pub status: u16,
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// The key that the application object shows.
pub fn verify_key() -> String {
    hex(key().public_key().as_ref())
}

/// What Discord sends at `now_ms`, not sent yet.
pub fn signed(body: &Value, now_ms: i64) -> Brought {
    let (timestamp, body) = ((now_ms / 1_000).to_string(), body.to_string());
    let signature = key().sign(format!("{timestamp}{body}").as_bytes());
    Brought { signature: hex(signature.as_ref()), timestamp, body, status: 0 }
}

impl Brought {
    /// Sends it, and returns the answer's status and body.
    pub async fn send(&self, client: &reqwest::Client, url: &str) -> (u16, String) {
        let request = client
            .post(url)
            .header("X-Signature-Ed25519", &self.signature)
            .header("X-Signature-Timestamp", &self.timestamp)
            .header("Content-Type", "application/json")
            .body(self.body.clone());
        match request.send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            Err(_) => (0, String::new()),
        }
    }
}

/// What Discord tries before it takes an endpoint: a PING with a right signature, and one with a wrong one.
pub async fn probe(state: &State, url: &str) -> Result<(), &'static str> {
    let ping = json!({
        "id": "1", "application_id": super::world::APPLICATION.to_string(), "type": 1, "token": "t", "version": 1,
    });
    let good = signed(&ping, state.clock.now_ms());
    let mut bad = good.clone();
    bad.signature = "0".repeat(128);
    let client = browser();
    if bad.send(&client, url).await.0 != StatusCode::UNAUTHORIZED.as_u16() {
        return Err("The specified interactions endpoint url could not be verified.");
    }
    let (status, answer) = good.send(&client, url).await;
    let pong = serde_json::from_str::<Value>(&answer).is_ok_and(|answer| answer["type"] == 1);
    match status == 200 && pong {
        true => Ok(()),
        false => Err("The specified interactions endpoint url could not be verified."),
    }
}

/// Brings an interaction to the endpoint, once.
pub fn bring(state: &Arc<State>, url: String, event: &Value) {
    let mut brought = signed(event, state.clock.now_ms());
    let state = state.clone();
    tokio::spawn(async move {
        brought.status = brought.send(&browser(), &url).await.0;
        state.world().brought.push(brought);
        state.changed();
    });
}

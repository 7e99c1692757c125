//! Telegram's side of a webhook: brings each update until it is answered with a 2xx.

use std::{sync::Arc, time::Duration};

use super::state::Shared;
use crate::world::browser;

/// The pause after an update that was not taken; Telegram's own begins at a second.
const AGAIN: Duration = Duration::from_millis(20);

pub async fn bring(shared: Arc<Shared>) {
    let client = browser();
    let mut changes = shared.changes.subscribe();
    loop {
        changes.borrow_and_update();
        let next = shared.read(|state| {
            let hook = state.webhook.clone()?;
            let (id, update) = state.updates.iter().next()?;
            Some((hook, *id, update.clone()))
        });
        let Some((hook, id, update)) = next else {
            // The sender lives in `shared`.
            changes.changed().await.unwrap();
            continue;
        };
        let request = client.post(&hook.url).header("X-Telegram-Bot-Api-Secret-Token", &hook.secret);
        let status = request.json(&update).send().await.map_or(0, |answer| answer.status().as_u16());
        shared.change(|state| {
            state.brought.push((id, status));
            if (200..300).contains(&status) {
                state.updates.remove(&id);
            }
        });
        if !(200..300).contains(&status) {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

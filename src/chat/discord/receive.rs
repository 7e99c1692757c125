//! Receiving interactions, from the gateway or the endpoint: acknowledge and deliver.

use std::time::Duration;

use serenity::model::application::Interaction;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    chat::{Ask, Audience, Delivery, Inbox, Incoming},
    clock::Clock,
    health::Part,
};

use super::{
    acknowledge::{Acknowledged, Acknowledgements},
    interaction,
    rest::Rest,
};

/// Time for storing a post before its interaction is acknowledged. Discord waits 3 seconds.
const STORE_FIRST: Duration = Duration::from_millis(1500);
/// Time for storing what a form is about before the form opens.
const STORE_WITHIN: Duration = Duration::from_millis(500);

/// The door that an interaction came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// It may come again after a resume, when nobody knows whether the first was stored.
    Gateway,
    /// Discord brings each once, so what comes again is somebody's copy.
    Http,
}

/// Hears interactions. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hearing {
    pub(super) rest: Rest,
    pub(super) clock: Clock,
    pub(super) acknowledgements: Acknowledgements,
    /// Told whether Discord can be received from.
    pub(super) part: Part,
}

impl Hearing {
    /// Returns once the request is stored, or is not to be carried out.
    ///
    /// A post is stored before its interaction is acknowledged, so that no kill separates *thinking…* from its row; its
    /// `dedupe_key` makes a second delivery harmless. Other requests leave nothing behind that could be lost, and some
    /// must not be carried out twice, which only the acknowledgement tells: they are acknowledged first.
    pub(super) async fn hear(&self, interaction: Interaction, door: Door, inbox: &Inbox) {
        let Some(heard) = interaction::read(interaction, self.clock.now_ms()) else {
            return;
        };
        let due = self.acknowledgements.begin(&self.rest, heard.id, &heard.token, heard.callback);
        match &heard.incoming.ask {
            // A form may come back as soon as it is open: what it is about is stored first, which changes nothing for
            // anybody if it never opens.
            Ask::Form { .. } => {
                if timeout(STORE_WITHIN, deliver(heard.incoming, inbox)).await.is_err() {
                    tracing::warn!(interaction = %heard.id, "what a form is about is not stored yet");
                }
                due.make(Audience::Everyone).await;
            }
            Ask::Post { .. } | Ask::Filled { .. } => {
                let mut stored = std::pin::pin!(deliver(heard.incoming, inbox));
                match timeout(STORE_FIRST, &mut stored).await {
                    // Unacknowledged, Discord tells the person that it failed, as it did.
                    Ok(false) => {}
                    Ok(true) => drop(due.make(Audience::Everyone).await),
                    Err(_) => {
                        due.make(Audience::Everyone).await;
                        stored.await;
                    }
                }
            }
            // Unacknowledged, Discord tells the person that it failed: carried out all the same, it would be asked for
            // twice.
            _ => match (due.make(Audience::Everyone).await, door) {
                (Some(Acknowledged::Before), Door::Http) => {
                    tracing::warn!(interaction = %heard.id, "brought a second time, so left out");
                }
                (None, _) => {}
                (Some(_), _) => drop(deliver(heard.incoming, inbox).await),
            },
        }
    }
}

/// Returns once a request is stored, or is not to be: false if nobody took it.
async fn deliver(incoming: Incoming, inbox: &Inbox) -> bool {
    let (done, stored) = oneshot::channel();
    if inbox.send(Delivery { incoming, done }).await.is_err() {
        tracing::warn!("nobody takes what was asked");
        return false;
    }
    // Resolves by a message or by a drop.
    stored.await.is_ok()
}

//! What is done with an interaction, by whichever door it came: acknowledge, then deliver.

use std::time::Duration;

use serenity::{
    http::{LightMethod, Route},
    model::application::Interaction,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{
    chat::{Ask, Delivery, Inbox, Incoming},
    clock::Clock,
    health::Part,
};

use super::{
    interaction::{self, Heard},
    rest::{Problem, Rest},
};

/// Discord forgets an interaction that is not acknowledged in 3 seconds; half a second is for the way.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(2500);
/// What has to be stored before that leaves time for the acknowledgement.
const STORE_WITHIN: Duration = Duration::from_millis(500);

/// The door that an interaction came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// It may come again after a resume, when nobody knows whether the first was stored.
    Gateway,
    /// Discord brings each once, so what comes again is somebody's copy.
    Http,
}

/// Who took an acknowledgement first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledged {
    Now,
    Before,
}

/// Hears interactions. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hearing {
    pub(super) rest: Rest,
    pub(super) clock: Clock,
    /// Told whether Discord can be received from.
    pub(super) part: Part,
}

impl Hearing {
    /// Returns once what was asked is stored, or is not to be done.
    pub(super) async fn hear(&self, interaction: Interaction, door: Door, inbox: &Inbox) {
        let Some(heard) = interaction::read(interaction, self.clock.now_ms()) else {
            return;
        };
        // A form may come back as soon as it is open: what it is about is stored first, which changes nothing for
        // anybody if it never opens.
        if matches!(heard.incoming.ask, Ask::Form { .. }) {
            let stored = timeout(STORE_WITHIN, deliver(heard.incoming.clone(), inbox)).await;
            if stored.is_err() {
                tracing::warn!(interaction = %heard.id, "what a form is about is not stored yet");
            }
            if let Err(problem) = self.acknowledge(&heard).await {
                tracing::warn!(interaction = %heard.id, %problem, "a form was not opened");
            }
            return;
        }
        // Unacknowledged, Discord tells the person that it failed: doing it all the same would have
        // them ask twice.
        match (self.acknowledge(&heard).await, door) {
            (Ok(Acknowledged::Before), Door::Http) => {
                tracing::warn!(interaction = %heard.id, "brought a second time, so left out");
                return;
            }
            (Ok(_), _) => {}
            (Err(problem), _) => {
                tracing::warn!(interaction = %heard.id, %problem, "not acknowledged, so not done");
                return;
            }
        }
        deliver(heard.incoming, inbox).await;
    }

    async fn acknowledge(&self, heard: &Heard) -> Result<Acknowledged, Problem> {
        let route = Route::InteractionResponse { interaction_id: heard.id, token: &heard.token };
        let persist = async {
            let mut tried = false;
            loop {
                match self.rest.send(route, LightMethod::Post, Some(&heard.callback)).await {
                    Err(Problem::Trouble(_)) => sleep(Duration::from_millis(100)).await,
                    // The first try, whose answer was lost.
                    Err(problem) if problem.is_already_acknowledged() && tried => {
                        return Ok(Acknowledged::Now);
                    }
                    Err(problem) if problem.is_already_acknowledged() => return Ok(Acknowledged::Before),
                    answer => return answer.map(|_| Acknowledged::Now),
                }
                tried = true;
            }
        };
        timeout(ACKNOWLEDGE_WITHIN, persist)
            .await
            .unwrap_or_else(|_| Err(Problem::Trouble("no answer in time".to_owned())))
    }
}

/// Returns once it is stored, or is not to be.
async fn deliver(incoming: Incoming, inbox: &Inbox) {
    let (done, stored) = oneshot::channel();
    match inbox.send(Delivery { incoming, done }).await {
        // Resolves by a message or by a drop.
        Ok(()) => drop(stored.await),
        Err(_) => tracing::warn!("nobody takes what was asked"),
    }
}

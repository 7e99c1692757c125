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
    chat::{Delivery, Inbox},
    clock::Clock,
};

use super::{
    interaction::{self, Heard},
    menu::Forms,
    rest::{Problem, Rest},
};

/// Discord forgets an interaction that is not acknowledged in 3 seconds; half a second is for the way.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(2500);

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
    pub(super) forms: Forms,
}

impl Hearing {
    /// Returns once what was asked is stored, or is not to be done.
    pub(super) async fn hear(&self, interaction: Interaction, door: Door, inbox: &Inbox) {
        let Some(heard) = interaction::read(interaction, &self.forms, self.clock.now_ms()) else {
            return;
        };
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
        let Some(incoming) = heard.incoming else { return };
        let (done, stored) = oneshot::channel();
        let delivery = Delivery { incoming, done };
        match inbox.send(delivery).await {
            // Resolves, by a message or by a drop, once it is stored.
            Ok(()) => drop(stored.await),
            Err(_) => tracing::warn!(interaction = %heard.id, "nobody takes what was asked"),
        }
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

//! Acknowledgements: Discord forgets an interaction that nobody acknowledges within 3 seconds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use serenity::{
    http::{LightMethod, Route},
    model::id::InteractionId,
};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout_at},
};

use crate::chat::Audience;

use super::{
    interaction::Acknowledgement,
    rest::{Problem, Rest},
};

/// Time from an interaction's arrival within which its acknowledgement must be made; half a second is for the way.
const WITHIN: Duration = Duration::from_millis(2500);
/// Delay between two tries.
const AGAIN: Duration = Duration::from_millis(100);

/// Outcome of an acknowledgement that Discord has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// By this one.
    Now { ephemeral: bool },
    /// By an earlier one: the interaction was delivered twice.
    Before,
}

/// An acknowledgement that is due, and is made once, by the first who needs it.
pub(super) struct Due {
    rest: Rest,
    id: InteractionId,
    token: String,
    /// The callback of an answer that everyone may read.
    callback: Value,
    until: Instant,
    made: OnceCell<Option<Acknowledged>>,
}

impl Due {
    /// Makes the acknowledgement, unless that was done. One that is made for an answer to the asker alone is ephemeral.
    /// `None` when Discord did not take it.
    pub(super) async fn make(&self, audience: Audience) -> Option<Acknowledged> {
        *self.made.get_or_init(|| self.persist(audience)).await
    }

    async fn persist(&self, audience: Audience) -> Option<Acknowledged> {
        let ephemeral = audience == Audience::Asker;
        let private = Acknowledgement::Ephemeral.body();
        let callback = if ephemeral { &private } else { &self.callback };
        let route = Route::InteractionResponse { interaction_id: self.id, token: &self.token };
        let persist = async {
            let mut tried = false;
            loop {
                match self.rest.send(route, LightMethod::Post, Some(callback)).await {
                    Err(Problem::Trouble(_)) => sleep(AGAIN).await,
                    // The first try was taken, but its answer was lost.
                    Err(problem) if problem.is_already_acknowledged() && tried => break,
                    Err(problem) if problem.is_already_acknowledged() => return Ok(Acknowledged::Before),
                    Err(problem) => return Err(problem),
                    Ok(_) => break,
                }
                tried = true;
            }
            Ok(Acknowledged::Now { ephemeral })
        };
        let made = timeout_at(self.until, persist).await;
        let made = made.unwrap_or_else(|_| Err(Problem::Trouble("no answer in time".to_owned())));
        made.inspect_err(|problem| tracing::warn!(interaction = %self.id, %problem, "not acknowledged")).ok()
    }
}

/// The acknowledgements that are due, by the tokens of their interactions. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Acknowledgements(Arc<Mutex<HashMap<String, Arc<Due>>>>);

impl Acknowledgements {
    /// Begins an acknowledgement, which stays on the list until the guard is dropped.
    pub(super) fn begin(&self, rest: &Rest, id: InteractionId, token: &str, callback: Value) -> Guard {
        let due = Arc::new(Due {
            rest: rest.clone(),
            id,
            token: token.to_owned(),
            callback,
            until: Instant::now() + WITHIN,
            made: OnceCell::new(),
        });
        self.list(|list| list.insert(token.to_owned(), due.clone()));
        Guard { due, all: self.clone() }
    }

    /// The acknowledgement of an interaction, while it is on the list.
    pub(super) fn of(&self, token: &str) -> Option<Arc<Due>> {
        self.list(|list| list.get(token).cloned())
    }

    fn list<T>(&self, act: impl FnOnce(&mut HashMap<String, Arc<Due>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps an acknowledgement on the list.
pub(super) struct Guard {
    due: Arc<Due>,
    all: Acknowledgements,
}

impl std::ops::Deref for Guard {
    type Target = Due;

    fn deref(&self) -> &Due {
        &self.due
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.all.list(|list| list.remove(&self.due.token));
    }
}

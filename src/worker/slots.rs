//! Slots for steps: one for each step in progress, of its own kind.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::sync::{
    Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore,
};

/// Slots for long transfers. One user holds at most half of them, rounded up.
#[derive(Clone)]
pub(super) struct Transfers {
    slots: Arc<Semaphore>,
    share: usize,
    users: Arc<Mutex<HashMap<String, usize>>>,
    freed: Arc<Notify>,
}

/// A transfer's slot; free again when dropped.
pub(super) struct TransferSlot {
    user: String,
    transfers: Transfers,
    _permit: OwnedSemaphorePermit,
}

impl Transfers {
    pub(super) fn new(slots: usize) -> Self {
        Transfers {
            slots: Arc::new(Semaphore::new(slots)),
            share: slots.div_ceil(2),
            users: Arc::default(),
            freed: Arc::default(),
        }
    }

    /// Waits for a slot.
    pub(super) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().acquire_owned().await.ok()
    }

    /// The user who has their share; while a slot is free there is at most one.
    pub(super) fn full_user(&self) -> Option<String> {
        let users = self.users();
        users.iter().find(|(_, held)| **held >= self.share).map(|(user, _)| user.clone())
    }

    /// Gives a slot to a user.
    pub(super) fn take(&self, permit: OwnedSemaphorePermit, user: &str) -> TransferSlot {
        *self.users().entry(user.to_owned()).or_default() += 1;
        TransferSlot { user: user.to_owned(), transfers: self.clone(), _permit: permit }
    }

    /// Completes when a slot is freed.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TransferSlot {
    fn drop(&mut self) {
        let mut users = self.transfers.users();
        if let Some(held) = users.get_mut(&self.user) {
            *held -= 1;
            if *held == 0 {
                users.remove(&self.user);
            }
        }
        drop(users);
        self.transfers.freed.notify_one();
    }
}

/// Lets steps run side by side, or one alone while a post is suspected of killing the process.
///
/// Place in it is taken before a claim: a post that waited for its place while another one killed the process would
/// seem to have died with it.
#[derive(Clone, Default)]
pub(super) struct Gate {
    places: Arc<RwLock<()>>,
    /// Only suspects are run, each alone.
    careful: Arc<AtomicBool>,
}

/// A step's place.
pub(super) enum Turn {
    Beside(#[allow(dead_code, reason = "held until the step ends")] OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

impl Gate {
    pub(super) async fn enter(&self) -> Turn {
        if self.careful.load(Relaxed) {
            Turn::Alone(self.places.clone().write_owned().await)
        } else {
            Turn::Beside(self.places.clone().read_owned().await)
        }
    }

    pub(super) fn set_careful(&self, careful: bool) {
        self.careful.store(careful, Relaxed);
    }
}

impl Turn {
    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Turn::Alone(_))
    }

    /// Lets others run beside this step from now on.
    pub(super) fn let_others_in(self) -> Turn {
        match self {
            Turn::Alone(place) => Turn::Beside(place.downgrade()),
            beside => beside,
        }
    }
}

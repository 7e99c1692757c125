//! How much of something each holder has, up to the same share for all.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts what each holder has in use. Cheap to clone; clones count together.
#[derive(Clone)]
pub(super) struct Shares<K> {
    most: usize,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// At most this many for each holder.
    pub(super) fn new(most: usize) -> Self {
        Shares { most, held: Arc::default() }
    }

    /// Takes one more for this holder; `None` when it has its share.
    pub(super) fn take(&self, holder: K) -> Option<Share<K>> {
        let mut held = lock(&self.held);
        let count = held.entry(holder.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { holder, held: self.held.clone() })
    }
}

/// One of a holder's share; given back when dropped.
pub(super) struct Share<K: Eq + Hash + Clone> {
    holder: K,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Drop for Share<K> {
    fn drop(&mut self) {
        // Holders of nothing are forgotten, so that the map holds no more than there is.
        if let Entry::Occupied(mut count) = lock(&self.held).entry(self.holder.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

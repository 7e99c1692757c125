//! Waiting: for conditions, with the clock turned by hand or left alone.

use toall::sandbox::Sandbox;

use super::{PATIENCE, World, read};

impl World {
    /// Turns the clock and waits until nothing is left to do.
    pub async fn settle(&self) {
        self.until("the end", |_| false).await;
    }

    /// Turns the clock and waits until `reached`, or until nothing is left to do.
    pub async fn until(&self, what: &str, reached: impl Fn(&World) -> bool) {
        let store = self.app().store.clone();
        let mut changes = store.changes();
        let mut seen = self.console.changes();
        let mut on_x = self.x.changes();
        loop {
            changes.mark_unchanged();
            seen.mark_unchanged();
            on_x.mark_unchanged();
            if reached(self) {
                return;
            }
            // A lane that is leased is due when its lease ends, which is nothing to wait for: so whether one is
            // must be known for the very moment at which the times are read.
            let leased = store.leased().await.unwrap();
            let lane = store.next_lane_due().await.unwrap();
            let message = store.next_message_due().await.unwrap();
            // Files that are kept for a second try are not waited for.
            let cleaning = store.next_cleaning_due().await.unwrap().filter(|due| *due <= self.now() + 60_000);
            let busy = leased + store.leased().await.unwrap() > 0;
            if changes.has_changed().unwrap() {
                continue;
            }
            // What the last step did may have been shown meanwhile.
            if reached(self) {
                return;
            }
            let due = [lane.filter(|_| !busy), message, cleaning].into_iter().flatten().min();
            if !busy && due.is_none_or(|due| due > self.now()) {
                // What was written while these were read shows in the next reading, if it has not been told yet.
                let again = (store.next_lane_due().await.unwrap(), store.next_message_due().await.unwrap());
                if again != (lane, message) || store.leased().await.unwrap() > 0 {
                    continue;
                }
            }
            match due {
                Some(due) if due > self.now() && !busy => self.clock.set(due),
                None if !busy => return,
                _ => {
                    let changed = async {
                        tokio::select! {
                            _ = changes.changed() => {}
                            _ = seen.changed() => {}
                            _ = on_x.changed() => {}
                        }
                    };
                    if tokio::time::timeout(PATIENCE, changed).await.is_err() {
                        let posts: Vec<_> =
                            self.console.messages().iter().map(|s| read(&s.message)).collect();
                        panic!(
                            "stuck on the way to {what} at {}: {leased} leased, due {lane:?} {message:?} {cleaning:?}; \
                             said so far: {posts:#?}",
                            self.now()
                        );
                    }
                }
            }
        }
    }

    /// Waits in real time until all is said that can be said now, so that a kill cuts no message off.
    pub async fn until_said(&self) {
        let store = self.app().store.clone();
        let mut changes = store.changes();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                changes.mark_unchanged();
                if store.next_message_due().await.unwrap().is_none_or(|due| due > self.now()) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        });
        waited.await.expect("something is never said");
    }

    /// Waits in real time until the simulated X has seen what `reached` wants, without turning the clock.
    pub async fn until_x(&self, what: &str, reached: impl Fn(&Sandbox) -> bool) {
        let mut changes = self.x.changes();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                changes.mark_unchanged();
                if reached(&self.x) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        });
        waited.await.unwrap_or_else(|_| panic!("X never saw {what}"));
    }
}

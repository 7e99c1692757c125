//! Kinds of change, so that a write wakes only those whom it concerns.

use std::ops::BitOr;

use tokio::sync::watch;

use crate::account::Platform;

/// A set of kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topics(u32);

/// Each kind with its name among processes, in the order of their bits.
const NAMES: [&str; 6] = ["queue", "cleaning", "leases", "discord", "telegram", "console"];

impl Topics {
    /// A write after which nothing is due, and which shows nothing new.
    pub(crate) const NONE: Topics = Topics(0);
    /// A lane may be due at another time.
    pub const QUEUE: Topics = Topics(1);
    /// A staged file may be deleted at another time.
    pub const CLEANING: Topics = Topics(1 << 1);
    /// A lease by name is free.
    pub const LEASES: Topics = Topics(1 << 2);
    pub const ALL: Topics = Topics((1 << NAMES.len()) - 1);

    /// A status or a notice for people of a platform is due at another time, or a post of theirs looks different.
    pub const fn messages(platform: Platform) -> Topics {
        Topics(match platform {
            Platform::Discord => 1 << 3,
            Platform::Telegram => 1 << 4,
            Platform::Console => 1 << 5,
        })
    }

    /// As [`Topics::messages`], of a person by their id in the database.
    pub(crate) fn messages_to(user: &str) -> Topics {
        let theirs = |platform: &Platform| user.split(':').next() == Some(platform.as_str());
        Platform::ALL.into_iter().find(theirs).map_or(Topics::ALL, Topics::messages)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> Topics {
        Topics(bits & Topics::ALL.0)
    }

    /// The names of what is in the set, separated by commas.
    pub(crate) fn names(self) -> String {
        let names: Vec<_> = self.indices().filter_map(|at| NAMES.get(at).copied()).collect();
        names.join(",")
    }

    /// Reads names. A process of another version may know other ones: those may mean anything.
    pub(crate) fn from_names(names: &str) -> Topics {
        names.split(',').fold(Topics::NONE, |topics, name| {
            match NAMES.iter().position(|known| *known == name) {
                Some(at) => topics | Topics(1 << at),
                None => Topics::ALL,
            }
        })
    }

    fn indices(self) -> impl Iterator<Item = usize> {
        (0..NAMES.len()).filter(move |at| self.0 & (1 << at) != 0)
    }
}

impl BitOr for Topics {
    type Output = Topics;

    fn bitor(self, other: Topics) -> Topics {
        Topics(self.0 | other.0)
    }
}

/// Counts the changes, in all and of each kind.
#[derive(Debug, Default)]
pub struct Counts {
    total: u64,
    of_kind: [u64; NAMES.len()],
}

impl Counts {
    pub(crate) fn add(&mut self, topics: Topics) {
        self.total = self.total.wrapping_add(1);
        for at in topics.indices() {
            if let Some(count) = self.of_kind.get_mut(at) {
                *count = count.wrapping_add(1);
            }
        }
    }

    /// Number of changes so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn of(&self, topics: Topics) -> u64 {
        topics.indices().filter_map(|at| self.of_kind.get(at)).fold(0, |sum, count| sum.wrapping_add(*count))
    }
}

/// Waits for changes of some kinds.
pub struct Changes {
    counts: watch::Receiver<Counts>,
    topics: Topics,
    seen: u64,
}

impl Changes {
    pub(crate) fn new(counts: watch::Receiver<Counts>, topics: Topics) -> Changes {
        let seen = counts.borrow().of(topics);
        Changes { counts, topics, seen }
    }

    /// Takes note of all changes so far. Call it before looking at the database, so that none is missed.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.counts.borrow_and_update().of(self.topics);
    }

    /// Waits until something has changed since [`Changes::mark_unchanged`].
    ///
    /// # Errors
    /// When the store is gone.
    pub async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        let (topics, seen) = (self.topics, self.seen);
        self.seen = self.counts.wait_for(|counts| counts.of(topics) != seen).await?.of(topics);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_told_by_name() {
        for topics in [Topics::QUEUE | Topics::messages(Platform::Telegram), Topics::LEASES, Topics::ALL] {
            assert_eq!(Topics::from_names(&topics.names()), topics);
        }
        assert_eq!(Topics::from_names(""), Topics::ALL, "as an earlier version tells");
        assert_eq!(Topics::from_names("queue,weather"), Topics::ALL, "as a later version may tell");
        assert_eq!(Topics::messages_to("discord:1:2"), Topics::messages(Platform::Discord));
        assert_eq!(Topics::messages_to("pigeon:1"), Topics::ALL);
    }

    #[tokio::test]
    async fn only_what_was_asked_for_wakes() {
        let sender = watch::Sender::new(Counts::default());
        let tell = |topics| sender.send_modify(|counts| counts.add(topics));
        let mut queue = Changes::new(sender.subscribe(), Topics::QUEUE);
        let mut all = sender.subscribe();
        let woken =
            async |changes: &mut Changes| futures::poll!(std::pin::pin!(changes.changed())).is_ready();
        tell(Topics::messages(Platform::Discord));
        assert!(!woken(&mut queue).await);
        assert!(all.has_changed().unwrap(), "whoever waits for everything sees it");
        tell(Topics::QUEUE);
        all.mark_unchanged();
        assert!(woken(&mut queue).await, "though it was told before the wait began");
        assert!(!woken(&mut queue).await);
        tell(Topics::ALL);
        queue.mark_unchanged();
        assert!(!woken(&mut queue).await);
        tell(Topics::NONE);
        assert!(!woken(&mut queue).await);
        assert!(all.has_changed().unwrap());
    }
}

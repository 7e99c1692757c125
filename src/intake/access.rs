//! Who may use the bot: asked before anything else.
//!
//! Where the operator names groups, whoever writes from one of them may. Elsewhere, in a private chat or by the API,
//! nothing shows what somebody is in: so each sight in a group is kept, and holds for a while.

use super::{Intake, IntakeError};
use crate::{account::Person, chat::Incoming, store::StoreError};

/// How long a sight in a group holds elsewhere: whoever has left the group is kept out in the end.
const SIGHT_HOLDS_MS: i64 = 30 * 24 * 3_600_000;

impl Intake {
    /// Whether what came in may be answered; a sight in a group is kept.
    pub(super) async fn admits_here(&self, incoming: &Incoming) -> Result<bool, IntakeError> {
        let Incoming { from, groups, .. } = incoming;
        if self.access.is_open() || self.access.names(from) {
            return Ok(true);
        }
        let via = self.access.admitting(groups);
        if let Some(place) = groups.first() {
            self.store.seen(from, place, via, self.clock.now_ms()).await?;
            return Ok(via.is_some());
        }
        Ok(self.admits(from).await?)
    }

    /// Whether a person may use the bot where nothing shows what they are in: named by the operator, or seen lately in
    /// a group whose members may.
    pub async fn admits(&self, person: &Person) -> Result<bool, StoreError> {
        if self.access.is_open() || self.access.names(person) {
            return Ok(true);
        }
        let since = self.clock.now_ms() - SIGHT_HOLDS_MS;
        let seen = self.store.admitted_by(person, since).await?;
        Ok(self.access.groups.iter().any(|group| seen.contains(&group.to_string())))
    }
}

//! Notices when something happens around a service in another process, so that nobody has to look all the time.

use std::time::Duration;

use tokio::sync::watch;

use super::child::Said;
use crate::bell::Bell;

/// All that can stir at a site. What happens between two waits is not missed.
pub struct Stir {
    pub data: Bell,
    pub telegram: watch::Receiver<u64>,
    pub discord: Option<watch::Receiver<u64>>,
    pub wires: watch::Receiver<u64>,
    pub child: watch::Receiver<Said>,
}

/// Some things only time brings: an answer that did not come, a process that came to nothing.
const LONGEST: Duration = Duration::from_secs(1);

impl Stir {
    /// Returns once anything has happened, and at the latest after a second.
    pub async fn felt(mut self) {
        let on_discord = async {
            match &mut self.discord {
                Some(changes) => changes.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.data.rung() => {}
            _ = self.telegram.changed() => {}
            _ = on_discord => {}
            _ = self.wires.changed() => {}
            _ = self.child.changed() => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    }
}

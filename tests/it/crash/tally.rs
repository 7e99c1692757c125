//! What many rounds came to, as a table.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::round::{Fault, Finding, Report};

#[derive(Default)]
pub struct Tally {
    pub rounds: usize,
    pub took: Duration,
    sum: Report,
    counted: BTreeMap<Fault, usize>,
    /// What was found, by the number of the round.
    pub found: Vec<(u64, Finding)>,
}

/// The columns of kills: how far a request was, or at a random moment after it.
const MOMENTS: [&str; 5] = ["unseen", "late", "done", "answered", "some time after"];

impl Tally {
    pub fn add(&mut self, round: u64, report: Report) {
        self.rounds += 1;
        self.sum.posts += report.posts;
        self.sum.restarts += report.restarts;
        self.sum.spared += report.spared;
        self.sum.asked += report.asked;
        self.sum.linked_again += report.linked_again;
        self.sum.sent_again += report.sent_again;
        self.sum.asked_again += report.asked_again;
        self.sum.left_behind += report.left_behind;
        self.sum.failed += report.failed;
        self.sum.canceled += report.canceled;
        for (moment, times) in report.kills {
            *self.sum.kills.entry(moment).or_default() += times;
        }
        for finding in report.findings {
            *self.counted.entry(finding.fault).or_default() += 1;
            self.found.push((round, finding));
        }
    }

    pub fn kills(&self) -> usize {
        self.sum.kills.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}", "killed at")?;
        MOMENTS.iter().try_for_each(|moment| write!(f, "{moment:>16}"))?;
        writeln!(f)?;
        let mut kinds: Vec<_> = self.sum.kills.keys().map(|(kind, _)| *kind).collect();
        kinds.dedup();
        for kind in kinds {
            write!(f, "{kind:<24}")?;
            for moment in MOMENTS {
                write!(f, "{:>16}", self.sum.kills.get(&(kind, moment)).unwrap_or(&0))?;
            }
            writeln!(f)?;
        }
        let fault = |fault| self.counted.get(&fault).copied().unwrap_or(0);
        let lines = [
            ("rounds", self.rounds),
            ("posts", self.sum.posts),
            ("kills", self.kills()),
            ("restarts", self.sum.restarts),
            ("moments that never came", self.sum.spared),
            ("lost", fault(Fault::Lost)),
            ("doubled", fault(Fault::Doubled)),
            ("silent", fault(Fault::Silent)),
            ("otherwise wrong", fault(Fault::Other)),
            ("asked", self.sum.asked),
            ("given up when asked", self.sum.canceled),
            ("linked again", self.sum.linked_again),
            ("sent again after that", self.sum.sent_again),
            ("not heard on Discord", self.sum.asked_again),
            ("left behind on Telegram", self.sum.left_behind),
            ("failed with a reason", self.sum.failed),
            ("seconds", usize::try_from(self.took.as_secs()).unwrap_or(usize::MAX)),
        ];
        lines.iter().try_for_each(|(name, count)| writeln!(f, "{name:<24}{count:>16}"))
    }
}

//! Top-level domains that make a link of a bare domain.

use std::{collections::HashSet, sync::LazyLock};

/// The list of X's text library (twitter-text 3.1), in lower case and ASCII form. Newer domains are missing there, so X
/// does not shorten links to them, and retired ones remain.
pub(in crate::caption) const TLDS: &str = include_str!("tlds.txt");

static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| TLDS.lines().collect());

/// Returns true if X's text library knows `name`, given in lower case and ASCII form.
pub(super) fn is_tld(name: &str) -> bool {
    NAMES.contains(name)
}

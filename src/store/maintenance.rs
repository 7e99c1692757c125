//! Work on a whole database: backup, copy, key rotation and reconciliation.

pub(super) mod backup;
pub(super) mod copy;
pub(super) mod reconcile;
pub(super) mod rekey;

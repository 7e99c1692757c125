//! Processes that share a database: named leases and the leader of each job.

pub(super) mod leader;
pub(super) mod leases;

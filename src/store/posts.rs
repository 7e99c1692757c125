//! Posts as rows: lease, steps, status messages, uploads and cleanup.

pub(super) mod captions;
pub(super) mod cleanup;
pub(super) mod idempotency;
pub(super) mod lease;
pub(super) mod metrics;
pub(super) mod modals;
pub(super) mod outbox;
pub(super) mod rows;
pub(super) mod status_outbox;
pub(super) mod step_results;
pub(super) mod stuck_lanes;
pub(super) mod uploads;
pub(super) mod user_actions;

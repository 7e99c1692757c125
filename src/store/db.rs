//! The two engines: connections, statements, locks, and the sealing of secrets.

pub(super) mod connections;
pub(super) mod engine;
pub(super) mod locks;
pub(super) mod notify;
pub(super) mod open;
pub(super) mod postgres;
pub(super) mod sealing;
pub(super) mod sqlite;
pub(super) mod topics;

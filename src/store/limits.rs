//! Limits of X, of the operator and of the budget, and incidents that operators are told about.

pub(super) mod app_quota;
pub(super) mod charges;
pub(super) mod incidents;
pub(super) mod rate_limits;
pub(super) mod user_limits;

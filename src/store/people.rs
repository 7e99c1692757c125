//! People and what they connect: accounts, tokens, sessions, sign-in tickets and memberships.

pub(super) mod accounts;
pub(super) mod api_tokens;
pub(super) mod memberships;
pub(super) mod operators;
pub(super) mod sessions;
pub(super) mod tickets;
pub(super) mod x_tokens;

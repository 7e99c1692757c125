//! `toall` publishes video to X from the chat people already sit in.
//!
//! One way through the code: chat → intake → staging → queue → worker → X → status → chat.
//! See `docs/architecture.md`.

pub mod account;
pub mod cli;
pub mod config;

//! `toall` publishes video to X from the chat people already sit in.
//!
//! One way through the code: chat → intake → staging → queue → worker → X → status → chat.
//! See `docs/architecture.md`.

pub mod account;
pub mod app;
pub mod caption;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod config;
pub mod health;
pub mod intake;
pub mod network;
pub mod parameters;
pub mod post;
pub mod sandbox;
pub mod staging;
pub mod store;
pub mod ticket;
pub mod twitter;
pub mod video;
pub mod web;
pub mod words;
pub mod worker;

//! The whole service, seen from outside.

mod contract;
mod discord;
mod discord_adapter;

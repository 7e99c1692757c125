//! The whole service against simulated neighbours, over real sockets on loopback.

mod discord;
mod discord_adapter;

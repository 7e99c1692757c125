//! The whole service against simulated neighbours, over real sockets on loopback.

mod chats;
mod contract;
mod discord;
mod discord_adapter;
mod house;
mod linking;
mod posting;
mod telegram;
mod telegram_adapter;
mod world;

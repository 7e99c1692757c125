//! The whole service against simulated neighbours, over real sockets on loopback.

mod accounts;
mod answers;
mod bucket;
mod cancelling;
mod chats;
mod contract;
mod discord;
mod discord_adapter;
mod doubt;
mod house;
mod killed;
mod limits;
mod linking;
mod looking;
mod outages;
mod overslept;
mod posting;
mod processing;
mod refusals;
mod resuming;
mod starting;
mod telegram;
mod telegram_adapter;
mod tokens;
mod trouble;
mod world;

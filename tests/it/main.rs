//! The whole service against simulated neighbours, over real sockets on loopback.

mod accounts;
mod api;
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
mod options;
mod outages;
mod parameters;
mod posting;
mod processing;
mod refusals;
mod starting;
mod telegram;
mod telegram_adapter;
mod trouble;
mod world;

//! The whole service against simulated neighbours, over real sockets on loopback.

mod access;
mod accounts;
mod answers;
mod api;
mod attack;
mod bell;
mod bucket;
mod cancelling;
mod chats;
mod contract;
#[cfg(unix)]
mod crash;
mod database_gone;
mod discord;
mod discord_adapter;
mod doors;
mod doubt;
mod house;
mod judging;
mod killed;
mod limits;
mod linking;
mod looking;
mod moving;
mod nodes;
mod options;
mod outages;
mod overslept;
mod parameters;
mod paused;
#[expect(dead_code, reason = "the tests of the store share it, and need more of it")]
mod postgres;
mod posting;
mod power_cut;
mod processing;
mod quota;
mod refusals;
mod resuming;
mod starting;
mod telegram;
mod telegram_adapter;
mod tokens;
mod trouble;
mod turns;
mod world;

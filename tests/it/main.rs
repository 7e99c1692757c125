//! Journeys through the real parts over real sockets.

mod telegram;
mod telegram_adapter;

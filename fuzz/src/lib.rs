//! Neighbours that say whatever the fuzzer makes up, so that it goes through the doors that the service really has.

pub mod discord;
pub mod telegram;
pub mod x;

use axum::Router;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

/// Fixed time of the clock: a day in 2027.
pub const NOW: i64 = 1_800_000_000_000;

/// The runtime in which a neighbour and the service talk, on the fuzzer's own thread.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Serves on loopback and returns the address.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

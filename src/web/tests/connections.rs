//! Clients that would take every connection, over real sockets. Each waits for what the server does, never for a time.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{CALLBACK, ServerLimits, World};

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.socket_addrs(|| None).unwrap()[0]).await.unwrap()
    }

    /// A request whose body of 1,000 bytes never comes.
    async fn stall(&self, client: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let head = format!(
            "POST {CALLBACK} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {client}\r\ncontent-length: 1000\r\n\
             content-type: application/x-www-form-urlencoded\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body once a handler reads it: from then on the request is in progress.
        let mut said = [0; 25];
        within(stream.read_exact(&mut said)).await.unwrap();
        assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    }

    async fn status(&self, path: &str, client: &str) -> StatusCode {
        let request = self.http.get(self.at(path)).header("x-forwarded-for", client);
        within(request.send()).await.unwrap().status()
    }
}

async fn within<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(PATIENCE, work).await.expect("the server takes too long")
}

/// Waits until the server has closed a connection.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good an end as any.
    let _ = within(stream.read_to_end(&mut rest)).await;
}

/// Believes this machine's `X-Forwarded-For`.
fn behind_a_proxy() -> ServerLimits {
    ServerLimits { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..ServerLimits::default() }
}

#[tokio::test]
async fn clients_that_never_read_lose_their_connections() {
    let limits = ServerLimits { connections: 8, pace: Duration::from_millis(300), ..behind_a_proxy() };
    let world = World::with_limits(limits).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = world.connect().await;
        // More answers than the buffers between the two hold.
        let asked = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200_000);
        let _ = tokio::time::timeout(Duration::from_secs(2), stream.write_all(&asked)).await;
        silent.push(stream);
    }
    assert_eq!(world.status("/", "192.0.2.1").await, 200);
    for mut stream in silent {
        closed(&mut stream).await;
    }
}

#[tokio::test]
async fn a_body_that_trickles_in_is_cut_off() {
    let limits = ServerLimits { pace: Duration::from_millis(400), ..behind_a_proxy() };
    let world = World::with_limits(limits).await;
    let mut slow = world.stall("192.0.2.1").await;
    let trickle = async {
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        while slow.write_all(b"a").await.is_ok() {
            pause.tick().await;
            let mut answer = [0; 12];
            if let Ok(Ok(_)) =
                tokio::time::timeout(Duration::from_millis(1), slow.read_exact(&mut answer)).await
            {
                return String::from_utf8_lossy(&answer).into_owned();
            }
        }
        "closed".to_owned()
    };
    let ended = within(trickle).await;
    assert!(["HTTP/1.1 408", "HTTP/1.1 400", "closed"].contains(&&*ended), "{ended}");
}

#[tokio::test]
async fn one_address_holds_no_more_than_its_share() {
    let limits = ServerLimits { connections_per_peer: 3, ..ServerLimits::default() };
    let world = World::with_limits(limits).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(world.stall("192.0.2.1").await);
    }
    let mut one_more = world.connect().await;
    closed(&mut one_more).await;
    drop(held.pop());
    // Free again once the server has noticed.
    let freed = async {
        while world.http.get(world.at("/healthz")).send().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(freed).await;
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_a_new_one() {
    let limits = ServerLimits { connections: 3, ..behind_a_proxy() };
    let world = World::with_limits(limits).await;
    let busy = world.stall("192.0.2.1").await;
    let mut idle = [world.connect().await, world.connect().await];
    assert_eq!(world.status("/", "192.0.2.2").await, 200);
    closed(&mut idle[0]).await;
    drop(busy);
}

#[tokio::test]
async fn health_checks_and_webhooks_find_room_when_pages_do_not() {
    let limits = ServerLimits { requests: 2, ..behind_a_proxy() };
    let world = World::with_limits(limits).await;
    let held = [world.stall("192.0.2.1").await, world.stall("192.0.2.2").await];
    let page = super::shown(world.http.get(world.at("/"))).await;
    page.says(503, "Try again in a few seconds");
    let refused = super::shown(world.http.get(world.at("/api/social/accounts"))).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (503, &"overloaded".into()));
    assert_eq!(world.status("/healthz", "192.0.2.3").await, 200);
    assert_eq!(world.status("/readyz", "192.0.2.3").await, 200);
    // No chat delivers here in this world; the point is that the answer is not 503.
    assert_eq!(world.status("/telegram/webhook", "192.0.2.3").await, 404);
    drop(held);
}

#[tokio::test]
async fn one_client_behind_a_proxy_takes_its_share_only() {
    let limits = ServerLimits { requests_per_client: 2, ..behind_a_proxy() };
    let world = World::with_limits(limits).await;
    let held = [world.stall("192.0.2.1").await, world.stall("192.0.2.1").await];
    assert_eq!(world.status("/", "192.0.2.1").await, 503);
    assert_eq!(world.status("/", "192.0.2.2").await, 200);
    drop(held);
}

#[tokio::test]
async fn wrong_tokens_are_no_longer_looked_up() {
    let world = World::with_limits(behind_a_proxy()).await;
    let token = world.api_token(&super::alice()).await;
    let ask = |token: &str, client: &str| {
        let request = world.http.get(world.at("/api/social/accounts")).bearer_auth(token);
        super::shown(request.header("x-forwarded-for", client))
    };
    let wrong = format!("toall_{}", crate::ticket::Ticket::draw().unwrap().expose());
    for _ in 0..60 {
        assert_eq!(ask(&wrong, "192.0.2.1").await.status, 401);
    }
    let refused = ask(&wrong, "192.0.2.1").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (429, &"too_many_wrong_tokens".into()));
    assert_eq!(ask(&token, "192.0.2.2").await.status, 200);
}

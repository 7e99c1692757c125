//! Connections: accepted up to a limit, closed when they stall, and finished in order at a stop.

mod pace;
mod peers;
mod room;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, response::IntoResponse};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::error::{ErrorPage, Problem, Refusal};
use pace::{PacedBody, PacedWrites};
pub(super) use peers::ClientAddress;
use peers::client_address;
use room::{Connections, Held, Requests};

/// The longest head of a request, in bytes; longer ones get 431.
const HEAD_BYTES: usize = 32 * 1024;
/// How long requests in flight may go on after the stop.
const GRACE: Duration = Duration::from_secs(15);

/// How much a listener takes from its clients, and how slow they may be.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Open connections.
    pub connections: usize,
    /// Open connections from one address that is not a trusted proxy.
    pub connections_per_peer: usize,
    /// Requests in progress, of these routes; the rest of `connections` is kept for webhooks and health checks.
    pub requests: usize,
    /// Webhook deliveries in progress.
    pub webhooks: usize,
    /// Files being received by the embedded storage.
    pub uploads: usize,
    /// Requests in progress from one client, as its address or a trusted proxy names it.
    pub requests_per_client: usize,
    /// Time to send a request's head, and to idle between requests.
    pub head_time: Duration,
    /// Each such span of a request's body must bring `least_bytes`, and each of a blocked response must take as many.
    pub pace: Duration,
    /// See `pace`. With the defaults about 1 KiB a second: a slow phone is far above it.
    pub least_bytes: u64,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            connections: 512,
            connections_per_peer: 64,
            requests: 384,
            webhooks: 112,
            uploads: 192,
            requests_per_client: 64,
            head_time: Duration::from_secs(15),
            pace: Duration::from_secs(60),
            least_bytes: 64 * 1024,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Serves until `stop`, then accepts nothing more and finishes requests in flight, for 15 seconds at most.
///
/// A request that has begun is finished even when its client leaves: half a connection to X would be a permission that
/// nobody remembers.
pub async fn serve(listener: TcpListener, router: Router, limits: ServerLimits, stop: CancellationToken) {
    let connections = Connections::new(&limits);
    let requests = Requests::new(&limits);
    let limits = Arc::new(limits);
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let trusted = peers::is_trusted(peer.ip(), &limits.trusted_proxies);
                let Some(held) = connections.enter(peer.ip(), trusted) else {
                    metrics::counter!("toall_http_connections_refused_total").increment(1);
                    continue;
                };
                let context = Context {
                    router: router.clone(),
                    limits: limits.clone(),
                    requests: requests.clone(),
                    tasks: tasks.clone(),
                    stop: stop.clone(),
                };
                tasks.spawn(context.connection(stream, peer, held));
            }
            Err(error) => {
                // Mostly a lack of file descriptors: other connections need time to close.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("requests were still in flight when the web part stopped");
    }
}

/// The parts that a connection needs.
struct Context {
    router: Router,
    limits: Arc<ServerLimits>,
    requests: Arc<Requests>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Context {
    async fn connection(self, stream: TcpStream, peer: SocketAddr, held: Held) {
        let Context { router, limits, requests, tasks, stop } = self;
        let held = Arc::new(held);
        let evicted = held.evicted();
        let router = TowerToHyperService::new(router);
        let (pace, least) = (limits.pace, limits.least_bytes);
        let trusted = limits.trusted_proxies.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let client = client_address(peer.ip(), request.headers(), &trusted);
            // A trusted address that names no client speaks for many.
            let counted = (!peers::is_trusted(client, &trusted)).then_some(client);
            let answer = match requests.admit(request.uri().path(), counted, held.clone()) {
                None => Err(refused(request.uri().path(), client)),
                Some(admission) => {
                    let mut request = request.map(|body| PacedBody::new(body, pace, least));
                    request
                        .extensions_mut()
                        .insert(ClientAddress { address: client, counted: counted.is_some() });
                    Ok((tasks.spawn(router.call(request)), admission))
                }
            };
            async move {
                match answer {
                    Err(response) => Ok(response),
                    Ok((answer, admission)) => {
                        let Ok(response) = answer.await.map_err(io::Error::other)?;
                        Ok::<_, io::Error>(response.map(|body| admission.until_sent(body)))
                    }
                }
            }
        });
        let _ = stream.set_nodelay(true);
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(PacedWrites::new(stream, pace, least)), service);
        let mut served = std::pin::pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = evicted.cancelled() => {
                metrics::counter!("toall_http_connections_evicted_total").increment(1);
                return;
            }
            () = stop.cancelled() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The answer to a request that finds no room.
fn refused(path: &str, client: IpAddr) -> axum::response::Response {
    metrics::counter!("toall_http_requests_refused_total").increment(1);
    tracing::debug!(%client, "too many requests in progress; one is refused");
    match path.starts_with("/api/") {
        true => Problem::from(Refusal::OVERLOADED).into_response(),
        false => ErrorPage(Refusal::OVERLOADED).into_response(),
    }
}

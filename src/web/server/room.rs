//! Room for connections and requests, shared out so that no client takes all of it.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::ServerLimits;
use crate::web::shares::{Share, Shares};

/// The open connections.
#[derive(Clone)]
pub(super) struct Connections {
    most: usize,
    most_per_peer: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    next_id: u64,
    by_id: HashMap<u64, Connection>,
    per_peer: HashMap<IpAddr, usize>,
}

struct Connection {
    /// Counted under this address; absent for a trusted proxy, which speaks for many.
    peer: Option<IpAddr>,
    requests: usize,
    idle_since: Instant,
    evicted: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    pub(super) fn new(limits: &ServerLimits) -> Self {
        let (most, most_per_peer) = (limits.connections, limits.connections_per_peer);
        Connections { most, most_per_peer, open: Arc::default() }
    }

    /// Takes a place for a connection, if need be that of the connection that has been idle longest. `None` when the
    /// peer has as many as one may, or when all others are in use.
    pub(super) fn enter(&self, peer: IpAddr, trusted: bool) -> Option<Held> {
        let peer = (!trusted).then_some(peer.to_canonical());
        let mut open = lock(&self.open);
        if peer.is_some_and(|peer| open.per_peer.get(&peer).is_some_and(|count| *count >= self.most_per_peer))
        {
            return None;
        }
        if open.by_id.len() >= self.most {
            let idle = open.by_id.iter().filter(|(_, connection)| connection.requests == 0);
            let longest = idle.min_by_key(|(_, connection)| connection.idle_since).map(|(id, _)| *id)?;
            if let Some(connection) = open.leave(longest) {
                connection.evicted.cancel();
            }
        }
        if let Some(peer) = peer {
            *open.per_peer.entry(peer).or_default() += 1;
        }
        let id = open.next_id;
        open.next_id += 1;
        let evicted = CancellationToken::new();
        let connection =
            Connection { peer, requests: 0, idle_since: Instant::now(), evicted: evicted.clone() };
        open.by_id.insert(id, connection);
        Some(Held { id, open: self.open.clone(), evicted })
    }
}

impl Open {
    fn leave(&mut self, id: u64) -> Option<Connection> {
        let connection = self.by_id.remove(&id)?;
        if let Some(peer) = connection.peer {
            release(&mut self.per_peer, peer);
        }
        Some(connection)
    }
}

/// A connection's place; free again when dropped.
pub(super) struct Held {
    id: u64,
    open: Arc<Mutex<Open>>,
    evicted: CancellationToken,
}

impl Held {
    /// Cancelled when another connection needs the place.
    pub(super) fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }

    fn begin(&self) {
        if let Some(connection) = lock(&self.open).by_id.get_mut(&self.id) {
            connection.requests += 1;
        }
    }

    fn end(&self) {
        if let Some(connection) = lock(&self.open).by_id.get_mut(&self.id) {
            connection.requests -= 1;
            connection.idle_since = Instant::now();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.open).leave(self.id);
    }
}

/// The requests in progress, by kind and by client.
pub(super) struct Requests {
    ordinary: Arc<Semaphore>,
    webhooks: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    clients: Shares<IpAddr>,
}

impl Requests {
    pub(super) fn new(limits: &ServerLimits) -> Arc<Self> {
        Arc::new(Requests {
            ordinary: Arc::new(Semaphore::new(limits.requests)),
            webhooks: Arc::new(Semaphore::new(limits.webhooks)),
            uploads: Arc::new(Semaphore::new(limits.uploads)),
            clients: Shares::new(limits.requests_per_client),
        })
    }

    /// Takes room for a request; `None` when there is none. Health checks always find some: they are answered at once.
    pub(super) fn admit(&self, path: &str, client: Option<IpAddr>, held: Arc<Held>) -> Option<Admission> {
        let (kinds, client): (&[_], _) = match path {
            "/healthz" | "/readyz" => (&[], None),
            "/telegram/webhook" | "/discord/interactions" => (&[&self.webhooks], None),
            path if path.starts_with("/staging/") => (&[&self.ordinary, &self.uploads], client),
            _ => (&[&self.ordinary], client),
        };
        let permits = kinds.iter().map(|kind| Arc::clone(kind).try_acquire_owned().ok());
        let permits = permits.collect::<Option<Vec<_>>>()?;
        let client = match client {
            Some(client) => Some(self.clients.take(client)?),
            None => None,
        };
        held.begin();
        Some(Admission { held, _client: client, _permits: permits })
    }
}

/// A request's room; free again when dropped.
pub(super) struct Admission {
    held: Arc<Held>,
    _client: Option<Share<IpAddr>>,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Admission {
    /// Keeps the room until the response has been handed to the connection, or the connection has ended.
    pub(super) fn until_sent(self, body: Body) -> Body {
        Body::new(Admitted { body, _admission: self })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.held.end();
    }
}

/// Counts one less, and forgets an address at zero, so that the map holds no more than there is.
fn release(counts: &mut HashMap<IpAddr, usize>, address: IpAddr) {
    if let Entry::Occupied(mut count) = counts.entry(address) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

struct Admitted {
    body: Body,
    _admission: Admission,
}

impl http_body::Body for Admitted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

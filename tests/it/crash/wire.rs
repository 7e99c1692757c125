//! The wires between the service and its neighbours, on which a trap waits for a request and kills the service.
//!
//! One proxy before each neighbour, so that the same four moments exist for X, the chat and the bucket alike.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use reqwest::{Client, redirect::Policy};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};
use url::Url;

use super::child::Child;

/// When a request kills the service that sends it.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// The neighbour never gets it.
    Unseen,
    /// The neighbour gets it only when the service is up again.
    Late,
    /// The neighbour does it; the answer is lost.
    Done,
    /// The answer has just gone out.
    Answered,
}

impl Moment {
    /// As the table calls it.
    pub fn word(self) -> &'static str {
        match self {
            Moment::Unseen => "unseen",
            Moment::Late => "late",
            Moment::Done => "done",
            Moment::Answered => "answered",
        }
    }
}

/// Which request the trap waits for.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Its name, as [`Wire`] names requests.
    pub kind: &'static str,
    /// How many of the kind pass first.
    pub after: u32,
    pub moment: Moment,
    /// How long it lingers where the moment leaves that open.
    pub delay: Duration,
}

/// Waits for a request on any wire. Clones are the same one.
#[derive(Clone)]
pub struct Trap(Arc<Inner>);

struct Inner {
    child: Child,
    order: Mutex<Option<Order>>,
    /// The latest request of the service.
    latest: Mutex<&'static str>,
    sprung: AtomicBool,
    /// Counts the starts of the service, which late requests wait for.
    starts: watch::Sender<usize>,
    late: AtomicUsize,
    /// The messages that were sent where nothing keeps a second copy out.
    sent: Mutex<Vec<Sent>>,
    /// Moves with every request, and after whatever the trap does.
    changes: watch::Sender<u64>,
}

/// A message that the service sent as a new one.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Which start of the service sent it, counted from 1.
    pub life: usize,
    /// What it answers.
    pub reply_to: Option<i64>,
    pub id: i64,
    /// Whether nobody waited for the answer any more: of a dead service too, some requests arrive when the next one
    /// has started.
    pub unheard: bool,
}

impl Trap {
    pub fn new(child: Child) -> Trap {
        Trap(Arc::new(Inner {
            child,
            order: Mutex::default(),
            latest: Mutex::new("nothing"),
            sprung: AtomicBool::new(false),
            starts: watch::Sender::new(0),
            late: AtomicUsize::new(0),
            sent: Mutex::default(),
            changes: watch::Sender::new(0),
        }))
    }

    pub fn arm(&self, order: Order) {
        *lock(&self.0.order) = Some(order);
    }

    /// Takes the order back; `None` when the request has come already, and the kill with it or soon after.
    pub fn disarm(&self) -> Option<Order> {
        lock(&self.0.order).take()
    }

    /// Whether it has killed the service since it was armed.
    pub fn sprung(&self) -> bool {
        self.0.sprung.load(Ordering::SeqCst)
    }

    /// What it waits for or has caught, for a tester to read.
    pub fn picture(&self) -> String {
        let (order, latest) = (*lock(&self.0.order), self.latest());
        format!("the trap waits for {order:?}; latest: {latest}; sprung: {}", self.sprung())
    }

    /// The kind of the latest request.
    pub fn latest(&self) -> &'static str {
        *lock(&self.0.latest)
    }

    /// Says that the service was started anew.
    pub fn started(&self) {
        self.0.sprung.store(false, Ordering::SeqCst);
        self.0.starts.send_modify(|starts| *starts += 1);
    }

    /// How often the service was started.
    pub fn life(&self) -> usize {
        *self.0.starts.borrow()
    }

    /// The messages that were sent where nothing keeps a second copy out.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.0.sent).clone()
    }

    /// Moves with every request, and after whatever the trap does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Whether a request of a killed service is still on its way.
    pub fn on_its_way(&self) -> bool {
        self.0.late.load(Ordering::SeqCst) > 0
    }

    /// Takes the order, if it is this request that it waits for.
    fn take(&self, kind: &'static str) -> Option<Order> {
        *lock(&self.0.latest) = kind;
        let mut order = lock(&self.0.order);
        let waiting = order.as_mut().filter(|order| order.kind == kind)?;
        match waiting.after.checked_sub(1) {
            Some(left) => {
                waiting.after = left;
                None
            }
            None => order.take(),
        }
    }

    fn spring(&self) {
        if self.0.child.kill() {
            self.0.sprung.store(true, Ordering::SeqCst);
        }
        self.changed();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names a request, for the trap and for the table.
type Name = fn(&Method, &Uri) -> &'static str;

#[derive(Clone)]
struct Wire {
    to: String,
    name: Name,
    client: Client,
    trap: Trap,
    /// The life of the service that sends the request at hand, and whether what comes of it is noted.
    life: usize,
    notes: bool,
}

/// Lays a wire to a neighbour, and returns the address at this end.
pub async fn lay(to: &str, name: Name, trap: &Trap) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let wire = Wire {
        to: to.trim_end_matches('/').to_owned(),
        name,
        client,
        trap: trap.clone(),
        life: 0,
        notes: false,
    };
    let router = Router::new().fallback(pass).with_state(wire);
    tokio::spawn(async move { axum::serve(listener, router).await });
    here
}

async fn pass(State(wire): State<Wire>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // Only what has arrived whole can be done by the neighbour.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return gone() };
    let kind = (wire.name)(&parts.method, &parts.uri);
    let order = wire.trap.take(kind);
    wire.trap.changed();
    let wire = Wire { notes: kind == "chat sendMessage", life: wire.trap.life(), ..wire };
    match order {
        None => wire.forward(parts, body).await,
        // On a task of its own: this one ends with the connection, which the service may give up.
        Some(order) => tokio::spawn(wire.caught(order, parts, body)).await.unwrap(),
    }
}

/// Nobody is left to read it.
fn gone() -> Response {
    StatusCode::BAD_GATEWAY.into_response()
}

impl Wire {
    /// Does with a request what the order says, and kills the service.
    async fn caught(self, order: Order, parts: Parts, body: Bytes) -> Response {
        let trap = self.trap.clone();
        match order.moment {
            Moment::Unseen => {
                trap.spring();
                gone()
            }
            Moment::Late => {
                let mut starts = trap.0.starts.subscribe();
                trap.0.late.fetch_add(1, Ordering::SeqCst);
                trap.spring();
                // Never lost with the trap: it lives as long as the wires.
                let _ = starts.changed().await;
                tokio::time::sleep(order.delay).await;
                self.forward(parts, body).await;
                trap.0.late.fetch_sub(1, Ordering::SeqCst);
                trap.changed();
                gone()
            }
            Moment::Done => {
                self.forward(parts, body).await;
                trap.spring();
                gone()
            }
            Moment::Answered => {
                let answer = self.forward(parts, body).await;
                tokio::spawn(async move {
                    tokio::time::sleep(order.delay).await;
                    trap.spring();
                });
                answer
            }
        }
    }

    async fn forward(&self, parts: Parts, body: Bytes) -> Response {
        if !self.notes {
            return self.pass_on(parts, body).await;
        }
        // On a task of its own, so that it is noted also when the service dies meanwhile and the request with it.
        let wire = self.clone();
        let (answered, heard) = oneshot::channel();
        tokio::spawn(async move {
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            let (parts, body) = wire.pass_on(parts, body).await.into_parts();
            let Ok(body) = to_bytes(body, usize::MAX).await else { return };
            let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
            if let Some(id) = answer["result"]["message_id"].as_i64() {
                let reply_to = asked["reply_parameters"]["message_id"].as_i64();
                let unheard = answered.is_closed();
                lock(&wire.trap.0.sent).push(Sent { life: wire.life, reply_to, id, unheard });
            }
            let _ = answered.send(Response::from_parts(parts, body.into()));
        });
        heard.await.unwrap_or_else(|_| gone())
    }

    async fn pass_on(&self, parts: Parts, body: Bytes) -> Response {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = self.client.request(parts.method, format!("{}{path}", self.to));
        // With the name that the service called, since signatures cover it.
        let sent = request.headers(carried(parts.headers)).body(body).send().await;
        let Ok(answer) = sent else { return gone() };
        let (status, headers) = (answer.status(), carried(answer.headers().clone()));
        let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// What concerns the message, not the connection (RFC 9110 section 7.6.1).
fn carried(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT] {
        headers.remove(name);
    }
    headers
}

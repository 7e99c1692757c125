//! Faults to order: what X does on a bad day, on demand and counted.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    http::Method,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{answer::Answer, state::X};

/// The requests of the API that the simulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// The code is exchanged for tokens.
    Token,
    /// The refresh token is exchanged for new tokens.
    Refresh,
    /// `POST /2/oauth2/revoke`
    Revoke,
    /// `GET /2/users/me`
    Me,
    /// `POST /2/media/upload/initialize`
    Initialize,
    /// `POST /2/media/upload/{id}/append`
    Append,
    /// `POST /2/media/upload/{id}/finalize`
    Finalize,
    /// `GET /2/media/upload`
    Status,
    /// `POST /2/media/metadata`
    Metadata,
    /// `POST /2/tweets`
    CreatePost,
    /// `GET /2/users/{id}/tweets`
    Timeline,
}

impl Call {
    /// The call behind a request line; a refresh is told from a first exchange by its body.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        Some(match (method.as_str(), segments.as_slice()) {
            ("POST", ["2", "oauth2", "token"]) => Self::Token,
            ("POST", ["2", "oauth2", "revoke"]) => Self::Revoke,
            ("GET", ["2", "users", "me"]) => Self::Me,
            ("GET", ["2", "users", _, "tweets"]) => Self::Timeline,
            ("POST", ["2", "tweets"]) => Self::CreatePost,
            ("GET", ["2", "media", "upload"]) => Self::Status,
            ("POST", ["2", "media", "metadata"]) => Self::Metadata,
            ("POST", ["2", "media", "upload", "initialize"]) => Self::Initialize,
            ("POST", ["2", "media", "upload", _, "append"]) => Self::Append,
            ("POST", ["2", "media", "upload", _, "finalize"]) => Self::Finalize,
            _ => return None,
        })
    }
}

/// Effect of a fault. It strikes after the request's body has been read.
#[derive(Clone)]
pub enum Effect {
    /// Answers this and does nothing.
    Refuse(Answer),
    /// Does nothing and closes the connection without an answer.
    Drop,
    /// Does what was asked, then closes the connection without an answer.
    ActThenDrop,
    /// Does what was asked, then answers something else.
    ActThenAnswer(Answer),
    /// Waits before doing what was asked; it is done even if the client has gone by then.
    Delay(Duration),
    /// As [`Effect::Delay`], until the gate is opened.
    Hold(Gate),
    /// Does what was asked, and cuts the JSON of the answer in half.
    Garble,
    /// Does what was asked, and changes the JSON of the answer.
    Edit(fn(&mut Value)),
}

impl Effect {
    /// Leaves `processing_info` out of an answer to finalize or status.
    pub fn no_processing_info() -> Self {
        Self::Edit(|answer| {
            if let Some(data) = answer["data"].as_object_mut() {
                data.remove("processing_info");
            }
        })
    }

    /// Leaves `check_after_secs` out of an answer to finalize or status.
    pub fn no_check_after() -> Self {
        Self::Edit(|answer| {
            if let Some(info) = answer["data"]["processing_info"].as_object_mut() {
                info.remove("check_after_secs");
            }
        })
    }
}

/// Holds requests back until it is opened.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A gate nothing passes.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets all waiting and later requests through.
    pub fn open(&self) {
        self.0.close();
    }

    async fn pass(&self) {
        // No permit is ever added: waiting ends only when the gate is opened.
        let _ = self.0.acquire().await;
    }
}

/// A fault: where, what, how often.
#[derive(Clone)]
pub struct Fault {
    call: Option<Call>,
    segment: Option<u32>,
    effect: Effect,
    skip: u32,
    times: u32,
}

impl Fault {
    /// Strikes the next request of this kind once.
    pub fn on(call: Call, effect: Effect) -> Self {
        Self::once(Some(call), effect)
    }

    /// Strikes the next API request of any kind once.
    pub fn anywhere(effect: Effect) -> Self {
        Self::once(None, effect)
    }

    fn once(call: Option<Call>, effect: Effect) -> Self {
        Self { call, segment: None, effect, skip: 0, times: 1 }
    }

    /// Strikes only appends of this segment.
    pub fn segment(mut self, index: u32) -> Self {
        self.segment = Some(index);
        self
    }

    /// Lets this many matching requests pass first.
    pub fn after(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes this many requests; `u32::MAX` never ends.
    pub fn times(mut self, requests: u32) -> Self {
        self.times = requests;
        self
    }
}

/// Tells how often an ordered fault has struck.
#[derive(Clone, Default)]
pub struct Ordered(Arc<AtomicU32>);

impl Ordered {
    /// How many requests it struck so far.
    pub fn fired(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn fire(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Marks a response that a fault made, for the log and for the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Struck {
    Answered,
    Dropped,
}

/// Takes back what is left of an order.
pub(super) fn lift(orders: &mut Vec<(Fault, Ordered)>, ordered: &Ordered) {
    orders.retain(|(_, other)| !Arc::ptr_eq(&other.0, &ordered.0));
}

pub(super) fn order(orders: &mut Vec<(Fault, Ordered)>, fault: Fault) -> Ordered {
    let ordered = Ordered::default();
    orders.push((fault, ordered.clone()));
    ordered
}

/// Takes the first fault that waits for such a request.
fn claim(orders: &mut [(Fault, Ordered)], call: Option<Call>, segment: Option<u32>) -> Option<Effect> {
    let matching = orders.iter_mut().find(|(fault, ordered)| {
        ordered.fired() < fault.times
            && (fault.call.is_none() || fault.call == call)
            && (fault.segment.is_none() || fault.segment == segment)
    });
    let (fault, ordered) = matching?;
    if fault.skip > 0 {
        fault.skip -= 1;
        return None;
    }
    ordered.fire();
    Some(fault.effect.clone())
}

/// Runs `act` under the fault that waits for it, if one does.
pub(super) async fn under_fault(
    x: &X,
    call: Option<Call>,
    segment: Option<u32>,
    act: impl Future<Output = Response>,
) -> Response {
    let effect = claim(&mut x.world().orders, call, segment);
    if effect.is_some() {
        // Wake tests that wait for this fault now, before any delay that the fault itself adds.
        x.changed();
    }
    let (mut response, struck) = match effect {
        None => return act.await,
        Some(Effect::Delay(time)) => {
            tokio::time::sleep(time).await;
            return act.await;
        }
        Some(Effect::Hold(gate)) => {
            gate.pass().await;
            return act.await;
        }
        Some(Effect::Refuse(answer)) => (answer.into_response(), Struck::Answered),
        Some(Effect::Drop) => (Response::default(), Struck::Dropped),
        Some(Effect::ActThenDrop) => {
            act.await;
            (Response::default(), Struck::Dropped)
        }
        Some(Effect::ActThenAnswer(answer)) => {
            act.await;
            (answer.into_response(), Struck::Answered)
        }
        Some(Effect::Garble) => {
            let garble = |body: Vec<u8>| body[..body.len() / 2].to_vec();
            (rewrite(act.await, garble).await, Struck::Answered)
        }
        Some(Effect::Edit(edit)) => {
            let edited = |body: Vec<u8>| match serde_json::from_slice(&body) {
                Ok(mut json) => {
                    edit(&mut json);
                    json.to_string().into_bytes()
                }
                Err(_) => body,
            };
            (rewrite(act.await, edited).await, Struck::Answered)
        }
    };
    response.extensions_mut().insert(struck);
    response
}

async fn rewrite(response: Response, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Response {
    let (mut parts, body) = response.into_parts();
    // The simulator's own answers are small and complete.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.remove("content-length");
    Response::from_parts(parts, Body::from(change(body.to_vec())))
}

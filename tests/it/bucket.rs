//! A bucket in memory that can be out of order: as much of S3 as small files need.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures::stream;
use toall::config;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use crate::world::PATIENCE;

/// The code and status it refuses everything with, while it does.
pub type Refusal = (StatusCode, &'static str);

/// How it answers with something else than it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// Half of it zeroes.
    Zeroes,
    /// As if the object were larger.
    Larger,
    /// As if the object ended in the middle of what is asked for.
    Smaller,
    /// The connection ends half-way.
    Short,
}

/// Its server stops when dropped.
pub struct Bucket {
    inner: Arc<Inner>,
    settings: config::Staging,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    objects: Mutex<BTreeMap<String, Bytes>>,
    parts: Mutex<BTreeMap<String, Bytes>>,
    refusal: Mutex<Option<Refusal>>,
    forbidden: Mutex<Option<&'static str>>,
    spoil: Mutex<Option<(Spoil, usize)>>,
    hang: Mutex<Option<Method>>,
    hung: Notify,
    let_go: Notify,
    lose: Mutex<Option<Method>>,
}

impl Bucket {
    pub async fn start() -> Bucket {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = config::Staging {
            endpoint_url: Some(format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap()),
            bucket: "videos".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: Some("key".to_owned()),
            secret_access_key: Some("secret".to_owned().into()),
            force_path_style: true,
        };
        let inner = Arc::<Inner>::default();
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Bucket { inner, settings, server }
    }

    pub fn settings(&self) -> config::Staging {
        self.settings.clone()
    }

    /// Refuses everything so from now on, or nothing any more.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        *self.inner.refusal.lock().unwrap() = refusal;
    }

    /// Spoils what is read, so many times.
    pub fn spoil(&self, spoil: Spoil, times: usize) {
        *self.inner.spoil.lock().unwrap() = Some((spoil, times));
    }

    /// Refuses this call from now on, by its name in S3's API.
    pub fn forbid(&self, call: &'static str) {
        *self.inner.forbidden.lock().unwrap() = Some(call);
    }

    /// Does what the next such request asks, and does not answer it before [`Bucket::let_go`].
    pub fn hang(&self, method: Method) {
        *self.inner.hang.lock().unwrap() = Some(method);
    }

    /// Returns once a request has been left without an answer.
    pub async fn hung(&self) {
        tokio::time::timeout(PATIENCE, self.inner.hung.notified()).await.expect("nothing hung");
    }

    /// Answers the request that hangs.
    pub fn let_go(&self) {
        self.inner.let_go.notify_one();
    }

    /// Does what the next such request asks, and answers it with an error.
    pub fn lose(&self, method: Method) {
        *self.inner.lose.lock().unwrap() = Some(method);
    }

    /// Whether such a request has been lost.
    pub fn lost(&self) -> bool {
        self.inner.lose.lock().unwrap().is_none()
    }

    pub fn keys(&self) -> Vec<String> {
        self.inner.objects.lock().unwrap().keys().cloned().collect()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(bucket): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let key = parts.uri.path().to_owned();
    if let Some((status, code)) = *bucket.refusal.lock().unwrap() {
        return (status, format!("<Error><Code>{code}</Code></Error>")).into_response();
    }
    if bucket.forbidden.lock().unwrap().is_some_and(|call| call == call_of(&parts)) {
        return (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>").into_response();
    }
    let method = parts.method.clone();
    let response = act(&bucket, parts, key, body);
    if bucket.hang.lock().unwrap().take_if(|wanted| *wanted == method).is_some() {
        bucket.hung.notify_one();
        bucket.let_go.notified().await;
    }
    if bucket.lose.lock().unwrap().take_if(|wanted| *wanted == method).is_some() {
        return (StatusCode::BAD_REQUEST, "<Error><Code>RequestTimeout</Code></Error>").into_response();
    }
    response
}

/// The name of the call in S3's API.
fn call_of(parts: &Parts) -> &'static str {
    let query = parts.uri.query().unwrap_or_default();
    let (in_parts, listed) = (query.contains("uploadId"), query.contains("list-type"));
    match parts.method {
        Method::POST if in_parts => "CompleteMultipartUpload",
        Method::POST => "CreateMultipartUpload",
        Method::PUT if in_parts => "UploadPart",
        Method::PUT => "PutObject",
        Method::GET if in_parts => "ListParts",
        Method::GET if listed => "ListObjectsV2",
        Method::GET if query.contains("uploads") => "ListMultipartUploads",
        Method::GET => "GetObject",
        Method::HEAD => "HeadObject",
        Method::DELETE if in_parts => "AbortMultipartUpload",
        Method::DELETE => "DeleteObject",
        _ => "",
    }
}

/// One upload in parts of a key at a time, with one part.
fn act(bucket: &Inner, parts: Parts, key: String, body: Bytes) -> Response {
    let mut objects = bucket.objects.lock().unwrap();
    let mut uploads = bucket.parts.lock().unwrap();
    match call_of(&parts) {
        // A list, asked for by the sweep: nothing in it is old.
        "ListObjectsV2" => "<ListBucketResult/>".into_response(),
        "ListMultipartUploads" => "<ListMultipartUploadsResult/>".into_response(),
        "CreateMultipartUpload" => {
            "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
                .into_response()
        }
        "UploadPart" => {
            uploads.insert(key, body);
            StatusCode::OK.into_response()
        }
        "ListParts" => {
            let size = uploads.get(&key).map_or(0, Bytes::len);
            format!("<ListPartsResult><Part><PartNumber>1</PartNumber><Size>{size}</Size></Part></ListPartsResult>")
                .into_response()
        }
        "CompleteMultipartUpload" => {
            objects.insert(key.clone(), uploads.remove(&key).unwrap_or_default());
            "<CompleteMultipartUploadResult/>".into_response()
        }
        "AbortMultipartUpload" => {
            uploads.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        "PutObject" => {
            objects.insert(key, body);
            StatusCode::OK.into_response()
        }
        "HeadObject" => match objects.get(&key) {
            // The server takes the length of an answer to HEAD from its body.
            Some(object) => object.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        "GetObject" => match (objects.get(&key), range(&parts.headers)) {
            (Some(object), Some((first, last))) => {
                let last = last.min(object.len() - 1);
                let part = object.slice(first..=last);
                spoiled(bucket, part, first, object.len())
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        },
        "DeleteObject" => {
            objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}

/// The answer to a read of `part`, which begins at `first` in an object of `total` bytes.
fn spoiled(bucket: &Inner, mut part: Bytes, first: usize, mut total: usize) -> Response {
    let mut spoil = bucket.spoil.lock().unwrap();
    let now = spoil.take_if(|(_, times)| *times == 0).is_none().then_some(()).and(*spoil);
    if let Some((_, times)) = spoil.as_mut() {
        *times -= 1;
    }
    let mut cut = false;
    match now.map(|(spoil, _)| spoil) {
        Some(Spoil::Zeroes) => {
            part = [vec![0; part.len() / 2 + 1].as_slice(), &part[part.len() / 2 + 1..]].concat().into()
        }
        Some(Spoil::Larger) => total += 1,
        Some(Spoil::Smaller) => {
            part.truncate(part.len() / 2);
            total = first + part.len();
        }
        Some(Spoil::Short) => cut = true,
        None => {}
    }
    let length = part.len();
    let last = (first + length).saturating_sub(1);
    let head = [
        (header::CONTENT_RANGE, format!("bytes {first}-{last}/{total}")),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    let body = match cut {
        false => Body::from(part),
        true => Body::from_stream(stream::iter([
            Ok(part.slice(..length / 2)),
            Err(io::Error::other("the connection is cut")),
        ])),
    };
    (StatusCode::PARTIAL_CONTENT, head, body).into_response()
}

fn range(headers: &axum::http::HeaderMap) -> Option<(usize, usize)> {
    let (first, last) = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

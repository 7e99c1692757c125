//! Tests of the client against a stand-in for X that returns canned answers and records requests.

mod errors;
mod log;
mod media;
mod oauth;
mod posts;

use std::{
    collections::VecDeque,
    error::Error,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use reqwest::StatusCode;
use secrecy::SecretString;
use tokio::net::TcpListener;
use url::Url;

use super::X;
use crate::config;

/// Prefix of every secret that must never appear in an error.
const HUSH: &str = "hush";

/// A request that the stand-in received.
struct Seen {
    /// Verb, path and query.
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A form body, as sorted `name=value`.
    fn form(&self) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(&self.body);
        let mut pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
        pairs.sort();
        pairs
    }

    fn query(&self) -> Vec<String> {
        let url = Url::parse("http://x").unwrap().join(self.line.split_once(' ').unwrap().1).unwrap();
        url.query_pairs().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

#[derive(Clone, Default)]
struct Desk {
    canned: Arc<Mutex<VecDeque<Response>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A client, and the stand-in it talks to.
struct World {
    x: X,
    desk: Desk,
}

impl World {
    /// A confidential app before a stand-in that gives these answers in turn.
    async fn new(canned: impl IntoIterator<Item = Response>) -> World {
        let desk = Desk { canned: Arc::new(Mutex::new(canned.into_iter().collect())), ..Desk::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(desk.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        World { x: client(&url, Some("hush-sécret+/=:%")), desk }
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.desk.seen.lock().unwrap())
    }

    /// The only request so far.
    fn one(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{:?}", seen.iter().map(|seen| &seen.line).collect::<Vec<_>>());
        seen.remove(0)
    }
}

async fn answer(State(desk): State<Desk>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 64 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    desk.seen.lock().unwrap().push(Seen {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers,
        body,
    });
    desk.canned.lock().unwrap().pop_front().expect("an answer for each request")
}

fn client(url: &str, secret: Option<&str>) -> X {
    let settings = config::Twitter {
        client_id: "app:id+1".to_owned(),
        client_secret: secret.map(SecretString::from),
        authorize_url: "https://x.com/i/oauth2/authorize".parse().unwrap(),
        api_url: url.parse().unwrap(),
        web_url: "https://x.com".parse().unwrap(),
    };
    X::new(&settings, "http://127.0.0.1:8080/api/social/callback".parse().unwrap()).unwrap()
}

fn json(status: u16, body: impl Into<String>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.into()).into_response()
}

fn token() -> SecretString {
    "hush-access".into()
}

/// The error as a person or a log would read it, after making sure that neither learns a secret.
#[track_caller]
fn told(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let shown = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    for text in [&shown, &format!("{error:?}")] {
        assert!(!text.contains(HUSH), "a secret in {text}");
        assert!(!text.contains("://"), "a URL in {text}");
    }
    shown
}

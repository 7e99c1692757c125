//! The simulator by itself, through the same door as everybody: HTTP.

mod calls;
mod faults;
mod linking;
mod pages;
mod uploads;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{
    Client, RequestBuilder, Response,
    multipart::{Form, Part},
    redirect::Policy,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use url::Url;

use super::{Sandbox, Settings};

const CALLBACK: &str = "http://127.0.0.1:8080/api/social/callback";
const SCOPE: &str = "tweet.read tweet.write users.read media.write offline.access";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";

/// A simulator on its own folder, a clock turned by hand, and a client.
struct Bench {
    sandbox: Sandbox,
    http: Client,
    ahead: Arc<AtomicU64>,
    dir: TempDir,
}

impl Bench {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ahead = Arc::new(AtomicU64::new(0));
        let mut settings = Settings::new(dir.path());
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = ahead.clone();
        settings.clock = Arc::new(move || began + Duration::from_secs(clock.load(Ordering::SeqCst)));
        change(&mut settings);
        Self {
            sandbox: Sandbox::start(settings).await.unwrap(),
            http: Client::builder().redirect(Policy::none()).build().unwrap(),
            ahead,
            dir,
        }
    }

    /// Turns the clock.
    fn pass(&self, secs: u64) {
        self.ahead.fetch_add(secs, Ordering::SeqCst);
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.url())
    }

    fn authorize_url(&self, scope: &str) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut url: Url = self.url("/i/oauth2/authorize").parse().unwrap();
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "sandbox-client"),
            ("redirect_uri", CALLBACK),
            ("scope", scope),
            ("state", "opaque"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        url
    }

    /// Presses a button on the authorize page; where the browser is sent.
    async fn decide(&self, url: Url, user: &str, decision: &str) -> Url {
        let form = [("user", user), ("decision", decision)];
        let response = self.http.post(url).form(&form).send().await.unwrap();
        assert_eq!(response.status(), 302);
        response.headers()["location"].to_str().unwrap().parse().unwrap()
    }

    async fn code(&self, user: &str, scope: &str) -> String {
        let back = self.decide(self.authorize_url(scope), user, "authorize").await;
        query(&back, "code").unwrap()
    }

    fn token_request(&self, form: &[(&str, &str)]) -> RequestBuilder {
        self.http
            .post(self.url("/2/oauth2/token"))
            .basic_auth("sandbox-client", Some("sandbox-secret"))
            .form(form)
    }

    fn exchange(&self, code: &str) -> RequestBuilder {
        self.token_request(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ])
    }

    fn refresh(&self, token: &str) -> RequestBuilder {
        self.token_request(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// Links an account; the answer of the token endpoint.
    async fn link(&self, user: &str, scope: &str) -> Value {
        let code = self.code(user, scope).await;
        let response = self.exchange(&code).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    async fn access(&self, user: &str) -> String {
        text(&self.link(user, SCOPE).await["access_token"])
    }

    fn get(&self, token: &str, path: &str) -> RequestBuilder {
        self.http.get(self.url(path)).bearer_auth(token)
    }

    fn post(&self, token: &str, path: &str) -> RequestBuilder {
        self.http.post(self.url(path)).bearer_auth(token)
    }

    /// Opens an upload of this many bytes and returns its id.
    async fn initialize(&self, token: &str, bytes: usize) -> String {
        let body = json!({
            "media_type": "video/mp4",
            "total_bytes": bytes,
            "media_category": "tweet_video",
        });
        let request = self.post(token, "/2/media/upload/initialize").json(&body);
        let (status, body) = answer(request).await;
        assert_eq!(status, 200, "{body}");
        text(&body["data"]["id"])
    }

    fn append(&self, token: &str, id: &str, segment: u32, bytes: &[u8]) -> RequestBuilder {
        let form = Form::new()
            .text("segment_index", segment.to_string())
            .part("media", Part::bytes(bytes.to_vec()).file_name("blob"));
        self.post(token, &format!("/2/media/upload/{id}/append")).multipart(form)
    }

    fn finalize(&self, token: &str, id: &str) -> RequestBuilder {
        self.post(token, &format!("/2/media/upload/{id}/finalize"))
    }

    fn status(&self, token: &str, id: &str) -> RequestBuilder {
        let path = format!("/2/media/upload?command=STATUS&media_id={id}");
        self.get(token, &path)
    }

    /// Uploads in one segment and waits the processing out; the media id.
    async fn upload(&self, token: &str, bytes: &[u8]) -> String {
        let id = self.initialize(token, bytes.len()).await;
        assert_eq!(answer(self.append(token, &id, 0, bytes)).await.0, 200);
        assert_eq!(answer(self.finalize(token, &id)).await.0, 200);
        self.pass(10);
        id
    }

    fn create(&self, token: &str, text: &str, media: &[&str]) -> RequestBuilder {
        let body = match media {
            [] => json!({"text": text}),
            ids => json!({"text": text, "media": {"media_ids": ids}}),
        };
        self.post(token, "/2/tweets").json(&body)
    }
}

/// Sends it: the status, and the body as JSON or null.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, json_of(response).await)
}

async fn json_of(response: Response) -> Value {
    let bytes = response.bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn query(url: &Url, name: &str) -> Option<String> {
    let found = url.query_pairs().find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned())
}

/// The message of an invalid-request problem.
fn message(problem: &Value) -> String {
    assert_eq!(problem["type"], "https://api.x.com/2/problems/invalid-request");
    text(&problem["errors"][0]["message"])
}

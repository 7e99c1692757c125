//! The real binary between stand-ins, and everything it leaves behind.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::Response,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;
use toall::sandbox::{Processing, Sandbox, Settings};
use tokio::net::TcpListener;
use url::Url;

use crate::{
    bell::Bell,
    bucket::Bucket,
    telegram::Telegram,
    world::{PATIENCE, browser},
};

pub const CLIENT_SECRET: &str = "client-secret-7f3Kq9+/=x";
pub const BUCKET_SECRET: &str = "bucket-secret-Zx81/+Qm4w";

/// A service in a process of its own, and its neighbours.
pub struct Real {
    pub telegram: Telegram,
    pub x: Sandbox,
    pub wire: Wire,
    pub url: Url,
    pub metrics: Url,
    pub dir: TempDir,
    _bucket: Bucket,
    running: Option<Child>,
}

impl Real {
    /// Sets everything up and starts nothing. Tokens live so briefly that every post refreshes them.
    pub async fn new() -> Real {
        let dir = tempfile::tempdir().unwrap();
        let (url, metrics) = (free(), free());
        let x = Sandbox::start(Settings {
            client_secret: Some(CLIENT_SECRET.to_owned()),
            redirect_uris: vec![format!("{url}api/social/callback")],
            token_life: Duration::from_secs(3),
            processing: Processing { steps: 1, check_after_secs: 0 },
            ..Settings::new(dir.path().join("x"))
        })
        .await
        .unwrap();
        let wire = Wire::to(x.url()).await;
        let telegram = Telegram::start().await;
        let bucket = Bucket::start().await;
        let bot = telegram.settings();
        let s3 = bucket.settings();
        let config = format!(
            "public_url = '{url}'\n\
             data_dir = '{data}'\n\
             [web]\nlisten = '{}'\n\
             [metrics]\nlisten = '{}'\n\
             [telegram]\ntoken = '{}'\napi_url = '{}'\n\
             [twitter]\nclient_id = 'sandbox-client'\nclient_secret = '{CLIENT_SECRET}'\n\
             authorize_url = '{x}/i/oauth2/authorize'\napi_url = '{}'\nweb_url = '{x}'\n\
             [staging]\nendpoint_url = '{}'\nbucket = '{}'\naccess_key_id = 'key'\n\
             secret_access_key = '{BUCKET_SECRET}'\n\
             [access]\nopen = true\n",
            authority(&url),
            authority(&metrics),
            bot.token.expose_secret(),
            bot.api_url,
            wire.url,
            s3.endpoint_url.unwrap(),
            s3.bucket,
            data = dir.path().join("data").display(),
            x = x.url(),
        );
        let mut file = File::options();
        let path = dir.path().join("config.toml");
        file.write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .unwrap()
            .write_all(config.as_bytes())
            .unwrap();
        Real { telegram, x, wire, url, metrics, dir, _bucket: bucket, running: None }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The binary, in an open-handed shell: a umask of 0, logs at their most talkative.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_toall")])
            .args(words)
            .arg("--config")
            .arg(self.dir.path().join("config.toml"))
            .env_remove("TOALL_TEST_DATABASE")
            .env("TOALL_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .stdin(Stdio::null())
            .stdout(self.said())
            .stderr(self.said());
        command
    }

    fn said(&self) -> File {
        File::options().create(true).append(true).open(self.dir.path().join("said")).unwrap()
    }

    /// All that the binary printed and logged so far.
    pub fn log(&self) -> String {
        String::from_utf8(fs::read(self.dir.path().join("said")).unwrap_or_default()).unwrap()
    }

    /// Starts the service and waits until it is ready.
    pub async fn start(&mut self) {
        let before = self.log().len();
        self.running = Some(self.command(&["serve"]).spawn().unwrap());
        let bell = Bell::on(&[self.dir.path()]).unwrap();
        let ready = tokio::time::timeout(PATIENCE, async {
            while !self.log()[before..].contains("\"message\":\"ready\"") {
                bell.rung().await;
            }
        });
        assert!(ready.await.is_ok(), "it never was ready: {}", self.log());
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().id()
    }

    /// Sends a signal (`TERM`, `KILL`) and returns how the service ended.
    pub async fn end(&mut self, signal: &str) -> ExitStatus {
        let mut child = self.running.take().unwrap();
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap()
    }

    /// Runs the binary to its end, or kills it after `patience`.
    pub fn run(&self, words: &[&str], patience: Option<Duration>) -> ExitStatus {
        let mut child = self.command(words).spawn().unwrap();
        if let Some(patience) = patience {
            std::thread::sleep(patience);
            let _ = child.kill();
        }
        child.wait().unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Every file below a folder.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// An address that is free, outside of the range that the system gives away by itself.
fn free() -> Url {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first: u16 = range.split_whitespace().next().and_then(|port| port.parse().ok()).unwrap_or(32_768);
    loop {
        let port = fastrand::u16(1_025..first);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("http://127.0.0.1:{port}/").parse().unwrap();
        }
    }
}

fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

/// Stands between the service and X, and writes down each secret that passes.
pub struct Wire {
    pub url: String,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    target: String,
    secrets: Mutex<Vec<(String, String)>>,
    compressed: AtomicBool,
}

impl Wire {
    async fn to(target: &str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Heard { target: target.trim_end_matches('/').to_owned(), ..Heard::default() });
        let router = axum::Router::new().fallback(pass).with_state(heard.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Wire { url, heard }
    }

    /// What passed, by name: tokens, codes, verifiers.
    pub fn secrets(&self) -> Vec<(String, String)> {
        self.heard.secrets.lock().unwrap().clone()
    }

    /// Whether the service ever said that it unpacks what comes compressed.
    pub fn compressed(&self) -> bool {
        self.heard.compressed.load(Ordering::Relaxed)
    }
}

impl Heard {
    fn note(&self, name: &str, value: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        if !secrets.iter().any(|(_, known)| known == value) {
            secrets.push((name.to_owned(), value.to_owned()));
        }
    }
}

async fn pass(State(heard): State<Arc<Heard>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().as_str();
    if parts.headers.contains_key("accept-encoding") {
        heard.compressed.store(true, Ordering::Relaxed);
    }
    let signing_in = path.starts_with("/2/oauth2/");
    if signing_in {
        for (name, value) in url::form_urlencoded::parse(&body) {
            if ["code", "code_verifier", "refresh_token", "token"].contains(&&*name) {
                heard.note(&name, &value);
            }
        }
    }
    if let Some(authorization) = parts.headers.get("authorization") {
        heard.note("authorization", authorization.to_str().unwrap().split_once(' ').unwrap().1);
    }
    let mut onward = browser().request(parts.method, format!("{}{path}", heard.target));
    for (name, value) in &parts.headers {
        if !["host", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            onward = onward.header(name, value);
        }
    }
    let Ok(answer) = onward.body(body).send().await else {
        // What X drops is dropped on the other side too.
        let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("dropped")) });
        return Response::new(Body::from_stream(broken));
    };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" {
            response = response.header(name, value);
        }
    }
    let body = answer.bytes().await.unwrap_or_default();
    if signing_in && let Ok(answer) = serde_json::from_slice::<Value>(&body) {
        for name in ["access_token", "refresh_token"] {
            if let Some(token) = answer[name].as_str() {
                heard.note(name, token);
            }
        }
    }
    response.body(Body::from(body)).unwrap()
}

//! Sends 2 MB to the public address, as a browser sends a video, and looks if they arrive at this installation.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::redirect::Policy;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use uuid::Uuid;

use crate::{
    network,
    store::Vault,
    web::{REACH_BYTES, REACH_HEADER, REACH_OWNER, REACH_PATH, reach_router},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a proxy may take to notice that the stand-in has begun to answer.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Answers for the service at its own address while that does not run. `None` if it runs.
pub(super) async fn stand_in(listen: SocketAddr, vault: Arc<Vault>) -> Option<AbortOnDropHandle<()>> {
    let listener = TcpListener::bind(listen).await.ok()?;
    let served = async move {
        let _ = axum::serve(listener, stand_in_router(vault)).await;
    };
    Some(AbortOnDropHandle::new(tokio::spawn(served)))
}

/// A proxy that asks for health passes nothing on before it has an answer.
fn stand_in_router(vault: Arc<Vault>) -> Router {
    reach_router(vault).route("/healthz", get(async || "ok")).route("/readyz", get(async || "ok"))
}

/// Tries it, again for some seconds if a stand-in has just begun to answer behind the proxy.
///
/// # Errors
/// What stops the bytes on their way, and the remedy.
pub(super) async fn reach(
    public_url: &Url,
    listen: SocketAddr,
    vault: &Vault,
    has_just_begun: bool,
) -> Result<String, String> {
    let began = Instant::now();
    loop {
        let tried = attempt(public_url, listen, vault).await;
        let may_be_unnoticed = matches!(tried, Err(Unreached { is_behind_proxy: true, .. }));
        if !(may_be_unnoticed && has_just_begun && began.elapsed() < NOTICED_WITHIN) {
            return tried.map_err(|unreached| unreached.why);
        }
        sleep(ASK_AGAIN).await;
    }
}

/// The bytes did not arrive.
struct Unreached {
    why: String,
    /// The proxy answered that it does not reach toall.
    is_behind_proxy: bool,
}

impl From<String> for Unreached {
    fn from(why: String) -> Unreached {
        Unreached { why, is_behind_proxy: false }
    }
}

async fn attempt(public_url: &Url, listen: SocketAddr, vault: &Vault) -> Result<String, Unreached> {
    let text = Uuid::new_v4().to_string();
    let sealed = vault.seal(text.as_bytes(), REACH_OWNER).map_err(|error| error.to_string())?;
    let mut url = public_url.clone();
    url.set_path(&format!("{}{REACH_PATH}", public_url.path().trim_end_matches('/')));
    let client = network::client().redirect(Policy::none()).timeout(PATIENCE).build();
    let client = client.map_err(|error| error.to_string())?;
    let sent = client
        .post(url)
        .header(REACH_HEADER, URL_SAFE_NO_PAD.encode(sealed))
        .body(vec![0; REACH_BYTES])
        .send()
        .await;
    let place = public_url.host_str().unwrap_or_default();
    let answer = sent.map_err(|error| {
        format!(
            "{place} cannot be reached: {}. Check public_url, its DNS entry and the proxy.",
            network::cause(&error)
        )
    })?;
    let status = answer.status();
    if status == StatusCode::OK {
        // Nothing of ours is longer; another program's answer may be.
        let arrived = answer.content_length() == Some(text.len() as u64)
            && answer.bytes().await.is_ok_and(|bytes| bytes == text.as_bytes());
        if arrived {
            return Ok(format!("2 MB sent to {place} arrive here"));
        }
    }
    let is_behind_proxy =
        [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT]
            .contains(&status);
    let why = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!(
            "the proxy at {place} refuses 2 MB (answer 413), so no video gets through. Let it pass bodies of any size: in \
             nginx, client_max_body_size 0; the README has a complete block."
        ),
        status if is_behind_proxy => format!(
            "the proxy at {place} does not reach toall (answer {}). It has to pass requests on to {listen}, or to where \
             that is published.",
            status.as_u16()
        ),
        status if status.is_redirection() => format!(
            "{place} redirects to another address (answer {}). Set public_url to the address that browsers end up at.",
            status.as_u16()
        ),
        status => format!(
            "another program answers at {place}, or a toall with another key (answer {}). Correct public_url, or what the \
             proxy there leads to.",
            status.as_u16()
        ),
    };
    Err(Unreached { why, is_behind_proxy })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::{
        extract::DefaultBodyLimit,
        middleware,
        response::{IntoResponse, Redirect},
        routing::post,
    };

    use super::*;

    const LISTEN: &str = "127.0.0.1:8080";

    async fn serving(router: Router) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    async fn found(router: Router) -> Result<String, String> {
        reach(&serving(router).await, LISTEN.parse().unwrap(), &Vault::new(&[1; 32]), false).await
    }

    #[tokio::test]
    async fn what_stops_two_megabytes_is_named() {
        let ours = || reach_router(Arc::new(Vault::new(&[1; 32])));
        assert_eq!(found(ours()).await.unwrap(), "2 MB sent to 127.0.0.1 arrive here");
        let below = Router::new().nest("/some/path", ours());
        let url = serving(below).await.join("some/path/").unwrap();
        assert!(reach(&url, LISTEN.parse().unwrap(), &Vault::new(&[1; 32]), false).await.is_ok());

        let nginx = async |body: axum::body::Bytes| body.len().to_string();
        let nginx = Router::new().route(REACH_PATH, post(nginx)).layer(DefaultBodyLimit::max(1 << 20));
        assert!(found(nginx).await.unwrap_err().contains("client_max_body_size 0"));
        let away = Router::new().fallback(async |_: axum::body::Bytes| StatusCode::BAD_GATEWAY);
        let away = away.layer(DefaultBodyLimit::disable());
        assert!(found(away).await.unwrap_err().contains("has to pass requests on to 127.0.0.1:8080"));
        let moved = Router::new().fallback(async |_: axum::body::Bytes| Redirect::permanent("/elsewhere"));
        let moved = moved.layer(DefaultBodyLimit::disable());
        assert!(found(moved).await.unwrap_err().contains("redirects to another address"));
        let other = Router::new().fallback(async |_: axum::body::Bytes| "It works!");
        let other = other.layer(DefaultBodyLimit::disable());
        assert!(found(other).await.unwrap_err().starts_with("another program answers at 127.0.0.1"));
    }

    /// As Caddy does, whose checks of health come every few seconds.
    #[tokio::test]
    async fn a_proxy_may_notice_the_stand_in_late() {
        let asked = Arc::new(AtomicU32::new(0));
        let late = middleware::from_fn(move |request, next: middleware::Next| {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            async move {
                match number {
                    0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                    _ => next.run(request).await,
                }
            }
        });
        let vault = Vault::new(&[1; 32]);
        let url = serving(stand_in_router(Arc::new(Vault::new(&[1; 32]))).layer(late)).await;
        assert!(reach(&url, LISTEN.parse().unwrap(), &vault, true).await.is_ok());
        let health = network::client().no_proxy().build().unwrap().get(url.join("readyz").unwrap());
        assert_eq!(health.send().await.unwrap().status(), StatusCode::OK);
    }

    /// Neither a stranger nor an installation with another key can have a body read.
    #[tokio::test]
    async fn without_the_key_no_body_is_taken() {
        let url = serving(reach_router(Arc::new(Vault::new(&[2; 32])))).await;
        let said = reach(&url, LISTEN.parse().unwrap(), &Vault::new(&[1; 32]), false).await.unwrap_err();
        assert!(
            said.contains("a toall with another key") || said.contains("it closed the connection"),
            "{said}"
        );
        let client = network::client().no_proxy().build().unwrap();
        let asked = client.post(url.join("reach").unwrap()).body("x").send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::NOT_FOUND);
    }
}

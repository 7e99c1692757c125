//! Sends 2 MB to the public address, as a browser sends a video, and looks if they arrive at this installation.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::redirect::Policy;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use uuid::Uuid;

use crate::{
    network,
    store::Vault,
    web::{REACH_BYTES, REACH_HEADER, REACH_OWNER, REACH_PATH, reach_router},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Answers for the service at its own address while that does not run. `None` if it runs.
pub(super) async fn stand_in(listen: SocketAddr, vault: Arc<Vault>) -> Option<AbortOnDropHandle<()>> {
    let listener = TcpListener::bind(listen).await.ok()?;
    let served = async move {
        let _ = axum::serve(listener, reach_router(vault)).await;
    };
    Some(AbortOnDropHandle::new(tokio::spawn(served)))
}

/// Tries it.
///
/// # Errors
/// What stops the bytes on their way, and the remedy.
pub(super) async fn reach(public_url: &Url, listen: SocketAddr, vault: &Vault) -> Result<String, String> {
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
    Err(match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!(
            "the proxy at {place} refuses 2 MB (answer 413), so no video gets through. Let it pass bodies of any size: in \
             nginx, client_max_body_size 0; the README has a complete block."
        ),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => format!(
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
    })
}

#[cfg(test)]
mod tests {
    use axum::{Router, extract::DefaultBodyLimit, response::Redirect, routing::post};

    use super::*;

    const LISTEN: &str = "127.0.0.1:8080";

    async fn serving(router: Router) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    async fn found(router: Router) -> Result<String, String> {
        reach(&serving(router).await, LISTEN.parse().unwrap(), &Vault::new(&[1; 32])).await
    }

    #[tokio::test]
    async fn what_stops_two_megabytes_is_named() {
        let ours = || reach_router(Arc::new(Vault::new(&[1; 32])));
        assert_eq!(found(ours()).await.unwrap(), "2 MB sent to 127.0.0.1 arrive here");
        let below = Router::new().nest("/some/path", ours());
        let url = serving(below).await.join("some/path/").unwrap();
        assert!(reach(&url, LISTEN.parse().unwrap(), &Vault::new(&[1; 32])).await.is_ok());

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

    /// Neither a stranger nor an installation with another key can have a body read.
    #[tokio::test]
    async fn without_the_key_no_body_is_taken() {
        let url = serving(reach_router(Arc::new(Vault::new(&[2; 32])))).await;
        let said = reach(&url, LISTEN.parse().unwrap(), &Vault::new(&[1; 32])).await.unwrap_err();
        assert!(
            said.contains("a toall with another key") || said.contains("it closed the connection"),
            "{said}"
        );
        let client = network::client().no_proxy().build().unwrap();
        let asked = client.post(url.join("reach").unwrap()).body("x").send().await.unwrap();
        assert_eq!(asked.status(), StatusCode::NOT_FOUND);
    }
}

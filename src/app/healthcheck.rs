//! `toall healthcheck`: asks the service on this machine if it is ready.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode, redirect::Policy};

/// Below the 5 s that container runtimes give a check, so that the reason is printed.
const PATIENCE: Duration = Duration::from_secs(4);
/// More than any answer of `/readyz` has.
const MOST_BYTES: usize = 4096;

/// Returns what `/readyz` answers at the address that the service listens on.
///
/// # Errors
/// If nothing answers, or the answer is *not_ready*.
pub async fn healthcheck(listen: SocketAddr) -> anyhow::Result<String> {
    // A service that listens on every address is asked by the loopback of the same family.
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    // A proxy in the environment is for the outside.
    let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(PATIENCE).build()?;
    let asked = client.get(format!("http://{address}/readyz")).send().await;
    let mut answer = asked
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("toall does not answer at {address}"))?;
    let mut said = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        said.extend_from_slice(&chunk);
        if said.len() > MOST_BYTES {
            break;
        }
    }
    said.truncate(MOST_BYTES);
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match answer.status() {
        StatusCode::OK => Ok(said),
        StatusCode::SERVICE_UNAVAILABLE => bail!("toall at {address} is not ready: {said}"),
        status => bail!("The program at {address} is not toall: /readyz answers {status}."),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with these bytes.
    async fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 1024]).await;
            connection.write_all(answer.as_bytes()).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_service_is_well_unless_it_says_not_ready() {
        let degraded =
            answering("HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{\"status\":\"degraded\"}").await;
        let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), degraded.port());
        assert_eq!(healthcheck(everywhere).await.unwrap(), "{\"status\":\"degraded\"}");

        let away = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 22\r\n\r\n{\"status\":\"not_ready\"}";
        let said = healthcheck(answering(away).await).await.unwrap_err().to_string();
        assert!(said.ends_with("is not ready: {\"status\":\"not_ready\"}"), "{said}");

        let other = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        let said = healthcheck(answering(other).await).await.unwrap_err().to_string();
        assert!(said.ends_with("is not toall: /readyz answers 404 Not Found."), "{said}");

        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let said = format!("{:#}", healthcheck(nowhere).await.unwrap_err());
        assert!(said.starts_with(&format!("toall does not answer at {nowhere}")), "{said}");
    }
}

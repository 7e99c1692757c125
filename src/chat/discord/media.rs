//! Fetches attachments, from Discord's media hosts only.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use reqwest::{Client, StatusCode, redirect};
use url::Url;

use crate::{
    chat::{ChatError, Download},
    network,
};

use super::rest::{USER_AGENT, trouble};

/// Fetches files from a fixed set of hosts.
#[derive(Clone)]
pub(super) struct Media {
    client: Client,
    /// `host` or `host:port`, as configured.
    hosts: Vec<String>,
}

impl Media {
    pub(super) fn new(hosts: &[String]) -> Result<Self, ChatError> {
        let client = network::client()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| ChatError::Trouble(error.to_string()))?;
        Ok(Media { client, hosts: hosts.to_vec() })
    }

    /// Opens the file at `source`; its bytes follow as they come.
    pub(super) async fn fetch(&self, source: &str) -> Result<Download, ChatError> {
        let url = Url::parse(source).ok().filter(|url| self.is_ours(url)).ok_or(ChatError::ForeignFile)?;
        let response = self.client.get(url).send().await.map_err(trouble)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(ChatError::ForeignFile),
            // Links are signed and expire after a day.
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(ChatError::Gone("the attachment".to_owned()));
            }
            // An expired link as well, or a network that lets nothing through.
            StatusCode::FORBIDDEN => {
                return Err(ChatError::Forbidden("attachment: status 403".to_owned()));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(ChatError::Trouble(format!("attachment: status {status}")));
            }
            status => return Err(ChatError::Refused(format!("attachment: status {status}"))),
        }
        Ok(Download {
            bytes: response.content_length(),
            body: response.bytes_stream().map_err(|error| trouble(error).into()).boxed(),
        })
    }

    /// Whether an address is on a configured host: by HTTPS, or by plain HTTP where the operator
    /// named a port, which Discord's own hosts never have.
    fn is_ours(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        if !url.username().is_empty() || url.password().is_some() {
            return false;
        }
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        self.hosts.iter().any(|ours| match url.scheme() {
            "https" if url.port().is_none() && ours.eq_ignore_ascii_case(host) => true,
            "https" | "http" => with_port.as_deref().is_some_and(|name| ours.eq_ignore_ascii_case(name)),
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(source: &str) -> bool {
        let hosts = ["cdn.discordapp.com", "127.0.0.1:9000", "[::1]:9000"].map(str::to_owned);
        let media = Media::new(&hosts).unwrap();
        Url::parse(source).is_ok_and(|url| media.is_ours(&url))
    }

    #[test]
    fn files_come_from_the_named_hosts_only() {
        for source in [
            "https://cdn.discordapp.com/attachments/1/2/surf.mov?ex=1&is=2&hm=3",
            "https://CDN.discordapp.com/a",
            "https://cdn.discordapp.com:443/a",
            "http://127.0.0.1:9000/a",
            "https://127.0.0.1:9000/a",
            "http://[::1]:9000/a",
        ] {
            assert!(ours(source), "{source}");
        }
        for source in [
            "http://cdn.discordapp.com/a",
            "https://cdn.discordapp.com:8443/a",
            "https://cdn.discordapp.com.evil.example/a",
            "https://cdn.discordapp.com./a",
            "https://cdn.discordapp.com@evil.example/a",
            "https://alice@cdn.discordapp.com/a",
            "https://alice:secret@cdn.discordapp.com/a",
            "https://evil.example/cdn.discordapp.com",
            "https://evil.example\\@cdn.discordapp.com/a",
            "https://evilcdn.discordapp.com/a",
            "https://discordapp.com/a",
            "http://127.0.0.1/a",
            "http://127.0.0.1:9001/a",
            "http://2130706433/a",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::1]/a",
            "http://[::ffff:127.0.0.1]:9000/a",
            "http://[::ffff:7f00:1]:9000/a",
            "http://0177.0.0.1:9001/a",
            "http://0x7f000001:9001/a",
            "http://127.1:9001/a",
            "http://10.0.0.1/a",
            "http://192.168.0.1:9000/a",
            "http://[fe80::1]/a",
            "http://[fd00::1]:9000/a",
            "http://0.0.0.0:9000/a",
            "https://cdn.discordapp.com%2eevil.example/a",
            "https://cdn.discordapp.com%00.evil.example/a",
            "https://cdn.discordapp.com:443@evil.example/a",
            "https://evil.example#@cdn.discordapp.com/a",
            "https://evil.example?@cdn.discordapp.com/a",
            "http://localhost:9000/a",
            "file:///etc/passwd",
            "ftp://cdn.discordapp.com/a",
            "data:video/mp4;base64,AAAA",
            "cdn.discordapp.com/a",
            "",
        ] {
            assert!(!ours(source), "{source}");
        }
    }
}

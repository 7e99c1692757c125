//! The embedded default: a small S3 inside this process, its data in a folder.
//!
//! It listens on 127.0.0.1 with a secret made at each start, so nobody else on the machine can use it. Browsers
//! reach it through the web part, by a [`Door`] that takes signed requests to put something and nothing else.

use std::{collections::HashSet, io, net::SocketAddr, path::Path, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{Credentials, Region},
};
use bytes::Bytes;
use hyper::{
    Request, Response, Uri,
    body::Body,
    header::{self, HeaderValue},
    server::conn::http1,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    path::S3Path,
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use url::Url;

use super::{Staging, base_config, check_key};

mod files;
mod folder;

const BUCKET: &str = "toall";
/// s3s-fs lets an upload go on by the key that began it, so the id stays when the secret changes.
const ACCESS_KEY: &str = "toall";

/// The running server. Stops when dropped.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
    door: Door,
    joining: watch::Receiver<HashSet<String>>,
}

/// The way in for those who cannot reach the loopback address. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    service: S3Service,
    address: SocketAddr,
}

impl Door {
    /// Returns true if a URL signed by [`Staging`] leads to this server.
    pub fn leads_here(&self, url: &Url) -> bool {
        url.host_str() == Some("127.0.0.1") && url.port() == Some(self.address.port())
    }

    /// The key that a path of this server names.
    pub fn key<'a>(&self, target: &'a Uri) -> Option<&'a str> {
        target.path().strip_prefix('/')?.strip_prefix(BUCKET)?.strip_prefix('/')
    }

    /// Hands on a request as if it had been sent to the server's own address, for which it was signed.
    ///
    /// The body is passed through as it arrives.
    pub async fn knock<B>(&self, mut request: Request<B>) -> Result<Response<s3s::Body>, s3s::HttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        if let Ok(host) = HeaderValue::from_str(&self.address.to_string()) {
            request.headers_mut().insert(header::HOST, host);
        }
        self.service.call(request.map(s3s::Body::http_body_unsync)).await
    }
}

impl Server {
    /// The way in from the web part.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// Stops the server and waits until it has let go of its connections and joined the parts that it was joining. Finish what uses it first.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        // Torn apart, it would have to be done again.
        let _ = self.joining.wait_for(HashSet::is_empty).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Staging {
    /// Starts the embedded S3 over `dir`, which is made if need be and kept to this user. It leaves `min_free` bytes of the
    /// disk free.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or no port is free.
    pub async fn embedded(dir: &Path, min_free: u64) -> io::Result<(Staging, Server)> {
        let files = files::Files::open(dir.to_owned(), BUCKET, min_free).await?;
        let secret = random_key()?;
        let joining = files.joining();
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, secret.as_str()));
        service.set_access(OwnBucket);

        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let service = service.build();
        let door = Door { service: service.clone(), address };
        let server = Server { accepting: tokio::spawn(accept(listener, service)), door, joining };
        let config = base_config()
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(format!("http://{address}"))
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new(ACCESS_KEY, secret, None, None, "embedded"))
            .force_path_style(true);
        Ok((Staging { client: Client::from_conf(config.build()), bucket: BUCKET.to_owned() }, server))
    }
}

/// Dropping it, and with it the set, closes every connection.
async fn accept(listener: TcpListener, service: S3Service) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: give others time to close some.
                tracing::warn!(%error, "embedded storage could not take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service.clone());
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "embedded storage lost a connection");
            }
        });
    }
}

/// Signed requests for plain keys of our one bucket, nothing else.
struct OwnBucket;

#[async_trait::async_trait]
impl S3Access for OwnBucket {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let ours = match request.s3_path() {
            S3Path::Root => false,
            S3Path::Bucket { bucket } => &**bucket == BUCKET,
            S3Path::Object { bucket, key } => &**bucket == BUCKET && check_key(key).is_ok(),
        };
        if ours && request.credentials().is_some() { Ok(()) } else { Err(s3_error!(AccessDenied)) }
    }
}

fn random_key() -> io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A path that was brought to the disk, and the length it had then.
#[cfg(test)]
pub(super) type Synced = (std::path::PathBuf, u64);

#[cfg(test)]
pub(super) fn synced(root: &Path) -> Vec<Synced> {
    let all = folder::SYNCED.lock().unwrap();
    all.iter().filter(|(path, _)| path.starts_with(root)).cloned().collect()
}

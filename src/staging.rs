//! Storage for videos between chat and X: any S3 bucket, or the embedded server.

use std::{ops::Range, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::ProvideErrorMetadata,
    presigning::PresigningConfig,
    primitives::ByteStream,
};
use bytes::Bytes;
use futures::{Stream, stream};
use secrecy::ExposeSecret;
use url::Url;

use crate::{config, network};

mod cors;
mod digests;
pub mod embedded;
mod error;
mod multipart;
mod probe;
mod put;
mod sweep;
#[cfg(test)]
mod tests;

pub use cors::cors_rule;
pub use digests::Digests;
pub use error::{PutError, StagingError};
pub use multipart::Part;
pub use put::Stored;
pub use sweep::Swept;

/// Key prefix of files that the worker copies from a chat.
pub const POSTS: &str = "posts/";
/// Key prefix of files that people upload directly.
pub const UPLOADS: &str = "uploads/";
/// The only key prefixes that [`Staging::sweep`] deletes from.
const PREFIXES: [&str; 2] = [POSTS, UPLOADS];

/// Prefix of the files that [`Staging::probe`] writes, and leaves behind if it dies.
pub const PROBE: &str = "probe-";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for an answer. Parts of a file get more time, because the SDK counts sending as waiting.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Time after which a read without new bytes fails.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// One bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Staging {
    client: Client,
    bucket: String,
}

impl Staging {
    /// Makes a client for the operator's bucket. Sends no request yet: see [`Staging::probe`].
    ///
    /// # Errors
    /// [`StagingError::NoCredentials`] when neither the config nor the AWS credential chain has a key.
    pub async fn connect(settings: &config::Staging) -> Result<Staging, StagingError> {
        let http = network::aws_client();
        let region = Region::new(settings.region.clone());
        let base = base_config().http_client(http.clone()).region(region.clone());
        let base = match (&settings.access_key_id, &settings.secret_access_key) {
            (Some(id), Some(secret)) => {
                base.credentials_provider(Credentials::new(id, secret.expose_secret(), None, None, "config"))
            }
            _ => {
                let chain = aws_config::defaults(BehaviorVersion::latest()).http_client(http).region(region);
                base.credentials_provider(
                    chain.load().await.credentials_provider().ok_or(StagingError::NoCredentials)?,
                )
            }
        };
        let mut base = base.force_path_style(settings.force_path_style);
        base.set_endpoint_url(settings.endpoint_url.as_ref().map(endpoint));
        Ok(Staging { client: Client::from_conf(base.build()), bucket: settings.bucket.clone() })
    }

    /// Streams the bytes `range` of the object.
    ///
    /// # Errors
    /// [`StagingError::Missing`]; [`StagingError::WrongSize`] when the object ends before the range does;
    /// [`StagingError::Unreachable`] as the last item when the connection does.
    pub async fn read(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, StagingError>> + Send + 'static + use<>, StagingError> {
        self.read_of(key, range, None).await
    }

    /// Like [`Staging::read`], for an object of `total` bytes, if that is known.
    async fn read_of(
        &self,
        key: &str,
        range: Range<u64>,
        total: Option<u64>,
    ) -> Result<impl Stream<Item = Result<Bytes, StagingError>> + Send + 'static + use<>, StagingError> {
        check_key(key)?;
        let length = range.end.saturating_sub(range.start);
        let body = if length == 0 {
            ByteStream::default() // HTTP has no way to ask for nothing.
        } else {
            let bytes = format!("bytes={}-{}", range.start, range.end - 1);
            let got = self.client.get_object().bucket(&self.bucket).key(key).range(bytes).send().await?;
            if got.content_length() != i64::try_from(length).ok() {
                let page = got.content_range().is_none() && got.content_type().is_some_and(error::is_html);
                return Err(if page { StagingError::NotS3 } else { StagingError::WrongSize });
            }
            let found = got.content_range().and_then(|range| range.rsplit_once('/')?.1.parse::<u64>().ok());
            if let (Some(found), Some(total)) = (found, total)
                && found != total
            {
                return Err(StagingError::WrongSize);
            }
            got.body
        };
        Ok(stream::try_unfold((body, length), |(mut body, left)| async move {
            let chunk = match tokio::time::timeout(IDLE_TIMEOUT, body.next()).await {
                Err(_) => return Err(StagingError::Unreachable("it does not answer in time".to_owned())),
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) if left == 0 => return Ok(None),
                Ok(None | Some(Err(_))) => {
                    return Err(StagingError::Unreachable("it closed the connection early".to_owned()));
                }
            };
            let left = left.checked_sub(chunk.len() as u64).ok_or(StagingError::WrongSize)?;
            Ok(Some((chunk, (body, left))))
        }))
    }

    /// The length of the object in bytes.
    ///
    /// # Errors
    /// [`StagingError::Missing`]; [`StagingError::Denied`] instead if the key lacks `s3:ListBucket`.
    pub async fn size(&self, key: &str) -> Result<u64, StagingError> {
        check_key(key)?;
        let head = self.client.head_object().bucket(&self.bucket).key(key).send().await?;
        let length = head.content_length().and_then(|length| u64::try_from(length).ok());
        length.ok_or_else(|| StagingError::Other("no length".into()))
    }

    /// Deletes the object; succeeds if it does not exist.
    pub async fn delete(&self, key: &str) -> Result<(), StagingError> {
        check_key(key)?;
        match self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(StagingError::from)
        {
            Ok(_) | Err(StagingError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A URL that reads the object without credentials until it `expires` (S3 allows a week). A secret.
    pub async fn presign_get(&self, key: &str, expires: Duration) -> Result<Url, StagingError> {
        check_key(key)?;
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        presigned(request.presigned(presigning(expires)?).await?.uri())
    }

    /// A URL that takes a PUT with exactly this `Content-Type` and, where `size` is given, exactly that many
    /// bytes. A secret; browsers also need the bucket's CORS rules to allow them.
    pub async fn presign_put(
        &self,
        key: &str,
        content_type: &str,
        size: Option<u64>,
        expires: Duration,
    ) -> Result<Url, StagingError> {
        check_key(key)?;
        let size =
            size.map(i64::try_from).transpose().map_err(|_| StagingError::Other("too large".into()))?;
        let request = self.client.put_object().bucket(&self.bucket).key(key).content_type(content_type);
        presigned(request.set_content_length(size).presigned(presigning(expires)?).await?.uri())
    }

    /// Aborts a multipart upload; succeeds if it does not exist.
    async fn abort(&self, key: &str, upload: &str) -> Result<(), StagingError> {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket);
        match abort.key(key).upload_id(upload).send().await {
            Err(error) if error.code() != Some("NoSuchUpload") => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The SDK appends the bucket's name to a path as it is, without a slash between them.
fn endpoint(url: &Url) -> String {
    format!("{}/", url.as_str().trim_end_matches('/'))
}

/// Settings shared by all our clients, embedded or not.
fn base_config() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        // Many S3 servers do not support checksum trailers, the SDK's default since January 2025.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(ANSWER_TIMEOUT).build(),
        )
        // The SDK's protection mistakes a slow answer, such as to the completion of a large upload, for a stall
        // (<https://github.com/awslabs/aws-sdk-rust/issues/1141>); our timeouts watch instead.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

fn presigning(expires: Duration) -> Result<PresigningConfig, StagingError> {
    PresigningConfig::expires_in(expires)
        .map_err(|_| StagingError::Other("a link lasts a week at most".into()))
}

fn presigned(uri: &str) -> Result<Url, StagingError> {
    Url::parse(uri).map_err(|_| StagingError::Other("no link could be made".into()))
}

/// Keys become paths in the embedded storage, so only plain relative names pass.
fn check_key(key: &str) -> Result<(), StagingError> {
    let plain = |segment: &str| {
        !segment.starts_with('.')
            && !segment.is_empty()
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    if key.len() <= 128 && key.split('/').all(plain) { Ok(()) } else { Err(StagingError::BadKey) }
}

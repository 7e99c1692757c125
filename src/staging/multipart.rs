//! Uploads that somebody else sends, part by part, by signed addresses.

use std::time::Duration;

use aws_sdk_s3::{
    config::{self, retry::RetryConfig, timeout::TimeoutConfig},
    error::ProvideErrorMetadata,
    types::{CompletedMultipartUpload, CompletedPart},
};
use url::Url;

use super::{Staging, StagingError, check_key, presigned, presigning, put::COMPLETE_TIMEOUT};

/// A part that storage has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1 on.
    pub number: u32,
    pub bytes: u64,
    e_tag: Option<String>,
}

impl Staging {
    /// Begins an upload in parts and returns storage's id for it.
    pub async fn begin_parts(&self, key: &str, content_type: &str) -> Result<String, StagingError> {
        check_key(key)?;
        let begin = self.client.create_multipart_upload().bucket(&self.bucket).key(key);
        let begun = begin.content_type(content_type).send().await?;
        begun.upload_id.ok_or_else(|| StagingError::Other("no upload id".into()))
    }

    /// A URL that takes a PUT of exactly `bytes` bytes as this part, until it `expires`. A secret.
    pub async fn presign_part(
        &self,
        key: &str,
        upload: &str,
        part: u32,
        bytes: u64,
        expires: Duration,
    ) -> Result<Url, StagingError> {
        check_key(key)?;
        let too_large = |_| StagingError::Other("too large".into());
        let request = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(upload);
        let request = request
            .part_number(i32::try_from(part).map_err(too_large)?)
            .content_length(i64::try_from(bytes).map_err(|_| StagingError::Other("too large".into()))?);
        presigned(request.presigned(presigning(expires)?).await?.uri())
    }

    /// The parts that storage has, ascending. `None` when it knows no such upload, as once it is complete.
    pub async fn parts(&self, key: &str, upload: &str) -> Result<Option<Vec<Part>>, StagingError> {
        check_key(key)?;
        let mut parts = Vec::new();
        let list = self.client.list_parts().bucket(&self.bucket).key(key).upload_id(upload);
        // Not by the SDK's paginator: it stumbles over servers that name a next page where there is none, as moto does.
        let mut after = None;
        loop {
            let page = match list.clone().set_part_number_marker(after.clone()).send().await {
                Err(error) if error.code() == Some("NoSuchUpload") => return Ok(None),
                page => page?,
            };
            for part in page.parts() {
                let number = part.part_number().and_then(|number| u32::try_from(number).ok());
                let bytes = part.size().and_then(|size| u64::try_from(size).ok());
                if let (Some(number), Some(bytes)) = (number, bytes) {
                    parts.push(Part { number, bytes, e_tag: part.e_tag.clone() });
                }
            }
            let next = page.next_part_number_marker.clone();
            if page.is_truncated != Some(true) || next.is_none() || next == after {
                break;
            }
            after = next;
        }
        parts.sort_by_key(|part| part.number);
        Ok(Some(parts))
    }

    /// Makes one object of the parts. One that is not there counts as complete: somebody else may have been first.
    pub async fn complete_parts(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), StagingError> {
        check_key(key)?;
        let parts = parts.iter().map(|part| {
            let number = i32::try_from(part.number).ok();
            CompletedPart::builder().set_part_number(number).set_e_tag(part.e_tag.clone()).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let timeouts = TimeoutConfig::builder().read_timeout(COMPLETE_TIMEOUT).build();
        let patience =
            config::Config::builder().timeout_config(timeouts).retry_config(RetryConfig::disabled());
        let complete =
            self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        match complete.multipart_upload(parts).customize().config_override(patience).send().await {
            Err(error) if error.code() != Some("NoSuchUpload") => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Gives an upload up, with the parts it has. One that is not there counts as given up.
    pub async fn abort_parts(&self, key: &str, upload: &str) -> Result<(), StagingError> {
        check_key(key)?;
        self.abort(key, upload).await
    }
}

//! Tries what the service does with storage, as `toall check` and `/readyz` do.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::TryStreamExt;
use reqwest::redirect::Policy;
use url::Url;
use uuid::Uuid;

use super::{POSTS, PROBE, Staging, StagingError, error::refusal};
use crate::network;

const CONTENT: &[u8] = b"toall";
const PATIENCE: Duration = Duration::from_secs(10);
/// A signed address is tried at once, but clocks differ.
const EXPIRES: Duration = Duration::from_secs(15 * 60);
/// Most of an answer that is read for the code in it.
const ANSWER_BYTES: usize = 16 * 1024;

impl Staging {
    /// Proves that storage works: puts, reads and deletes a few bytes, with no other rights than that.
    pub async fn probe(&self) -> Result<(), StagingError> {
        let key = probe_key();
        let put = self.client.put_object().bucket(&self.bucket).key(&key);
        put.body(ByteStream::from_static(CONTENT)).send().await?;
        let read: Result<Vec<Bytes>, _> = async { self.read(&key, 2..4).await?.try_collect().await }.await;
        self.delete(&key).await?;
        if read?.concat() != CONTENT[2..4] {
            return Err(StagingError::Other("it gave back other bytes than it was given".into()));
        }
        Ok(())
    }

    /// Proves that uploads in parts work as pages and programs make them, by signed addresses, and the lists that the
    /// cleanup of storage needs.
    pub async fn probe_parts(&self) -> Result<(), StagingError> {
        let key = probe_key();
        let given_up = self.begin_parts(&key, "video/mp4").await?;
        let listed = self.send_part(&key, &given_up).await;
        // Before any error is reported, so that nothing stays behind.
        self.abort_parts(&key, &given_up).await?;
        listed?;
        let upload = self.begin_parts(&key, "video/mp4").await?;
        let completed = async {
            self.send_part(&key, &upload).await?;
            let parts = self.parts(&key, &upload).await?.unwrap_or_default();
            self.complete_parts(&key, &upload, &parts).await
        };
        if let Err(error) = completed.await {
            self.abort_parts(&key, &upload).await?;
            return Err(error);
        }
        let size = self.size(&key).await;
        self.delete(&key).await?;
        if size? != CONTENT.len() as u64 {
            return Err(StagingError::Other("it joined parts to another length than they have".into()));
        }
        self.client.list_objects_v2().bucket(&self.bucket).prefix(&key).send().await?;
        let uploads = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(&key).send().await;
        match uploads {
            // The cleanup does without, too.
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 501) => {}
            uploads => drop(uploads?),
        }
        Ok(())
    }

    /// Sends one part as a browser does, and finds it in the list of parts.
    async fn send_part(&self, key: &str, upload: &str) -> Result<(), StagingError> {
        let length = CONTENT.len() as u64;
        put_signed(self.presign_part(key, upload, 1, length, EXPIRES).await?).await?;
        let parts = self.parts(key, upload).await?.unwrap_or_default();
        match parts[..] {
            [ref part] if (part.number, part.bytes) == (1, length) => Ok(()),
            _ => Err(StagingError::Other("it lists other parts than it was given".into())),
        }
    }
}

fn probe_key() -> String {
    format!("{POSTS}{PROBE}{}", Uuid::now_v7())
}

/// Sends a file to a signed URL, without S3 credentials.
async fn put_signed(url: Url) -> Result<(), StagingError> {
    let client = network::client().redirect(Policy::none()).timeout(PATIENCE).build();
    let client = client.map_err(|_| StagingError::Other("no client".into()))?;
    let unreachable = |error: reqwest::Error| StagingError::Unreachable(network::cause(&error));
    let mut answer = client.put(url).body(CONTENT).send().await.map_err(unreachable)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let page = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await
        && body.len() < ANSWER_BYTES
    {
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&body);
    // The address was signed just now, so only a clock can have made it old, or not valid yet.
    if ["Request has expired", "not yet valid"].iter().any(|said| text.contains(said)) {
        return Err(StagingError::ClockOff);
    }
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    Err(refusal(status.as_u16(), page.as_deref(), &body, code.map(|(code, _)| code), "s3:PutObject"))
}

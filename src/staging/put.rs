//! Storing a stream of unknown length in flat memory.

use aws_sdk_s3::{
    config::{self, retry::RetryConfig, timeout::TimeoutConfig},
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use std::{pin::pin, time::Duration};
use tokio::sync::mpsc;

use super::{Digests, PutError, Staging, StagingError, check_key, digests::Hasher};

/// Large enough that requests do not dominate, small enough to hold two; S3 asks for at least 5 MiB.
pub(super) const PART_BYTES: u64 = 8 * 1024 * 1024;
/// Capacity reserved for a part. glibc keeps a freed block unless it is larger than a threshold, which grows with the
/// freed blocks up to 32 MiB (mallopt(3), `M_MMAP_THRESHOLD`). Smaller blocks would pile up in the arenas of the
/// threads that held them. The bytes beyond the part are never touched, so they take up no memory.
const RESERVED_BYTES: usize = 33 * 1024 * 1024;
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const MAX_PARTS: u64 = 10_000;
/// Joining parts may take a server minutes (S3's `CompleteMultipartUpload`), more than any other answer.
pub(super) const COMPLETE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Answer to a part. This covers sending it: four copies at once of 8 MiB each pass over a line of 60 kB/s.
const PART_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Outcome of storing a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub bytes: u64,
    pub digests: Digests,
}

/// Message from the reader to the uploader. If the channel closes without `Last`, the uploader discards everything.
enum Piece {
    Part(Bytes),
    Last(Bytes),
}

impl Staging {
    /// Stores `body` under `key`, replacing what was there, and returns its length and digests.
    ///
    /// Holds two parts of 8 MiB in memory, whatever the length: one on its way to storage, one being read
    /// (larger parts only where `limit` exceeds 10,000 of them). `progress` is called with the bytes so far.
    ///
    /// Safe to drop at any time: the upload is then aborted in the background, and the object, if any, stays
    /// as it was, unless the very last request was already on its way.
    ///
    /// # Errors
    /// [`PutError`]; the upload has been aborted before it is returned.
    pub async fn put_stream<E>(
        &self,
        key: &str,
        body: impl Stream<Item = Result<Bytes, E>>,
        limit: u64,
        progress: impl FnMut(u64),
    ) -> Result<Stored, PutError<E>> {
        check_key(key)?;
        let (pieces, inbox) = mpsc::channel(1);
        // All requests are made by a task of their own, because dropping us must not tear one apart: S3 may
        // keep a part that arrives after the abort (S3's `AbortMultipartUpload`), and would keep an upload
        // whose id we never read.
        let uploader = tokio::spawn(upload(self.clone(), key.to_owned(), inbox));
        let read = read_pieces(body, limit, progress, pieces).await;
        let uploaded =
            uploader.await.unwrap_or_else(|_| Err(StagingError::Other("the upload was stopped".into())));
        uploaded?;
        read
    }
}

/// Cuts the stream into parts. When the uploader has hung up, it is the uploader that knows why.
async fn read_pieces<E>(
    body: impl Stream<Item = Result<Bytes, E>>,
    limit: u64,
    mut progress: impl FnMut(u64),
    pieces: mpsc::Sender<Piece>,
) -> Result<Stored, PutError<E>> {
    let part_bytes = usize::try_from(PART_BYTES.max(limit.div_ceil(MAX_PARTS))).unwrap_or(usize::MAX);
    let mut body = pin!(body);
    let mut hasher = Hasher::default();
    let mut bytes = 0;
    // Memory is taken up only as it is filled, so a small file costs no more than its size.
    let empty = || BytesMut::with_capacity(part_bytes.max(RESERVED_BYTES));
    let mut part = empty();
    let hung_up = || StagingError::Other("the upload ended early".into());
    // Reserving the place before filling the part keeps it at two parts in memory.
    let mut place = pieces.reserve().await.map_err(|_| hung_up())?;

    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(PutError::Source)?;
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Err(PutError::TooLarge { limit });
        }
        hasher.update(&chunk);
        while !chunk.is_empty() {
            if part.len() == part_bytes {
                place.send(Piece::Part(part.freeze()));
                place = pieces.reserve().await.map_err(|_| hung_up())?;
                part = empty();
            }
            let taken = chunk.split_to(chunk.len().min(part_bytes - part.len()));
            part.extend_from_slice(&taken);
        }
        progress(bytes);
    }
    if bytes == 0 {
        return Err(PutError::Empty);
    }
    place.send(Piece::Last(part.freeze()));
    Ok(Stored { bytes, digests: hasher.finish() })
}

async fn upload(staging: Staging, key: String, mut inbox: mpsc::Receiver<Piece>) -> Result<(), StagingError> {
    let first = match inbox.recv().await {
        None => return Ok(()),
        Some(Piece::Last(whole)) => {
            let put = staging.client.put_object().bucket(&staging.bucket).key(&key);
            put.body(ByteStream::from(whole)).customize().config_override(for_a_part()).send().await?;
            return Ok(());
        }
        Some(Piece::Part(first)) => first,
    };
    let created = staging.client.create_multipart_upload().bucket(&staging.bucket).key(&key).send().await?;
    let id = created.upload_id().ok_or_else(|| StagingError::Other("no upload id".into()))?;
    match upload_parts(&staging, &key, id, first, inbox).await {
        Ok(true) => Ok(()),
        outcome => {
            if let Err(error) = staging.abort(&key, id).await {
                tracing::warn!(%key, %error, "an unfinished upload stays behind until the next sweep");
            }
            outcome.map(drop)
        }
    }
}

fn for_a_part() -> config::Builder {
    config::Config::builder().timeout_config(TimeoutConfig::builder().read_timeout(PART_TIMEOUT).build())
}

/// `false` when the reader gave up.
async fn upload_parts(
    staging: &Staging,
    key: &str,
    id: &str,
    first: Bytes,
    mut inbox: mpsc::Receiver<Piece>,
) -> Result<bool, StagingError> {
    let mut parts = CompletedMultipartUpload::builder();
    let mut next = Piece::Part(first);
    for number in 1.. {
        let (bytes, last) = match next {
            Piece::Part(bytes) => (bytes, false),
            Piece::Last(bytes) => (bytes, true),
        };
        let request =
            staging.client.upload_part().bucket(&staging.bucket).key(key).upload_id(id).part_number(number);
        let request = request.body(ByteStream::from(bytes)).customize().config_override(for_a_part());
        let part = request.send().await?;
        parts = parts.parts(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
        if last {
            break;
        }
        match inbox.recv().await {
            Some(piece) => next = piece,
            None => return Ok(false),
        }
    }
    let timeouts = TimeoutConfig::builder().read_timeout(COMPLETE_TIMEOUT).build();
    // Not tried again: the second attempt would find no such upload, and hide why the first failed.
    let patience = config::Config::builder().timeout_config(timeouts).retry_config(RetryConfig::disabled());
    let complete = staging.client.complete_multipart_upload().bucket(&staging.bucket).key(key).upload_id(id);
    complete.multipart_upload(parts.build()).customize().config_override(patience).send().await?;
    Ok(true)
}

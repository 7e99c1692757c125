//! Digests of a file's blocks, made in the pass that also makes its SHA-256, and compared when the file is read again.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use sha2::{
    Digest, Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use super::{Staging, StagingError};

/// A multiple of SHA-256's own blocks, as it is of all chunk sizes below 4 GB: of those no block is read twice.
const BLOCK_BYTES: u64 = 1024 * 1024;
const DIGEST_BYTES: usize = 32;

/// One digest for each block of a file: SHA-256's state after the block, and for the last block the file's SHA-256.
///
/// So every byte is hashed once, and a reader can begin at any block: with the digest of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    bytes: Vec<u8>,
    total: u64,
}

impl Digests {
    /// Reads what [`Digests::as_bytes`] gave for a file of `total` bytes; `None` if it is of another.
    pub fn from_bytes(bytes: Vec<u8>, total: u64) -> Option<Digests> {
        let blocks = usize::try_from(total.div_ceil(BLOCK_BYTES)).ok()?;
        (total > 0 && blocks.checked_mul(DIGEST_BYTES) == Some(bytes.len()))
            .then_some(Digests { bytes, total })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of the whole file.
    pub fn sha256(&self) -> [u8; DIGEST_BYTES] {
        self.bytes.last_chunk().copied().unwrap_or_default()
    }

    /// After the block of this number, from 0 on.
    fn after(&self, block: u64) -> Option<&[u8; DIGEST_BYTES]> {
        let at = usize::try_from(block).ok()?.checked_mul(DIGEST_BYTES)?;
        self.bytes.get(at..)?.first_chunk()
    }
}

/// Makes the digests of a file that passes by.
#[derive(Default)]
pub(super) struct Hasher {
    sha256: Sha256,
    total: u64,
    digests: Vec<u8>,
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let sha256 = &mut self.sha256;
        let digests = &mut self.digests;
        by_blocks(self.total, bytes, |piece, ends_block| {
            sha256.update(piece);
            if ends_block {
                digests.extend_from_slice(&state(sha256));
            }
        });
        self.total += bytes.len() as u64;
    }

    pub(super) fn finish(mut self) -> Digests {
        if self.total.is_multiple_of(BLOCK_BYTES) {
            self.digests.truncate(self.digests.len().saturating_sub(DIGEST_BYTES));
        }
        self.digests.extend_from_slice(&self.sha256.finalize());
        Digests { bytes: self.digests, total: self.total }
    }
}

/// Cuts `bytes`, which begin at `at` in their file, where blocks end.
fn by_blocks(mut at: u64, mut bytes: &[u8], mut piece: impl FnMut(&[u8], bool)) {
    while !bytes.is_empty() {
        let left = usize::try_from(BLOCK_BYTES - at % BLOCK_BYTES).unwrap_or(usize::MAX);
        let (now, later) = bytes.split_at(left.min(bytes.len()));
        at += now.len() as u64;
        piece(now, at.is_multiple_of(BLOCK_BYTES));
        bytes = later;
    }
}

/// The state at the end of a block, of which nothing is left over.
fn state(sha256: &Sha256) -> [u8; DIGEST_BYTES] {
    sha256.serialize().first_chunk().copied().unwrap_or_default()
}

/// Goes on where `after` blocks ended with this state.
fn resumed(after: u64, state: &[u8; DIGEST_BYTES]) -> Option<Sha256> {
    let mut serialized: SerializedState<Sha256> = Sha256::default().serialize();
    serialized.get_mut(..DIGEST_BYTES)?.copy_from_slice(state);
    // SHA-256 counts blocks of its own, of 64 bytes.
    let length = (after * BLOCK_BYTES / 64).to_le_bytes();
    serialized.get_mut(DIGEST_BYTES..DIGEST_BYTES + length.len())?.copy_from_slice(&length);
    Sha256::deserialize(&serialized).ok()
}

/// Compares what is read with the digests, from the beginning of a block on.
struct Check {
    digests: Arc<Digests>,
    sha256: Sha256,
    at: u64,
}

impl Check {
    fn from_block(digests: Arc<Digests>, block: u64) -> Option<Check> {
        let sha256 = match block.checked_sub(1) {
            None => Sha256::default(),
            Some(before) => resumed(block, digests.after(before)?)?,
        };
        Some(Check { digests, sha256, at: block * BLOCK_BYTES })
    }

    /// False when a block ends that is not what it was.
    fn agrees(&mut self, bytes: &[u8]) -> bool {
        let mut agrees = true;
        let total = self.digests.total;
        let mut at = self.at;
        by_blocks(self.at, bytes, |piece, ends_block| {
            self.sha256.update(piece);
            at += piece.len() as u64;
            let found: [u8; DIGEST_BYTES] = match at == total {
                true => self.sha256.clone().finalize().into(),
                false if ends_block => state(&self.sha256),
                false => return,
            };
            agrees &= self.digests.after((at - 1) / BLOCK_BYTES) == Some(&found);
        });
        self.at = at;
        agrees
    }
}

impl Staging {
    /// Streams the bytes `range` of the object and compares them with its digests. Holds back the last bytes until their
    /// blocks have been read completely, so that no caller receives a whole range with a damaged block.
    ///
    /// # Errors
    /// As [`Staging::read`]; [`StagingError::Damaged`] for bytes that are not what they were.
    pub async fn read_checked(
        &self,
        key: &str,
        range: Range<u64>,
        digests: &Arc<Digests>,
    ) -> Result<impl Stream<Item = Result<Bytes, StagingError>> + Send + 'static + use<>, StagingError> {
        let total = digests.total;
        if range.is_empty() || range.end > total {
            return Err(StagingError::WrongSize);
        }
        let first = range.start / BLOCK_BYTES;
        let blocks = first * BLOCK_BYTES..total.min(range.end.next_multiple_of(BLOCK_BYTES));
        let check = Check::from_block(digests.clone(), first).ok_or(StagingError::Damaged)?;
        let body = self.read_of(key, blocks, Some(total)).await?;
        let reading = (Box::pin(body), check, None::<Bytes>);
        Ok(stream::try_unfold(reading, move |(mut body, mut check, mut held)| {
            let range = range.clone();
            async move {
                while let Some(chunk) = body.try_next().await? {
                    let at = check.at;
                    if !check.agrees(&chunk) {
                        return Err(StagingError::Damaged);
                    }
                    let wanted = within(&chunk, at, &range);
                    if !wanted.is_empty()
                        && let Some(before) = held.replace(wanted)
                    {
                        return Ok(Some((before, (body, check, held))));
                    }
                }
                Ok(held.take().map(|last| (last, (body, check, None))))
            }
        }))
    }

    /// Reads the whole object, of `total` bytes, and returns its digests.
    pub async fn digests(&self, key: &str, total: u64) -> Result<Digests, StagingError> {
        let mut body = Box::pin(self.read_of(key, 0..total, Some(total)).await?);
        let mut hasher = Hasher::default();
        while let Some(chunk) = body.try_next().await? {
            hasher.update(&chunk);
        }
        Ok(hasher.finish())
    }
}

/// The part of a chunk, which begins at `at` in its file, that is in `range`.
fn within(chunk: &Bytes, at: u64, range: &Range<u64>) -> Bytes {
    let length = chunk.len() as u64;
    let start = range.start.saturating_sub(at).min(length);
    let end = range.end.saturating_sub(at).min(length);
    chunk.slice(usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(length: u64) -> Vec<u8> {
        (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
    }

    fn digests_of(bytes: &[u8]) -> Digests {
        let mut hasher = Hasher::default();
        bytes.chunks(100_003).for_each(|chunk| hasher.update(chunk));
        hasher.finish()
    }

    #[test]
    fn the_last_digest_is_the_files_sha256() {
        for length in [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES] {
            let bytes = sample(length);
            let digests = digests_of(&bytes);
            assert_eq!(digests.sha256(), <[u8; 32]>::from(Sha256::digest(&bytes)), "{length}");
            let stored = digests.as_bytes().to_vec();
            assert_eq!(Digests::from_bytes(stored.clone(), length), Some(digests));
            assert_eq!(Digests::from_bytes(stored, length + BLOCK_BYTES), None);
        }
    }

    #[test]
    fn any_changed_byte_is_found_from_any_block_on() {
        let bytes = sample(3 * BLOCK_BYTES + 17);
        let digests = Arc::new(digests_of(&bytes));
        for block in 0..4 {
            let start = (block * BLOCK_BYTES) as usize;
            let agrees = |bytes: &[u8]| {
                let mut check = Check::from_block(digests.clone(), block).unwrap();
                bytes.chunks(70_001).all(|chunk| check.agrees(chunk))
            };
            assert!(agrees(&bytes[start..]), "{block}");
            for changed in [start, start + 16, bytes.len() - 1] {
                let mut bytes = bytes.clone();
                bytes[changed] ^= 1;
                assert!(!agrees(&bytes[start..]), "{block} {changed}");
            }
        }
    }
}

//! Where media bytes lie: each segment in a file of its own, joined at finalize.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncWriteExt};

use super::{answer::Answer, state::X};

/// Where a segment lies until finalize.
pub(super) fn segment_path(x: &X, id: u64, index: u32) -> PathBuf {
    x.settings.dir.join(format!("{id}.{index}"))
}

/// Where the assembled file of a medium lies.
pub(super) fn media_path(x: &X, id: u64) -> PathBuf {
    x.settings.dir.join(id.to_string())
}

/// Joins the segments into the medium's file; its SHA-256 in hex.
pub(super) fn assemble(x: &X, id: u64, segments: u32) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut whole = fs::File::create(media_path(x, id))?;
    let mut buffer = vec![0; 1 << 20];
    for index in 0..segments {
        let path = segment_path(x, id, index);
        copy(&path, &mut whole, &mut hash, &mut buffer)?;
        fs::remove_file(path)?;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn copy(from: &Path, to: &mut fs::File, hash: &mut Sha256, buffer: &mut [u8]) -> io::Result<()> {
    let mut from = fs::File::open(from)?;
    loop {
        let read = from.read(buffer)?;
        if read == 0 {
            return Ok(());
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

/// Bytes on their way to disk; removed again unless kept.
pub(super) struct Received {
    file: Option<(File, PathBuf)>,
    pub(super) bytes: u64,
    most: u64,
}

impl Received {
    pub(super) async fn new(x: &X) -> Result<Self, Answer> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let most = x.world().max_chunk;
        let file = if x.settings.keep_media {
            let name = format!("receiving.{}", COUNT.fetch_add(1, Ordering::Relaxed));
            let path = x.settings.dir.join(name);
            let file = File::create(&path).await.map_err(|_| Answer::html(500))?;
            Some((file, path))
        } else {
            None
        };
        Ok(Self { file, bytes: 0, most })
    }

    /// Counts all, and writes as much as X takes in one append.
    pub(super) async fn write(&mut self, chunk: &[u8]) -> Result<(), Answer> {
        self.bytes += chunk.len() as u64;
        match &mut self.file {
            Some((file, _)) if self.bytes <= self.most => {
                file.write_all(chunk).await.map_err(|_| Answer::html(500))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), Answer> {
        match &mut self.file {
            Some((file, _)) => file.flush().await.map_err(|_| Answer::html(500)),
            None => Ok(()),
        }
    }

    pub(super) fn keep_as(mut self, place: PathBuf) -> io::Result<()> {
        match self.file.take() {
            Some((_, path)) => std::fs::rename(path, place),
            None => Ok(()),
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some((_, path)) = self.file.take() {
            // Nothing depends on the file being gone.
            let _ = std::fs::remove_file(path);
        }
    }
}

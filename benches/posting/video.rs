//! A valid video of any size.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

pub const MIB: u64 = 1024 * 1024;
const SAMPLE: &[u8] = include_bytes!("../../assets/sample.mp4");

/// Writes the sample video followed by a `free` box of random bytes, which players pass over, `bytes` in all.
pub fn write(path: &Path, bytes: u64) -> anyhow::Result<PathBuf> {
    let box_bytes = u32::try_from(bytes - SAMPLE.len() as u64)?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(SAMPLE)?;
    file.write_all(&box_bytes.to_be_bytes())?;
    file.write_all(b"free")?;
    let mut random = fastrand::Rng::with_seed(bytes);
    let mut chunk = [0; 1 << 16];
    let mut left = u64::from(box_bytes) - 8;
    while left > 0 {
        random.fill(&mut chunk);
        let taken = usize::try_from(left.min(chunk.len() as u64))?;
        file.write_all(&chunk[..taken])?;
        left -= taken as u64;
    }
    file.flush()?;
    // So that writing it back to disk does not disturb what is measured.
    file.get_ref().sync_all()?;
    Ok(path.to_owned())
}

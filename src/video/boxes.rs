//! Boxes and numbers within the bytes of an MP4 index.

use std::time::Duration;

use mp4_atom::{Atom, DecodeMaybe, Header};

/// The boxes that follow each other in `bytes`; one that is cut off is given as far as it goes.
pub(super) fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::decode_maybe(&mut bytes).ok()??;
        let (body, rest) = bytes.split_at(header.size.unwrap_or(bytes.len()).min(bytes.len()));
        bytes = rest;
        Some((header.kind.into(), body))
    })
}

pub(super) fn decode<T: Atom>(mut body: &[u8]) -> Option<T> {
    T::decode_body(&mut body).ok()
}

pub(super) fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    four(bytes, at).map(u32::from_be_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_be_bytes)
}

/// `None` for 0 and for the values that mean an unknown length.
pub(super) fn length(units: u64, per_second: u32) -> Option<Duration> {
    let per_second = u64::from(per_second);
    if units == 0 || units == u64::from(u32::MAX) || units == u64::MAX || per_second == 0 {
        return None;
    }
    let nanos = units % per_second * 1_000_000_000 / per_second;
    Some(Duration::from_secs(units / per_second) + Duration::from_nanos(nanos))
}

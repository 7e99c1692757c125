//! Sequence parameter sets of H.264 (ITU-T H.264, 7.3.2.1.1): the encoder's own account of the pictures.

use super::{Chroma, bits::Bits};

/// The part of a parameter set that X's requirements are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) chroma: Chroma,
    pub(super) bit_depth: u8,
    /// Pictures may be coded as two fields.
    pub(super) fields: bool,
    /// `None` if the pixel shape is not stated.
    pub(super) square_pixels: Option<bool>,
}

/// Profiles that state their colour sampling; all others use 8 bits and 4:2:0.
const HIGH_PROFILES: [u8; 13] = [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244];

impl Sps {
    /// Reads a NAL unit; `None` if it is no parameter set, or ends too early.
    pub(super) fn read(unit: &[u8]) -> Option<Self> {
        let (&head, payload) = unit.split_first()?;
        if head & 0x1f != 7 {
            return None;
        }
        let bytes = without_emulation_prevention(payload);
        let profile = *bytes.first()?;
        // The profile's constraints and the level are the next two bytes.
        let mut bits = Bits::at(&bytes, 24);
        bits.golomb()?;
        let (mut chroma, mut bit_depth) = (Chroma::Yuv420, 8);
        if HIGH_PROFILES.contains(&profile) {
            let format = bits.golomb()?;
            chroma = match format {
                0 => Chroma::Monochrome,
                1 => Chroma::Yuv420,
                2 => Chroma::Yuv422,
                3 => Chroma::Yuv444,
                _ => return None,
            };
            if format == 3 {
                bits.skip(1)?;
            }
            let (luma, colour) = (bits.golomb()?, bits.golomb()?);
            bit_depth = 8 + u8::try_from(luma.max(colour)).ok().filter(|extra| *extra <= 6)?;
            bits.skip(1)?;
            if bits.flag()? {
                for list in 0..if format == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.golomb()?;
        match bits.golomb()? {
            0 => drop(bits.golomb()?),
            1 => {
                bits.skip(1)?;
                bits.golomb()?;
                bits.golomb()?;
                for _ in 0..bits.golomb().filter(|count| *count <= 255)? {
                    bits.golomb()?;
                }
            }
            _ => {}
        }
        // Reference frames, gaps, width and height.
        bits.golomb()?;
        bits.skip(1)?;
        bits.golomb()?;
        bits.golomb()?;
        let fields = !bits.flag()?;
        let square_pixels = pixel_shape(&mut bits, fields);
        Some(Self { chroma, bit_depth, fields, square_pixels })
    }
}

/// Continues after `frame_mbs_only_flag`, to the first lines of the usability information (annex E).
fn pixel_shape(bits: &mut Bits<'_>, fields: bool) -> Option<bool> {
    bits.skip(if fields { 2 } else { 1 })?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.golomb()?;
        }
    }
    if !bits.flag()? || !bits.flag()? {
        return None;
    }
    match bits.bits(8)? {
        0 => None,
        255 => Some(bits.bits(16)? == bits.bits(16)?),
        shape => Some(shape == 1),
    }
}

/// A 3 after two zeros only keeps the bytes from looking like the start of another unit (7.4.1).
fn without_emulation_prevention(payload: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let keep = |byte: &&u8| {
        let stuffed = zeros >= 2 && **byte == 3;
        zeros = if **byte == 0 { zeros + 1 } else { 0 };
        !stuffed
    };
    payload.iter().filter(keep).copied().collect()
}

/// 7.3.2.1.1.1
fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_golomb()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

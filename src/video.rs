//! Facts about a video file, and whether X would take it.
//!
//! An [`Inspection`] turns ranges of a file into a [`Video`]; [`judge`] holds that against
//! [`Limits`].

use std::{fmt, time::Duration};

mod bits;
mod boxes;
mod description;
mod format;
mod fragments;
mod inspection;
mod sps;
#[cfg(test)]
mod tests;
mod track;
mod verdict;

pub use inspection::Inspection;
pub use verdict::{Damage, Kind, Limits, MAX_BYTES, MIN_DURATION, Refusal, Warning, judge};

/// Facts that a file states about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// The file format.
    pub container: Container,
    /// Playing time of the picture, where the file states it.
    pub duration: Option<Duration>,
    /// The first video track that is switched on; `None` for the formats that are recognised but not read.
    pub picture: Option<Picture>,
    /// The first audio track that is switched on, if there is one and the format is read.
    pub sound: Option<Sound>,
    /// Written in fragments, as streams are.
    pub fragmented: bool,
    /// The last fragments are missing; those before them play.
    pub cut_off: bool,
}

impl Video {
    /// A file whose format is recognised only.
    fn unread(container: Container) -> Self {
        Self { container, duration: None, picture: None, sound: None, fragmented: false, cut_off: false }
    }
}

/// File formats X's upload accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// MPEG-4 and its relatives (`.mp4`, `.m4v`, `.3gp`).
    Mp4,
    /// Apple QuickTime (`.mov`).
    QuickTime,
    /// WebM; recognised, not read.
    WebM,
    /// MPEG transport stream (`.ts`); recognised, not read.
    MpegTs,
    /// The transport stream of camcorders and Blu-ray discs (`.m2ts`, `.mts`), with a time before each packet; recognised,
    /// not read.
    M2ts,
}

impl Container {
    /// The `media_type` that X's upload wants.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::QuickTime => "video/quicktime",
            Self::WebM => "video/webm",
            Self::MpegTs | Self::M2ts => "video/mp2t",
        }
    }

    /// True if the inspection looks inside.
    fn is_read(self) -> bool {
        matches!(self, Self::Mp4 | Self::QuickTime)
    }
}

/// A video track.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// How it is encoded.
    pub codec: VideoCodec,
    /// Pixels across, as shown: after the rotation that phones write beside the picture.
    pub width: u32,
    /// Pixels down, as shown.
    pub height: u32,
    /// Pictures per second, on average.
    pub frame_rate: Option<f64>,
    /// Bits of each sample; 8 is common, 10 is HDR.
    pub bit_depth: Option<u8>,
    /// How colour is sampled.
    pub chroma: Option<Chroma>,
    /// Pixels are as wide as they are high.
    pub square_pixels: bool,
    /// Pictures are, or may be, stored as two fields of every other line.
    pub interlaced: bool,
    /// Frames from one key frame to the next, where they are furthest apart.
    pub key_frame_gap: Option<u64>,
}

/// Colour sampling of H.264 (ITU-T H.264 table 6-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma {
    /// Grey only.
    Monochrome,
    /// The common one, and the only one X takes.
    Yuv420,
    /// From professional cameras.
    Yuv422,
    /// From screen recorders.
    Yuv444,
}

/// Video encodings, by the name the file gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264, the codec that X asks for.
    H264,
    /// Also called H.265; the default of newer phones.
    Hevc,
    /// AV1.
    Av1,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// Apple ProRes.
    ProRes,
    /// A row of JPEG pictures.
    MotionJpeg,
    /// MPEG-4 part 2, also called DivX or Xvid.
    Mpeg4,
    /// MPEG-2, of DVDs and camcorders.
    Mpeg2,
    /// H.263, of the first phones with a camera.
    H263,
    /// Avid DNxHD and DNxHR.
    DnxHd,
    /// Encrypted by a shop or a streaming service; the real encoding cannot be read.
    Encrypted,
    /// Another one, by its four letters.
    Other([u8; 4]),
}

/// An audio track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    /// How it is encoded.
    pub codec: AudioCodec,
    /// Channels, where the file states them.
    pub channels: Option<u16>,
    /// Playing time, where the index states it.
    pub duration: Option<Duration>,
}

/// Audio encodings, by the name the file gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// H.264, the codec that X asks for.
    AacLc,
    /// AAC with spectral band replication, which X's page rules out.
    HeAac,
    /// MP3.
    Mp3,
    /// Dolby Digital.
    Ac3,
    /// Dolby Digital Plus.
    Eac3,
    /// Opus.
    Opus,
    /// Vorbis.
    Vorbis,
    /// FLAC.
    Flac,
    /// Apple Lossless.
    Alac,
    /// The speech encoding of older phones.
    Amr,
    /// Uncompressed.
    Pcm,
    /// Another one, by its four letters.
    Other([u8; 4]),
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::Hevc => "HEVC (H.265)",
            Self::Av1 => "AV1",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::ProRes => "ProRes",
            Self::MotionJpeg => "Motion JPEG",
            Self::Mpeg4 => "MPEG-4 part 2",
            Self::Mpeg2 => "MPEG-2",
            Self::H263 => "H.263",
            Self::DnxHd => "DNxHD",
            Self::Encrypted => "protected video",
            Self::Other(name) => return write!(f, "\u{201c}{}\u{201d}", name.escape_ascii()),
        })
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AacLc => "AAC-LC",
            Self::HeAac => "HE-AAC",
            Self::Mp3 => "MP3",
            Self::Ac3 => "Dolby Digital (AC-3)",
            Self::Eac3 => "Dolby Digital Plus (E-AC-3)",
            Self::Opus => "Opus",
            Self::Vorbis => "Vorbis",
            Self::Flac => "FLAC",
            Self::Alac => "Apple Lossless",
            Self::Amr => "AMR",
            Self::Pcm => "uncompressed PCM",
            Self::Other(name) => return write!(f, "\u{201c}{}\u{201d}", name.escape_ascii()),
        })
    }
}

//! Judges a video by what X takes.
//!
//! The limits are those of X's pages "Media best practices" and "Uploading media"; where the two
//! disagree, or say less than they mean, the answer is a [`Warning`] and X decides.

use std::{fmt, time::Duration};

use super::{AudioCodec, Chroma, Container, Picture, Video, VideoCodec};

/// Shortest video X takes.
pub const MIN_DURATION: Duration = Duration::from_millis(500);
/// Files state their length to a frame or so, and X does not say how it rounds.
const ROUNDING: Duration = Duration::from_millis(500);
/// Surely shorter than [`MIN_DURATION`].
const TOO_SHORT: Duration = Duration::from_millis(450);
/// A longer distance between key frames was refused in processing.
const MAX_KEY_FRAME_GAP: u64 = 512;
/// An upload has at most 1,000 segments of at most 8 MiB, whatever larger sizes are advertised.
pub const MAX_BYTES: u64 = 1000 * 8 * 1024 * 1024;

/// Limits on the videos that an account may post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longer than this and X refuses.
    pub max_duration: Duration,
    /// Up to this all of X's documents agree that it accepts.
    pub sure_duration: Duration,
    /// Largest file, in bytes.
    pub max_bytes: u64,
}

impl Limits {
    /// An account without Premium: 20 minutes by the newer page, 140 seconds by the older one, and
    /// accounts were seen refused at 2 minutes.
    pub const STANDARD: Self = Self {
        max_duration: Duration::from_secs(20 * 60),
        sure_duration: Duration::from_secs(2 * 60),
        max_bytes: MAX_BYTES,
    };
    /// An account with Premium.
    pub const PREMIUM: Self = Self {
        max_duration: Duration::from_secs(125 * 60),
        sure_duration: Duration::from_secs(125 * 60),
        max_bytes: MAX_BYTES,
    };
}

/// Why X would not take a file. A new file is needed: trying again changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// Something else, whatever its name says.
    #[error("not a video but {0}")]
    NotVideo(Kind),
    /// A video in a format X does not accept; the usual ending of such files is given.
    #[error("a .{0} video; X takes MP4 and MOV")]
    Container(&'static str),
    /// Only sound, or nothing that plays.
    #[error("no video track in the file")]
    NoPicture,
    /// The file cannot be played as it is.
    #[error("the file is damaged: {0}")]
    Damaged(Damage),
    /// X cannot decode it.
    #[error("the video is encoded as {0}; X takes H.264")]
    Codec(VideoCodec),
    /// Longer than the account may post.
    #[error("{} s long; the account may post {} s", .duration.as_secs(), .max.as_secs())]
    TooLong {
        /// Length of the video.
        duration: Duration,
        /// Longest video the account may post.
        max: Duration,
    },
    /// Shorter than half a second.
    #[error("{} ms long; X takes {} ms and more", .0.as_millis(), MIN_DURATION.as_millis())]
    TooShort(Duration),
    /// Larger than an upload can be.
    #[error("{bytes} bytes; X takes {max}")]
    TooLarge {
        /// Size of the file.
        bytes: u64,
        /// Largest file.
        max: u64,
    },
}

/// Kind of a file that is not a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A picture, with the usual ending of such files.
    Picture(&'static str),
    /// Music or speech without a picture.
    Sound(&'static str),
    /// A document.
    Document(&'static str),
    /// An archive or a program.
    Archive(&'static str),
    /// Plain text, markup or code.
    Text,
    /// Nothing known.
    Unknown,
}

/// Damage found in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The end is missing.
    Truncated,
    /// The index (the `moov` box) is missing, as after a recording that was cut off.
    NoIndex,
    /// Sizes contradict each other, or the file is in more pieces than any real one.
    Malformed,
}

/// A property that may make X refuse a video or show it badly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warning {
    /// Within the newer limit, above the older one.
    MayBeTooLong(Duration),
    /// Longer than this limit by less than a file states exactly, or only the sound is.
    AboveLimit(Duration),
    /// Half a second long, give or take a frame.
    MayBeTooShort,
    /// The file does not say how long it is.
    DurationUnknown,
    /// The end of a video in fragments is missing.
    CutOff,
    /// The format was recognised only; X judges what is inside.
    NotRead(Container),
    /// Not on X's list, nor known to be refused.
    VideoCodec(VideoCodec),
    /// X's page asks for AAC-LC.
    AudioCodec(AudioCodec),
    /// X's page asks for one channel or two.
    Channels(u16),
    /// Smaller than 32 × 32, or larger than 1080p.
    Size(u32, u32),
    /// H.264 with 4:2:0 colour needs even sizes; an odd one is cropped or refused.
    OddSize(u32, u32),
    /// Narrower than 1:3 or wider than 3:1.
    AspectRatio(u32, u32),
    /// X's page asks for square pixels.
    StretchedPixels,
    /// X's page allows 60 pictures per second.
    FrameRate(f64),
    /// X's page asks for progressive pictures.
    Interlaced,
    /// Frames from one key frame to the next; X refused videos with more than 512.
    KeyFrameGap(u64),
    /// X's page allows 8 bits with 4:2:0 colour only.
    PixelFormat(Option<u8>, Option<Chroma>),
}

/// Holds a video of `bytes` bytes against the limits of an account.
///
/// # Errors
/// The first reason for which X would surely refuse it.
pub fn judge(video: &Video, bytes: u64, limits: &Limits) -> Result<Vec<Warning>, Refusal> {
    if bytes == 0 {
        return Err(Refusal::Empty);
    }
    if bytes > limits.max_bytes {
        return Err(Refusal::TooLarge { bytes, max: limits.max_bytes });
    }
    let mut warnings = Vec::new();
    judge_length(video, limits, &mut warnings)?;
    if video.cut_off {
        warnings.push(Warning::CutOff);
    }
    match &video.picture {
        Some(picture) => judge_picture(picture, &mut warnings)?,
        None => warnings.push(Warning::NotRead(video.container)),
    }
    if let Some(sound) = video.sound {
        if sound.codec != AudioCodec::AacLc {
            warnings.push(Warning::AudioCodec(sound.codec));
        }
        warnings.extend(sound.channels.filter(|&n| n > 2).map(Warning::Channels));
    }
    Ok(warnings)
}

fn judge_length(video: &Video, limits: &Limits, warnings: &mut Vec<Warning>) -> Result<(), Refusal> {
    let sound = video.sound.and_then(|sound| sound.duration);
    let Some(duration) = video.duration else {
        warnings.push(Warning::DurationUnknown);
        return Ok(());
    };
    let (max, longest) = (limits.max_duration, sound.map_or(duration, |sound| sound.max(duration)));
    if duration >= max + ROUNDING {
        return Err(Refusal::TooLong { duration, max });
    }
    if longest < TOO_SHORT {
        return Err(Refusal::TooShort(longest));
    }
    if longest >= max + ROUNDING || duration > max {
        warnings.push(Warning::AboveLimit(max));
    } else if duration > limits.sure_duration {
        warnings.push(Warning::MayBeTooLong(duration));
    } else if duration < MIN_DURATION {
        warnings.push(Warning::MayBeTooShort);
    }
    Ok(())
}

fn judge_picture(picture: &Picture, warnings: &mut Vec<Warning>) -> Result<(), Refusal> {
    match picture.codec {
        VideoCodec::H264 => {}
        // X asks for H.264, and is not known to refuse these: newer phones film in HEVC, WebM holds VP8, VP9 or AV1.
        VideoCodec::Hevc
        | VideoCodec::Av1
        | VideoCodec::Vp8
        | VideoCodec::Vp9
        | VideoCodec::Mpeg4
        | VideoCodec::Mpeg2
        | VideoCodec::H263
        | VideoCodec::Other(_) => warnings.push(Warning::VideoCodec(picture.codec)),
        VideoCodec::ProRes | VideoCodec::MotionJpeg | VideoCodec::DnxHd | VideoCodec::Encrypted => {
            return Err(Refusal::Codec(picture.codec));
        }
    }
    let (width, height) = (picture.width, picture.height);
    let (short, long) = (width.min(height), width.max(height));
    // 1280 × 1024 on the older page; Premium and the newer one go to 1080p, either way up.
    if !(32..=1200).contains(&short) || long > 1920 {
        warnings.push(Warning::Size(width, height));
    }
    if width % 2 != 0 || height % 2 != 0 {
        warnings.push(Warning::OddSize(width, height));
    }
    if u64::from(long) > 3 * u64::from(short) {
        warnings.push(Warning::AspectRatio(width, height));
    }
    if !picture.square_pixels {
        warnings.push(Warning::StretchedPixels);
    }
    // Variable frame rates average a little above what was asked for.
    if let Some(rate) = picture.frame_rate.filter(|rate| *rate > 60.5) {
        warnings.push(Warning::FrameRate(rate));
    }
    if picture.interlaced {
        warnings.push(Warning::Interlaced);
    }
    warnings.extend(picture.key_frame_gap.filter(|gap| *gap > MAX_KEY_FRAME_GAP).map(Warning::KeyFrameGap));
    let unusual = picture.bit_depth.is_some_and(|bits| bits != 8)
        || picture.chroma.is_some_and(|chroma| chroma != Chroma::Yuv420);
    if unusual {
        warnings.push(Warning::PixelFormat(picture.bit_depth, picture.chroma));
    }
    Ok(())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture(ending) => write!(f, "a picture (.{ending})"),
            Self::Sound(ending) => write!(f, "sound (.{ending})"),
            Self::Document(ending) => write!(f, "a document (.{ending})"),
            Self::Archive(ending) => write!(f, "an archive or a program (.{ending})"),
            Self::Text => f.write_str("text"),
            Self::Unknown => f.write_str("of an unknown kind"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "its end is missing",
            Self::NoIndex => "its index is missing",
            Self::Malformed => "its parts do not fit together",
        })
    }
}

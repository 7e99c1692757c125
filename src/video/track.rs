//! From the boxes of an MP4 or QuickTime index to what they say of the video (ISO/IEC 14496-12 and
//! -14, Apple's QuickTime File Format). A box that cannot be read leaves its fact unknown.

use std::time::Duration;

use mp4_atom::{Atom, Avcc, DecodeMaybe, Esds, Header, Mdhd, Mehd, Mvhd, Pasp, Tkhd};

use super::{AudioCodec, Chroma, Container, Picture, Refusal, Sound, Video, VideoCodec};

/// Audio set-up is some forty bytes; the bound keeps the nesting of its parts shallow.
const MAX_AUDIO_SETUP: usize = 1024;
/// Length of the fixed part of a video sample description.
const VISUAL_LEN: usize = 78;

/// What has been read of the index.
#[derive(Debug, Default)]
pub(super) struct Movie {
    header: Option<Mvhd>,
    fragmented: bool,
    fragments_len: u64,
    longest_track: Option<Duration>,
    picture: Option<Picture>,
    sound: Option<Sound>,
    track: Track,
}

#[derive(Debug, Default)]
struct Track {
    handler: [u8; 4],
    header: Option<Tkhd>,
    media: Option<Mdhd>,
    samples: u32,
    picture: Option<Picture>,
    sound: Option<Sound>,
}

impl Movie {
    /// Whether a box of this kind holds anything of interest.
    pub(super) fn reads(kind: &[u8; 4]) -> bool {
        matches!(
            kind,
            b"mvhd" | b"mehd" | b"trex" | b"tkhd" | b"mdhd" | b"hdlr" | b"stsd" | b"stsz" | b"stz2"
        )
    }

    /// Takes the beginning of a box's body.
    pub(super) fn read(&mut self, kind: &[u8; 4], body: &[u8]) {
        let track = &mut self.track;
        match kind {
            b"mvhd" => self.header = decode(body),
            b"trex" => self.fragmented = true,
            b"mehd" => self.fragments_len = decode::<Mehd>(body).map_or(0, |mehd| mehd.fragment_duration),
            b"tkhd" => track.header = decode(body),
            b"mdhd" => track.media = decode(body),
            // QuickTime also writes the kind of data reference, in `minf`.
            b"hdlr" if track.handler == [0; 4] => track.handler = four(body, 8).unwrap_or_default(),
            b"stsz" | b"stz2" => track.samples = four(body, 8).map_or(0, u32::from_be_bytes),
            b"stsd" => track.describe(body.get(8..).unwrap_or_default()),
            _ => {}
        }
    }

    /// The boxes that follow belong to another track.
    pub(super) fn end_track(&mut self) {
        let track = std::mem::take(&mut self.track);
        let length = track.media.as_ref().and_then(|media| length(media.duration, media.timescale));
        self.longest_track = self.longest_track.max(length);
        match &track.handler {
            b"vide" if self.picture.is_none() => self.picture = track.into_picture(length),
            b"soun" if self.sound.is_none() => self.sound = track.sound,
            _ => {}
        }
    }

    /// Everything is read.
    pub(super) fn finish(&mut self, container: Container) -> Result<Video, Refusal> {
        let movie = std::mem::take(self);
        let picture = movie.picture.ok_or(Refusal::NoPicture)?;
        let stated = movie
            .header
            .and_then(|header| length(header.duration.max(movie.fragments_len), header.timescale));
        Ok(Video {
            container,
            duration: stated.or(movie.longest_track),
            picture: Some(picture),
            sound: movie.sound,
            fragmented: movie.fragmented,
        })
    }
}

impl Track {
    /// Reads the first sample description; files with several use one encoding for all.
    fn describe(&mut self, entries: &[u8]) {
        let Some((kind, body)) = boxes(entries).next() else {
            return;
        };
        match &self.handler {
            b"vide" => self.picture = picture(kind, body),
            b"soun" => self.sound = Some(sound(kind, body)),
            _ => {}
        }
    }

    fn into_picture(self, length: Option<Duration>) -> Option<Picture> {
        let mut picture = self.picture?;
        // The matrix maps across to down and down to across: lying on its side.
        let turned = |header: &Tkhd| header.matrix.a == 0 && header.matrix.d == 0 && header.matrix.b != 0;
        if self.header.as_ref().is_some_and(turned) {
            std::mem::swap(&mut picture.width, &mut picture.height);
        }
        picture.frame_rate =
            length.filter(|_| self.samples > 0).map(|length| f64::from(self.samples) / length.as_secs_f64());
        Some(picture)
    }
}

fn picture(kind: [u8; 4], body: &[u8]) -> Option<Picture> {
    let size = four(body, 24)?;
    let mut picture = Picture {
        codec: video_codec(kind),
        width: u16::from_be_bytes([size[0], size[1]]).into(),
        height: u16::from_be_bytes([size[2], size[3]]).into(),
        frame_rate: None,
        bit_depth: None,
        chroma: None,
        square_pixels: true,
    };
    for (kind, body) in boxes(body.get(VISUAL_LEN..).unwrap_or_default()) {
        match &kind {
            b"pasp" => {
                picture.square_pixels =
                    decode::<Pasp>(body).is_none_or(|pixel| pixel.h_spacing == pixel.v_spacing);
            }
            b"avcC" => (picture.bit_depth, picture.chroma) = sampling(body),
            _ => {}
        }
    }
    Some(picture)
}

fn video_codec(kind: [u8; 4]) -> VideoCodec {
    match &kind {
        b"avc1" | b"avc2" | b"avc3" | b"avc4" => VideoCodec::H264,
        // `dvh1` and `dvhe` are Dolby Vision, which is HEVC.
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => VideoCodec::Hevc,
        b"av01" => VideoCodec::Av1,
        b"vp08" => VideoCodec::Vp8,
        b"vp09" => VideoCodec::Vp9,
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => VideoCodec::ProRes,
        b"jpeg" | b"mjpa" | b"mjpb" => VideoCodec::MotionJpeg,
        b"encv" | b"drmi" => VideoCodec::Encrypted,
        _ => VideoCodec::Other(kind),
    }
}

/// Bits and colour sampling of H.264: stated for the profiles that have a choice.
fn sampling(avcc: &[u8]) -> (Option<u8>, Option<Chroma>) {
    let Some(avcc) = decode::<Avcc>(avcc) else {
        return (None, None);
    };
    if let Some(ext) = &avcc.ext {
        let chroma = match ext.chroma_format {
            0 => Chroma::Monochrome,
            1 => Chroma::Yuv420,
            2 => Chroma::Yuv422,
            _ => Chroma::Yuv444,
        };
        return (Some(ext.bit_depth_luma.max(ext.bit_depth_chroma)), Some(chroma));
    }
    match avcc.avc_profile_indication {
        66 | 77 | 88 | 100 => (Some(8), Some(Chroma::Yuv420)),
        110 => (Some(10), Some(Chroma::Yuv420)),
        122 => (None, Some(Chroma::Yuv422)),
        _ => (None, None),
    }
}

fn sound(kind: [u8; 4], body: &[u8]) -> Sound {
    // QuickTime's versions 1 and 2 have more fields, and 2 keeps the channels elsewhere.
    let version = four(body, 8).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let fixed_len = match version {
        0 => 28,
        1 => 44,
        _ => 64,
    };
    let mut sound = Sound {
        codec: AudioCodec::Other(kind),
        channels: four(body, 16)
            .filter(|_| version < 2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]])),
    };
    for (kind, body) in boxes(body.get(fixed_len..).unwrap_or_default()) {
        match &kind {
            b"esds" => read_esds(body, &mut sound),
            // QuickTime wraps it once more.
            b"wave" => {
                for (_, body) in boxes(body).filter(|(kind, _)| kind == b"esds") {
                    read_esds(body, &mut sound);
                }
            }
            _ => {}
        }
    }
    sound
}

fn read_esds(body: &[u8], sound: &mut Sound) {
    let esds = body.get(..MAX_AUDIO_SETUP.min(body.len())).and_then(decode::<Esds>);
    let Some(config) = esds.map(|esds| esds.es_desc.dec_config) else {
        return;
    };
    // 0x40 is MPEG-4 audio, 0x67 AAC-LC of MPEG-2 (ISO/IEC 14496-1 table 5).
    let Some(setup) = config.dec_specific.filter(|_| matches!(config.object_type_indication, 0x40 | 0x67))
    else {
        return;
    };
    // Band replication may also follow the set-up of plain AAC, behind a sync word and one bit.
    let replicated = matches!(setup.raw.get(2..5), Some([0x56, 0xe5, flag]) if flag & 0x80 != 0);
    sound.codec = match setup.profile {
        2 if !replicated => AudioCodec::AacLc,
        2 | 5 | 29 => AudioCodec::HeAac,
        _ => sound.codec,
    };
    match setup.chan_conf {
        n @ 1..=6 => sound.channels = Some(n.into()),
        7 => sound.channels = Some(8),
        _ => {}
    }
}

/// The boxes in a row of them; one that is cut off is given as far as it goes.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::decode_maybe(&mut bytes).ok()??;
        let (body, rest) = bytes.split_at(header.size.unwrap_or(bytes.len()).min(bytes.len()));
        bytes = rest;
        Some((header.kind.into(), body))
    })
}

fn decode<T: Atom>(mut body: &[u8]) -> Option<T> {
    T::decode_body(&mut body).ok()
}

fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// `None` for 0 and for the marks of an unknown length.
fn length(units: u64, per_second: u32) -> Option<Duration> {
    let per_second = u64::from(per_second);
    if units == 0 || units == u64::from(u32::MAX) || units == u64::MAX || per_second == 0 {
        return None;
    }
    let nanos = units % per_second * 1_000_000_000 / per_second;
    Some(Duration::from_secs(units / per_second) + Duration::from_nanos(nanos))
}

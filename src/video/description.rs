//! Sample descriptions (`stsd`): encoding, size, pixels and channels of a track (ISO/IEC 14496-12, -14 and -15, Apple's
//! QuickTime File Format).

use mp4_atom::{Avcc, Pasp};

use super::bits::Bits;
use super::boxes::{boxes, decode, u16_at, u32_at};
use super::sps::Sps;
use super::{AudioCodec, Chroma, Picture, Sound, VideoCodec};

/// Length of the fixed part of a video sample description.
const VISUAL_LEN: usize = 78;

/// Reads the first description of a video track; files with several use one encoding for all.
pub(super) fn picture(descriptions: &[u8]) -> Option<Picture> {
    let (kind, body) = boxes(descriptions.get(8..)?).next()?;
    let mut picture = Picture {
        codec: video_codec(kind),
        width: u16_at(body, 24)?.into(),
        height: u16_at(body, 26)?.into(),
        frame_rate: None,
        bit_depth: None,
        chroma: None,
        square_pixels: true,
        interlaced: false,
        key_frame_gap: None,
    };
    // The container's word on pixels and fields comes before the encoder's.
    let (mut square, mut fields) = (None, None);
    let mut encoder_says = None;
    for (kind, body) in boxes(body.get(VISUAL_LEN..).unwrap_or_default()) {
        match &kind {
            b"pasp" => square = decode::<Pasp>(body).map(|pixel| pixel.h_spacing == pixel.v_spacing),
            b"fiel" => fields = body.first().map(|fields| *fields == 2),
            b"avcC" => encoder_says = read_avcc(body, &mut picture),
            b"hvcC" => read_hvcc(body, &mut picture),
            b"esds" => picture.codec = mpeg4_video(body).unwrap_or(picture.codec),
            _ => {}
        }
    }
    picture.square_pixels = square.or(encoder_says.and_then(|sps: Sps| sps.square_pixels)).unwrap_or(true);
    picture.interlaced = fields.or(encoder_says.map(|sps| sps.fields)).unwrap_or(picture.interlaced);
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
        b"mp4v" => VideoCodec::Mpeg4,
        b"m2v1" | b"mx5p" | b"hdv1" | b"hdv2" | b"hdv3" => VideoCodec::Mpeg2,
        b"s263" | b"h263" => VideoCodec::H263,
        b"AVdn" => VideoCodec::DnxHd,
        _ => VideoCodec::Other(kind),
    }
}

/// The encoding behind `mp4v` (ISO/IEC 14496-1 table 5).
fn mpeg4_video(body: &[u8]) -> Option<VideoCodec> {
    Some(match decoder_config(body)?.0 {
        0x60..=0x65 => VideoCodec::Mpeg2,
        0x6c => VideoCodec::MotionJpeg,
        _ => return None,
    })
}

/// Bits and colour sampling of H.264: by the encoder, or by the profile if it has no choice.
fn read_avcc(body: &[u8], picture: &mut Picture) -> Option<Sps> {
    let avcc = decode::<Avcc>(body)?;
    if let Some(sps) = avcc.sequence_parameter_sets.first().and_then(|unit| Sps::read(unit)) {
        (picture.bit_depth, picture.chroma) = (Some(sps.bit_depth), Some(sps.chroma));
        return Some(sps);
    }
    (picture.bit_depth, picture.chroma) = match (&avcc.ext, avcc.avc_profile_indication) {
        (Some(ext), _) => {
            (Some(ext.bit_depth_luma.max(ext.bit_depth_chroma)), Some(chroma(ext.chroma_format)))
        }
        (None, 66 | 77 | 88 | 100) => (Some(8), Some(Chroma::Yuv420)),
        (None, 110) => (Some(10), Some(Chroma::Yuv420)),
        (None, 122) => (None, Some(Chroma::Yuv422)),
        _ => (None, None),
    };
    None
}

/// HEVC states all of it in fixed places (ISO/IEC 14496-15, 8.3.3.1).
fn read_hvcc(body: &[u8], picture: &mut Picture) {
    let Some([source, .., format, luma, colour]) = body.get(6..19) else {
        return;
    };
    // The two bits say progressive and interlaced source; both together leave it open.
    picture.interlaced = source >> 6 == 0b01;
    picture.chroma = Some(chroma(format & 3));
    picture.bit_depth = Some(8 + (luma & 7).max(colour & 7));
}

fn chroma(format: u8) -> Chroma {
    match format {
        0 => Chroma::Monochrome,
        1 => Chroma::Yuv420,
        2 => Chroma::Yuv422,
        _ => Chroma::Yuv444,
    }
}

/// Reads the first description of an audio track.
pub(super) fn sound(descriptions: &[u8]) -> Option<Sound> {
    let (kind, body) = boxes(descriptions.get(8..)?).next()?;
    // QuickTime's versions 1 and 2 have more fields, and 2 keeps the channels elsewhere.
    let version = u16_at(body, 8).unwrap_or_default();
    let fixed_len = match version {
        0 => 28,
        1 => 44,
        _ => 64,
    };
    let channels = match version {
        0 | 1 => u16_at(body, 16),
        _ => u32_at(body, 40).and_then(|channels| channels.try_into().ok()),
    };
    let mut sound = Sound { codec: audio_codec(kind), channels: channels.filter(|n| *n > 0), duration: None };
    for (kind, body) in boxes(body.get(fixed_len..).unwrap_or_default()) {
        match &kind {
            b"esds" => read_esds(body, &mut sound),
            // QuickTime wraps it once more.
            b"wave" => {
                for (_, body) in boxes(body).filter(|(kind, _)| kind == b"esds") {
                    read_esds(body, &mut sound);
                }
            }
            // The fixed part states two channels whatever there are (ETSI TS 102 366, F.4 and F.6).
            b"dac3" => sound.channels = body.get(1).map(|&setup| ac3_channels(setup)),
            b"dec3" => sound.channels = body.get(3).map(|&setup| ac3_channels(setup << 2)),
            b"dOps" => sound.channels = body.get(1).map(|&channels| channels.into()),
            _ => {}
        }
    }
    Some(sound)
}

/// Number of channels: those of the coding mode, plus one for low frequencies if present.
fn ac3_channels(setup: u8) -> u16 {
    const BY_MODE: [u16; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
    BY_MODE[usize::from(setup >> 3 & 7)] + u16::from(setup >> 2 & 1)
}

fn audio_codec(kind: [u8; 4]) -> AudioCodec {
    match &kind {
        b".mp3" | b"ms\0\x55" => AudioCodec::Mp3,
        b"ac-3" | b"sac3" => AudioCodec::Ac3,
        b"ec-3" => AudioCodec::Eac3,
        b"Opus" => AudioCodec::Opus,
        b"fLaC" => AudioCodec::Flac,
        b"alac" => AudioCodec::Alac,
        b"samr" | b"sawb" => AudioCodec::Amr,
        b"lpcm" | b"sowt" | b"twos" | b"in24" | b"in32" | b"fl32" | b"fl64" | b"raw " | b"NONE" | b"ipcm"
        | b"fpcm" => AudioCodec::Pcm,
        _ => AudioCodec::Other(kind),
    }
}

fn read_esds(body: &[u8], sound: &mut Sound) {
    let Some((object_type, setup)) = decoder_config(body) else {
        return;
    };
    // ISO/IEC 14496-1 table 5; 0xdd is what ffmpeg and others write for Vorbis.
    sound.codec = match object_type {
        // MPEG-4 audio, or AAC-LC of MPEG-2.
        0x40 | 0x67 => {
            read_aac(setup, sound);
            return;
        }
        0x69 | 0x6b => AudioCodec::Mp3,
        0xa5 => AudioCodec::Ac3,
        0xa6 => AudioCodec::Eac3,
        0xad => AudioCodec::Opus,
        0xc1 => AudioCodec::Flac,
        0xdd => AudioCodec::Vorbis,
        _ => return,
    };
}

/// AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)
fn read_aac(setup: &[u8], sound: &mut Sound) {
    let mut bits = Bits::at(setup, 0);
    let mut read = || {
        let object = match bits.bits(5)? {
            31 => 32 + bits.bits(6)?,
            object => object,
        };
        if bits.bits(4)? == 15 {
            bits.skip(24)?;
        }
        Some((object, bits.bits(4)?))
    };
    let Some((object, channels)) = read() else {
        return;
    };
    // Band replication may also follow the set-up of plain AAC, behind a sync word and one bit.
    let replicated = matches!(setup.get(2..5), Some([0x56, 0xe5, flag]) if flag & 0x80 != 0);
    sound.codec = match object {
        2 if !replicated => AudioCodec::AacLc,
        2 | 5 | 29 => AudioCodec::HeAac,
        34 => AudioCodec::Mp3,
        _ => sound.codec,
    };
    match channels {
        n @ 1..=6 => sound.channels = u16::try_from(n).ok(),
        7 => sound.channels = Some(8),
        _ => {}
    }
}

/// Object type and decoder set-up of an `esds` box (ISO/IEC 14496-1, 7.2.6.5 and 7.2.6.6).
fn decoder_config(esds: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, stream) = descriptor(esds.get(4..)?)?;
    let flags = *stream.get(2)?;
    let mut config_at = 3 + 2 * usize::from(flags & 0x80 != 0);
    if flags & 0x40 != 0 {
        config_at += 1 + usize::from(*stream.get(config_at)?);
    }
    config_at += 2 * usize::from(flags & 0x20 != 0);
    let (config_tag, config) = descriptor(stream.get(config_at..)?)?;
    if (tag, config_tag) != (3, 4) {
        return None;
    }
    let setup = config.get(13..).and_then(descriptor).filter(|(tag, _)| *tag == 5);
    Some((*config.first()?, setup.map_or(&[], |(_, setup)| setup)))
}

/// Tag and content of a descriptor, whose size has seven bits in each byte.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, mut rest) = bytes.split_first()?;
    let mut size = 0;
    for _ in 0..4 {
        let (&byte, after) = rest.split_first()?;
        (size, rest) = (size << 7 | usize::from(byte & 0x7f), after);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((*tag, rest.get(..size.min(rest.len()))?))
}

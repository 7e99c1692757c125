//! Tells the format of a file by its first bytes.

use infer::MatcherType;

use super::{Container, Kind, Refusal};

/// First byte of each packet of a transport stream (ISO/IEC 13818-1, 2.4.3).
const SYNC: u8 = 0x47;

/// Recognises the formats X takes.
///
/// # Errors
/// A better known name for anything else.
pub(super) fn recognise(head: &[u8]) -> Result<Container, Refusal> {
    if let Some(found) = other_video(head) {
        return found;
    }
    if let Some(found) = infer::get(head) {
        let ending = found.extension();
        match (found.matcher_type(), ending) {
            (MatcherType::Image, _) => return Err(Refusal::NotVideo(Kind::Picture(ending))),
            (MatcherType::Video, "mp4" | "m4v" | "mov") | (MatcherType::Audio, "m4a") => {}
            (MatcherType::Video, _) if !is_iso_media(head) => {
                return Err(Refusal::Container(ending));
            }
            (MatcherType::Audio, _) => return Err(Refusal::NotVideo(Kind::Sound(ending))),
            (MatcherType::Book | MatcherType::Doc, _) | (_, "pdf") => {
                return Err(Refusal::NotVideo(Kind::Document(ending)));
            }
            (MatcherType::Archive | MatcherType::App, _) => {
                return Err(Refusal::NotVideo(Kind::Archive(ending)));
            }
            (MatcherType::Text, _) => return Err(Refusal::NotVideo(Kind::Text)),
            _ => {}
        }
    }
    if is_iso_media(head) {
        // Files older than the `ftyp` box are QuickTime.
        let is_mp4 = head.get(4..8) == Some(b"ftyp") && head.get(8..12) != Some(b"qt  ");
        return Ok(if is_mp4 { Container::Mp4 } else { Container::QuickTime });
    }
    Err(Refusal::NotVideo(if is_text(head) { Kind::Text } else { Kind::Unknown }))
}

/// Formats that [`infer`] does not know, or of which it does not tell sound from video.
fn other_video(head: &[u8]) -> Option<Result<Container, Refusal>> {
    // The stream header of ASF names this kind of media by its GUID.
    const ASF_VIDEO: [u8; 16] =
        [0xc0, 0xef, 0x19, 0xbc, 0x4d, 0x5b, 0xcf, 0x11, 0xa8, 0xfd, 0, 0x80, 0x5f, 0x5c, 0x44, 0x2b];
    let refused = |name| Some(Err(Refusal::Container(name)));
    let sound = |name| Some(Err(Refusal::NotVideo(Kind::Sound(name))));
    match head {
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(ebml(head)),
        [0x06, 0x0e, 0x2b, 0x34, 0x02, 0x05, 0x01, 0x01, 0x0d, 0x01, 0x02, ..] => refused("mxf"),
        [b'O', b'g', b'g', b'S', ..]
            if contains(head, b"\x80theora") || contains(head, b"\x01video\0\0\0") =>
        {
            refused("ogv")
        }
        [b'O', b'g', b'g', b'S', ..] => sound("ogg"),
        [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, ..] if contains(head, &ASF_VIDEO) => refused("wmv"),
        [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, ..] => sound("wma"),
        [b'F', b'L', b'V', 1, flags, ..] => {
            if flags & 0b100 != 0 && flags & 1 == 0 {
                sound("flv")
            } else {
                refused("flv")
            }
        }
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => refused("avi"),
        [b'.', b'R', b'M', b'F', ..] => refused("rm"),
        [0, 0, 1, 0xba, ..] | [0, 0, 1, 0xb3, ..] => refused("mpg"),
        [b'Y', b'U', b'V', b'4', b'M', b'P', b'E', b'G', b'2', b' ', ..] => refused("y4m"),
        [b'D', b'K', b'I', b'F', 0, 0, 32, 0, ..] => refused("ivf"),
        // The first DIF block of a DV tape.
        [0x1f, 7, 0, ..] if head.get(80..83) == Some(&[0x3f, 7, 0]) => refused("dv"),
        [0, 0, 0, 1, unit, ..] | [0, 0, 1, unit, ..] if matches!(unit & 0x9f, 7 | 9) => refused("h264"),
        _ if is_transport_stream(head, 188, 0) => Some(Ok(Container::MpegTs)),
        _ if is_transport_stream(head, 204, 0) => Some(Ok(Container::MpegTs)),
        _ if is_transport_stream(head, 192, 4) => Some(Ok(Container::M2ts)),
        _ => None,
    }
}

/// Packets of `len` bytes that each have the same byte in the same place. Recordings may begin within a packet.
fn is_transport_stream(head: &[u8], len: usize, place: usize) -> bool {
    if head.get(place) == Some(&SYNC) && head.len() >= 2 * len {
        return head.iter().skip(place).step_by(len).take(4).all(|byte| *byte == SYNC);
    }
    // By chance, eight in a row are too many for anything else.
    head.len() >= 9 * len
        && (0..len).any(|start| head.iter().skip(start).step_by(len).take(8).all(|byte| *byte == SYNC))
}

/// Matroska's document type stands in the first element (RFC 8794, 11.2.4).
fn ebml(head: &[u8]) -> Result<Container, Refusal> {
    let head = &head[..head.len().min(4096)];
    let has_video = contains(head, b"V_") || !contains(head, b"A_");
    match find(head, &[0x42, 0x82]).and_then(|at| head.get(at + 3..at + 7)) {
        Some(b"webm") => Ok(Container::WebM),
        _ if has_video => Err(Refusal::Container("mkv")),
        _ => Err(Refusal::NotVideo(Kind::Sound("mka"))),
    }
}

fn contains(head: &[u8], text: &[u8]) -> bool {
    find(head, text).is_some()
}

fn find(head: &[u8], text: &[u8]) -> Option<usize> {
    head.windows(text.len()).position(|window| window == text)
}

fn is_iso_media(head: &[u8]) -> bool {
    const FIRST_BOXES: [&[u8; 4]; 9] =
        [b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid"];
    FIRST_BOXES.iter().any(|kind| head.get(4..8) == Some(kind.as_slice()))
}

fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The window may end within a character.
        Err(error) if head.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !c.is_whitespace())
}

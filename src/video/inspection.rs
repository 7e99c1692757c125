//! Reads what is needed of a video file, and no more, through ranges that the caller fetches.

use std::ops::Range;

use infer::MatcherType;
use mp4_atom::{DecodeMaybe, Header};

use super::track::Movie;
use super::{Container, Damage, Kind, Refusal, Video};

/// Bytes asked for at a time, and all that is ever held.
const WINDOW: u64 = 64 * 1024;
/// Bytes of a box that are looked at; what matters stands in front.
const MAX_LEAF: u64 = 16 * 1024;
/// Real files need fewer than ten reads.
const MAX_READS: u32 = 512;

/// A file being looked at: fetch [`wanted`](Self::wanted), give it to [`feed`](Self::feed), until
/// there is a [`Video`].
///
/// Reads at most 512 ranges of 64 KiB, keeps none of them, and skips the tables that grow with the
/// length of the video.
#[derive(Debug)]
pub struct Inspection {
    total: u64,
    reads: u32,
    /// Where the next box begins.
    at: u64,
    /// Containers entered, with their ends.
    path: Vec<(Parent, u64)>,
    container: Option<Container>,
    movie: Movie,
    /// What the index said, once it is read.
    video: Option<Video>,
    /// A whole `mdat` box, which holds the pictures and the sound, was passed.
    data_seen: bool,
}

/// The containers on the way to what is of interest; all others are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    Movie,
    Track,
    /// `mdia`, `minf` and `stbl`, which hold nothing that depends on which of them it is in.
    Media,
    Extends,
}

impl Inspection {
    /// Starts on a file of `total_bytes`.
    ///
    /// # Errors
    /// [`Refusal::Empty`].
    pub fn new(total_bytes: u64) -> Result<Self, Refusal> {
        if total_bytes == 0 {
            return Err(Refusal::Empty);
        }
        Ok(Self {
            total: total_bytes,
            reads: 0,
            at: 0,
            path: Vec::new(),
            container: None,
            movie: Movie::default(),
            video: None,
            data_seen: false,
        })
    }

    /// The range of the file to feed next: never empty, at most 64 KiB.
    pub fn wanted(&self) -> Range<u64> {
        self.at..self.total.min(self.at.saturating_add(WINDOW))
    }

    /// Takes the bytes of [`wanted`](Self::wanted); `None` means that more are wanted.
    ///
    /// # Errors
    /// Why the file is no video that X would take. Fewer bytes than wanted mean that the file is
    /// truncated.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Video>, Refusal> {
        let wanted = self.wanted();
        let len = (wanted.end - wanted.start) as usize;
        let bytes = bytes.get(..len).ok_or(Refusal::Damaged(Damage::Truncated))?;
        self.reads += 1;
        if self.reads > MAX_READS {
            return Err(Refusal::Damaged(Damage::Malformed));
        }
        let container = match self.container {
            Some(container) => container,
            None => *self.container.insert(recognise(bytes)?),
        };
        if matches!(container, Container::WebM | Container::MpegTs) {
            return Ok(Some(Video {
                container,
                duration: None,
                picture: None,
                sound: None,
                fragmented: false,
            }));
        }
        loop {
            if self.leave_ended() {
                self.video = Some(self.movie.finish(container)?);
            }
            // An index in front promises data that may have been cut off since.
            if let Some(video) = self.video.take_if(|video| video.fragmented || self.data_seen) {
                return Ok(Some(video));
            }
            if self.at == self.total {
                let missing = if self.video.is_some() { Damage::Truncated } else { Damage::NoIndex };
                return Err(Refusal::Damaged(missing));
            }
            let Some(rest) = bytes.get((self.at - wanted.start) as usize..) else {
                return Ok(None);
            };
            if !self.step(rest)? {
                return Ok(None);
            }
        }
    }

    /// Leaves the containers that end here; true after the movie box.
    fn leave_ended(&mut self) -> bool {
        while let Some(&(parent, end)) = self.path.last() {
            // Fewer than eight bytes are no box but the padding that QuickTime writes.
            if self.at.saturating_add(8) <= end {
                return false;
            }
            self.at = end;
            self.path.pop();
            match parent {
                Parent::Movie => return true,
                Parent::Track => self.movie.end_track(),
                Parent::Media | Parent::Extends => {}
            }
        }
        false
    }

    /// Enters, reads or skips the box at the beginning of `bytes`; false if too little of it is there.
    fn step(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        let malformed = Refusal::Damaged(Damage::Malformed);
        let end = self.path.last().map_or(self.total, |&(_, end)| end);
        let left = end - self.at;
        let mut body = bytes;
        let header = match Header::decode_maybe(&mut body) {
            Ok(Some(header)) => header,
            Ok(None) if (bytes.len() as u64) < left.min(16) => return Ok(false),
            Ok(None) if self.path.is_empty() => return Err(Refusal::Damaged(Damage::Truncated)),
            Ok(None) | Err(_) => return Err(malformed),
        };
        let header_len = (bytes.len() - body.len()) as u64;
        let size = match header.size {
            Some(size) => header_len.checked_add(size as u64).ok_or(malformed)?,
            None => left,
        };
        if size > left && self.path.is_empty() {
            return Err(Refusal::Damaged(Damage::Truncated));
        }
        // Within the movie, a size that exceeds its container's is taken for the rest of it.
        let box_end = self.at + size.min(left);
        let kind: [u8; 4] = header.kind.into();
        if let Some(parent) = self.parent_for(&kind) {
            self.path.push((parent, box_end));
            self.at += header_len.min(left);
            return Ok(true);
        }
        if self.path.is_empty() || !Movie::reads(&kind) {
            self.data_seen |= self.path.is_empty() && &kind == b"mdat";
            self.at = box_end;
            return Ok(true);
        }
        let needed = (box_end - self.at).saturating_sub(header_len).min(MAX_LEAF);
        let Some(body) = body.get(..needed as usize) else {
            return Ok(false);
        };
        self.movie.read(&kind, body);
        self.at = box_end;
        Ok(true)
    }

    fn parent_for(&self, kind: &[u8; 4]) -> Option<Parent> {
        match (self.path.last().map(|(parent, _)| parent), kind) {
            (None, b"moov") if self.video.is_none() => Some(Parent::Movie),
            (Some(Parent::Movie), b"trak") => Some(Parent::Track),
            (Some(Parent::Movie), b"mvex") => Some(Parent::Extends),
            (Some(Parent::Track), b"mdia") => Some(Parent::Media),
            (Some(Parent::Media), b"minf" | b"stbl") if self.path.len() < 5 => Some(Parent::Media),
            _ => None,
        }
    }
}

/// Tells the format by the first bytes.
fn recognise(head: &[u8]) -> Result<Container, Refusal> {
    if let Some(found) = infer::get(head) {
        let ending = found.extension();
        match (found.matcher_type(), ending) {
            (_, "webm") => return Ok(Container::WebM),
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
    // Packets of 188 bytes that each begin with the same byte (ISO/IEC 13818-1, 2.4.3).
    let mut packets = head.chunks_exact(188).take(4);
    if packets.len() >= 2 && packets.all(|packet| packet[0] == 0x47) {
        return Ok(Container::MpegTs);
    }
    Err(Refusal::NotVideo(if is_text(head) { Kind::Text } else { Kind::Unknown }))
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

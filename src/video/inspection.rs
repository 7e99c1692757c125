//! Reads what is needed of a video file, and no more, through ranges that the caller fetches.

use std::ops::Range;

use mp4_atom::{DecodeMaybe, Header};

use super::boxes::{four, u32_at};
use super::format::recognise;
use super::track::{Movie, Table};
use super::{Container, Damage, Refusal, Video};

/// Bytes asked for at a time, and all that is ever held.
const WINDOW: u64 = 64 * 1024;
/// Fragments are described in less, and there may be thousands.
const FRAGMENT_WINDOW: u64 = 16 * 1024;
/// Bytes of a box that are looked at; the important fields come first. Tables are read entry by entry instead.
const MAX_LEAF: u64 = 16 * 1024;
/// Reads up to the end of the index. Real files need fewer than ten, very long ones with a varying frame rate about 100.
const MAX_READS: u32 = 512;
/// Reads in all of a fragmented file: one for each fragment that no index lists.
const MAX_FRAGMENT_READS: u32 = 2_048;
/// Fragments that are read one after another before their index at the end of the file is tried.
const MAX_FRAGMENTS_IN_ROW: u32 = 64;
/// Length of the `mfro` box, the last of a file that has an index of its fragments.
const MFRO_LEN: u64 = 16;

/// A file being looked at: fetch [`wanted`](Self::wanted), give it to [`feed`](Self::feed), until
/// there is a [`Video`].
///
/// Reads at most 512 ranges of 64 KiB, or 2,048 if the video is in fragments, and keeps none of them.
#[derive(Debug)]
pub struct Inspection {
    total: u64,
    reads: u32,
    /// Where the next box begins.
    at: u64,
    /// Containers entered, with their ends.
    path: Vec<(Parent, u64)>,
    /// The table being read, with the end of its box.
    table: Option<(Table, u64)>,
    container: Option<Container>,
    movie: Movie,
    /// The index (`moov`) is read.
    indexed: bool,
    /// A whole `mdat` box, which holds the pictures and the sound, was passed.
    data_seen: bool,
    fragments_seen: u32,
    /// Begin and end of the last segment that a segment index (`sidx`) lists.
    last_segment: Option<(u64, u64)>,
    shortcut: Shortcut,
}

/// Use of the fragment index at the end of the file (`mfra`). `resume` is where reading continues if that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortcut {
    Untried,
    /// The end of the file is wanted next, which states where the index begins.
    Size,
    /// The index should begin at the current position.
    Index {
        resume: u64,
    },
    /// The last fragment should begin at the current position.
    LastFragment {
        resume: u64,
    },
    Done,
}

/// The containers on the way to what is of interest; all others are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    /// `moov`
    Movie,
    /// `trak`
    Track,
    /// `edts`
    Edits,
    /// `mdia`
    Media,
    /// `minf` and `stbl`, whose boxes have no names in common.
    Samples,
    /// `mvex`
    Extends,
    /// `moof`
    Fragment,
    /// `traf`
    TrackFragment,
    /// `mfra`
    FragmentIndex,
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
            table: None,
            container: None,
            movie: Movie::default(),
            indexed: false,
            data_seen: false,
            fragments_seen: 0,
            last_segment: None,
            shortcut: Shortcut::Untried,
        })
    }

    /// The range of the file to feed next: never empty, at most 64 KiB.
    pub fn wanted(&self) -> Range<u64> {
        if self.shortcut == Shortcut::Size {
            return self.total.saturating_sub(MFRO_LEN)..self.total;
        }
        let window = if self.in_fragments() { FRAGMENT_WINDOW } else { WINDOW };
        self.at..self.total.min(self.at.saturating_add(window))
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
        if self.reads > if self.in_fragments() { MAX_FRAGMENT_READS } else { MAX_READS } {
            if !self.in_fragments() {
                return Err(Refusal::Damaged(Damage::Malformed));
            }
            // The fragments read so far do not tell the length of the whole.
            self.movie.fragments.skip();
            return self.finish(false).map(Some);
        }
        let container = match self.container {
            Some(container) => container,
            None => *self.container.insert(recognise(bytes)?),
        };
        if !container.is_read() {
            return Ok(Some(Video::unread(container)));
        }
        if self.shortcut == Shortcut::Size {
            self.find_fragment_index(bytes);
            return Ok(None);
        }
        loop {
            if self.table.is_none() {
                self.leave_ended()?;
            }
            if self.indexed && !self.in_fragments() && self.data_seen {
                return self.finish(false).map(Some);
            }
            if self.at >= self.total && !self.resume() {
                return self.end(false).map(Some);
            }
            if self.shortcut == Shortcut::Untried
                && self.path.is_empty()
                && self.fragments_seen >= MAX_FRAGMENTS_IN_ROW
            {
                self.shortcut = Shortcut::Size;
                return Ok(None);
            }
            let rest = self.at.checked_sub(wanted.start).and_then(|start| bytes.get(start as usize..));
            let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
                return Ok(None);
            };
            match self.step(rest) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(_) if self.resume() => {}
                // The fragments before the damage play, so X decides.
                Err(_) if self.in_fragments() && self.data_seen => return self.end(true).map(Some),
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// True between the index of a fragmented file and its end.
    fn in_fragments(&self) -> bool {
        self.indexed && self.movie.fragments.expected()
    }

    /// Nothing more can be read.
    fn end(&mut self, cut_off: bool) -> Result<Video, Refusal> {
        if !self.indexed {
            return Err(Refusal::Damaged(Damage::NoIndex));
        }
        // An index in front promises data that may have been cut off since.
        if !self.data_seen {
            return Err(Refusal::Damaged(Damage::Truncated));
        }
        self.finish(cut_off)
    }

    fn finish(&mut self, cut_off: bool) -> Result<Video, Refusal> {
        let lacks_segments = self.last_segment.is_some_and(|(_, end)| end > self.total);
        self.movie.finish(self.container.unwrap_or(Container::Mp4), cut_off || lacks_segments)
    }

    /// Continues at the index of fragments, if the end of the file says where that is.
    fn find_fragment_index(&mut self, tail: &[u8]) {
        self.shortcut = Shortcut::Done;
        let size = u32_at(tail, 12).filter(|_| four(tail, 4) == Some(*b"mfro"));
        if let Some(start) = size.and_then(|size| self.total.checked_sub(size.into()))
            && (self.at..self.total - MFRO_LEN).contains(&start)
        {
            self.shortcut = Shortcut::Index { resume: self.at };
            self.at = start;
        }
    }

    /// Returns from a shortcut that led nowhere; false if there was none.
    fn resume(&mut self) -> bool {
        let (Shortcut::Index { resume } | Shortcut::LastFragment { resume }) = self.shortcut else {
            return false;
        };
        self.shortcut = Shortcut::Done;
        self.movie.fragments.unskip();
        (self.at, self.table) = (resume, None);
        self.path.clear();
        true
    }

    /// Leaves the containers that end here.
    fn leave_ended(&mut self) -> Result<(), Refusal> {
        while let Some(&(parent, end)) = self.path.last() {
            // Fewer than eight bytes are no box but the padding that QuickTime writes.
            if self.at.saturating_add(8) <= end {
                break;
            }
            self.at = end;
            self.path.pop();
            match parent {
                Parent::Movie => {
                    self.indexed = true;
                    self.movie.end_index()?;
                }
                Parent::Track => self.movie.end_track(),
                Parent::TrackFragment => self.movie.fragments.end_track_fragment(),
                Parent::Fragment => self.end_fragment(),
                Parent::FragmentIndex => self.end_fragment_index(),
                Parent::Edits | Parent::Media | Parent::Samples | Parent::Extends => {}
            }
        }
        Ok(())
    }

    fn end_fragment(&mut self) {
        self.fragments_seen += 1;
        // The first fragment shows the frame rate, and the last segment the end: those between need not be read.
        if let Some((start, end)) = self.last_segment
            && (self.at..self.total).contains(&start)
            && end <= self.total
        {
            self.at = start;
            self.movie.fragments.skip();
        }
    }

    fn end_fragment_index(&mut self) {
        let Shortcut::Index { resume } = self.shortcut else {
            return;
        };
        let last = self.movie.fragments.last_listed().filter(|at| (resume..self.total).contains(at));
        match last {
            Some(last) => {
                self.shortcut = Shortcut::LastFragment { resume };
                self.at = last;
                self.movie.fragments.skip();
            }
            None => drop(self.resume()),
        }
    }

    /// Enters, reads or skips the box at the beginning of `bytes`; false if too little of it is there.
    fn step(&mut self, bytes: &[u8]) -> Result<bool, Refusal> {
        if let Some((table, end)) = self.table {
            return Ok(self.read_table(&table, end, bytes));
        }
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
        let kind: [u8; 4] = header.kind.into();
        match self.shortcut {
            Shortcut::Index { .. } if self.path.is_empty() && &kind != b"mfra" => return Err(malformed),
            Shortcut::LastFragment { .. } if &kind != b"moof" => return Err(malformed),
            Shortcut::LastFragment { .. } => self.shortcut = Shortcut::Done,
            _ => {}
        }
        if size > left && self.path.is_empty() {
            return Err(Refusal::Damaged(Damage::Truncated));
        }
        // Within the movie, a size that exceeds its container's is taken for the rest of it.
        let box_end = self.at + size.min(left);
        if let Some(parent) = self.parent_for(&kind) {
            self.path.push((parent, box_end));
            self.at += header_len.min(left);
            return Ok(true);
        }
        let parent = self.path.last().map(|&(parent, _)| parent);
        if !Movie::reads(parent, &kind) || (parent.is_none() && !self.in_fragments()) {
            self.data_seen |= parent.is_none() && &kind == b"mdat";
            self.at = box_end;
            return Ok(true);
        }
        let needed = (box_end - self.at).saturating_sub(header_len).min(MAX_LEAF);
        // Fragments are read through a smaller window, and only their tables are longer.
        let needed = if self.in_fragments() { needed.min(MAX_LEAF / 2) } else { needed };
        let Some(body) = body.get(..needed as usize) else {
            return Ok(false);
        };
        let table = self.movie.read(&kind, body);
        self.at = match table {
            Some(table) => box_end.min(self.at + header_len + table.head_len),
            None => box_end,
        };
        self.table = table.map(|table| (table, box_end));
        if self.table.is_some() {
            self.leave_ended_table();
        }
        Ok(true)
    }

    /// Reads the entries of a table that are there; false if more bytes are needed for the next one.
    fn read_table(&mut self, table: &Table, end: u64, bytes: &[u8]) -> bool {
        let left = end - self.at;
        let there = left.min(bytes.len() as u64) as usize;
        let entries = bytes[..there].chunks_exact(table.entry_len);
        self.at += (entries.len() * table.entry_len) as u64;
        for entry in entries {
            self.movie.read_entry(&table.kind, entry);
        }
        self.leave_ended_table()
    }

    /// False if the table has more entries.
    fn leave_ended_table(&mut self) -> bool {
        let Some((table, end)) = self.table.filter(|(table, end)| end - self.at < table.entry_len as u64)
        else {
            return false;
        };
        self.at = end;
        self.table = None;
        if &table.kind == b"sidx" {
            self.last_segment = Some(self.movie.fragments.last_segment(end));
        }
        true
    }

    fn parent_for(&self, kind: &[u8; 4]) -> Option<Parent> {
        match (self.path.last().map(|(parent, _)| parent), kind) {
            (None, b"moov") if !self.indexed => Some(Parent::Movie),
            (None, b"moof") if self.in_fragments() => Some(Parent::Fragment),
            (None, b"mfra") if matches!(self.shortcut, Shortcut::Index { .. }) => Some(Parent::FragmentIndex),
            (Some(Parent::Movie), b"trak") => Some(Parent::Track),
            (Some(Parent::Movie), b"mvex") => Some(Parent::Extends),
            (Some(Parent::Track), b"edts") => Some(Parent::Edits),
            (Some(Parent::Track), b"mdia") => Some(Parent::Media),
            (Some(Parent::Media), b"minf") => Some(Parent::Samples),
            (Some(Parent::Samples), b"stbl") if self.path.len() < 5 => Some(Parent::Samples),
            (Some(Parent::Fragment), b"traf") => Some(Parent::TrackFragment),
            _ => None,
        }
    }
}

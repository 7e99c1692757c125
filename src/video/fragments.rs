//! Length of the fragments that follow the index of a fragmented MP4 (ISO/IEC 14496-12, 8.8 and 8.16).

use std::time::Duration;

use super::boxes::{length, u16_at, u32_at, u64_at};
use super::track::{KeyFrames, Table};

/// Bit of a sample's flags: it is no key frame.
const NOT_SYNC: u32 = 0x1_0000;
/// Tracks whose defaults are kept. Real files have fewer than ten.
const MAX_TRACKS: usize = 64;

/// Defaults of a track in its fragments (`trex`, `tfhd`).
#[derive(Clone, Copy, Debug, Default)]
struct Defaults {
    track: u32,
    duration: u32,
    flags: u32,
}

/// The fragments of the video track, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    defaults: Vec<Defaults>,
    /// The video track.
    track: u32,
    count: u64,
    units: u64,
    key_frames: KeyFrames,
    /// Time of the first sample.
    start: Option<u64>,
    /// End of the last sample seen.
    end: u64,
    /// Fragments were skipped, and the next one has not stated its time yet.
    skipped: bool,
    current: TrackFragment,
    segments: Segments,
    /// Time and position of the last fragment that the index at the end of the file lists.
    last_listed: Option<(u64, u64)>,
    listed: Entries,
}

/// The part of one track in one fragment.
#[derive(Debug, Default)]
struct TrackFragment {
    defaults: Defaults,
    start: Option<u64>,
    units: u64,
    run: Entries,
    first_flags: Option<u32>,
}

/// A table being read.
#[derive(Clone, Copy, Debug, Default)]
struct Entries {
    flags: u32,
    left: u32,
}

/// The segment indexes (`sidx`) read so far.
#[derive(Debug, Default)]
struct Segments {
    per_second: u32,
    first: Option<u64>,
    end: u64,
    /// From the end of the box to the end of its last segment, and the length of that one.
    bytes: u64,
    last_bytes: u64,
    left: u16,
}

impl Fragments {
    /// `trex`
    pub(super) fn read_defaults(&mut self, body: &[u8]) {
        if let (Some(track), Some(duration), Some(flags)) =
            (u32_at(body, 4), u32_at(body, 12), u32_at(body, 20))
            && self.defaults.len() < MAX_TRACKS
        {
            self.defaults.push(Defaults { track, duration, flags });
        }
    }

    /// True once a track may continue in fragments.
    pub(super) fn expected(&self) -> bool {
        !self.defaults.is_empty()
    }

    /// Starts after the index, which itself may hold samples of the video track.
    pub(super) fn begin(&mut self, track: u32, count: u64, units: u64, keys: KeyFrames) {
        self.track = track;
        if count > 0 {
            self.start = Some(0);
            self.end = units;
            self.key_frames = keys;
        }
        (self.count, self.units) = (count, units);
    }

    /// Playing time in units of the track, by the fragments themselves.
    pub(super) fn walked_units(&self) -> Option<u64> {
        self.start.filter(|_| !self.skipped).map(|start| self.end.saturating_sub(start))
    }

    /// Playing time by the segment index.
    pub(super) fn listed_length(&self) -> Option<Duration> {
        let segments = &self.segments;
        length(segments.end.saturating_sub(segments.first?), segments.per_second)
    }

    /// Samples seen, and the sum of their durations.
    pub(super) fn samples(&self) -> (u64, u64) {
        (self.count, self.units)
    }

    pub(super) fn longest_gap(&self) -> u64 {
        self.key_frames.longest
    }

    /// `tfhd`
    pub(super) fn read_header(&mut self, body: &[u8]) {
        let (Some(flags), Some(track)) = (u32_at(body, 0), u32_at(body, 4)) else {
            return;
        };
        let known = self.defaults.iter().find(|defaults| defaults.track == track);
        let mut defaults = known.copied().unwrap_or(Defaults { track, ..Defaults::default() });
        let mut at = 8 + 8 * usize::from(flags & 1 != 0) + 4 * usize::from(flags & 2 != 0);
        let mut next = |bit: u32| {
            let value = (flags & bit != 0).then(|| u32_at(body, at)).flatten();
            at += 4 * usize::from(flags & bit != 0);
            value
        };
        defaults.duration = next(8).unwrap_or(defaults.duration);
        next(0x10);
        defaults.flags = next(0x20).unwrap_or(defaults.flags);
        self.current.defaults = defaults;
    }

    /// `tfdt`
    pub(super) fn read_start(&mut self, body: &[u8]) {
        self.current.start = match body.first() {
            Some(1) => u64_at(body, 4),
            _ => u32_at(body, 4).map(u64::from),
        };
    }

    /// `trun`: a table, unless its samples are all alike.
    pub(super) fn begin_run(&mut self, body: &[u8]) -> Option<Table> {
        let current = &mut self.current;
        if current.defaults.track != self.track {
            return None;
        }
        let flags = u32_at(body, 0)?;
        let count = u32_at(body, 4)?;
        let mut head_len = 8 + 4 * usize::from(flags & 1 != 0);
        current.first_flags = None;
        if flags & 4 != 0 {
            current.first_flags = u32_at(body, head_len);
            head_len += 4;
        }
        let fields = (flags & 0xf00).count_ones();
        if fields > 0 {
            current.run = Entries { flags, left: count };
            return Some(Table { kind: *b"trun", head_len: head_len as u64, entry_len: 4 * fields as usize });
        }
        if count > 0 {
            let defaults = current.defaults;
            let units = u64::from(count).saturating_mul(defaults.duration.into());
            current.units = current.units.saturating_add(units);
            self.units = self.units.saturating_add(units);
            self.count = self.count.saturating_add(count.into());
            let first_flags = current.first_flags.take().unwrap_or(defaults.flags);
            self.key_frames.add(first_flags & NOT_SYNC == 0);
            if defaults.flags & NOT_SYNC != 0 {
                self.key_frames.add_others(u64::from(count - 1));
            }
        }
        None
    }

    /// An entry of the current `trun`.
    pub(super) fn read_sample(&mut self, entry: &[u8]) {
        let current = &mut self.current;
        let Some(left) = current.run.left.checked_sub(1) else {
            return;
        };
        current.run.left = left;
        let mut at = 0;
        let mut next = |bit: u32| {
            let present = current.run.flags & bit != 0;
            let value = present.then(|| u32_at(entry, at)).flatten();
            at += 4 * usize::from(present);
            value
        };
        let duration = u64::from(next(0x100).unwrap_or(current.defaults.duration));
        next(0x200);
        let flags = next(0x400).unwrap_or(current.defaults.flags);
        current.units = current.units.saturating_add(duration);
        self.units = self.units.saturating_add(duration);
        self.count = self.count.saturating_add(1);
        let flags = current.first_flags.take().unwrap_or(flags);
        self.key_frames.add(flags & NOT_SYNC == 0);
    }

    /// `traf` ends.
    pub(super) fn end_track_fragment(&mut self) {
        let part = std::mem::take(&mut self.current);
        if part.defaults.track != self.track {
            return;
        }
        // The index at the end states the time too, for files whose fragments do not.
        let listed = self.last_listed.filter(|_| self.skipped).map(|(time, _)| time);
        let stated = part.start.or(listed);
        self.skipped &= stated.is_none();
        let start = stated.unwrap_or(self.end);
        self.start = Some(self.start.map_or(start, |known| known.min(start)));
        self.end = self.end.max(start.saturating_add(part.units));
    }

    /// `sidx`, if it is that of the video track.
    pub(super) fn begin_segments(&mut self, body: &[u8]) -> Option<Table> {
        if u32_at(body, 4)? != self.track {
            return None;
        }
        let (start, offset, count_at) = match body.first()? {
            0 => (u32_at(body, 12)?.into(), u32_at(body, 16)?.into(), 22),
            _ => (u64_at(body, 12)?, u64_at(body, 20)?, 30),
        };
        let segments = &mut self.segments;
        segments.per_second = u32_at(body, 8)?;
        segments.left = u16_at(body, count_at)?;
        segments.first.get_or_insert(start);
        segments.end = start;
        (segments.bytes, segments.last_bytes) = (offset, 0);
        Some(Table { kind: *b"sidx", head_len: count_at as u64 + 2, entry_len: 12 })
    }

    /// An entry of the current `sidx`.
    pub(super) fn read_segment(&mut self, entry: &[u8]) {
        let segments = &mut self.segments;
        let (Some(left), Some(size), Some(units)) =
            (segments.left.checked_sub(1), u32_at(entry, 0), u32_at(entry, 4))
        else {
            return;
        };
        segments.left = left;
        // The highest bit tells another index from a segment.
        segments.last_bytes = u64::from(size & 0x7fff_ffff);
        segments.bytes = segments.bytes.saturating_add(segments.last_bytes);
        segments.end = segments.end.saturating_add(units.into());
    }

    /// Where the last segment of the `sidx` that ended at `box_end` begins and ends.
    pub(super) fn last_segment(&self, box_end: u64) -> (u64, u64) {
        let end = box_end.saturating_add(self.segments.bytes);
        (end.saturating_sub(self.segments.last_bytes), end)
    }

    /// `tfra`, if it is that of the video track.
    pub(super) fn begin_list(&mut self, body: &[u8]) -> Option<Table> {
        if u32_at(body, 4)? != self.track {
            return None;
        }
        let lengths = u32_at(body, 8)?;
        let version = u32::from(*body.first()?);
        self.listed = Entries { flags: version, left: u32_at(body, 12)? };
        let numbers: u32 = (0..3).map(|field| (lengths >> (2 * field) & 3) + 1).sum();
        let fixed = if version == 0 { 8 } else { 16 };
        Some(Table { kind: *b"tfra", head_len: 16, entry_len: fixed + numbers as usize })
    }

    /// An entry of the current `tfra`.
    pub(super) fn read_listed(&mut self, entry: &[u8]) {
        let Some(left) = self.listed.left.checked_sub(1) else {
            return;
        };
        self.listed.left = left;
        self.last_listed = match self.listed.flags {
            0 => u32_at(entry, 0).map(u64::from).zip(u32_at(entry, 4).map(u64::from)),
            _ => u64_at(entry, 0).zip(u64_at(entry, 8)),
        };
    }

    /// Position of the last fragment that the index at the end lists.
    pub(super) fn last_listed(&self) -> Option<u64> {
        self.last_listed.map(|(_, position)| position)
    }

    /// The next fragment read is not the one that follows the last.
    pub(super) fn skip(&mut self) {
        self.skipped = true;
        self.key_frames.interrupt();
    }

    /// The fragments after the last one read follow after all.
    pub(super) fn unskip(&mut self) {
        self.skipped = false;
    }
}

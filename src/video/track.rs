//! From the boxes of an MP4 or QuickTime index to what they say of the video (ISO/IEC 14496-12, Apple's QuickTime File
//! Format). A box that cannot be read leaves its fact unknown.

use std::time::Duration;

use mp4_atom::{Matrix, Mvhd, Tkhd};

use super::boxes::{decode, four, length, u32_at, u64_at};
use super::fragments::Fragments;
use super::inspection::Parent;
use super::{Container, Refusal, Video, description};

/// Edits that are read. Real files have one or two.
const MAX_EDITS: usize = 64;

/// The parts of the index read so far.
#[derive(Debug, Default)]
pub(super) struct Movie {
    header: Option<Mvhd>,
    /// Length with all fragments, by `mehd`.
    fragments_len: u64,
    video: Option<Track>,
    sound: Option<Track>,
    /// The track whose boxes are being read.
    track: Track,
    pub(super) fragments: Fragments,
}

/// A table that is read entry by entry, since it grows with the length of the video.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) kind: [u8; 4],
    /// Bytes of the body before the first entry.
    pub(super) head_len: u64,
    pub(super) entry_len: usize,
}

/// Distance between the key frames of a track.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyFrames {
    /// Frames since the last one, which is counted too.
    since: u64,
    /// The longest distance seen.
    pub(super) longest: u64,
}

#[derive(Debug, Default)]
struct Track {
    handler: [u8; 4],
    header: Option<Tkhd>,
    /// Units per second, and the length in them (`mdhd`).
    per_second: u32,
    stated_units: u64,
    edits: Vec<Edit>,
    /// Samples by `stsz`.
    sized: u32,
    /// Samples by `stts`, and the sum of their durations.
    count: u64,
    units: u64,
    /// Number of the last key frame in `stss`, and the longest distance. Without that table every frame is one.
    key_frame: Option<(u64, u64)>,
    descriptions: Vec<u8>,
}

/// A part of the media that is shown.
#[derive(Clone, Copy, Debug)]
struct Edit {
    /// In units of the movie; 0 is the rest of the media.
    len: u64,
    /// In units of the media; negative if nothing is shown.
    start: i64,
}

impl KeyFrames {
    pub(super) fn add(&mut self, is_key: bool) {
        if is_key {
            self.since = 0;
        }
        self.add_others(1);
    }

    pub(super) fn add_others(&mut self, count: u64) {
        self.since = self.since.saturating_add(count);
        self.longest = self.longest.max(self.since);
    }

    /// The next frames do not follow the last ones.
    pub(super) fn interrupt(&mut self) {
        self.since = 0;
    }
}

impl Movie {
    /// True if a box of this kind, in this parent, says something of interest.
    pub(super) fn reads(parent: Option<Parent>, kind: &[u8; 4]) -> bool {
        match parent {
            None => kind == b"sidx",
            Some(Parent::Movie) => kind == b"mvhd",
            Some(Parent::Extends) => matches!(kind, b"mehd" | b"trex"),
            Some(Parent::Track) => kind == b"tkhd",
            Some(Parent::Edits) => kind == b"elst",
            // QuickTime also writes the kind of data reference as `hdlr`, in `minf`.
            Some(Parent::Media) => matches!(kind, b"mdhd" | b"hdlr"),
            Some(Parent::Samples) => {
                matches!(kind, b"stsd" | b"stsz" | b"stz2" | b"stts" | b"stss")
            }
            Some(Parent::Fragment) => false,
            Some(Parent::TrackFragment) => matches!(kind, b"tfhd" | b"tfdt" | b"trun"),
            Some(Parent::FragmentIndex) => kind == b"tfra",
        }
    }

    /// Takes the beginning of a box's body. The entries that follow go to [`read_entry`](Self::read_entry) if it is a
    /// table.
    pub(super) fn read(&mut self, kind: &[u8; 4], body: &[u8]) -> Option<Table> {
        let track = &mut self.track;
        let wide = body.first().is_some_and(|version| *version == 1);
        match kind {
            b"mvhd" => self.header = decode(body),
            b"trex" => self.fragments.read_defaults(body),
            b"mehd" if wide => self.fragments_len = u64_at(body, 4).unwrap_or_default(),
            b"mehd" => self.fragments_len = u32_at(body, 4).unwrap_or_default().into(),
            b"tkhd" => track.header = decode(body),
            b"mdhd" => {
                let scale_at = if wide { 20 } else { 12 };
                track.per_second = u32_at(body, scale_at).unwrap_or_default();
                let units = if wide { u64_at(body, 24) } else { u32_at(body, 16).map(u64::from) };
                track.stated_units = units.unwrap_or_default();
            }
            b"hdlr" => track.handler = four(body, 8).unwrap_or_default(),
            b"elst" => track.read_edits(body),
            b"stsz" | b"stz2" => track.sized = u32_at(body, 8).unwrap_or_default(),
            // The kind of track may follow.
            b"stsd" => track.descriptions = body.to_vec(),
            b"stts" => return Some(Table { kind: *kind, head_len: 8, entry_len: 8 }),
            b"stss" => {
                track.key_frame = Some((1, 0));
                return Some(Table { kind: *kind, head_len: 8, entry_len: 4 });
            }
            b"tfhd" => self.fragments.read_header(body),
            b"tfdt" => self.fragments.read_start(body),
            b"trun" => return self.fragments.begin_run(body),
            b"sidx" => return self.fragments.begin_segments(body),
            b"tfra" => return self.fragments.begin_list(body),
            _ => {}
        }
        None
    }

    /// Takes an entry of the table that [`read`](Self::read) announced.
    pub(super) fn read_entry(&mut self, kind: &[u8; 4], entry: &[u8]) {
        match kind {
            b"stts" => self.track.read_times(entry),
            b"stss" => self.track.read_key_frame(entry),
            b"trun" => self.fragments.read_sample(entry),
            b"sidx" => self.fragments.read_segment(entry),
            b"tfra" => self.fragments.read_listed(entry),
            _ => {}
        }
    }

    /// The boxes that follow belong to another track.
    pub(super) fn end_track(&mut self) {
        let track = std::mem::take(&mut self.track);
        let kept = match &track.handler {
            b"vide" => &mut self.video,
            b"soun" => &mut self.sound,
            _ => return,
        };
        // The first track that is switched on is the one that plays.
        if kept.as_ref().is_none_or(|kept| !kept.is_enabled() && track.is_enabled()) {
            *kept = Some(track);
        }
    }

    /// The index is read; fragments may follow.
    ///
    /// # Errors
    /// [`Refusal::NoPicture`], so that nothing more is read of such a file.
    pub(super) fn end_index(&mut self) -> Result<(), Refusal> {
        let video = self.video.as_ref().ok_or(Refusal::NoPicture)?;
        if self.fragments.expected() {
            let id = video.header.as_ref().map_or(1, |header| header.track_id);
            self.fragments.begin(id, video.count, video.units, video.key_frames());
        }
        Ok(())
    }

    /// Everything is read, or all of it that could be.
    pub(super) fn finish(&mut self, container: Container, cut_off: bool) -> Result<Video, Refusal> {
        let movie = std::mem::take(self);
        let track = movie.video.ok_or(Refusal::NoPicture)?;
        let mut picture = description::picture(&track.descriptions).ok_or(Refusal::NoPicture)?;
        if track.is_turned(movie.header.as_ref()) {
            std::mem::swap(&mut picture.width, &mut picture.height);
        }
        let fragmented = movie.fragments.expected();
        let (duration, samples, units) = if fragmented {
            let (count, units) = movie.fragments.samples();
            let stated =
                movie.header.as_ref().and_then(|header| length(movie.fragments_len, header.timescale));
            let known = movie.fragments.walked_units().and_then(|units| length(units, track.per_second));
            (known.or(movie.fragments.listed_length()).or(stated), count, length(units, track.per_second))
        } else {
            let media = track.media_length(movie.header.as_ref());
            let samples = if track.count > 0 { track.count } else { track.sized.into() };
            let stated = movie.header.as_ref().and_then(|header| length(header.duration, header.timescale));
            (track.shown_length(media, movie.header.as_ref()).or(stated), samples, media)
        };
        picture.frame_rate = units
            .filter(|units| samples > 0 && !units.is_zero())
            .map(|units| samples as f64 / units.as_secs_f64());
        picture.key_frame_gap =
            Some(if fragmented { movie.fragments.longest_gap() } else { track.key_frames().longest })
                .filter(|gap| *gap > 0);
        let sound = movie.sound.and_then(|track| {
            let mut sound = description::sound(&track.descriptions)?;
            if !fragmented {
                sound.duration =
                    track.shown_length(track.media_length(movie.header.as_ref()), movie.header.as_ref());
            }
            Some(sound)
        });
        Ok(Video { container, duration, picture: Some(picture), sound, fragmented, cut_off })
    }
}

impl Track {
    fn is_enabled(&self) -> bool {
        self.header.as_ref().is_none_or(|header| header.enabled)
    }

    fn read_edits(&mut self, body: &[u8]) {
        let (entry_len, wide) = if body.first() == Some(&1) { (20, true) } else { (12, false) };
        let count = u32_at(body, 4).unwrap_or_default() as usize;
        let entries = body.get(8..).unwrap_or_default().chunks_exact(entry_len);
        let read = |entry: &[u8]| {
            Some(match wide {
                true => Edit { len: u64_at(entry, 0)?, start: u64_at(entry, 8)?.cast_signed() },
                false => {
                    Edit { len: u32_at(entry, 0)?.into(), start: u32_at(entry, 4)?.cast_signed().into() }
                }
            })
        };
        self.edits = entries.take(count.min(MAX_EDITS)).filter_map(read).collect();
    }

    fn read_times(&mut self, entry: &[u8]) {
        let (Some(count), Some(each)) = (u32_at(entry, 0), u32_at(entry, 4)) else {
            return;
        };
        // Some recorders write negative durations where two samples fall together.
        let each = if each > i32::MAX.unsigned_abs() { 1 } else { each };
        self.count = self.count.saturating_add(count.into());
        self.units = self.units.saturating_add(u64::from(count) * u64::from(each));
    }

    fn read_key_frame(&mut self, entry: &[u8]) {
        if let (Some(number), Some((last, longest))) = (u32_at(entry, 0), self.key_frame) {
            let number = u64::from(number);
            self.key_frame = Some((number, longest.max(number.saturating_sub(last))));
        }
    }

    fn key_frames(&self) -> KeyFrames {
        let count = if self.count > 0 { self.count } else { self.sized.into() };
        match self.key_frame {
            None => KeyFrames { since: count.min(1), longest: count.min(1) },
            Some((last, longest)) => {
                let since = (count + 1).saturating_sub(last);
                KeyFrames { since, longest: longest.max(since) }
            }
        }
    }

    /// True if the picture is shown lying on its side: the matrices of the track and of the movie are applied one after
    /// the other.
    fn is_turned(&self, movie: Option<&Mvhd>) -> bool {
        let parts = |matrix: &Matrix| [matrix.a, matrix.b, matrix.c, matrix.d].map(f64::from);
        let identity = [65_536.0, 0.0, 0.0, 65_536.0];
        let track = self.header.as_ref().map_or(identity, |header| parts(&header.matrix));
        let movie = movie.map_or(identity, |header| parts(&header.matrix));
        let across = track[0] * movie[0] + track[1] * movie[2];
        let down = track[0] * movie[1] + track[1] * movie[3];
        down.abs() > across.abs()
    }

    /// Length of the whole media, shown or not.
    ///
    /// Recorders that confuse time scales state a wrong length in one place. The times of the samples are what plays,
    /// unless everything else contradicts them.
    fn media_length(&self, movie: Option<&Mvhd>) -> Option<Duration> {
        let timed = length(self.units, self.per_second);
        let stated = length(self.stated_units, self.per_second);
        let headers = self.header_lengths(movie);
        match (timed, stated) {
            (Some(timed), Some(stated))
                if !alike(timed, stated)
                    && headers.iter().flatten().any(|header| alike(*header, stated))
                    && !headers.iter().flatten().any(|header| alike(*header, timed)) =>
            {
                Some(stated)
            }
            _ => timed.or(stated),
        }
    }

    /// Length of what is shown: without the parts that the edit list leaves out.
    fn shown_length(&self, media: Option<Duration>, movie: Option<&Mvhd>) -> Option<Duration> {
        let headers = self.header_lengths(movie);
        let Some(media) = media else {
            return headers[0];
        };
        let per_second = movie.map_or(0, |header| header.timescale);
        let shown: Duration = self
            .edits
            .iter()
            .filter(|edit| edit.start >= 0)
            .map(|edit| length(edit.len, per_second).map_or(media, |len| len.min(media)))
            .fold(Duration::ZERO, Duration::saturating_add);
        let contradicted = headers.iter().flatten().any(|header| alike(*header, media))
            && !headers.iter().flatten().any(|header| alike(*header, shown));
        Some(if shown.is_zero() || contradicted && !alike(shown, media) { media } else { shown })
    }

    /// Lengths by the headers of the track and of the movie.
    fn header_lengths(&self, movie: Option<&Mvhd>) -> [Option<Duration>; 2] {
        let Some(movie) = movie else {
            return [None, None];
        };
        let track = self.header.as_ref().and_then(|header| length(header.duration, movie.timescale));
        [track, length(movie.duration, movie.timescale)]
    }
}

/// Differs by no more than rounding and a few frames.
fn alike(one: Duration, other: Duration) -> bool {
    let tolerance = Duration::from_millis(250).max(one.max(other) / 50);
    one.abs_diff(other) <= tolerance
}

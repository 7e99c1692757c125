//! Indexes that no ordinary program writes, made box by box: wrong lengths, edit lists, switched-off tracks, boxes in
//! another order, and fragments in every form.

use super::*;

const VIDEO: u32 = 1;
/// Not a key frame.
const NOT_SYNC: u32 = 0x1_0000;

/// The content of box `kind` in a real file.
fn body_of(file: &[u8], kind: &[u8; 4]) -> Vec<u8> {
    let at = find(file, kind);
    let len = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    file[at + 8..at + len].to_vec()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// A track of 30 frames a second, in a movie of 1,000 units a second.
#[derive(Clone)]
struct Made {
    kind: &'static [u8; 4],
    id: u32,
    enabled: bool,
    /// Length by `tkhd`, in units of the movie.
    shown: u32,
    scale: u32,
    /// Length by `mdhd`.
    stated: u32,
    /// Number and duration of samples.
    times: Vec<(u32, u32)>,
    edits: Vec<(u32, i32)>,
    keys: Vec<u32>,
}

impl Made {
    fn video(seconds: u32) -> Self {
        Self {
            kind: b"vide",
            id: VIDEO,
            enabled: true,
            shown: 1000 * seconds,
            scale: 15_360,
            stated: 15_360 * seconds,
            times: vec![(30 * seconds, 512)],
            edits: vec![],
            keys: vec![1],
        }
    }

    fn sound(ms: u32) -> Self {
        let times = vec![(ms, 48)];
        Self { kind: b"soun", id: 2, shown: ms, scale: 48_000, stated: 48 * ms, times, ..Self::video(0) }
    }

    /// For a file in fragments.
    fn empty() -> Self {
        Self { keys: vec![], ..Self::video(0) }
    }

    fn write(&self) -> Vec<u8> {
        let mut header = numbers(&[u32::from(self.enabled), 0, 0, self.id, 0, self.shown]);
        header.extend(numbers(&[0, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000, 0, 0]));
        let edits: Vec<u8> = self
            .edits
            .iter()
            .flat_map(|(len, start)| numbers(&[*len, start.cast_unsigned(), 0x1_0000]))
            .collect();
        let edits = [numbers(&[0, self.edits.len() as u32]), edits].concat();
        let media = numbers(&[0, 0, 0, self.scale, self.stated, 0]);
        let handler = a_box(b"hdlr", &[&[0; 8][..], self.kind, &[0; 13]].concat());
        let descriptions = match self.kind {
            b"vide" => body_of(SILENT, b"stsd"),
            _ => body_of(SOUND, b"stsd"),
        };
        let times: Vec<u32> = self.times.iter().flat_map(|(count, each)| [*count, *each]).collect();
        let count = self.times.iter().map(|(count, _)| count).sum();
        let table = [
            a_box(b"stsd", &descriptions),
            a_box(b"stts", &[numbers(&[0, self.times.len() as u32]), numbers(&times)].concat()),
            a_box(b"stss", &[numbers(&[0, self.keys.len() as u32]), numbers(&self.keys)].concat()),
            a_box(b"stsz", &numbers(&[0, 100, count])),
        ]
        .concat();
        // As QuickTime writes it, with another handler beside the table.
        let data_handler = a_box(b"hdlr", b"\0\0\0\0dhlrurl \0\0\0\0\0\0\0\0\0\0\0\0\0");
        let media = [
            a_box(b"mdhd", &media),
            handler,
            a_box(b"minf", &[data_handler, a_box(b"stbl", &table)].concat()),
        ]
        .concat();
        let track =
            [a_box(b"tkhd", &header), a_box(b"edts", &a_box(b"elst", &edits)), a_box(b"mdia", &media)];
        a_box(b"trak", &track.concat())
    }
}

fn movie_header(ms: u32) -> Vec<u8> {
    let mut body = numbers(&[0, 0, 0, 1000, ms, 0x1_0000, 0x100_0000, 0, 0]);
    body.extend(numbers(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]));
    body.extend(numbers(&[0, 0, 0, 0, 0, 0, 9]));
    a_box(b"mvhd", &body)
}

const FTYP: &[u8] = b"\0\0\0\x10ftypisom\0\0\x02\0";

fn file(header_ms: u32, tracks: &[Made]) -> Vec<u8> {
    let tracks: Vec<u8> = tracks.iter().flat_map(Made::write).collect();
    let movie = a_box(b"moov", &[movie_header(header_ms), tracks].concat());
    [FTYP, &a_box(b"mdat", &[0; 100]), &movie].concat()
}

fn facts(file: &[u8]) -> (u64, f64) {
    let video = inspect(file).unwrap();
    let rate = video.picture.unwrap().frame_rate.unwrap();
    (video.duration.unwrap().as_millis() as u64, (rate * 10.0).round() / 10.0)
}

#[test]
fn a_length_in_the_wrong_scale_is_outvoted() {
    let ten = Made::video(10);
    // The media's length in units of the movie: was 461 frames a second.
    let wrong = Made { stated: 10_000, ..ten.clone() };
    assert_eq!(facts(&file(10_000, &[wrong])), (10_000, 30.0));
    // A header of 13 hours: was too long.
    assert_eq!(facts(&file(46_800_000, std::slice::from_ref(&ten))), (10_000, 30.0));
    assert_eq!(facts(&file(46_800_000, &[Made { shown: 46_800_000, ..ten.clone() }])), (10_000, 30.0));
    // The last frame lasts for 13 hours by the table, and by nothing else.
    let last = Made { times: vec![(299, 512), (1, 718_848_000)], ..ten.clone() };
    assert_eq!(facts(&file(10_000, &[last])), (10_000, 30.0));
    // An edit in units of the media, and one of nearly nothing.
    for len in [153_600, 10] {
        let edited = Made { edits: vec![(len, 0)], ..ten.clone() };
        assert_eq!(facts(&file(10_000, &[edited])), (10_000, 30.0), "{len}");
    }
    // Lengths stated nowhere but in the table.
    assert_eq!(facts(&file(0, &[Made { shown: 0, stated: 0, ..ten }])), (10_000, 30.0));
}

#[test]
fn edit_lists_shorten_the_video() {
    let edited = |ms, edits| file(ms, &[Made { shown: ms, edits, ..Made::video(10) }]);
    assert_eq!(facts(&edited(6_700, vec![(6_700, 50_688)])), (6_700, 30.0));
    // Nothing for half a second, then two parts.
    assert_eq!(facts(&edited(3_500, vec![(500, -1), (1_000, 0), (2_000, 90_000)])), (3_000, 30.0));
    // 0 is all of it.
    assert_eq!(facts(&edited(10_000, vec![(0, 1_024)])), (10_000, 30.0));
}

#[test]
fn sound_a_little_longer_than_the_video_is_no_reason() {
    let limit = Made::video(1200);
    let longer = file(1_200_008, &[limit.clone(), Made::sound(1_200_008)]);
    assert_eq!(facts(&longer).0, 1_200_000);
    let far_longer = file(1_300_000, &[limit.clone(), Made::sound(1_300_000)]);
    let gap = Warning::KeyFrameGap(36_000);
    let minute = Duration::from_secs(60);
    assert_eq!(verdict(&longer), Ok(vec![Warning::MayBeTooLong(20 * minute), gap]));
    assert_eq!(verdict(&far_longer), Ok(vec![Warning::AboveLimit(20 * minute), gap]));
    // A short video under a longer sound may still be taken.
    let short = Made { shown: 400, stated: 6_144, times: vec![(12, 512)], ..Made::video(1) };
    let with_sound = file(1_000, &[short.clone(), Made::sound(1_000)]);
    assert_eq!(verdict(&with_sound), Ok(vec![Warning::MayBeTooShort]));
    assert!(matches!(verdict(&file(400, &[short])), Err(Refusal::TooShort(_))));
    // A frame under half a second.
    let frame_less = Made { shown: 467, stated: 7_168, times: vec![(14, 512)], ..Made::video(1) };
    assert_eq!(verdict(&file(467, &[frame_less])), Ok(vec![Warning::MayBeTooShort]));
}

#[test]
fn the_track_that_is_switched_on_counts() {
    let off = Made { enabled: false, ..Made::video(3_600) };
    let on = Made { id: 3, ..Made::video(10) };
    for tracks in [[off.clone(), on.clone()], [on.clone(), off.clone()]] {
        assert_eq!(facts(&file(3_600_000, &tracks)).0, 10_000);
    }
    // The first of several, and one that is off if there is no other.
    assert_eq!(facts(&file(20_000, &[on, Made::video(20)])).0, 10_000);
    assert_eq!(facts(&file(3_600_000, &[off])).0, 3_600_000);
}

/// The same boxes in reverse order, at every level.
fn reversed(body: &[u8]) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = super::super::boxes::boxes(body)
        .map(|(kind, content)| match &kind {
            b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" | b"edts" => a_box(&kind, &reversed(content)),
            _ => a_box(&kind, content),
        })
        .collect();
    all.reverse();
    all.concat()
}

#[test]
fn boxes_may_come_in_any_order() {
    for real in [MOOV_AT_END, QUICKTIME, ROTATED, HEVC, HIGH422] {
        let at = find(real, b"moov");
        let index = reversed(&real[at..]);
        assert_ne!(index, real[at..]);
        assert_eq!(inspect(&[&real[..at], &index].concat()), inspect(real));
    }
    let made = file(10_000, &[Made { edits: vec![(6_700, 50_688)], ..Made::video(10) }, Made::sound(10_000)]);
    let at = find(&made, b"moov");
    assert_eq!(inspect(&[&made[..at], &reversed(&made[at..])].concat()), inspect(&made));
}

#[test]
fn key_frames_far_apart_cause_a_warning() {
    let gaps = |keys: &[u32]| {
        let track = Made { keys: keys.to_vec(), ..Made::video(40) };
        inspect(&file(40_000, &[track])).unwrap().picture.unwrap().key_frame_gap
    };
    assert_eq!(gaps(&[1, 301, 601, 901]), Some(300));
    assert_eq!(gaps(&[1, 514, 1_000]), Some(513));
    // After the last one, and without any.
    assert_eq!(gaps(&[1, 301]), Some(900));
    assert_eq!(gaps(&[]), Some(1_200));
    assert_eq!(picture_warnings(|p| p.key_frame_gap = Some(512)), Ok(vec![]));
    assert_eq!(picture_warnings(|p| p.key_frame_gap = Some(513)), Ok(vec![Warning::KeyFrameGap(513)]));
    assert_eq!(picture_warnings(|p| p.interlaced = true), Ok(vec![Warning::Interlaced]));
}

/// An index of a file in fragments, with `mehd` if `ms` is not 0.
fn empty_index(track: &Made, ms: u32) -> Vec<u8> {
    let defaults = a_box(b"trex", &numbers(&[0, VIDEO, 1, 512, 100, NOT_SYNC]));
    let length = if ms > 0 { a_box(b"mehd", &numbers(&[0, ms])) } else { vec![] };
    let extends = a_box(b"mvex", &[length, defaults].concat());
    [FTYP, &a_box(b"moov", &[movie_header(0), track.write(), extends].concat())].concat()
}

/// One second of video that begins at this second, where it is stated.
fn fragment(second: Option<u32>) -> Vec<u8> {
    let start = second.map_or(vec![], |second| a_box(b"tfdt", &numbers(&[0, 15_360 * second])));
    let track = [
        a_box(b"tfhd", &numbers(&[0, VIDEO])),
        start,
        // 30 samples by the defaults, of which the first is a key frame.
        a_box(b"trun", &numbers(&[4, 30, 0])),
    ];
    let head = a_box(b"moof", &[a_box(b"mfhd", &[0; 8]), a_box(b"traf", &track.concat())].concat());
    [head, a_box(b"mdat", &[0; 3_000])].concat()
}

fn fragments(seconds: std::ops::Range<u32>) -> Vec<u8> {
    seconds.flat_map(|second| fragment(Some(second))).collect()
}

/// A segment index of this many fragments, each of one second.
fn segment_index(count: u16, seconds_each: u32) -> Vec<u8> {
    let size = fragment(Some(0)).len() as u32;
    let mut body = numbers(&[0, VIDEO, 15_360, 0, 0]);
    body.extend([0, 0]);
    body.extend(count.to_be_bytes());
    for _ in 0..count {
        body.extend(numbers(&[size, 15_360 * seconds_each, 0x9000_0000]));
    }
    a_box(b"sidx", &body)
}

/// The index at the end, whose last entry is this one.
fn fragment_index(second: u32, position: usize, entries: u32) -> Vec<u8> {
    let mut body = numbers(&[0, VIDEO, 0, entries]);
    for _ in 0..entries {
        body.extend(numbers(&[15_360 * second, position as u32]));
        body.extend([1, 1, 1]);
    }
    let list = a_box(b"tfra", &body);
    let size = list.len() as u32 + 24;
    a_box(b"mfra", &[list, a_box(b"mfro", &numbers(&[0, size]))].concat())
}

fn reads_of(file: &[u8]) -> (Result<Video, Refusal>, u32) {
    inspect_parts(file.len() as u64, |range| file[range.start as usize..range.end as usize].to_vec())
}

#[test]
fn fragments_are_added_to_what_the_index_holds() {
    let first =
        [empty_index(&Made { stated: 15_360, ..Made::video(1) }, 0), a_box(b"mdat", &[0; 100])].concat();
    assert_eq!(facts(&[first.clone(), fragments(1..10)].concat()), (10_000, 30.0));
    // Without any time of their own, one follows the other.
    assert_eq!(facts(&[first, fragment(None).repeat(9)].concat()), (10_000, 30.0));
    // A stream that was joined later begins at that time.
    let joined = [empty_index(&Made::empty(), 0), fragments(1_000..1_010)].concat();
    assert_eq!(facts(&joined), (10_000, 30.0));
    // The fragments are right, and the length of all is not.
    for ms in [1, 46_800_000] {
        let stated = [empty_index(&Made::empty(), ms), fragments(0..10)].concat();
        assert_eq!(facts(&stated), (10_000, 30.0));
    }
    assert_eq!(inspect(&joined).unwrap().picture.unwrap().key_frame_gap, Some(30));
}

#[test]
fn key_frames_are_counted_across_fragments() {
    let track = [
        a_box(b"tfhd", &numbers(&[0, VIDEO])),
        a_box(b"tfdt", &numbers(&[0, 15_360])),
        // Each sample states that it is none.
        a_box(b"trun", &[numbers(&[0x400, 600]), numbers(&[NOT_SYNC; 600])].concat()),
    ];
    let without = [a_box(b"moof", &a_box(b"traf", &track.concat())), a_box(b"mdat", &[0; 10])].concat();
    let file = [empty_index(&Made::empty(), 0), fragment(Some(0)), without].concat();
    assert_eq!(inspect(&file).unwrap().picture.unwrap().key_frame_gap, Some(630));
    assert_eq!(facts(&file), (21_000, 30.0));
}

#[test]
fn a_segment_index_saves_most_reads() {
    let file = [empty_index(&Made::empty(), 0), segment_index(600, 1), fragments(0..600)].concat();
    let (video, reads) = reads_of(&file);
    assert_eq!(video.unwrap().duration, Some(Duration::from_secs(600)));
    assert!(reads < 5, "{reads}");
    // An index that is wrong does not decide.
    let wrong = [empty_index(&Made::empty(), 0), segment_index(600, 100), fragments(0..600)].concat();
    assert_eq!(facts(&wrong).0, 600_000);
    // One that lists more than there is tells that the end is missing.
    let cut = &file[..file.len() - 100_000];
    assert!(inspect(cut).unwrap().cut_off);
    assert!(verdict(cut).unwrap().contains(&Warning::CutOff));
}

#[test]
fn an_index_at_the_end_saves_most_reads() {
    let start = empty_index(&Made::empty(), 0);
    let last = start.len() + 599 * fragment(Some(0)).len();
    let whole = [start.clone(), fragments(0..600)].concat();
    let (video, reads) = reads_of(&[whole.clone(), fragment_index(599, last, 600)].concat());
    assert_eq!(video.unwrap().duration, Some(Duration::from_secs(600)));
    assert!(reads < 80, "{reads}");
    // Longer than a window.
    let (video, reads) = reads_of(&[whole.clone(), fragment_index(599, last, 20_000)].concat());
    assert_eq!(video.unwrap().duration, Some(Duration::from_secs(600)));
    assert!(reads < 110, "{reads}");
    // Without times in the fragments, its own time counts.
    let silent = [start.clone(), fragment(None).repeat(600)].concat();
    let last_silent = start.len() + 599 * fragment(None).len();
    let file = [silent, fragment_index(599, last_silent, 600)].concat();
    assert_eq!(facts(&file), (600_000, 30.0));
    // Where it leads nowhere, the fragments are read one by one.
    for position in [0, 7, start.len(), last - 8, last + 9, whole.len(), usize::MAX] {
        let (video, reads) = reads_of(&[whole.clone(), fragment_index(599, position, 600)].concat());
        assert_eq!(video.unwrap().duration, Some(Duration::from_secs(600)), "{position}");
        assert!(reads < 700, "{reads}");
    }
}

#[test]
fn more_fragments_than_are_read_leave_the_length_open() {
    let head = empty_index(&Made::empty(), 0);
    let one = fragment(None);
    let total = head.len() as u64 + 1_000_000 * one.len() as u64;
    let part = |range: std::ops::Range<u64>| {
        range
            .map(|at| match head.get(at as usize) {
                Some(byte) => *byte,
                None => one[(at as usize - head.len()) % one.len()],
            })
            .collect()
    };
    let (video, reads) = inspect_parts(total, part);
    assert_eq!(video.as_ref().unwrap().duration, None);
    assert!(reads <= 2_049, "{reads}");
    assert_eq!(judge(&video.unwrap(), 1000, &Limits::STANDARD), Ok(vec![Warning::DurationUnknown]));
}

#[test]
fn fragments_cut_off_anywhere_are_judged() {
    let file = [empty_index(&Made::empty(), 0), fragments(0..3)].concat();
    for len in (1..file.len()).step_by(7) {
        match inspect(&file[..len]) {
            Ok(video) => {
                assert!(video.duration.is_some_and(|length| length <= Duration::from_secs(3)), "{len}")
            }
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Damaged(_) | Refusal::NotVideo(Kind::Unknown)), "{len}")
            }
        }
    }
    let cut = inspect(&file[..file.len() - 10]).unwrap();
    assert!(cut.cut_off);
    // Counts that nothing follows.
    let empty = empty_index(&Made::empty(), 0);
    for run in
        [numbers(&[0, u32::MAX]), numbers(&[0x100, u32::MAX, 512]), numbers(&[0xf00, u32::MAX]), vec![]]
    {
        let track = [a_box(b"tfhd", &numbers(&[0, VIDEO])), a_box(b"trun", &run)].concat();
        let moof = a_box(b"moof", &a_box(b"traf", &track));
        let file = [empty.clone(), moof, a_box(b"mdat", &[0; 9])].concat();
        let _ = verdict(&file);
    }
}

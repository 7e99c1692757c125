mod corpus;
mod formats;
mod indexes;
mod trees;

use proptest::prelude::*;

use super::*;

const MOOV_AT_END: &[u8] = include_bytes!("../../tests/fixtures/moov-at-end.mp4");
const QUICKTIME: &[u8] = include_bytes!("../../tests/fixtures/quicktime.mov");
const SILENT: &[u8] = include_bytes!("../../tests/fixtures/silent.mp4");
const ROTATED: &[u8] = include_bytes!("../../tests/fixtures/rotated.mp4");
const HEVC: &[u8] = include_bytes!("../../tests/fixtures/hevc.mp4");
const HIGH422: &[u8] = include_bytes!("../../tests/fixtures/high422.mp4");
const FRAGMENTED: &[u8] = include_bytes!("../../tests/fixtures/fragmented.mp4");
const TOO_SHORT: &[u8] = include_bytes!("../../tests/fixtures/too-short.mp4");
const TRUNCATED: &[u8] = include_bytes!("../../tests/fixtures/truncated.mp4");
const PICTURE: &[u8] = include_bytes!("../../tests/fixtures/picture.mp4");
const SOUND: &[u8] = include_bytes!("../../tests/fixtures/sound.m4a");
const WEBM: &[u8] = include_bytes!("../../tests/fixtures/vp9.webm");
const MATROSKA: &[u8] = include_bytes!("../../tests/fixtures/matroska.mkv");
const TRANSPORT: &[u8] = include_bytes!("../../tests/fixtures/transport.ts");
const SAMPLE: &[u8] = include_bytes!("../../assets/sample.mp4");

/// Looks at a file of `total` bytes, of which `part` gives those of a range.
fn inspect_parts(
    total: u64,
    part: impl Fn(std::ops::Range<u64>) -> Vec<u8>,
) -> (Result<Video, Refusal>, u32) {
    let mut inspection = match Inspection::new(total) {
        Ok(inspection) => inspection,
        Err(refusal) => return (Err(refusal), 0),
    };
    let mut reads = 0;
    loop {
        let wanted = inspection.wanted();
        assert!(wanted.start < wanted.end && wanted.end <= total && wanted.end - wanted.start <= 64 * 1024);
        reads += 1;
        match inspection.feed(&part(wanted)) {
            Ok(Some(video)) => return (Ok(video), reads),
            Ok(None) => {}
            Err(refusal) => return (Err(refusal), reads),
        }
    }
}

fn inspect(file: &[u8]) -> Result<Video, Refusal> {
    inspect_parts(file.len() as u64, |range| file[range.start as usize..range.end as usize].to_vec()).0
}

fn verdict(file: &[u8]) -> Result<Vec<Warning>, Refusal> {
    judge(&inspect(file)?, file.len() as u64, &Limits::STANDARD)
}

fn a_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes(), kind.as_slice(), body].concat()
}

/// Where the box `kind` of a file begins.
fn find(file: &[u8], kind: &[u8; 4]) -> usize {
    file.windows(4).position(|window| window == kind).unwrap() - 4
}

#[test]
fn the_sample_is_what_x_recommends() {
    let video = inspect(SAMPLE).unwrap();
    assert_eq!(
        video,
        Video {
            container: Container::Mp4,
            duration: Some(Duration::from_secs(8)),
            picture: Some(Picture {
                codec: VideoCodec::H264,
                width: 1280,
                height: 720,
                frame_rate: Some(30.0),
                bit_depth: Some(8),
                chroma: Some(Chroma::Yuv420),
                square_pixels: true,
                interlaced: false,
                key_frame_gap: Some(60),
            }),
            sound: Some(Sound {
                codec: AudioCodec::AacLc,
                channels: Some(2),
                duration: Some(Duration::from_secs(8)),
            }),
            fragmented: false,
            cut_off: false,
        }
    );
    assert_eq!(judge(&video, SAMPLE.len() as u64, &Limits::STANDARD), Ok(vec![]));
    assert!(SAMPLE.len() < 400 * 1024);
    assert!(find(SAMPLE, b"moov") < find(SAMPLE, b"mdat"), "plays while it loads");
}

#[test]
fn ordinary_files_are_read() {
    for (file, container, sound) in [
        (MOOV_AT_END, Container::Mp4, true),
        (QUICKTIME, Container::QuickTime, true),
        (SILENT, Container::Mp4, false),
    ] {
        let video = inspect(file).unwrap();
        let picture = video.picture.as_ref().unwrap();
        assert_eq!((video.container, picture.width, picture.height), (container, 192, 108));
        assert_eq!(picture.frame_rate, Some(15.0));
        let heard = video.sound.map(|sound| (sound.codec, sound.channels));
        assert_eq!(heard, sound.then_some((AudioCodec::AacLc, Some(1))));
        let seconds = video.duration.unwrap().as_secs_f64();
        assert!((1.9..2.2).contains(&seconds), "{seconds}");
        assert_eq!(verdict(file), Ok(vec![]));
    }
}

#[test]
fn a_phone_held_upright_is_seen_upright() {
    let picture = inspect(ROTATED).unwrap().picture.unwrap();
    assert_eq!((picture.width, picture.height), (108, 192));
}

#[test]
fn fragments_add_up_to_the_duration() {
    let video = inspect(FRAGMENTED).unwrap();
    assert!(video.fragmented);
    assert_eq!(video.duration, Some(Duration::from_secs(2)));
    assert_eq!(verdict(FRAGMENTED), Ok(vec![]));
}

#[test]
fn formats_that_are_recognised_only_are_left_to_x() {
    for (file, container, media_type) in
        [(WEBM, Container::WebM, "video/webm"), (TRANSPORT, Container::MpegTs, "video/mp2t")]
    {
        assert_eq!(container.media_type(), media_type);
        assert_eq!(verdict(file), Ok(vec![Warning::DurationUnknown, Warning::NotRead(container)]));
    }
}

#[test]
fn what_x_cannot_take_is_refused_with_its_reason() {
    let short = Duration::from_millis(200);
    for (file, refusal, text) in [
        (&b""[..], Refusal::Empty, "the file is empty"),
        (PICTURE, Refusal::NotVideo(Kind::Picture("png")), "not a video but a picture (.png)"),
        (
            b"%PDF-1.7 and so on",
            Refusal::NotVideo(Kind::Document("pdf")),
            "not a video but a document (.pdf)",
        ),
        (
            b"PK\x03\x04 and so on",
            Refusal::NotVideo(Kind::Archive("zip")),
            "not a video but an archive or a program (.zip)",
        ),
        (b"ID3\x04 and so on", Refusal::NotVideo(Kind::Sound("mp3")), "not a video but sound (.mp3)"),
        ("première vague\n".as_bytes(), Refusal::NotVideo(Kind::Text), "not a video but text"),
        (b"<!DOCTYPE html><p>Not found", Refusal::NotVideo(Kind::Text), "not a video but text"),
        (&[7; 500], Refusal::NotVideo(Kind::Unknown), "not a video but of an unknown kind"),
        (SOUND, Refusal::NoPicture, "no video track in the file"),
        (MATROSKA, Refusal::Container("mkv"), "a .mkv video; X takes MP4 and MOV"),
        (b"RIFF\0\0\0\0AVI LIST", Refusal::Container("avi"), "a .avi video; X takes MP4 and MOV"),
        (b"FLV\x01\x05\0\0\0\x09", Refusal::Container("flv"), "a .flv video; X takes MP4 and MOV"),
        (TRUNCATED, Refusal::Damaged(Damage::Truncated), "the file is damaged: its end is missing"),
        (&SAMPLE[..20_000], Refusal::Damaged(Damage::Truncated), "the file is damaged: its end is missing"),
        (TOO_SHORT, Refusal::TooShort(short), "200 ms long; X takes 500 ms and more"),
    ] {
        assert_eq!(verdict(file), Err(refusal), "{text}");
        assert_eq!(refusal.to_string(), text);
    }
}

#[test]
fn a_file_cut_off_anywhere_is_damaged() {
    for (file, step) in [(MOOV_AT_END, 1), (SILENT, 1), (QUICKTIME, 1), (SAMPLE, 997)] {
        for len in (1..file.len()).step_by(step) {
            let refusal = inspect(&file[..len]).unwrap_err();
            let expected = matches!(refusal, Refusal::Damaged(_) | Refusal::NotVideo(Kind::Unknown));
            assert!(expected, "{len}: {refusal}");
        }
    }
}

#[test]
fn a_recording_that_was_cut_off_has_no_index() {
    let movie = find(MOOV_AT_END, b"moov");
    assert_eq!(inspect(&MOOV_AT_END[..movie]), Err(Refusal::Damaged(Damage::NoIndex)));
}

#[test]
fn unknown_boxes_and_wide_sizes_are_no_obstacle() {
    let movie = find(MOOV_AT_END, b"moov");
    let data = find(MOOV_AT_END, b"mdat");
    let wide_size = [&1_u32.to_be_bytes()[..], b"skip", &24_u64.to_be_bytes(), &[0; 8]].concat();
    let mut last = MOOV_AT_END[movie..].to_vec();
    last[..4].fill(0); // To the end of the file.
    let file = [
        &MOOV_AT_END[..data],
        &a_box(b"free", b"12345"),
        &a_box(b"uuid", &[1; 100]),
        &wide_size,
        &a_box(b"\xa9xyz", &[]),
        &a_box(b"wide", &[]),
        &MOOV_AT_END[data..movie],
        &last,
    ]
    .concat();
    assert_eq!(inspect(&file), inspect(MOOV_AT_END));
    // Files older than the `ftyp` box begin with the data.
    let video = inspect(&MOOV_AT_END[data..]).unwrap();
    assert_eq!(video.container, Container::QuickTime);
}

#[test]
fn a_huge_file_is_read_in_few_small_parts() {
    // 8 GB of data in a box with a 64-bit size, then the index.
    let movie = &MOOV_AT_END[find(MOOV_AT_END, b"moov")..];
    let head = [&a_box(b"ftyp", b"isom\0\0\x02\0isom")[..], &1_u32.to_be_bytes(), b"mdat"].concat();
    let data_len = 8_000_000_000_u64;
    let head = [&head[..], &(data_len + 16).to_be_bytes()].concat();
    let movie_at = head.len() as u64 + data_len;
    let total = movie_at + movie.len() as u64;
    let byte = |at: u64| match at {
        at if at < head.len() as u64 => head[at as usize],
        at if at >= movie_at => movie[(at - movie_at) as usize],
        _ => 0,
    };
    let (video, reads) = inspect_parts(total, |range| range.map(byte).collect());
    assert_eq!(video, inspect(MOOV_AT_END));
    assert_eq!(reads, 2);
}

#[test]
fn nests_floods_and_false_counts_come_to_an_end() {
    let start = a_box(b"ftyp", b"isom\0\0\x02\0isom");
    // Boxes within boxes, each as long as the rest of the file.
    let nest: Vec<u8> = (0..50_000_u32)
        .flat_map(|depth| {
            [
                (400_000 - 8 * depth).to_be_bytes(),
                *[b"moov", b"trak", b"mdia", b"minf"][depth.min(3) as usize],
            ]
            .concat()
        })
        .collect();
    let deep = [&start[..], &nest].concat();
    assert_eq!(inspect(&deep), Err(Refusal::NoPicture));
    // Nothing but small boxes, or boxes so far apart that each costs a read.
    let flood = [&start[..], &a_box(b"free", &[]).repeat(100_000)].concat();
    assert_eq!(inspect(&flood), Err(Refusal::Damaged(Damage::NoIndex)));
    let far = [&100_000_u32.to_be_bytes()[..], b"free"].concat();
    let (refusal, reads) = inspect_parts(8_000_000_000, |range| {
        range.map(|at| *far.get((at % 100_000) as usize).unwrap_or(&0)).collect()
    });
    assert_eq!((refusal, reads), (Err(Refusal::Damaged(Damage::Malformed)), 513));
    // Counts that the tables do not have room for.
    for (kind, at) in [(b"stsz", 16), (b"stts", 12), (b"stsd", 12), (b"stco", 12), (b"stsc", 12)] {
        let mut file = MOOV_AT_END.to_vec();
        let at = find(&file, kind) + at;
        file[at..at + 4].fill(0xff);
        let video = inspect(&file).unwrap();
        assert_eq!(video.duration, inspect(MOOV_AT_END).unwrap().duration);
    }
    for size in [1_u32, 2, 7, u32::MAX] {
        let file = [&start[..], &size.to_be_bytes(), b"free"].concat();
        assert!(matches!(inspect(&file), Err(Refusal::Damaged(_))), "{size}");
    }
    let overflow = [&start[..], &1_u32.to_be_bytes(), b"free", &u64::MAX.to_be_bytes()].concat();
    assert!(matches!(inspect(&overflow), Err(Refusal::Damaged(_))));
}

/// A real file, with a track of sound as `entry` describes it.
fn with_sound_entry(entry: &[u8]) -> Vec<u8> {
    let handler = a_box(b"hdlr", &[&[0; 8][..], b"soun", &[0; 13]].concat());
    let descriptions = a_box(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], entry].concat());
    let table = a_box(b"minf", &a_box(b"stbl", &descriptions));
    let sound = a_box(b"trak", &a_box(b"mdia", &[handler, table].concat()));
    let movie = find(SILENT, b"moov");
    let silent = &SILENT[movie + 8..];
    [&SILENT[..movie], &a_box(b"moov", &[&sound, silent].concat())].concat()
}

fn mp4a(setup: &[u8]) -> Vec<u8> {
    let fixed = [&[0; 16][..], &[0, 2, 0, 16, 0, 0, 0, 0, 0xbb, 0x80, 0, 0]].concat();
    a_box(b"mp4a", &[&fixed[..], &a_box(b"esds", &[&[0; 4], setup].concat())].concat())
}

#[test]
fn kinds_of_aac_are_told_apart() {
    for (setup, codec, channels) in [
        (&[0x11, 0x90][..], AudioCodec::AacLc, 2),
        (&[0x11, 0xb0], AudioCodec::AacLc, 6),
        (&[0x11, 0x90, 0x56, 0xe5, 0x00], AudioCodec::AacLc, 2),
        (&[0x13, 0x10, 0x56, 0xe5, 0x98], AudioCodec::HeAac, 2),
        (&[0x2b, 0x11, 0x88, 0x00], AudioCodec::HeAac, 2),
        (&[0xeb, 0x09, 0x88, 0x00], AudioCodec::HeAac, 1),
        (&[0x01, 0x90], AudioCodec::Other(*b"mp4a"), 2),
    ] {
        let len = setup.len() as u8;
        let decoder = [&[4, 13 + 2 + len, 0x40, 0x15][..], &[0; 11], &[5, len], setup].concat();
        let descriptor = [&[3, 3 + decoder.len() as u8 + 3, 0, 0, 0][..], &decoder, &[6, 1, 2]].concat();
        let sound = inspect(&with_sound_entry(&mp4a(&descriptor))).unwrap().sound;
        assert_eq!(sound, Some(Sound { codec, channels: Some(channels), duration: None }), "{setup:x?}");
    }
}

#[test]
fn audio_set_up_nested_in_itself_comes_to_an_end() {
    let nest = (0..3_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        let size = inner.len() + 3;
        let prefix = [3, 0x80 | (size >> 14) as u8, 0x80 | (size >> 7) as u8, (size & 0x7f) as u8, 0, 0, 0];
        [&prefix[..], &inner].concat()
    });
    let sound = inspect(&with_sound_entry(&mp4a(&nest))).unwrap().sound;
    assert_eq!(sound, Some(Sound { codec: AudioCodec::Other(*b"mp4a"), channels: Some(2), duration: None }));
}

fn a_video() -> Video {
    inspect(SAMPLE).unwrap()
}

fn warnings(change: impl FnOnce(&mut Video)) -> Result<Vec<Warning>, Refusal> {
    let mut video = a_video();
    change(&mut video);
    judge(&video, 1000, &Limits::STANDARD)
}

fn picture_warnings(change: impl FnOnce(&mut Picture)) -> Result<Vec<Warning>, Refusal> {
    warnings(|video| change(video.picture.as_mut().unwrap()))
}

#[test]
fn length_and_size_are_held_against_the_account() {
    let seconds = |n| move |video: &mut Video| video.duration = Some(Duration::from_secs(n));
    assert_eq!(warnings(seconds(120)), Ok(vec![]));
    assert_eq!(warnings(seconds(121)), Ok(vec![Warning::MayBeTooLong(Duration::from_secs(121))]));
    assert_eq!(warnings(seconds(1200)), Ok(vec![Warning::MayBeTooLong(Duration::from_secs(1200))]));
    let just_above = Duration::from_millis(1_200_400);
    let warned = warnings(|video| video.duration = Some(just_above));
    assert_eq!(warned, Ok(vec![Warning::AboveLimit(Duration::from_secs(1200))]));
    let refusal = warnings(seconds(1201)).unwrap_err();
    assert_eq!(refusal.to_string(), "1201 s long; the account may post 1200 s");
    let mut video = a_video();
    video.duration = Some(Duration::from_secs(7500));
    assert_eq!(judge(&video, 1000, &Limits::PREMIUM), Ok(vec![]));
    video.duration = Some(Duration::from_millis(7_500_500));
    assert!(matches!(judge(&video, 1000, &Limits::PREMIUM), Err(Refusal::TooLong { .. })));
    assert_eq!(
        judge(&a_video(), MAX_BYTES + 1, &Limits::PREMIUM),
        Err(Refusal::TooLarge { bytes: MAX_BYTES + 1, max: MAX_BYTES })
    );
    assert_eq!(judge(&a_video(), MAX_BYTES, &Limits::PREMIUM), Ok(vec![]));
}

#[test]
fn what_the_documents_leave_open_is_a_warning() {
    let size =
        |width, height| picture_warnings(move |picture| (picture.width, picture.height) = (width, height));
    assert_eq!(size(1920, 1080), Ok(vec![]));
    assert_eq!(size(1080, 1920), Ok(vec![]));
    assert_eq!(size(3840, 2160), Ok(vec![Warning::Size(3840, 2160)]));
    assert_eq!(size(30, 30), Ok(vec![Warning::Size(30, 30)]));
    assert_eq!(size(641, 480), Ok(vec![Warning::OddSize(641, 480)]));
    assert_eq!(size(1280, 400), Ok(vec![Warning::AspectRatio(1280, 400)]));
    assert_eq!(picture_warnings(|p| p.frame_rate = Some(60.02)), Ok(vec![]));
    assert_eq!(picture_warnings(|p| p.frame_rate = Some(120.0)), Ok(vec![Warning::FrameRate(120.0)]));
    assert_eq!(picture_warnings(|p| p.square_pixels = false), Ok(vec![Warning::StretchedPixels]));
    let mpeg4 = VideoCodec::Other(*b"mp4v");
    assert_eq!(picture_warnings(|p| p.codec = mpeg4), Ok(vec![Warning::VideoCodec(mpeg4)]));
    let sound = |codec, channels| {
        warnings(move |video| video.sound = Some(Sound { codec, channels, duration: None }))
    };
    assert_eq!(sound(AudioCodec::HeAac, Some(2)), Ok(vec![Warning::AudioCodec(AudioCodec::HeAac)]));
    assert_eq!(sound(AudioCodec::AacLc, Some(6)), Ok(vec![Warning::Channels(6)]));
    assert_eq!(verdict(HIGH422), Ok(vec![Warning::PixelFormat(Some(10), Some(Chroma::Yuv422))]));
}

#[test]
fn encodings_x_cannot_decode_are_named_and_doubtful_ones_left_to_x() {
    for (codec, name, refused) in [
        (VideoCodec::Hevc, "HEVC (H.265)", false),
        (VideoCodec::Av1, "AV1", false),
        (VideoCodec::Vp9, "VP9", false),
        (VideoCodec::ProRes, "ProRes", true),
        (VideoCodec::MotionJpeg, "Motion JPEG", true),
        (VideoCodec::Encrypted, "protected video", true),
    ] {
        let expected =
            if refused { Err(Refusal::Codec(codec)) } else { Ok(vec![Warning::VideoCodec(codec)]) };
        assert_eq!(picture_warnings(|picture| picture.codec = codec), expected);
        assert_eq!(codec.to_string(), name);
    }
    assert_eq!(VideoCodec::Other([b'a', 0, 0xff, b'"']).to_string(), r#"“a\x00\xff\"”"#);
}

#[test]
fn less_than_was_wanted_means_that_the_end_is_missing() {
    let mut inspection = Inspection::new(SAMPLE.len() as u64).unwrap();
    assert_eq!(inspection.feed(&SAMPLE[..100]), Err(Refusal::Damaged(Damage::Truncated)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), kind in 0..4_usize) {
        let start: &[u8] = [&b""[..], b"\0\0\0\x08ftyp", b"\0\0\0\x08wide\0\0\0\0moov", b"\x47"][kind];
        let _ = verdict(&[start, &bytes].concat());
    }

    #[test]
    fn real_files_with_bytes_changed_are_judged(
        file in proptest::sample::select(vec![MOOV_AT_END, QUICKTIME, HEVC, FRAGMENTED, ROTATED, HIGH422, SOUND]),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..30),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut file = file.to_vec();
        // Most of a file is data; the index is where a change tells.
        let index = find(&file, b"moov")..file.len();
        for (at, byte) in changes {
            file[index.start + at.index(index.len())] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let _ = verdict(&file);
    }
}

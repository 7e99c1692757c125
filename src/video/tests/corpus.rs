//! The inspection compared with ffprobe, on videos that ffmpeg makes; skipped where the two are not installed.
//! `VIDEO_CORPUS=all` compares every file of docs/corpus.md, a list of names those.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use super::*;

/// Compared by default: quick to make, and the most likely to break.
const SAMPLE_OF_CORPUS: &[&str] = &[
    "fragments-index-holds-first.mp4",
    "fragments-cmaf.mp4",
    "interlaced.mp4",
    "turned-90.mp4",
    "mp3.mp4",
    "camcorder.m2ts",
];

#[derive(Debug, Deserialize)]
struct Probe {
    format: Format,
    streams: Vec<Stream>,
    packets: Vec<Packet>,
}

#[derive(Debug, Deserialize)]
struct Format {
    format_name: String,
    duration: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    index: usize,
    codec_type: String,
    codec_name: Option<String>,
    #[serde(default)]
    profile: String,
    duration: Option<String>,
    avg_frame_rate: String,
    width: Option<u32>,
    height: Option<u32>,
    channels: Option<u16>,
    pix_fmt: Option<String>,
    field_order: Option<String>,
    sample_aspect_ratio: Option<String>,
    disposition: Disposition,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Debug, Deserialize)]
struct Disposition {
    default: u8,
    attached_pic: u8,
}

#[derive(Debug, Deserialize)]
struct SideData {
    rotation: Option<i32>,
}

#[derive(Debug, Deserialize)]
struct Packet {
    stream_index: usize,
    flags: String,
}

impl Probe {
    fn of(file: &Path) -> Self {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_packets"])
            .arg(file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The track of a kind that plays.
    fn stream(&self, kind: &str) -> Option<&Stream> {
        let of_kind = || {
            self.streams
                .iter()
                .filter(|stream| stream.codec_type == kind && stream.disposition.attached_pic == 0)
        };
        of_kind().find(|stream| stream.disposition.default == 1).or_else(|| of_kind().next())
    }

    /// The findings expected of the inspection for a format that it reads.
    fn expected(&self) -> Vec<(&'static str, String)> {
        let picture = self.stream("video").unwrap();
        let (mut width, mut height) = (picture.width.unwrap(), picture.height.unwrap());
        let rotation = picture.side_data_list.iter().find_map(|data| data.rotation).unwrap_or_default();
        if rotation.rem_euclid(180) == 90 {
            std::mem::swap(&mut width, &mut height);
        }
        let seconds =
            |stream: &Stream| number(stream.duration.as_ref().or(self.format.duration.as_ref()).unwrap());
        let (frames, per) = picture.avg_frame_rate.split_once('/').unwrap();
        let square = picture.sample_aspect_ratio.as_ref().is_none_or(|ratio| ratio == "1:1");
        let interlaced =
            picture.field_order.as_ref().is_some_and(|order| order != "progressive" && order != "unknown");
        let mut facts = vec![
            ("duration", tenths(seconds(picture))),
            ("size", format!("{width}x{height}")),
            ("rate", format!("{:.1}", number(frames) / number(per))),
            ("codec", codec_name(picture)),
            ("square", square.to_string()),
            ("interlaced", interlaced.to_string()),
            ("key frames", self.longest_gap(picture.index).to_string()),
            (
                "pixels",
                match picture.codec_name.as_deref() {
                    Some("h264" | "hevc") => picture.pix_fmt.clone().unwrap(),
                    _ => "?".to_owned(),
                },
            ),
        ];
        let sound = self.stream("audio");
        facts.push(("sound", sound.map_or("none".to_owned(), codec_name)));
        if let Some(sound) = sound {
            facts.push(("channels", sound.channels.unwrap().to_string()));
            facts.push(("sound's duration", tenths(seconds(sound))));
        }
        facts
    }

    fn longest_gap(&self, stream: usize) -> usize {
        let packets: Vec<_> = self.packets.iter().filter(|packet| packet.stream_index == stream).collect();
        let keys = packets.iter().enumerate().filter(|(_, packet)| packet.flags.contains('K'));
        let places: Vec<usize> = keys.map(|(place, _)| place).chain([packets.len()]).collect();
        places.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }

    /// How a format that is only recognised, or refused, has to be described.
    fn expected_kind(&self, name: &str) -> Result<Container, Refusal> {
        let has_video = self.stream("video").is_some();
        let named = |video, sound| {
            Err(if has_video { Refusal::Container(video) } else { Refusal::NotVideo(Kind::Sound(sound)) })
        };
        match self.format.format_name.as_str() {
            "mpegts" if name.ends_with(".ts") => Ok(Container::MpegTs),
            "mpegts" => Ok(Container::M2ts),
            "matroska,webm" if name.ends_with(".webm") => Ok(Container::WebM),
            "matroska,webm" => named("mkv", "mka"),
            "avi" => named("avi", "avi"),
            "flv" => named("flv", "flv"),
            "asf" => named("wmv", "wma"),
            "ogg" => named("ogv", "ogg"),
            "mxf" => named("mxf", "mxf"),
            "mpeg" => named("mpg", "mpg"),
            "dv" => named("dv", "dv"),
            "h264" => named("h264", "h264"),
            "yuv4mpegpipe" => named("y4m", "y4m"),
            "gif" => Err(Refusal::NotVideo(Kind::Picture("gif"))),
            "mp3" => named("mp3", "mp3"),
            "wav" => named("wav", "wav"),
            "flac" => named("flac", "flac"),
            "aac" => named("aac", "aac"),
            "mov,mp4,m4a,3gp,3g2,mj2" if !has_video => Err(Refusal::NoPicture),
            other => panic!("{other} is not expected"),
        }
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

fn tenths(seconds: f64) -> String {
    format!("{:.1} s", seconds)
}

/// Translates ffprobe's codec name into ours.
fn codec_name(stream: &Stream) -> String {
    let name = stream.codec_name.as_deref().unwrap();
    match name {
        "h264" => "H.264",
        "hevc" => "HEVC (H.265)",
        "av1" => "AV1",
        "vp9" => "VP9",
        "mpeg4" => "MPEG-4 part 2",
        "mpeg2video" => "MPEG-2",
        "h263" => "H.263",
        "mjpeg" => "Motion JPEG",
        "prores" => "ProRes",
        "dnxhd" => "DNxHD",
        "aac" if stream.profile == "LC" => "AAC-LC",
        "mp3" => "MP3",
        "ac3" => "Dolby Digital (AC-3)",
        "eac3" => "Dolby Digital Plus (E-AC-3)",
        "opus" => "Opus",
        "vorbis" => "Vorbis",
        "flac" => "FLAC",
        "alac" => "Apple Lossless",
        "pcm_s16le" | "pcm_s24le" => "uncompressed PCM",
        other => panic!("{other} is not expected"),
    }
    .to_owned()
}

/// The inspection's findings, in the same format.
fn found(video: &Video) -> Vec<(&'static str, String)> {
    let picture = video.picture.as_ref().unwrap();
    let seconds = |duration: Option<Duration>| {
        duration.map_or("?".to_owned(), |duration| tenths(duration.as_secs_f64()))
    };
    let mut facts = vec![
        ("duration", seconds(video.duration)),
        ("size", format!("{}x{}", picture.width, picture.height)),
        ("rate", picture.frame_rate.map_or("?".to_owned(), |rate| format!("{rate:.1}"))),
        ("codec", picture.codec.to_string()),
        ("square", picture.square_pixels.to_string()),
        ("interlaced", picture.interlaced.to_string()),
        ("key frames", picture.key_frame_gap.unwrap_or_default().to_string()),
        ("pixels", pixels(picture)),
    ];
    facts.push(("sound", video.sound.map_or("none".to_owned(), |sound| sound.codec.to_string())));
    if let Some(sound) = video.sound {
        facts.push(("channels", sound.channels.map_or("?".to_owned(), |channels| channels.to_string())));
        facts.push(("sound's duration", seconds(sound.duration)));
    }
    facts
}

fn pixels(picture: &Picture) -> String {
    let (Some(bits), Some(chroma)) = (picture.bit_depth, picture.chroma) else {
        return "?".to_owned();
    };
    let base = match chroma {
        Chroma::Monochrome => "gray",
        Chroma::Yuv420 => "yuv420p",
        Chroma::Yuv422 => "yuv422p",
        Chroma::Yuv444 => "yuv444p",
    };
    if bits == 8 { base.to_owned() } else { format!("{base}{bits}le") }
}

/// Makes files of the corpus; `None` where ffmpeg or ffprobe is not installed.
fn made(names: &[String]) -> Option<(PathBuf, Vec<String>)> {
    let installed = |tool| Command::new(tool).arg("-version").output().is_ok();
    if !installed("ffmpeg") || !installed("ffprobe") {
        eprintln!("skipped: ffmpeg and ffprobe are not installed");
        return None;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/corpus");
    let run = |arguments: &[String]| {
        let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/make");
        let output = Command::new("bash").arg(make).arg(&folder).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let names = match names {
        [all] if all == "all" => run(&["--list".to_owned()]).lines().map(str::to_owned).collect(),
        names => names.to_vec(),
    };
    run(&names);
    Some((folder, names))
}

#[test]
fn every_file_of_the_corpus_is_read_as_ffprobe_does() {
    let names = match std::env::var("VIDEO_CORPUS") {
        Ok(names) => names.split_whitespace().map(str::to_owned).collect(),
        Err(_) => SAMPLE_OF_CORPUS.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
    };
    let Some((folder, names)) = made(&names) else {
        return;
    };
    let differences: Vec<String> = names.iter().filter_map(|name| difference(&folder.join(name))).collect();
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), names.len(), differences.join("\n"));
    eprintln!("{} files are read as ffprobe does", names.len());
}

fn difference(file: &Path) -> Option<String> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let probe = Probe::of(file);
    let ours = inspect(&std::fs::read(file).unwrap());
    if let Ok(video) = &ours
        && video.picture.is_some()
    {
        let differs: Vec<_> = probe
            .expected()
            .into_iter()
            .zip(found(video))
            .filter(|(expected, found)| expected != found && !is_exempt(video, expected, found))
            .map(|(expected, found)| {
                format!("{name}: {} is {}, ffprobe says {}", found.0, found.1, expected.1)
            })
            .collect();
        return (!differs.is_empty()).then(|| differs.join("\n"));
    }
    let (expected, ours) = (probe.expected_kind(name), ours.map(|video| video.container));
    (expected != ours).then(|| format!("{name}: {ours:?}, expected {expected:?}"))
}

/// Facts that the index does not state, and that nothing depends on.
fn is_exempt(video: &Video, (fact, expected): &(&str, String), (found_fact, found): &(&str, String)) -> bool {
    let both_at_most = |limit: f64| number(expected) <= limit && number(found) <= limit;
    fact == found_fact
        && match *fact {
            // ISO/IEC 14496-12 has two written for any sound; the real number is in the stream.
            "channels" => both_at_most(2.0),
            // Of many fragments, not all are read.
            "key frames" => video.fragmented && both_at_most(512.0),
            "sound's duration" => video.fragmented,
            // ffmpeg shows grey as colour without any.
            "pixels" => found == "gray" && expected == "yuvj420p",
            _ => false,
        }
}

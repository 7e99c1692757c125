//! Sentences about a video, before X sees it.

use super::{length, size};
use crate::video::{self, Container, Damage, Refusal, Warning};

/// Why X would not take a file.
pub fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Empty => "The file is empty. Send the video again.".to_owned(),
        Refusal::NotVideo(kind) => {
            let what = match kind {
                video::Kind::Picture(_) => "a picture",
                video::Kind::Sound(_) => "sound without a picture",
                video::Kind::Document(_) => "a document",
                video::Kind::Archive(_) => "an archive or a program",
                video::Kind::Text => "text",
                video::Kind::Unknown => "nothing I can recognise",
            };
            format!(
                "The file is not a video, whatever its name says: it is {what}. Send an MP4 or MOV video."
            )
        }
        Refusal::Container(ending) => {
            format!("X does not take .{ending} videos. Send it as MP4 with H.264 video and AAC sound.")
        }
        Refusal::NoPicture => {
            "There is no picture in the file, only sound or nothing. Send a video.".to_owned()
        }
        Refusal::Damaged(Damage::Truncated) => {
            "The end of the file is missing. Send the video again.".to_owned()
        }
        Refusal::Damaged(Damage::NoIndex) => {
            "The file has no index, as after a recording that was cut off. Export the video again.".to_owned()
        }
        Refusal::Damaged(Damage::Malformed) => "The file is damaged. Export the video again.".to_owned(),
        Refusal::Codec(codec) => {
            format!(
                "The video is encoded as {codec}, which X does not take. Send it as MP4 with H.264 video."
            )
        }
        Refusal::TooLong { duration, max } => format!(
            "The video is {} long; this account may post at most {}. Shorten it.",
            length(ms(*duration)),
            length(ms(*max))
        ),
        Refusal::TooShort(_) => "The video is shorter than half a second, which X does not take.".to_owned(),
        Refusal::TooLarge { bytes, max } => {
            format!("The file is {}. X takes at most {}. Send a smaller version.", size(*bytes), size(*max))
        }
    }
}

/// A fault of a video that X may still take.
pub fn warning(warning: &Warning) -> String {
    match warning {
        Warning::MayBeTooLong(duration) => format!(
            "The video is {} long. X takes up to 20 minutes by now, yet still refuses some accounts without Premium \
             above 2.",
            length(ms(*duration))
        ),
        Warning::AboveLimit(max) => format!(
            "The video or its sound is longer than the {} this account may post. X may refuse it.",
            length(ms(*max))
        ),
        Warning::MayBeTooShort => {
            "The video is about half a second long, the least X takes. X may refuse it.".to_owned()
        }
        Warning::CutOff => {
            "The end of the file is missing. X may refuse it, or post what is there.".to_owned()
        }
        Warning::DurationUnknown => "The file does not say how long the video is; X will see.".to_owned(),
        Warning::NotRead(container) => {
            let ending = match container {
                Container::Mp4 => "mp4",
                Container::QuickTime => "mov",
                Container::WebM => "webm",
                Container::MpegTs => "ts",
                Container::M2ts => "m2ts",
            };
            format!("I cannot look inside .{ending} files. X judges it; MP4 and MOV are what it takes best.")
        }
        Warning::VideoCodec(codec) => {
            format!("The video is encoded as {codec}. X asks for H.264 and may refuse it.")
        }
        Warning::AudioCodec(codec) => {
            format!("The sound is encoded as {codec}. X asks for AAC and may refuse it.")
        }
        Warning::Channels(channels) => {
            format!("The sound has {channels} channels. X asks for one or two.")
        }
        Warning::Size(width, height) => {
            format!("The picture is {width} × {height}. X asks for 32 × 32 to 1920 × 1200.")
        }
        Warning::OddSize(width, height) => {
            format!("The picture is {width} × {height}. X may crop or refuse an odd number.")
        }
        Warning::AspectRatio(width, height) => {
            format!("The picture is {width} × {height}. X asks for no side above three times the other.")
        }
        Warning::StretchedPixels => "The pixels are not square. X may show the video distorted.".to_owned(),
        Warning::FrameRate(rate) => {
            format!("The video has {rate:.0} pictures a second. X asks for at most 60.")
        }
        Warning::Interlaced => {
            "The video is interlaced. X asks for progressive video; moving edges may show combs.".to_owned()
        }
        Warning::KeyFrameGap(frames) => format!(
            "The video has {frames} frames from one keyframe to the next. X takes up to 512; export it with a keyframe \
             every 2 seconds if X refuses it."
        ),
        Warning::PixelFormat(..) => {
            "The video stores colours in a way that X may refuse. It asks for 8 bits and 4:2:0.".to_owned()
        }
    }
}

fn ms(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

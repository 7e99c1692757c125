//! Formats told by their first bytes, each under the name it has to be described by.

use super::*;

/// `count` packets of a transport stream, with `before` bytes before each and `after` bytes after it.
fn packets(before: usize, after: usize, count: usize) -> Vec<u8> {
    let packet = [&vec![1; before][..], &[0x47], &[2; 187], &vec![3; after]].concat();
    packet.repeat(count)
}

#[test]
fn transport_streams_of_every_packet_size_are_recognised() {
    for (file, container) in [
        (packets(0, 0, 20), Container::MpegTs),
        (packets(0, 16, 20), Container::MpegTs),
        (packets(4, 0, 20), Container::M2ts),
        // Begun within a packet.
        (packets(0, 0, 20)[50..].to_vec(), Container::MpegTs),
        (packets(4, 0, 20)[100..].to_vec(), Container::M2ts),
    ] {
        assert_eq!(inspect(&file), Ok(Video::unread(container)));
        assert_eq!(container.media_type(), "video/mp2t");
        let warnings = vec![Warning::DurationUnknown, Warning::NotRead(container)];
        assert_eq!(verdict(&file), Ok(warnings));
    }
}

#[test]
fn videos_x_does_not_take_are_named() {
    let ogg = |codec: &[u8]| [b"OggS\0\x02", &[0; 22][..], codec].concat();
    let asf = |media: &[u8]| {
        [&[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9][..], &[0; 60], media].concat()
    };
    let video_guid =
        [0xc0, 0xef, 0x19, 0xbc, 0x4d, 0x5b, 0xcf, 0x11, 0xa8, 0xfd, 0, 0x80, 0x5f, 0x5c, 0x44, 0x2b];
    let matroska = |kind: &str, codec: &str| {
        let kind = [&[0x42, 0x82, 0x80 | kind.len() as u8][..], kind.as_bytes()].concat();
        [&[0x1a, 0x45, 0xdf, 0xa3, 0x80 | kind.len() as u8][..], &kind, codec.as_bytes()].concat()
    };
    for (file, ending) in [
        (ogg(b"\x80theora"), "ogv"),
        (asf(&video_guid), "wmv"),
        (matroska("matroska", "V_MPEG4/ISO/AVC A_AAC"), "mkv"),
        ([&[6, 0x0e, 0x2b, 0x34, 2, 5, 1, 1, 0x0d, 1, 2, 1, 1, 2][..], &[0; 100]].concat(), "mxf"),
        (b"FLV\x01\x05\0\0\0\x09".to_vec(), "flv"),
        (b"RIFF\0\0\0\0AVI LIST".to_vec(), "avi"),
        (b"\0\0\x01\xba\x44\0\x04".to_vec(), "mpg"),
        (b".RMF\0\0\0\x12".to_vec(), "rm"),
        (b"\0\0\0\x01\x67\x64\0\x1e".to_vec(), "h264"),
    ] {
        assert_eq!(inspect(&file), Err(Refusal::Container(ending)));
    }
    for (file, ending) in [
        (ogg(b"\x01vorbis"), "ogg"),
        (asf(&[0; 16]), "wma"),
        (matroska("matroska", "A_AAC"), "mka"),
        (b"FLV\x01\x04\0\0\0\x09".to_vec(), "flv"),
    ] {
        assert_eq!(inspect(&file), Err(Refusal::NotVideo(Kind::Sound(ending))));
    }
    // Matroska's elements may come in any order, and an empty one before the type.
    assert_eq!(inspect(&matroska("webm", "V_VP9")), Ok(Video::unread(Container::WebM)));
}

//! Trees of boxes with sizes that lie: too long, too short, to the end, in 64 bits, and nested deep.

use proptest::prelude::*;

use super::*;

/// How a box states its size.
#[derive(Clone, Debug)]
enum Size {
    True,
    /// Of 64 bits, though it need not be.
    Wide,
    /// As far as its container goes.
    ToTheEnd,
    Claimed(u32),
    ClaimedWide(u64),
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<u8>),
    Boxes(Vec<Box>),
}

#[derive(Clone, Debug)]
struct Box {
    kind: [u8; 4],
    size: Size,
    /// Version and flags, and the fixed part of sample descriptions, before what is inside.
    lead: Vec<u8>,
    content: Content,
}

impl Box {
    fn write(&self, out: &mut Vec<u8>) {
        let mut body = self.lead.clone();
        match &self.content {
            Content::Bytes(bytes) => body.extend_from_slice(bytes),
            Content::Boxes(boxes) => boxes.iter().for_each(|inner| inner.write(&mut body)),
        }
        let (short, wide) = match self.size {
            Size::True => (body.len() as u32 + 8, None),
            Size::Wide => (1, Some(body.len() as u64 + 16)),
            Size::ToTheEnd => (0, None),
            Size::Claimed(size) => (size, None),
            Size::ClaimedWide(size) => (1, Some(size)),
        };
        out.extend_from_slice(&short.to_be_bytes());
        out.extend_from_slice(&self.kind);
        out.extend(wide.iter().flat_map(|wide| wide.to_be_bytes()));
        out.extend_from_slice(&body);
    }
}

/// Bodies of the boxes that are read, from real files, whole or with some bytes changed.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let mut real = Vec::new();
    for kind in [
        b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"stsd", b"stsz", b"avcC", b"esds", b"mvex", b"trex", b"elst",
        b"stts", b"stss", b"tfhd", b"tfdt", b"trun", b"tfra", b"mfro",
    ] {
        for file in [MOOV_AT_END, QUICKTIME, FRAGMENTED, ROTATED, HEVC] {
            if let Some(at) = file.windows(4).position(|window| window == kind) {
                let len = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
                real.push(file[at + 4..at - 4 + len].to_vec());
            }
        }
    }
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    prop_oneof![
        6 => (prop::sample::select(real), changes).prop_map(|(mut body, changes)| {
            for (at, byte) in changes {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body
        }),
        1 => prop::collection::vec(any::<u8>(), 0..120),
        1 => prop::collection::vec(prop::sample::select(vec![0_u8, 1, 0x7f, 0x80, 0xff]), 0..120),
    ]
}

fn sizes() -> impl Strategy<Value = Size> {
    let edges = vec![
        0_u64,
        1,
        7,
        8,
        15,
        16,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 32,
        1 << 40,
        i64::MAX as u64,
        u64::MAX - 7,
        u64::MAX,
    ];
    prop_oneof![
        12 => Just(Size::True),
        1 => Just(Size::Wide),
        1 => Just(Size::ToTheEnd),
        1 => any::<u32>().prop_map(Size::Claimed),
        1 => (0..2_000_u32).prop_map(Size::Claimed),
        1 => prop::sample::select(edges).prop_map(Size::ClaimedWide),
    ]
}

fn trees() -> impl Strategy<Value = Box> {
    let leaf = [
        *b"ftyp",
        *b"mvhd",
        *b"tkhd",
        *b"mdhd",
        *b"hdlr",
        *b"stsd",
        *b"stsz",
        *b"stz2",
        *b"trex",
        *b"mehd",
        *b"avcC",
        *b"esds",
        *b"pasp",
        *b"wave",
        *b"free",
        *b"mdat",
        *b"uuid",
        *b"\xa9xyz",
        *b"elst",
        *b"stts",
        *b"stss",
        *b"tfhd",
        *b"tfdt",
        *b"trun",
        *b"sidx",
        *b"tfra",
        *b"mfro",
    ];
    let node = [
        *b"moov", *b"trak", *b"mdia", *b"minf", *b"stbl", *b"mvex", *b"stsd", *b"avc1", *b"mp4a", *b"udta",
        *b"edts", *b"moof", *b"traf", *b"mfra",
    ];
    let leaf = (prop::sample::select(leaf.to_vec()), sizes(), bodies()).prop_map(|(kind, size, body)| Box {
        kind,
        size,
        lead: Vec::new(),
        content: Content::Bytes(body),
    });
    leaf.prop_recursive(7, 60, 6, move |inner| {
        let lead = prop::sample::select(vec![0_usize, 0, 0, 8, 28, 78]).prop_map(|len| vec![0; len]);
        let boxes = prop::collection::vec(inner, 0..6).prop_map(Content::Boxes);
        (prop::sample::select(node.to_vec()), sizes(), lead, boxes)
            .prop_map(|(kind, size, lead, content)| Box { kind, size, lead, content })
    })
}

proptest! {
    #[test]
    fn any_tree_of_boxes_is_judged(
        boxes in prop::collection::vec(trees(), 1..6),
        beyond in prop_oneof![4 => Just(0_u64), 1 => 0..16_u64 << 30],
    ) {
        let mut file = a_box(b"ftyp", b"isom\0\0\x02\0isom");
        boxes.iter().for_each(|tree| tree.write(&mut file));
        // What is beyond the boxes is never held: a range is made when it is asked for.
        let total = file.len() as u64 + beyond;
        let part = |range: std::ops::Range<u64>| {
            let len = file.len() as u64;
            let there = file[range.start.min(len) as usize..range.end.min(len) as usize].iter().copied();
            let zeros = std::iter::repeat_n(0, (range.end - range.start.max(len.min(range.end))) as usize);
            there.chain(zeros).collect()
        };
        let (found, reads) = inspect_parts(total, part);
        prop_assert!(reads <= 2_049);
        match found.and_then(|video| judge(&video, total, &Limits::STANDARD).map(|_| video)) {
            Ok(video) => {
                let picture = video.picture.expect("an index was read");
                prop_assert!(picture.frame_rate.is_none_or(|rate| rate.is_finite() && rate > 0.0));
            }
            Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
        }
    }

    #[test]
    fn any_depth_of_boxes_is_judged(kinds in prop::collection::vec(0..5_usize, 1..4), depth in 1..4_000_usize) {
        let names = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];
        let len = 16 + 8 * depth;
        let mut file = a_box(b"ftyp", b"isom\0\0\x02\0");
        for level in 0..depth {
            let size = (len - 16 - 8 * level) as u32;
            file.extend_from_slice(&size.to_be_bytes());
            file.extend_from_slice(names[kinds[level % kinds.len()]]);
        }
        prop_assert!(inspect(&file).is_err());
    }
}

//! How much memory a stranger's input can take: the most that this thread held at once, counted by its allocator.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use toall::{
    caption,
    video::{Damage, Inspection, Refusal},
};

use super::{runtime, x};

const MIB: usize = 1 << 20;

struct Counting;

thread_local! {
    /// Bytes held now, and the most there were.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn note(change: isize) {
    // Gone while the thread ends.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + change, most.max(now + change)));
    });
}

// SAFETY: every call is the system allocator's, with what it was called with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as isize - layout.size() as isize);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `act` held at once, beyond what was held before.
fn peak(act: impl FnOnce()) -> usize {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    act();
    usize::try_from(HELD.with(Cell::get).1 - before).unwrap()
}

#[test]
fn the_counter_counts() {
    assert!((10 * MIB..11 * MIB).contains(&peak(|| drop(std::hint::black_box(vec![1_u8; 10 * MIB])))));
    assert_eq!(peak(|| {}), 0);
}

#[test]
fn a_video_that_claims_gigabytes_of_index_costs_no_more_than_a_window() {
    let total = 8_u64 << 30;
    for (kind, inner) in
        [(b"moov", b"mvhd"), (b"moov", b"trak"), (b"moov", b"stsd"), (b"mdat", b"moov"), (b"free", b"free")]
    {
        // A box of 4 GB, within it one of 64-bit size, and counts that promise four thousand million entries.
        let mut head = Vec::new();
        head.extend_from_slice(b"\0\0\0\x10ftypisom\0\0\x02\0");
        head.extend_from_slice(&[&[0xff, 0xff, 0xff, 0xf0][..], kind].concat());
        for _ in 0..200 {
            head.extend_from_slice(
                &[&[0, 0, 0, 1][..], inner, &(total - 1_000).to_be_bytes(), &[0xff; 16]].concat(),
            );
        }
        let most = peak(|| {
            let mut inspection = Inspection::new(total).unwrap();
            let mut window = Vec::new();
            let refusal = loop {
                let wanted = inspection.wanted();
                window.clear();
                window.resize((wanted.end - wanted.start) as usize, 0xff);
                if wanted.start == 0 {
                    window[..head.len()].copy_from_slice(&head);
                }
                match inspection.feed(&window) {
                    Ok(None) => {}
                    Ok(Some(video)) => panic!("{video:?}"),
                    Err(refusal) => break refusal,
                }
            };
            assert!(matches!(
                refusal,
                Refusal::Damaged(Damage::Malformed | Damage::Truncated) | Refusal::NoPicture
            ));
        });
        assert!(most < 256 * 1024, "{most} bytes for {}", inner.escape_ascii());
    }
}

#[test]
fn a_caption_costs_a_small_multiple_of_its_length() {
    const LENGTH: usize = 32 * 1024;
    for unit in ["a", "波", "👩‍", "a.com ", "x.", "https://"] {
        let text = unit.repeat(LENGTH / unit.len());
        let most = peak(|| {
            std::hint::black_box(caption::count(&text));
        });
        assert!(most < 100 * LENGTH, "{most} bytes for {unit:?}");
    }
}

#[test]
fn an_endless_answer_of_xs_costs_no_more_than_its_limit() {
    let runtime = runtime();
    for status in [200, 403, 503] {
        let client = x::client(&runtime, move || {
            let piece = Bytes::from_static(&[b' '; 16 * 1024]);
            let endless = stream::repeat(piece).take(64 << 10).map(Ok::<_, std::io::Error>);
            Response::builder().status(status).body(Body::from_stream(endless)).unwrap()
        });
        let most = peak(|| {
            runtime.block_on(client.me(&"token".to_owned().into())).unwrap_err();
        });
        assert!(most < 6 * MIB, "{most} bytes for {status}");
    }
}

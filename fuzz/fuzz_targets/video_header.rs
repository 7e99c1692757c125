#![no_main]

use libfuzzer_sys::fuzz_target;
use toall::video::{Inspection, Limits, judge};

// The first eight bytes may claim another length than what follows has; what is not there reads as zeros.
fuzz_target!(|bytes: &[u8]| {
    let Some((claim, file)) = bytes.split_first_chunk() else { return };
    let total = match u64::from_be_bytes(*claim) {
        0 => file.len() as u64,
        claim => claim.min(16 << 30).max(file.len() as u64),
    };
    let Ok(mut inspection) = Inspection::new(total) else { return };
    for _ in 0..=2_049 {
        let wanted = inspection.wanted();
        assert!(wanted.start < wanted.end && wanted.end <= total && wanted.end - wanted.start <= 64 * 1024);
        let mut range = vec![0; (wanted.end - wanted.start) as usize];
        if let Some(there) = usize::try_from(wanted.start).ok().and_then(|start| file.get(start..)) {
            let len = there.len().min(range.len());
            range[..len].copy_from_slice(&there[..len]);
        }
        match inspection.feed(&range) {
            Ok(None) => {}
            Ok(Some(video)) => {
                let _ = judge(&video, total, &Limits::STANDARD).map_err(|refusal| refusal.to_string());
                return;
            }
            Err(refusal) => {
                assert!(!refusal.to_string().is_empty());
                return;
            }
        }
    }
    panic!("it never ends");
});

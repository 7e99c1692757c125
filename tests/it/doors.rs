//! Every door through which strangers' input comes, with input that nobody meant: structured inputs bent in a few
//! places, through the real door, over a real socket where it has one.
//!
//! The suite runs a few cases of each; `PROPTEST_CASES=10000` asks for ten thousand inputs a door.

mod api;
mod commands;
mod discord;
mod memory;
mod mutation;
mod storage;
mod telegram;
mod x;

use std::{
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::runtime::Runtime;

/// How long one case may take; none needs a hundredth of it.
const BOUND: Duration = Duration::from_secs(20);

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Panics of the adapters so far: their tasks end quietly with them.
fn panics() -> usize {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let at = panic.location().map_or("", |location| location.file());
            if ["src/chat/", "serenity", "teloxide"].iter().any(|part| at.contains(part)) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            usual(panic);
        }));
    });
    PANICS.load(Ordering::SeqCst)
}

/// One thread does everything, so that what it allocates can be counted.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a property whose cases are asynchronous, each within [`BOUND`]: `few` of them, or as many as `PROPTEST_CASES`
/// says, where each case stands for a `batch` of inputs.
fn each<S: Strategy>(
    runtime: &Runtime,
    few: u32,
    batch: u32,
    cases: &S,
    mut property: impl AsyncFnMut(S::Value) -> Result<(), TestCaseError>,
) {
    let usual = Config::default();
    let cases_to_run = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => usual.cases.div_ceil(batch),
        None => few,
    };
    let config = Config { cases: cases_to_run, failure_persistence: None, ..usual };
    let property = std::cell::RefCell::new(&mut property);
    let held = TestRunner::new(config).run(cases, |case| {
        let mut property = property.borrow_mut();
        let bounded = async { tokio::time::timeout(BOUND, property(case)).await };
        runtime.block_on(bounded).unwrap_or_else(|_| Err(TestCaseError::fail("it hangs")))
    });
    if let Err(error) = held {
        panic!("{error}");
    }
}

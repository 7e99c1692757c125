//! Progress of a chunk's body while it is sent.

use std::{
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use super::XError;

/// Progress and failure of a body while it is sent. Keeps the failure because the HTTP client reports it as if it
/// came from X.
pub(super) struct Watched {
    len: u64,
    sent: AtomicU64,
    failure: Mutex<Option<Box<dyn Error + Send + Sync>>>,
}

impl Watched {
    pub(super) fn new(len: u64) -> Arc<Watched> {
        Arc::new(Watched { len, sent: AtomicU64::new(0), failure: Mutex::default() })
    }

    /// Waits for the answer as long as the body moves, with at most `stall` between two bytes. The speed at which the
    /// system sends buffered bytes is unknown, so once it has accepted all bytes the answer gets the time `taken`.
    pub(super) async fn answer<T>(
        &self,
        stall: Duration,
        taken: Duration,
        answer: impl Future<Output = Result<T, XError>>,
    ) -> Result<T, XError> {
        let mut answer = std::pin::pin!(answer);
        let mut seen = 0;
        let mut whole_since = None;
        loop {
            if let Ok(answer) = tokio::time::timeout(stall, &mut answer).await {
                return answer;
            }
            let sent = self.sent();
            if sent >= self.len {
                let since = *whole_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= taken {
                    return Err(XError::Stalled);
                }
            } else if sent == seen {
                return Err(XError::Stalled);
            }
            seen = sent;
        }
    }

    /// Passes the bytes on; fails unless there are exactly `len` of them.
    pub(super) fn watch<E>(
        self: Arc<Self>,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> impl Stream<Item = Result<Bytes, &'static str>> + Send + 'static
    where
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        body.map(|chunk| Some(chunk.map_err(E::into)))
            .chain(stream::once(async { None }))
            .map(move |chunk| self.pass(chunk))
    }

    /// `None` is the end of the body.
    fn pass(
        &self,
        chunk: Option<Result<Bytes, Box<dyn Error + Send + Sync>>>,
    ) -> Result<Bytes, &'static str> {
        let ended = chunk.is_none();
        let failure = match chunk.unwrap_or(Ok(Bytes::new())) {
            Err(failure) => failure,
            Ok(chunk) => {
                let size = chunk.len() as u64;
                let sent = self.sent.fetch_add(size, Ordering::Relaxed) + size;
                if sent <= self.len && !(ended && sent < self.len) {
                    return Ok(chunk);
                }
                format!("it is not the expected {} bytes long", self.len).into()
            }
        };
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        Err("the body failed")
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The body's error, if it failed.
    pub(super) fn failure(&self) -> Option<Box<dyn Error + Send + Sync>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    /// A chunk of 3 bytes that hands over `moving` of them, one a poll, and is answered after `polls`.
    async fn watched(moving: u64, polls: u64) -> Result<(), XError> {
        let watched = Watched::new(3);
        let mut polled = 0;
        let answer = std::future::poll_fn(|_| {
            polled += 1;
            watched.sent.store(moving.min(polled), Ordering::Relaxed);
            if polled < polls { Poll::Pending } else { Poll::Ready(Ok(())) }
        });
        watched.answer(Duration::ZERO, Duration::MAX, answer).await
    }

    #[tokio::test]
    async fn a_chunk_that_stands_still_is_given_up() {
        assert!(matches!(watched(0, 9).await, Err(XError::Stalled)));
        assert!(matches!(watched(2, 9).await, Err(XError::Stalled)));
        watched(3, 9).await.unwrap();
        watched(0, 1).await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_is_given_up() {
        let watched = Watched::new(3);
        watched.sent.store(3, Ordering::Relaxed);
        let never = std::future::pending::<Result<(), XError>>();
        assert!(matches!(watched.answer(Duration::ZERO, Duration::ZERO, never).await, Err(XError::Stalled)));
    }
}

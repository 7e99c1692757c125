//! The same status each time it changes, as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderName, header},
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{caller::Caller, json::Named, openapi::Problems, status::RequestStatus};
use crate::{
    account::{Person, PersonRef},
    store::{Changes, Topics},
    web::{
        Site,
        error::{Problem, Refusal},
        shares::{Share, Shares},
    },
};

/// Streams open at once; each holds a connection.
const MAX_STREAMS: usize = 128;
/// Streams that one person may open at once.
const MAX_STREAMS_PER_PERSON: usize = 4;
/// A comment this often keeps proxies from closing a silent stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Changes closer together than this are told as one.
const PACE: Duration = Duration::from_millis(200);

/// The streams that are open.
pub(in crate::web) struct Streams {
    places: Arc<Semaphore>,
    readers: Shares<PersonRef>,
}

impl Default for Streams {
    fn default() -> Self {
        Streams {
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            readers: Shares::new(MAX_STREAMS_PER_PERSON),
        }
    }
}

impl Streams {
    fn open(&self, person: &Person) -> Result<OpenStream, Refusal> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Refusal::BUSY)?;
        let share = self.readers.take(PersonRef::from(person)).ok_or(Refusal::TOO_MANY_STREAMS)?;
        Ok(OpenStream { _place: place, _share: share })
    }
}

/// The place of one stream; free again when dropped.
struct OpenStream {
    _place: OwnedSemaphorePermit,
    _share: Share<PersonRef>,
}

/// One reader's stream.
struct Follower {
    site: Arc<Site>,
    person: Person,
    request: Uuid,
    changes: Changes,
    told: Option<RequestStatus>,
    over: bool,
    _open: OpenStream,
}

impl Follower {
    /// The next event; `None` once all is over and was told, or the service stops.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.over {
            return None;
        }
        loop {
            self.changes.mark_unchanged();
            let posts = self.site.intake.request_status(&self.person, self.request).await;
            // A database that does not answer now may do so at the next change.
            if let Some(status) = posts.ok().and_then(RequestStatus::of)
                && self.told.as_ref() != Some(&status)
            {
                self.over = status.over;
                let name = if status.over { "end" } else { "status" };
                let event = Event::default().event(name).json_data(&status).ok()?;
                self.told = Some(status);
                return Some((Ok(event), self));
            }
            let site = self.site.clone();
            let changed = async {
                self.changes.changed().await.ok()?;
                tokio::time::sleep(PACE).await;
                Some(())
            };
            site.stop.run_until_cancelled(changed).await??;
        }
    }
}

/// Follows a request to post.
///
/// Sends the whole status as the event `status` at once and after each change, and as `end` when nothing more happens
/// unless somebody acts; then the stream ends. A comment every 15 seconds keeps it open. Whoever connects again gets
/// the present status first, so `Last-Event-ID` is not needed.
#[utoipa::path(get, path = "/api/social/uploads/{request_id}/events", tag = "posts", operation_id = "followStatus",
    params(("request_id" = Uuid, Path, description = "As POST /api/social/post gave it")),
    responses((status = 200, description = "Events `status` and `end`, each with a RequestStatus as its data",
        content_type = "text/event-stream", body = String), Problems))]
pub(super) async fn events(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(request): Named<Uuid>,
) -> Result<impl IntoResponse, Problem> {
    let request = request.ok_or(Refusal::NO_REQUEST)?;
    if site.intake.store.posts_of_request(&caller.person, request).await?.is_empty() {
        return Err(Refusal::NO_REQUEST.into());
    }
    let open = site.streams.open(&caller.person)?;
    let changes = site.intake.store.changes_of(Topics::messages(caller.person.platform));
    let follower =
        Follower { site, person: caller.person, request, changes, told: None, over: false, _open: open };
    let events = Sse::new(follow(follower)).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    // Asks nginx not to hold events back.
    Ok((
        [(HeaderName::from_static("x-accel-buffering"), "no"), (header::CONTENT_TYPE, "text/event-stream")],
        events,
    ))
}

fn follow(follower: Follower) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(follower, Follower::next)
}

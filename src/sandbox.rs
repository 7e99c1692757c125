//! A simulated X: the part of X's service that linking an account, uploading a video and posting it
//! touches, good enough to refuse what X refuses.
//!
//! It is a program of its own that speaks only HTTP: it shares no type with the client it tests.
//! Status codes, bodies and limits follow X's documentation and OpenAPI 2.167; where X documents
//! nothing, the stricter reading is simulated and the comment beside it says so.

mod access;
mod answer;
mod append;
mod authorize;
mod disk;
mod exchange;
mod fault;
mod me;
mod media;
mod metadata;
mod pages;
mod posts;
mod processing;
mod request;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod token;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{any, get, post},
};
use hyper::{body::Incoming, server::conn::http1, service::Service, service::service_fn};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

pub use answer::Answer;
pub use exchange::{Exchange, Part, Sent};
pub use fault::{Call, Effect, Fault, Gate, Ordered};
pub use processing::{Processing, ProcessingFailure};
pub use state::{MediaOnX, PostOnX, Subscription, User};

use fault::Struck;
use state::X;

/// Tells the simulator the time; a test hands in one it turns itself.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How a simulated X is set up. [`Settings::new`] gives X's documented values.
#[derive(Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where uploaded media is kept; created when missing.
    pub dir: PathBuf,
    /// The one registered app.
    pub client_id: String,
    /// Its secret; `None` makes it a public client.
    pub client_secret: Option<String>,
    /// Registered callbacks, compared exactly as X does.
    pub redirect_uris: Vec<String>,
    /// Added to every API request, in real time.
    pub latency: Duration,
    /// The clock behind every expiry, window and time stamp.
    pub clock: Clock,
    /// `false` discards uploaded bytes after counting them, for benchmarks.
    pub keep_media: bool,
    /// How long video processing takes.
    pub processing: Processing,
    /// Life of an access token; X gives 7,200 s.
    pub token_life: Duration,
    /// Life of an upload session and its media id; X gives 86,400 s.
    pub media_life: Duration,
    /// Largest `media` part of one append in bytes; above it the answer is 413 with an empty body.
    pub max_chunk: u64,
    /// How long a new post stays absent from the user timeline.
    pub visibility_delay: Duration,
    /// How long the same text with the same media is refused as duplicate; zero never refuses, so
    /// that a test can see a second post.
    pub duplicate_window: Duration,
    /// True if requests beyond X's documented limits per user are refused with 429.
    pub enforce_rate_limits: bool,
    /// Requests of a kind that the whole app may make in 24 hours; of others nothing is said.
    pub app_day: Vec<(Call, u32)>,
}

impl Settings {
    /// X as documented, listening on a free loopback port and keeping media under `dir`.
    #[allow(clippy::disallowed_methods, reason = "the simulator is a program of its own, with its own clock")]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            dir: dir.into(),
            client_id: "sandbox-client".to_owned(),
            client_secret: Some("sandbox-secret".to_owned()),
            redirect_uris: vec!["http://127.0.0.1:8080/api/social/callback".to_owned()],
            latency: Duration::ZERO,
            clock: Arc::new(SystemTime::now),
            keep_media: true,
            processing: Processing { steps: 3, check_after_secs: 1 },
            token_life: Duration::from_secs(7_200),
            media_life: Duration::from_secs(86_400),
            max_chunk: 5_000_000,
            visibility_delay: Duration::ZERO,
            duplicate_window: Duration::from_secs(24 * 3_600),
            enforce_rate_limits: true,
            app_day: Vec::new(),
        }
    }
}

/// A running simulated X; it stops listening when dropped.
///
/// Two people use it from the start: `alice_makes` without a subscription and `bob_films` with
/// Premium.
pub struct Sandbox {
    x: Arc<X>,
    server: AbortOnDropHandle<()>,
}

impl Sandbox {
    /// Starts listening.
    ///
    /// # Errors
    /// When the address cannot be bound or the media folder cannot be made.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        fs::create_dir_all(&settings.dir)?;
        let listener = TcpListener::bind(settings.listen).await?;
        let mut address = listener.local_addr()?;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let url = format!("http://{address}");
        let x = Arc::new(X::new(settings, url));
        let server = tokio::spawn(serve(listener, router(&x)));
        Ok(Self { x, server: AbortOnDropHandle::new(server) })
    }

    /// `http://127.0.0.1:PORT`: people authorise at `{url}/i/oauth2/authorize`, the API answers
    /// under `{url}/2`, a post is seen at `{url}/{username}/status/{id}`.
    ///
    /// A program authorises by posting the form `user={username}&decision=authorize` to the
    /// authorize URL itself; the answer's `location` leads back to the app.
    pub fn url(&self) -> &str {
        &self.x.url
    }

    /// Stops at once, cutting open connections.
    pub async fn shutdown(self) {
        self.server.abort();
        // The only outcome of an aborted task is that it was cancelled.
        let _ = self.server.await;
    }

    /// Registers one more callback.
    pub fn allow_redirect(&self, uri: impl Into<String>) {
        self.x.world().redirect_uris.push(uri.into());
    }

    /// Adds somebody who can authorise the app.
    pub fn add_user(&self, username: &str, name: &str, subscription: Subscription) -> User {
        let id = self.x.next_id();
        self.x.world().add_user(id, username, name, subscription)
    }

    /// Everybody who can authorise the app.
    pub fn users(&self) -> Vec<User> {
        self.x.world().users.clone()
    }

    /// Suspends the account, or lifts the suspension. Unknown names are ignored.
    pub fn set_suspended(&self, username: &str, suspended: bool) {
        if let Some(user) = self.x.world().user_named(username) {
            user.suspended = suspended;
        }
    }

    /// Gives the account another subscription. Unknown names are ignored.
    pub fn set_subscription(&self, username: &str, subscription: Subscription) {
        if let Some(user) = self.x.world().user_named(username) {
            user.subscription = subscription;
        }
    }

    /// Lets every access token expire now; refresh tokens stay good.
    pub fn expire_access_tokens(&self) {
        let now = self.x.now();
        for grant in &mut self.x.world().grants {
            grant.access_expires = now;
        }
    }

    /// Revokes the app's access, as the person can do under "connected apps".
    pub fn revoke_grant(&self, username: &str) {
        let mut world = self.x.world();
        if let Some(id) = world.user_named(username).map(|user| user.id.clone()) {
            world.grants.retain(|grant| grant.user_id != id);
        }
    }

    /// Forgets upload sessions and media not yet posted, as after their expiry.
    pub fn forget_media(&self) {
        for media in self.x.world().media.values_mut() {
            media.expires = SystemTime::UNIX_EPOCH;
        }
    }

    /// How long posts made from now on, and those already made, stay absent from the timeline.
    pub fn set_visibility_delay(&self, delay: Duration) {
        self.x.world().visibility_delay = delay;
    }

    /// How processing of videos goes on from now.
    pub fn set_processing(&self, processing: Processing) {
        self.x.world().processing = processing;
    }

    /// The largest `media` part of one append from now on, in bytes.
    pub fn set_max_chunk(&self, bytes: u64) {
        self.x.world().max_chunk = bytes;
    }

    /// Orders a fault; the handle counts how often it struck.
    pub fn order(&self, fault: Fault) -> Ordered {
        fault::order(&mut self.x.world().orders, fault)
    }

    /// Ends an ordered fault before it has struck as often as it might.
    pub fn lift(&self, ordered: &Ordered) {
        fault::lift(&mut self.x.world().orders, ordered);
    }

    /// Posts a text as its author does in the app. Unknown names are ignored.
    pub fn post_by_hand(&self, username: &str, text: &str) {
        posts::by_hand(&self.x, username, text);
    }

    /// Makes processing of the next finalized video fail; the handle counts when that happened.
    pub fn fail_processing(&self, failure: ProcessingFailure) -> Ordered {
        let ordered = Ordered::default();
        let entry = (failure, ordered.clone());
        self.x.world().processing_failures.push_back(entry);
        ordered
    }

    /// Every post made, oldest first, whether or not the timeline shows it yet.
    pub fn posts(&self) -> Vec<PostOnX> {
        self.x.posts()
    }

    /// The latest API requests with their answers, oldest first; tokens are never kept.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.x.world().exchanges.iter().cloned().collect()
    }

    /// A counter that moves after every request, to wait for a condition instead of sleeping.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.x.changes.subscribe()
    }
}

fn router(x: &Arc<X>) -> Router {
    let calls = Router::new()
        .route("/2/users/me", get(me::me))
        .route("/2/users/{id}/tweets", get(timeline::user_posts))
        .route("/2/tweets", post(posts::create))
        .route("/2/media/upload", get(media::status))
        .route("/2/media/upload/initialize", post(media::initialize))
        .route("/2/media/upload/{id}/append", post(append::append).layer(DefaultBodyLimit::disable()))
        .route("/2/media/upload/{id}/finalize", post(media::finalize))
        .route("/2/media/metadata", post(metadata::describe))
        .route_layer(from_fn_with_state(x.clone(), access::check));
    let api = calls
        .route("/2/oauth2/token", post(token::token))
        .route("/2/oauth2/revoke", post(token::revoke))
        .route("/2/{*rest}", any(|| async { Answer::no_such_route() }))
        .layer(from_fn_with_state(x.clone(), exchange::record));
    let pages = Router::new()
        .route("/i/oauth2/authorize", get(authorize::ask).post(authorize::decide))
        .route("/", get(pages::everyone))
        .route("/{username}", get(pages::profile))
        .route("/{username}/status/{id}", get(pages::post))
        .route("/media/{id}", get(pages::media))
        .route("/avatar/{username}", get(pages::avatar))
        .layer(from_fn(pages::headers));
    api.merge(pages).with_state(x.clone())
}

async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, router.clone())); }
                // Out of file descriptors, most likely: let some connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = router.call(request);
        async move {
            let response = answer.await.map_err(io::Error::other)?;
            match response.extensions().get::<Struck>() {
                // An error from the service makes hyper close the connection without an answer.
                Some(Struck::Dropped) => Err(io::Error::other("dropped as ordered")),
                _ => Ok(response),
            }
        }
    });
    // Failures are the client's to notice: it left, or its connection was dropped as ordered.
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

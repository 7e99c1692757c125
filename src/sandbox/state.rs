//! State of the simulated X.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Processing, ProcessingFailure, Settings,
    access::Window,
    authorize::Code,
    exchange::Exchange,
    fault::{Call, Fault, Ordered},
    media::Media,
    posts::Post,
    token::Grant,
};

/// 4 November 2010, 01:42:54.657 UTC, the epoch of X's ids in Unix milliseconds.
const ID_EPOCH_MS: u64 = 1_288_834_974_657;

/// A person's subscription at X, by the names of `subscription_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Nothing.
    None,
    /// The cheapest one.
    Basic,
    /// Premium.
    Premium,
    /// Premium+.
    PremiumPlus,
}

impl Subscription {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Basic => "Basic",
            Self::Premium => "Premium",
            Self::PremiumPlus => "PremiumPlus",
        }
    }

    pub(super) fn is_premium(self) -> bool {
        matches!(self, Self::Premium | Self::PremiumPlus)
    }
}

/// Somebody with an account on the simulated X.
#[derive(Clone, Debug)]
pub struct User {
    /// Digits, above 2^53.
    pub id: String,
    /// The handle, without `@`.
    pub username: String,
    /// The display name.
    pub name: String,
    /// Decides the text limit.
    pub subscription: Subscription,
    /// True if X refuses every call of this account.
    pub suspended: bool,
}

/// A post as the simulated X holds it.
#[derive(Clone, Debug)]
pub struct PostOnX {
    /// Digits, above 2^53.
    pub id: String,
    /// The author's id.
    pub user_id: String,
    /// The author's handle.
    pub username: String,
    /// The text as it was sent.
    pub text: String,
    /// Attached media, in order.
    pub media: Vec<MediaOnX>,
    /// Restricts replies, in X's own term; everyone may reply when `None`.
    pub reply_settings: Option<String>,
    /// Declared as made with AI.
    pub made_with_ai: bool,
    /// Declared as a paid partnership.
    pub paid_partnership: bool,
    /// When, by the simulator's clock.
    pub created_at: SystemTime,
}

/// A medium attached to a post.
#[derive(Clone, Debug)]
pub struct MediaOnX {
    /// Digits, above 2^53.
    pub id: String,
    /// As the timeline names it.
    pub key: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 of the assembled file in lower-case hex; `None` when media is not kept.
    pub sha256_hex: Option<String>,
    /// Body of the last `POST /2/media/metadata`, as sent; null if there was none.
    pub metadata: Value,
}

/// The simulated service: settings, address, and the changing part behind one lock.
pub(super) struct X {
    pub(super) settings: Settings,
    pub(super) url: String,
    pub(super) changes: watch::Sender<u64>,
    world: Mutex<World>,
}

/// Everything that changes.
pub(super) struct World {
    pub(super) users: Vec<User>,
    pub(super) redirect_uris: Vec<String>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) grants: Vec<Grant>,
    pub(super) media: BTreeMap<u64, Media>,
    pub(super) posts: Vec<Post>,
    pub(super) windows: HashMap<(Call, String), Window>,
    pub(super) orders: Vec<(Fault, Ordered)>,
    pub(super) processing_failures: VecDeque<(ProcessingFailure, Ordered)>,
    pub(super) exchanges: VecDeque<Exchange>,
    pub(super) visibility_delay: Duration,
    pub(super) processing: Processing,
    pub(super) max_chunk: u64,
    last_id: u64,
}

impl X {
    pub(super) fn new(settings: Settings, url: String) -> Self {
        let mut world = World {
            users: Vec::new(),
            redirect_uris: settings.redirect_uris.clone(),
            codes: HashMap::new(),
            grants: Vec::new(),
            media: BTreeMap::new(),
            posts: Vec::new(),
            windows: HashMap::new(),
            orders: Vec::new(),
            processing_failures: VecDeque::new(),
            exchanges: VecDeque::new(),
            visibility_delay: settings.visibility_delay,
            processing: settings.processing,
            max_chunk: settings.max_chunk,
            last_id: 0,
        };
        let alice = 1_580_661_436_132_757_501;
        world.add_user(alice, "alice_makes", "Alice", Subscription::None);
        world.add_user(alice + 1, "bob_films", "Bob", Subscription::Premium);
        Self { settings, url, changes: watch::Sender::new(0), world: Mutex::new(world) }
    }

    /// The world, locked; never held across an await.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.settings.clock)()
    }

    /// An id as X makes them: the milliseconds since X's epoch, then 22 bits. Ids grow even when
    /// the clock does not.
    pub(super) fn next_id(&self) -> u64 {
        let by_clock = epoch_millis(self.now()).saturating_sub(ID_EPOCH_MS) << 22;
        let mut world = self.world();
        world.last_id = by_clock.max(world.last_id + 1);
        world.last_id
    }

    pub(super) fn posts(&self) -> Vec<PostOnX> {
        let world = self.world();
        world.posts.iter().map(|post| world.shown(post)).collect()
    }

    /// Tells those who wait that something may have happened.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl World {
    pub(super) fn add_user(
        &mut self,
        id: u64,
        username: &str,
        name: &str,
        subscription: Subscription,
    ) -> User {
        let user = User {
            id: id.to_string(),
            username: username.to_owned(),
            name: name.to_owned(),
            subscription,
            suspended: false,
        };
        self.users.push(user.clone());
        user
    }

    pub(super) fn user_named(&mut self, username: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.username == username)
    }

    pub(super) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    pub(super) fn shown(&self, post: &Post) -> PostOnX {
        let user = self.user(&post.user_id);
        PostOnX {
            id: post.id.to_string(),
            user_id: post.user_id.clone(),
            username: user.map(|user| user.username.clone()).unwrap_or_default(),
            text: post.text.clone(),
            media: post.media.iter().filter_map(|id| self.media.get(id)).map(Media::shown).collect(),
            reply_settings: post.reply_settings.clone(),
            made_with_ai: post.made_with_ai,
            paid_partnership: post.paid_partnership,
            created_at: post.created_at,
        }
    }
}

pub(super) fn epoch_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn epoch_secs(time: SystemTime) -> u64 {
    epoch_millis(time) / 1_000
}

/// 256 random bits for a code or a token.
pub(super) fn random_token() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

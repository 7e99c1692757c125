//! How processes at one PostgreSQL tell one another that something changed.
//!
//! `NOTIFY` inside a transaction makes all commits of the database wait for one another, disk and all. So it is sent
//! afterwards, by itself, and at most once in a while: it carries no news, only what kinds of change there were. One that
//! is lost costs as long as until the next poll.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::AcqRel},
    },
    time::Duration,
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::store::db::{
    connections::Connections,
    topics::{Counts, Topics},
};

/// How long at least lies between two things told, and between two heard.
const REST: Duration = Duration::from_millis(50);
/// How long a server that does not answer is left alone.
const RECOVERY: Duration = Duration::from_secs(2);

/// How long nothing is heard before the server is asked whether it still knows us, and how long it may take to answer.
const QUIET: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(10);

const CHANNEL: &str = "toall";

/// Kinds of change that are still to be passed on.
#[derive(Default)]
struct News {
    topics: AtomicU32,
    some: Notify,
}

impl News {
    fn add(&self, topics: Topics) {
        self.topics.fetch_or(topics.bits(), AcqRel);
        self.some.notify_one();
    }

    fn take(&self) -> Topics {
        Topics::from_bits(self.topics.swap(0, AcqRel))
    }
}

/// A process's end of the wire; cut when dropped.
pub(crate) struct Wire {
    pool: Connections,
    node: Arc<str>,
    news: Arc<News>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Wire {
    /// Listens from now on on a connection of its own, made by `options`; what others tell shows as `changes`.
    pub(crate) fn join(
        options: PgConnectOptions,
        pool: Connections,
        node: Arc<str>,
        changes: Arc<watch::Sender<Counts>>,
    ) -> Wire {
        let wire = Wire {
            pool: pool.clone(),
            node: node.clone(),
            news: Arc::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let heard = Arc::new(News::default());
        let stop = &wire.stop;
        wire.tasks.spawn(stop.clone().run_until_cancelled_owned(tell(pool, node.clone(), wire.news.clone())));
        wire.tasks.spawn(stop.clone().run_until_cancelled_owned(listen(options, node, heard.clone())));
        wire.tasks.spawn(stop.clone().run_until_cancelled_owned(pass_on(heard, changes)));
        wire.tasks.close();
        wire
    }

    /// Has the others told soon that something of these kinds changed.
    pub(crate) fn tell(&self, topics: Topics) {
        self.news.add(topics);
    }

    /// Neither tells nor listens any more, once the others were told of what was given back at the end.
    pub(crate) async fn cut(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
        let _ = timeout(RECOVERY, tell_once(&self.pool, &self.node, Topics::ALL)).await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn tell(pool: Connections, node: Arc<str>, news: Arc<News>) {
    loop {
        news.some.notified().await;
        let topics = news.take();
        if topics != Topics::NONE {
            tell_once(&pool, &node, topics).await;
        }
        tokio::time::sleep(REST).await;
    }
}

async fn tell_once(pool: &Connections, node: &str, topics: Topics) {
    let payload = format!("{node} {}", topics.names());
    let told = async {
        let mut connection = pool.acquire().await?;
        sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(payload).execute(&mut *connection).await
    };
    let told = told.await;
    if let Err(error) = told {
        tracing::debug!(%error, "the other processes were not told of a change");
    }
}

async fn listen(options: PgConnectOptions, node: Arc<str>, heard: Arc<News>) {
    // One that is taken out again when the connection is lost.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options);
    loop {
        if let Err(error) = hear(&pool, &node, &heard).await {
            tracing::warn!(%error, "what other processes write is seen by polling only, until the database answers");
        }
        tokio::time::sleep(RECOVERY).await;
    }
}

/// Listens until that fails.
async fn hear(pool: &PgPool, node: &str, heard: &News) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // What was told before.
    heard.add(Topics::ALL);
    loop {
        match timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                let (teller, topics) = notification.payload().split_once(' ').unwrap_or_default();
                if teller != node {
                    heard.add(Topics::from_names(topics));
                }
            }
            // The connection was lost, and whatever was told meanwhile with it.
            Ok(lost) => {
                lost?;
                heard.add(Topics::ALL);
            }
            // A connection that a router forgot is silent for ever.
            Err(_) => {
                let alive = sqlx::query("SELECT 1").execute(&mut listener);
                timeout(ANSWER, alive)
                    .await
                    .map_err(|_| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))??;
            }
        }
    }
}

async fn pass_on(heard: Arc<News>, changes: Arc<watch::Sender<Counts>>) {
    loop {
        heard.some.notified().await;
        let topics = heard.take();
        changes.send_modify(|counts| counts.add(topics));
        tokio::time::sleep(REST).await;
    }
}

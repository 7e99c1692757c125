//! Several processes at one PostgreSQL: each in a runtime of its own here, and as real processes in `nodes/processes`.

#[cfg(unix)]
mod processes;

use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;
use toall::{
    app::{App, Role, StartError},
    chat::{Delivery, Incoming},
    clock::Clock,
    config::Config,
    post::State,
    sandbox::{Call, Effect, Fault, Gate, Settings},
    store::HOLD,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};

use crate::{
    bucket::Bucket,
    discord::{DIRECT, Discord},
    postgres::{self, Database},
    telegram::{ALICE, Telegram},
    world::{NOON, PATIENCE, World, person, place, read, sample},
};

const EVERYTHING: [Role; 3] = [Role::Chat, Role::Web, Role::Worker];
/// Longer than a lane is held without a sign of life.
const A_NAP: Duration = Duration::from_secs(61);

/// One process more at the database of a world.
struct Node {
    app: App,
    runtime: Runtime,
}

impl Node {
    async fn start(world: &World, roles: &[Role]) -> Node {
        Node::try_start(world, &world.config, roles).await.unwrap()
    }

    async fn try_start(world: &World, config: &Config, roles: &[Role]) -> Result<Node, StartError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (config, clock, console, roles) =
            (config.clone(), world.clock.clone(), world.console.clone(), roles.to_owned());
        let started = runtime.spawn(async move {
            let listener = match roles.contains(&Role::Web) {
                true => Some(TcpListener::bind("127.0.0.1:0").await.unwrap()),
                false => None,
            };
            App::start_on(&config, &roles, clock, listener, Some(console)).await
        });
        match started.await.unwrap() {
            Ok(app) => Ok(Node { app, runtime }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Ends it between two instructions.
    async fn kill(self) {
        drop(self.app);
        let runtime = self.runtime;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }

    /// Ends it as SIGTERM does.
    async fn stop(self) {
        self.runtime.spawn(self.app.stop()).await.unwrap();
        let runtime = self.runtime;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }
}

/// A world whose rows are in PostgreSQL and whose videos are in a bucket, so that others may join in.
struct Installation {
    world: World,
    _bucket: Bucket,
    _database: Database,
}

/// `None`, and said, where there is no PostgreSQL.
async fn installation(change: impl FnOnce(&mut Settings, &mut Config)) -> Option<Installation> {
    let database = postgres::cluster().await?.database().await;
    let bucket = Bucket::start().await;
    let staging = bucket.settings();
    let world = World::with(|settings, config| {
        config.database.url = database.url.as_str().into();
        config.staging = Some(staging);
        change(settings, config);
    });
    Some(Installation { world: world.await, _bucket: bucket, _database: database })
}

async fn until_polled_by(telegram: &Telegram, count: usize) {
    telegram.wait_for(|telegram| (telegram.calls("getMe").len() == count).then_some(())).await;
}

/// Alice asks the bot for help, and is answered once.
async fn assert_answers_once(telegram: &Telegram) {
    let before = telegram.said(ALICE.id).len();
    telegram.private(ALICE).text("/help");
    telegram.wait_for(|telegram| (telegram.said(ALICE.id).len() > before).then_some(())).await;
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    assert_eq!(telegram.said(ALICE.id).len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_polls_telegram_and_another_does_when_it_is_gone() {
    let telegram = Telegram::start().await;
    let settings = telegram.settings();
    let Some(mut here) = installation(|_, config| config.telegram = Some(settings)).await else { return };
    until_polled_by(&telegram, 1).await;
    let other = Node::start(&here.world, &[Role::Chat]).await;
    assert_answers_once(&telegram).await;
    assert_eq!(telegram.calls("getMe").len(), 1, "the other waits");

    let free_at = here.world.now() + i64::try_from(HOLD.as_millis()).unwrap();
    here.world.kill().await;
    telegram.private(ALICE).text("/help");
    // No more time than is needed: the other's own hold ends as well when the clock jumps, until it prolongs that.
    here.world.clock.set(here.world.now().max(free_at));
    until_polled_by(&telegram, 2).await;
    let answered = |telegram: &Telegram| (telegram.said(ALICE.id).len() == 2).then_some(());
    telegram.wait_for(answered).await;
    assert_answers_once(&telegram).await;

    here.world.boot().await;
    assert_answers_once(&telegram).await;
    assert_eq!(telegram.calls("getMe").len(), 2, "who came back waits");
    // No time passes here: what is given back is taken at once.
    other.stop().await;
    until_polled_by(&telegram, 3).await;
    assert_answers_once(&telegram).await;
}

const EARS: &str = "discord ear:";
const SHARDS: &str = "discord shard of 2: ";

/// Waits until so many names of this kind are held by this process, and so many by others.
async fn until_held(world: &World, kind: &str, ours: usize, theirs: usize) {
    let store = &world.app().store;
    let mut changes = store.changes();
    let held = async {
        loop {
            changes.mark_unchanged();
            let held = store.holdings(kind, world.now()).await.unwrap();
            let mine = held.iter().filter(|held| held.ours).count();
            if (mine, held.len() - mine) == (ours, theirs) {
                return;
            }
            // What is taken is announced to nobody, so a look now and then is the net.
            let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("{kind} are never so shared out"));
}

/// Alice asks on the server and in private, which are of different shards, and is answered once on each.
async fn assert_both_shards_answer_once(discord: &Discord) {
    for channel in ["general", DIRECT] {
        let asked = discord.slash("alice", channel, "help", &[], None).await;
        discord
            .wait_for("the answer", |world| {
                let shown = world.messages.get(&world.interactions[&asked].original?)?;
                (!shown.content.is_empty()).then_some(())
            })
            .await;
        assert_eq!(discord.world().times("POST", &format!("/interactions/{asked}/")).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_runs_its_share_of_the_shards_and_takes_what_another_leaves() {
    let discord = Discord::start(Clock::by_hand(NOON)).await;
    discord.world().gateway.shards = 2;
    let settings = discord.settings();
    let Some(here) = installation(|_, config| config.discord = Some(settings)).await else { return };
    let other = Node::start(&here.world, &[Role::Chat]).await;
    until_held(&here.world, SHARDS, 1, 1).await;
    discord.wait_for("two sessions", |world| (world.gateway.connected() == 2).then_some(())).await;
    assert_both_shards_answer_once(&discord).await;

    let begun = discord.world().gateway.begun.len();
    other.stop().await;
    // Discord wants its sessions begun some seconds apart.
    here.world.pass(Duration::from_secs(6));
    until_held(&here.world, SHARDS, 2, 0).await;
    discord
        .wait_for("the other session", |world| (world.gateway.begun.len() == begun + 1).then_some(()))
        .await;
    assert_both_shards_answer_once(&discord).await;

    // Who runs them all leaves a newcomer its share, at its next look.
    let newcomer = Node::start(&here.world, &[Role::Chat]).await;
    until_held(&here.world, EARS, 1, 1).await;
    here.world.pass(Duration::from_secs(3));
    until_held(&here.world, SHARDS, 1, 1).await;
    discord.wait_for("its session", |world| (world.gateway.begun.len() == begun + 2).then_some(())).await;
    assert_both_shards_answer_once(&discord).await;
    newcomer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_takes_in_another_works_on_and_any_tells_of() {
    let Some(mut here) = installation(|_, _| {}).await else { return };
    here.world = here.world.and_linked().await;
    let program = here.world.program("alice").await;
    here.world.stop().await;
    here.world.boot_as(&[Role::Web]).await;
    let chat = Node::start(&here.world, &[Role::Chat]).await;
    let (gate, held) = here.world.hold(Call::CreatePost);

    let before = here.world.said("alice").len();
    let (done, dealt_with) = oneshot::channel();
    let ask = here.world.post_of("By many hands", &sample());
    let incoming = Incoming { from: person("alice"), at: place("alice"), ask, groups: Vec::new() };
    chat.app.inbox().send(Delivery { incoming, done }).await.unwrap();
    tokio::time::timeout(PATIENCE, dealt_with).await.expect("nobody answers").unwrap();
    let request = here.world.row("alice").await.request;
    let path = format!("uploads/{request}/events");
    let mut events = program.request(Method::GET, &path).send().await.unwrap().bytes_stream();
    assert!(events.next().await.unwrap().is_ok(), "the page follows it");

    let workers =
        [Node::start(&here.world, &[Role::Worker]).await, Node::start(&here.world, &[Role::Worker]).await];
    here.world.until("the creation", |_| held.fired() == 1).await;
    gate.open();
    here.world.settle().await;
    here.world.assert_posted_once("alice", "By many hands", &sample()).await;
    assert_eq!(here.world.said("alice").len(), before + 1, "one status, whoever writes it");
    let mut history = here.world.history("alice");
    assert!(history.iter().filter(|text| text.starts_with("Posted to")).count() == 1, "{history:#?}");
    let shown = history.len();
    history.dedup();
    assert_eq!(history.len(), shown, "nothing is written twice");

    let rest = async {
        let mut rest = String::new();
        while let Some(Ok(bytes)) = events.next().await {
            rest.push_str(&String::from_utf8_lossy(&bytes));
        }
        rest
    };
    let rest = tokio::time::timeout(PATIENCE, rest).await.expect("the stream does not end");
    let last = rest.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    let last: Value = serde_json::from_str(&last["data: ".len()..]).unwrap();
    assert_eq!(last["state"], "posted");
    for node in workers.into_iter().chain([chat]) {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_oversleeps_finds_that_another_process_has_done_it() {
    for call in [Call::Initialize, Call::Append, Call::Status, Call::CreatePost] {
        let Some(mut here) = installation(|_, _| {}).await else { return };
        here.world = here.world.and_linked().await;
        let gate = Gate::closed();
        let held = here.world.x.order(Fault::on(call, Effect::Hold(gate.clone())));
        here.world.post("alice", "Overslept", &sample()).await;
        here.world.until("the held request", |_| held.fired() == 1).await;
        let sleeper = here.world.row("alice").await;
        let other = Node::start(&here.world, &[Role::Worker]).await;
        // The sleeper takes nothing more in, and its step is still under way.
        let stopping = here.world.stop();
        here.world.pass(A_NAP);
        let store = other.app.store.clone();
        let mut changes = store.changes();
        let went_on = async {
            loop {
                changes.mark_unchanged();
                let post = store.posts_of(&person("alice"), 1).await.unwrap().pop().unwrap();
                // The one that sleeps in the creation is not waited for longer than the time to settle.
                if post.state == State::Posted || post.state == State::NeedsUser {
                    return;
                }
                // Between its steps time passes, as much as they ask for.
                match store.next_lane_due().await.unwrap() {
                    Some(due) if due > here.world.now() && store.leased().await.unwrap() == 0 => {
                        here.world.clock.set(due);
                    }
                    _ => changes.changed().await.unwrap(),
                }
            }
        };
        tokio::time::timeout(PATIENCE, went_on).await.unwrap_or_else(|_| panic!("{call:?}: {sleeper:?}"));
        gate.open();
        stopping.await;
        other.stop().await;
        here.world.boot().await;
        here.world.settle().await;
        here.world.assert_posted_once("alice", "Overslept", &sample()).await;
        assert_eq!(here.world.requests(Call::CreatePost).len(), 1, "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_posts_on_two_processes_refresh_a_token_once() {
    let Some(mut here) = installation(|_, _| {}).await else { return };
    here.world = here.world.and_linked().await;
    let other = Node::start(&here.world, &EVERYTHING).await;
    here.world.pass(Duration::from_secs(3 * 3_600));
    for number in 0..8 {
        here.world.post("alice", &format!("Number {number}"), &sample()).await;
    }
    here.world.settle().await;
    let texts: Vec<_> = here.world.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts.len(), 8, "{texts:?}");
    assert_eq!(here.world.requests(Call::Refresh).len(), 1);
    let told = here.world.said("alice").into_iter().map(|shown| read(&shown.message));
    assert_eq!(told.filter(|text| text.starts_with("Posted to")).count(), 8);
    other.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_keep_videos_elsewhere_is_refused() {
    let Some(cluster) = postgres::cluster().await else { return };
    let database = cluster.database().await;
    let world = World::with(|_, config| {
        config.database.url = database.url.as_str().into();
        config.security.encryption_key =
            Some("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned().into());
    });
    let world = world.await;
    let refused = async |config: &Config, roles: &[Role]| {
        Node::try_start(&world, config, roles).await.err().expect("it is let in").to_string()
    };
    let said = refused(&world.config, &EVERYTHING).await;
    assert!(said.contains("is in use by another toall process. Stop that one first"), "{said}");
    let said = refused(&world.config, &[Role::Worker]).await;
    assert!(
        said.contains("Name a bucket in [staging], the same for all of them; or leave out --role."),
        "{said}"
    );
    let elsewhere = tempfile::TempDir::new().unwrap();
    let config = Config { data_dir: elsewhere.path().to_owned(), ..world.config.clone() };
    let said = refused(&config, &EVERYTHING).await;
    assert!(
        said.starts_with("Another process at this database keeps videos in an embedded storage"),
        "{said}"
    );
    let bucket = Bucket::start().await;
    let config = Config { staging: Some(bucket.settings()), ..config };
    let said = refused(&config, &EVERYTHING).await;
    assert!(said.contains("this one would keep them in the bucket videos at http://"), "{said}");
    // Some seconds after the first has gone, nobody says otherwise.
    let mut world = world;
    world.stop().await;
    world.pass(HOLD);
    let node = Node::try_start(&world, &config, &[Role::Worker]).await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_app_s_day_is_used_up_uploads_go_on_and_posts_wait_for_the_next() {
    let world =
        World::with(|settings, _| settings.app_day = vec![(Call::CreatePost, 2)]).await.and_linked().await;
    for number in 0..3 {
        let said = world.said("alice").len();
        world.post("alice", &format!("Number {number}"), &sample()).await;
        world
            .until("it is posted or waits", |world| {
                let text = world.last_text("alice");
                world.said("alice").len() > said
                    && (text.starts_with("Posted to") || text.starts_with("X asks for a pause"))
            })
            .await;
    }
    assert_eq!(world.requests(Call::Finalize).len(), 3, "uploads go on");
    assert_eq!(world.requests(Call::CreatePost).len(), 2, "X is not asked in vain");
    let waits = world.row("alice").await;
    let Some(toall::post::Waiting::RateLimit { until }) = waits.waiting else { panic!("{waits:?}") };
    assert!(until - world.now() > 23 * 3_600_000, "until X gives more");
    world.settle().await;
    assert_eq!(world.x.posts().len(), 3);
    assert_eq!(world.requests(Call::CreatePost).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_rest_of_the_app_s_day_does_not_hold_is_not_begun_in_part() {
    // Three segments make the film. One at a time, so that X's words on what is left come in their order.
    let world = World::with(|settings, config| {
        settings.app_day = vec![(Call::Append, 4)];
        config.worker.upload_parallelism = 1;
    });
    let world = world.await.and_linked().await;
    let film = world.film(9_000_000);
    world.post("alice", "In time", &film).await;
    world.until("the first", |world| world.last_text("alice").starts_with("Posted to")).await;
    world.post("alice", "Too much", &film).await;
    world.until("the pause", |world| world.last_text("alice").starts_with("X asks for a pause")).await;
    assert_eq!(world.requests(Call::Append).len(), 3, "one more would be of no use");
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
    assert_eq!(world.requests(Call::Append).len(), 6);
}

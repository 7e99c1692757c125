//! What several processes share: names, messages to write, and the last of the app's day.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Kept, NOW,
    people::{accept, link, message, person, place},
    script,
};
use crate::{
    account::{AccountId, MessageRef},
    clock::Clock,
    post::{Pause, Post, State, Waiting},
    store::{Closed, HOLD, Holding, LEASE, Need, Store, StoreError, Vault, db::engine::query},
};

/// How long anything may take in real time before the test is given up.
const PATIENCE: Duration = Duration::from_secs(20);
const HELD_MS: i64 = HOLD.as_millis() as i64;

async fn open(kept: &Kept) -> Store {
    kept.open(Vault::new(&[7; 32])).await
}

#[tokio::test]
async fn a_name_is_one_process_s_until_its_time_is_over_or_it_is_given_up() {
    let kept = Kept::new().await;
    let store = open(&kept).await;
    let hold = async |who, at| store.hold("poller", who, at).await.unwrap();
    assert_eq!(hold("one", NOW).await, Some(1));
    assert_eq!(hold("other", NOW + HELD_MS - 1).await, None);
    assert_eq!(hold("one", NOW + 10).await, Some(1), "prolonged");
    assert_eq!(hold("other", NOW + HELD_MS).await, None);
    assert!(!store.is_free("poller", "other", NOW + HELD_MS).await.unwrap());
    assert!(store.is_free("poller", "other", NOW + 10 + HELD_MS).await.unwrap());
    assert_eq!(hold("other", NOW + 10 + HELD_MS).await, Some(2));
    assert_eq!(hold("one", NOW + 10 + HELD_MS).await, None);
    store.give_up("poller", "one", 1).await.unwrap();
    assert_eq!(hold("one", NOW + 10 + HELD_MS).await, None, "what is not one's own cannot be given up");
    store.give_up("poller", "other", 2).await.unwrap();
    assert_eq!(hold("one", NOW + 10 + HELD_MS).await, Some(3), "at once");
    let late = NOW + 10 + 2 * HELD_MS;
    assert_eq!(
        store.holdings("pol", late - 1).await.unwrap(),
        [Holding { name: "ler".to_owned(), ours: false }]
    );
    assert_eq!(store.holdings("pol", late).await.unwrap(), []);
}

#[tokio::test]
async fn all_go_by_the_same_thing_until_the_last_has_left() {
    let kept = Kept::new().await;
    let store = open(&kept).await;
    let agree = async |thing, at| store.agree("storage", thing, at).await.unwrap();
    assert_eq!(agree("a bucket", NOW).await, None);
    assert_eq!(agree("a bucket", NOW + 5).await, None);
    assert_eq!(agree("another", NOW + HELD_MS).await.as_deref(), Some("a bucket"));
    assert_eq!(agree("another", NOW + 5 + HELD_MS).await, None);
    assert_eq!(agree("a bucket", NOW + 5 + HELD_MS).await.as_deref(), Some("another"));
}

/// A process that does some work while it is its turn.
struct Process {
    store: Store,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), Infallible>>,
}

/// Who is at work.
#[derive(Clone, Default)]
struct Work {
    at_once: Arc<AtomicUsize>,
    who: Arc<watch::Sender<Option<&'static str>>>,
}

impl Work {
    async fn begin(&self, kept: &Kept, clock: &Clock, name: &'static str) -> Process {
        let (store, stop) = (open(kept).await, CancellationToken::new());
        let (work, clock) = (self.clone(), clock.clone());
        let running = tokio::spawn({
            let (store, stop) = (store.clone(), stop.clone());
            async move {
                let doing = |told: CancellationToken| {
                    let work = work.clone();
                    async move {
                        let before = work.at_once.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(before, 0, "two at once");
                        work.who.send_replace(Some(name));
                        told.cancelled().await;
                        work.who.send_replace(None);
                        work.at_once.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    }
                };
                store.on_duty("work", &clock, &stop, doing).await
            }
        });
        Process { store, stop, running }
    }

    async fn until(&self, who: Option<&'static str>) {
        let mut seen = self.who.subscribe();
        let waited = timeout(PATIENCE, seen.wait_for(|now| *now == who)).await;
        waited.unwrap_or_else(|_| panic!("{who:?} is never at work")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_goes_to_the_next_at_once_after_a_stop_and_in_seconds_after_a_death() {
    let Some(kept) = Kept::on_postgres().await else { return };
    let (work, clock) = (Work::default(), Clock::by_hand(NOW));
    let first = work.begin(&kept, &clock, "first").await;
    work.until(Some("first")).await;
    let second = work.begin(&kept, &clock, "second").await;
    first.stop.cancel();
    first.running.await.unwrap().unwrap();
    work.until(Some("second")).await;

    let third = work.begin(&kept, &clock, "third").await;
    second.running.abort();
    let _ = second.running.await;
    // Nobody has said that it is over.
    work.at_once.store(0, Ordering::SeqCst);
    clock.set(NOW + HELD_MS - 1);
    assert!(!third.store.is_free("work", "third", clock.now_ms()).await.unwrap());
    // Whoever waits has looked a moment before, and looks again after this long.
    clock.set(NOW + HELD_MS + 3_000);
    work.until(Some("third")).await;
    third.stop.cancel();
    third.running.await.unwrap().unwrap();
    assert!(second.store.is_free("work", "anybody", NOW).await.unwrap(), "given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_ends_when_its_name_is_lost_or_the_database_is_away() {
    let Some(lost) = Kept::on_postgres().await else { return };
    let away = Kept::on_postgres().await.unwrap();
    let clock = Clock::by_hand(NOW);
    let lost = async {
        let work = Work::default();
        let process = work.begin(&lost, &clock, "it").await;
        work.until(Some("it")).await;
        let held: i64 = query("SELECT due_at FROM leases").fetch_value(&process.store.read).await.unwrap();
        script(&process.store, "UPDATE leases SET owner = 'another', epoch = epoch + 1").await;
        work.until(None).await;
        // The other dies, and it is taken up again.
        clock.set(held);
        work.until(Some("it")).await;
        process.stop.cancel();
        process.running.await.unwrap().unwrap();
    };
    let away = async {
        let work = Work::default();
        let process = work.begin(&away, &clock, "it").await;
        work.until(Some("it")).await;
        let since = Instant::now();
        process.store.close().await;
        work.until(None).await;
        assert!(since.elapsed() < HOLD, "before another may have taken over");
        process.stop.cancel();
        process.running.await.unwrap().unwrap();
    };
    tokio::join!(lost, away);
}

#[tokio::test]
async fn a_message_is_one_process_s_to_write_and_a_late_word_is_written_over() {
    let Some(kept) = Kept::on_postgres().await else { return };
    let (one, other) = (open(&kept).await, open(&kept).await);
    link(&one, "alice", "alice").await;
    script(&one, "DELETE FROM notices").await;
    let post = accept(&one, "alice", "alice").await;
    let taken = one.due_statuses(crate::account::Platform::Telegram, NOW, 50).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(other.due_statuses(crate::account::Platform::Telegram, NOW, 50).await.unwrap().len(), 0);
    // The first sleeps until its turn is over.
    let later = NOW + 30_000;
    let taken_later = other.due_statuses(crate::account::Platform::Telegram, later, 50).await.unwrap();
    assert_eq!(taken_later.len(), 1);
    let at = |id: &str| MessageRef { chat: "chat of alice".to_owned(), message: id.to_owned() };
    other.status_shown(&taken_later[0], Some(&at("1")), later, None).await.unwrap();
    assert_eq!(one.next_message_due().await.unwrap(), None);
    one.status_shown(&taken[0], Some(&at("2")), later, None).await.unwrap();
    let again = other.due_statuses(crate::account::Platform::Telegram, later, 50).await.unwrap();
    assert_eq!(again.len(), 1, "what a sleeper wrote may be old");
    assert_eq!((again[0].post.id, again[0].shown_at.as_ref()), (post, Some(&at("1"))));
    // The sleeper's word comes while another writes, who keeps its turn and writes once more.
    one.status_shown(&taken[0], Some(&at("2")), later, None).await.unwrap();
    assert!(!other.status_shown(&again[0], Some(&at("1")), later, None).await.unwrap(), "written over");
    let again = other.due_statuses(crate::account::Platform::Telegram, later, 50).await.unwrap();
    assert_eq!(again.len(), 1, "due at once");
    // What it would put off or forget is another's by now.
    one.status_later(&taken[0], later + 9, true).await.unwrap();
    one.status_not_before(&taken[0], later + 9).await.unwrap();
    assert!(other.status_shown(&again[0], Some(&at("1")), later, None).await.unwrap());
    assert_eq!(one.next_message_due().await.unwrap(), None);

    let mut tx = one.begin().await.unwrap();
    one.notify(&mut tx, &place("alice"), &message("alice"), NOW).await.unwrap();
    tx.commit().await.unwrap();
    let [late] = &one.due_notices(crate::account::Platform::Telegram, NOW, 50).await.unwrap()[..] else {
        panic!("a notice")
    };
    assert_eq!(other.due_notices(crate::account::Platform::Telegram, NOW, 50).await.unwrap().len(), 0);
    let [notice] = &other.due_notices(crate::account::Platform::Telegram, later, 50).await.unwrap()[..]
    else {
        panic!("the late one's notice")
    };
    one.notice_later(late, later).await.unwrap();
    assert_eq!(
        one.due_notices(crate::account::Platform::Telegram, later, 50).await.unwrap().len(),
        0,
        "it is the other's"
    );
    other.notice_done(notice).await.unwrap();
    assert_eq!(one.next_message_due().await.unwrap(), None);
}

#[tokio::test]
async fn a_lease_that_is_over_writes_nothing_whoever_has_the_lane_now() {
    let Some(kept) = Kept::on_postgres().await else { return };
    let (one, other) = (open(&kept).await, open(&kept).await);
    let lost = |written: Result<(), StoreError>| {
        assert!(matches!(written, Err(StoreError::LeaseLost)), "{written:?}")
    };
    for (name, next) in [("alice", &other), ("bob", &one)] {
        link(&one, name, name).await;
        let id = accept(&one, name, name).await;
        let sleeper = one.claim(NOW).await.unwrap().unwrap();
        let later = NOW + i64::try_from(LEASE.as_millis()).unwrap();
        let awake = next.claim(later).await.unwrap().unwrap();
        assert_eq!((sleeper.post.id, awake.post.id), (id, id));

        let mut late = sleeper.post.clone();
        late.state = State::Publishing;
        lost(one.renew(&sleeper, later).await);
        lost(one.begin_refresh(&sleeper, later).await);
        lost(one.staged_so_far(&sleeper, 1, later).await);
        lost(one.intend(&sleeper, later).await.map(drop));
        lost(one.save(&sleeper, &late, None, "goes_on", later).await);
        lost(one.give_back(&sleeper, later).await);
        let post = one.post(id).await.unwrap().unwrap();
        assert_eq!((post.state, post.bytes, post.intent_at), (State::Staging, sleeper.post.bytes, None));

        next.give_back(&awake, later).await.unwrap();
        lost(next.intend(&awake, later).await.map(drop));
        one.cancel(&person(name), id, later).await.unwrap();
    }
}

/// A clock that was ahead has written them.
#[tokio::test]
async fn a_moment_yet_to_come_counts_from_now() {
    let kept = Kept::new().await;
    let store = open(&kept).await;
    link(&store, "alice", "alice").await;
    accept(&store, "alice", "alice").await;
    let lease = store.claim(NOW).await.unwrap().unwrap();
    let since = NOW + 3_600_000;
    let post = Post {
        trouble_since: Some(since),
        processing_since: Some(since),
        refused_since: Some(since),
        intent_at: Some(since),
        first_intent_at: Some(since),
        waiting: Some(Waiting::FileNotFound { since, tries: 2, until: NOW }),
        ..lease.post.clone()
    };
    store.save(&lease, &post, Some(NOW), "waits", NOW).await.unwrap();
    let post = store.claim(NOW + 1).await.unwrap().unwrap().post;
    let moments =
        [post.trouble_since, post.processing_since, post.refused_since, post.intent_at, post.first_intent_at];
    assert_eq!(moments, [Some(NOW + 1); 5]);
    assert_eq!(post.waiting, Some(Waiting::FileNotFound { since: NOW + 1, tries: 2, until: NOW }));
}

#[tokio::test]
async fn a_lane_that_nobody_would_look_at_is_found_once() {
    let kept = Kept::new().await;
    let store = open(&kept).await;
    link(&store, "alice", "alice").await;
    accept(&store, "alice", "alice").await;
    assert_eq!(store.rearm_stranded(NOW).await.unwrap(), 0);
    script(&store, "UPDATE x_accounts SET due_at = NULL").await;
    assert_eq!(store.claim(NOW).await.unwrap().map(|lease| lease.account), None);
    assert_eq!(store.rearm_stranded(NOW).await.unwrap(), 1);
    assert_eq!(store.rearm_stranded(NOW).await.unwrap(), 0);
    assert!(store.claim(NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn the_last_of_the_app_s_day_goes_round_by_turns() {
    let kept = Kept::new().await;
    let store = open(&kept).await;
    for name in ["alice", "bob"] {
        link(&store, name, name).await;
        accept(&store, name, name).await;
    }
    script(
        &store,
        "UPDATE posts SET state = 'publishing';
         UPDATE x_accounts SET current_post_id = (SELECT id FROM posts WHERE account_id = x_accounts.id)",
    )
    .await;
    let (alice, bob) = (AccountId("at alice".to_owned()), AccountId("at bob".to_owned()));
    let ask = async |account| {
        let need = Need { call: "POST", account, step: State::Publishing, calls: 1 };
        store.use_day(need, NOW).await.unwrap()
    };
    let until = |until| Some(Closed { why: Pause::RateLimit, until });
    assert_eq!(ask(&alice).await, None, "X has said nothing");
    let resets_at = NOW + 3_600_000;
    store.keep_day("POST", 100, 6, resets_at).await.unwrap();
    for _ in 0..9 {
        assert_eq!(ask(&alice).await, None, "there is plenty, and X counts");
    }
    store.keep_day("POST", 100, 5, resets_at).await.unwrap();
    assert_eq!(ask(&alice).await, None);
    assert_eq!(ask(&alice).await, until(NOW + 30_000), "it is bob's turn");
    assert_eq!(ask(&bob).await, None);
    assert_eq!(ask(&alice).await, None);
    assert_eq!(ask(&bob).await, None);
    // Nobody waits for who cannot post.
    script(&store, "UPDATE posts SET state = 'canceled', due_at = NULL WHERE account_id = 'at bob'").await;
    assert_eq!(ask(&alice).await, None);
    assert_eq!(ask(&alice).await, until(resets_at), "all is used up");
    let need = Need { call: "POST", account: &alice, step: State::Publishing, calls: 1 };
    store.unused(need, NOW).await.unwrap();
    assert_eq!(ask(&alice).await, None, "one was not used");
    assert_eq!(store.use_day(need, resets_at).await.unwrap(), None, "the next day");
}

#[tokio::test]
async fn what_one_process_uses_of_the_app_s_day_every_other_counts() {
    let Some(kept) = Kept::on_postgres().await else { return };
    let (one, other) = (open(&kept).await, open(&kept).await);
    let alice = AccountId("at alice".to_owned());
    let need = Need { call: "POST", account: &alice, step: State::Publishing, calls: 1 };
    let resets_at = NOW + 3_600_000;
    one.keep_day("POST", 100, 2, resets_at).await.unwrap();
    assert_eq!(other.use_day(need, NOW).await.unwrap(), None);
    assert_eq!(one.use_day(need, NOW).await.unwrap(), None);
    let over = Some(Closed { why: Pause::RateLimit, until: resets_at });
    assert_eq!(other.use_day(need, NOW).await.unwrap(), over);
    other.unused(need, NOW).await.unwrap();
    assert_eq!(one.use_day(need, NOW).await.unwrap(), None, "given back by another");
    assert_eq!(one.use_day(need, NOW).await.unwrap(), over);
}

#[tokio::test]
async fn whoever_waits_for_a_message_hears_that_it_was_put_off() {
    let kept = Kept::new().await;
    let store = open(&kept).await;
    link(&store, "alice", "alice").await;
    accept(&store, "alice", "alice").await;
    let job = store.due_statuses(crate::account::Platform::Telegram, NOW, 1).await.unwrap().pop().unwrap();
    let mut changes = store.changes();
    changes.mark_unchanged();
    store.status_not_before(&job, NOW + 50).await.unwrap();
    assert!(changes.has_changed().unwrap());
}

//! What two processes do to the same rows at the same moment, in an order that the test sets.
//!
//! A third session holds what both will wait for. When the first waits, the second begins; when both wait, it lets go,
//! and PostgreSQL serves them in that order. SQLite lets one in at a time, so nothing of this can come up there.

use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    Kept, NOW,
    people::{accept, link, message, new_post, pending, person},
};
use crate::{
    account::{AccountId, PersonRef, Platform},
    config::Limits,
    post::{Mills, NewPost, OverLimit, Pause, Post, PostId, State},
    store::{
        Accepted, Answered, Closed, Handed, Need, Repeatable, Store, StoreError, Upload, UploadId, Vault,
        db::engine::{Pool, query},
        maintenance::rekey::Resealed,
    },
    ticket::Ticket,
};

/// Two processes at one database, and a session to hold them up with.
struct Two {
    one: Store,
    other: Store,
    kept: Kept,
}

fn vault() -> Vault {
    Vault::new(&[7; 32])
}

impl Two {
    async fn new() -> Option<Two> {
        let kept = Kept::on_postgres().await?;
        Some(Two { one: kept.open(vault()).await, other: kept.open(vault()).await, kept })
    }

    async fn session(&self) -> PgConnection {
        let Kept::Postgres(database) = &self.kept else { unreachable!() };
        PgConnection::connect(&database.url).await.unwrap()
    }

    /// Has both begin while `held` is held, one after the other, and returns what came of each.
    async fn at_once<A, B>(
        &self,
        held: &str,
        first: impl Future<Output = A>,
        second: impl Future<Output = B>,
    ) -> (A, B) {
        let mut holder = self.session().await;
        let hold = format!("BEGIN; {held}");
        sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut holder).await.unwrap();
        let second = async {
            self.until_waiting(1).await;
            second.await
        };
        let let_go = async {
            self.until_waiting(2).await;
            sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
        };
        let (a, b, ()) = tokio::join!(first, second, let_go);
        (a, b)
    }

    /// Waits until so many sessions wait for a lock.
    async fn until_waiting(&self, sessions: i64) {
        self.until_there_are(sessions, "wait_event_type = 'Lock'").await;
    }

    /// Waits until so many sessions of this database are as said.
    async fn until_there_are(&self, sessions: i64, so: &str) {
        let mut watcher = self.session().await;
        let ask =
            format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {so}");
        for _ in 0..1_000 {
            let statement = AssertSqlSafe(ask.clone());
            let there: i64 = sqlx::query_scalar(statement).fetch_one(&mut watcher).await.unwrap();
            if there == sessions {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never were there {sessions} sessions with {so}");
    }

    /// Lanes that rest although a post on them is to be worked on.
    async fn stranded(&self) -> i64 {
        query(
            "SELECT count(*) FROM posts p JOIN x_accounts a ON a.id = p.account_id
              WHERE p.due_at IS NOT NULL AND a.due_at IS NULL",
        )
        .fetch_value(&self.one.read)
        .await
        .unwrap()
    }
}

const LANE: &str = "SELECT 1 FROM x_accounts FOR UPDATE";
const PERSON: &str = "SELECT 1 FROM users FOR UPDATE";
const LIMITS: &str = "SELECT 1 FROM limits FOR UPDATE";

#[tokio::test]
async fn a_post_that_comes_while_its_lane_is_let_go_is_not_stranded() {
    for release_first in [true, false] {
        let Some(two) = Two::new().await else { return };
        link(&two.one, "alice", "alice").await;
        accept(&two.one, "alice", "alice").await;
        let lease = two.one.claim(NOW).await.unwrap().unwrap();
        let done = Post { state: State::Canceled, ..lease.post.clone() };

        // The step ends its post and leaves the lane with nothing to do, as far as it can see.
        let release = async { two.one.save(&lease, &done, None, "done", NOW).await.unwrap() };
        let enqueue = accept(&two.other, "alice", "alice");
        match release_first {
            true => _ = two.at_once(LANE, release, enqueue).await,
            false => _ = two.at_once(LANE, enqueue, release).await,
        }

        assert_eq!(two.stranded().await, 0, "release first: {release_first}");
        assert!(two.other.claim(NOW).await.unwrap().is_some(), "release first: {release_first}");
    }
}

#[tokio::test]
async fn a_post_that_comes_between_a_release_and_its_commit_is_not_stranded() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    accept(&two.one, "alice", "alice").await;
    let lease = two.one.claim(NOW).await.unwrap().unwrap();
    let done = Post { state: State::Canceled, ..lease.post.clone() };
    // A release stands still once it has written the lane, for as long as this lock is held.
    let stop = "CREATE FUNCTION stand() RETURNS trigger AS $$
                    BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$ LANGUAGE plpgsql;
                CREATE TRIGGER stand AFTER UPDATE OF lease_owner ON x_accounts FOR EACH ROW
                   WHEN (NEW.lease_owner IS NULL AND OLD.lease_owner IS NOT NULL) EXECUTE FUNCTION stand()";
    sqlx::raw_sql(stop).execute(&mut two.session().await).await.unwrap();

    let release = async { two.one.save(&lease, &done, None, "done", NOW).await.unwrap() };
    let enqueue = accept(&two.other, "alice", "alice");
    two.at_once("SELECT pg_advisory_xact_lock(1)", release, enqueue).await;

    assert_eq!(two.stranded().await, 0);
    assert!(two.other.claim(NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn a_post_that_comes_while_its_account_is_linked_again_is_not_stranded() {
    for link_first in [true, false] {
        let Some(two) = Two::new().await else { return };
        link(&two.one, "alice", "alice").await;
        let account = pending("alice").profile.id;
        let (_, rev) = two.one.tokens(&account).await.unwrap().unwrap();
        assert!(two.one.mark_broken(&account, rev, NOW).await.unwrap());

        let relink = async { link(&two.one, "bob", "alice").await };
        let enqueue = accept(&two.other, "alice", "alice");
        match link_first {
            true => _ = two.at_once(LANE, relink, enqueue).await,
            false => _ = two.at_once(LANE, enqueue, relink).await,
        }

        assert_eq!(two.stranded().await, 0, "link first: {link_first}");
    }
}

#[tokio::test]
async fn a_lane_that_somebody_writes_to_is_passed_over_not_waited_for() {
    let Some(two) = Two::new().await else { return };
    for name in ["alice", "bob"] {
        link(&two.one, name, name).await;
        accept(&two.one, name, name).await;
    }
    let mut holder = two.session().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM x_accounts WHERE id = 'at alice' FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let lease = two.one.claim(NOW).await.unwrap().expect("the other lane");
    assert_eq!(lease.account, pending("bob").profile.id);
    assert!(two.other.claim(NOW).await.unwrap().is_none());
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    let lease = two.other.claim(NOW).await.unwrap().expect("the lane that was held");
    assert_eq!(lease.account, pending("alice").profile.id);
    assert!(two.one.claim(NOW).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_step_found_is_refused_after_its_post_was_cancelled_at_the_same_moment() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    let id = accept(&two.one, "alice", "alice").await;
    let lease = two.one.claim(NOW).await.unwrap().unwrap();

    let alice = person("alice");
    let cancel = two.other.cancel(&alice, id, NOW);
    let intend = two.one.intend(&lease, NOW);
    let (canceled, intended) = two.at_once(LANE, cancel, intend).await;

    assert_eq!(canceled.unwrap(), Answered::Done);
    assert!(matches!(intended, Err(StoreError::LeaseLost)), "{intended:?}");
    let post = two.one.post(id).await.unwrap().unwrap();
    assert_eq!((post.state, post.intent_at), (State::Canceled, None));
}

#[tokio::test]
async fn a_post_that_is_being_made_at_the_same_moment_is_not_cancelled() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    let id = accept(&two.one, "alice", "alice").await;
    let lease = two.one.claim(NOW).await.unwrap().unwrap();

    let intend = two.one.intend(&lease, NOW);
    let alice = person("alice");
    let cancel = two.other.cancel(&alice, id, NOW);
    let (intended, canceled) = two.at_once(LANE, intend, cancel).await;

    intended.unwrap();
    assert_eq!(canceled.unwrap(), Answered::TooLate);
}

#[tokio::test]
async fn two_posts_at_once_do_not_slip_through_a_persons_limit() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    link(&two.one, "alice", "bob").await;
    let limits = Limits { in_flight_per_person: Some(1), ..Limits::default() };
    let (first, second) = (new_post("alice", "alice"), new_post("alice", "bob"));
    let first = two.one.accept(&first, &limits, NOW);
    let second = two.other.accept(&second, &limits, NOW);
    let (first, second) = two.at_once(PERSON, first, second).await;
    assert_eq!(first.unwrap(), Accepted::New);
    assert_eq!(second.unwrap(), Accepted::Over(OverLimit::InFlight { limit: 1 }));
}

#[tokio::test]
async fn two_people_at_once_do_not_slip_through_the_budget() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    link(&two.one, "bob", "bob").await;
    let limits = Limits { monthly_budget: Some(Mills(20)), ..Limits::default() };
    let (first, second) = (new_post("alice", "alice"), new_post("bob", "bob"));
    let first = two.one.accept(&first, &limits, NOW);
    let second = two.other.accept(&second, &limits, NOW);
    let (first, second) = two.at_once("SELECT 1 FROM installation FOR UPDATE", first, second).await;
    assert_eq!(first.unwrap(), Accepted::New);
    let second = second.unwrap();
    assert!(matches!(second, Accepted::Over(OverLimit::Budget { left: Mills(5), .. })), "{second:?}");
}

#[tokio::test]
async fn a_message_that_comes_twice_at_once_is_one_post() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    let new = new_post("alice", "alice");
    let again = NewPost { id: PostId(Uuid::now_v7()), ..new.clone() };
    let limits = Limits::default();
    let first = two.one.accept(&new, &limits, NOW);
    let second = two.other.accept(&again, &limits, NOW);
    let (first, second) = two.at_once(PERSON, first, second).await;
    assert_eq!((first.unwrap(), second.unwrap()), (Accepted::New, Accepted::Already));
}

#[tokio::test]
async fn a_request_that_comes_twice_at_once_is_answered_alike() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    let upload = Upload {
        id: UploadId(Uuid::now_v7()),
        filename: String::new(),
        content_type: String::new(),
        size: None,
        part_bytes: None,
        multipart: None,
        bytes: None,
        expires_at: NOW + 1,
    };
    let alice = person("alice");
    two.one.begin_upload(&alice, &upload, &Limits::default(), NOW).await.unwrap();
    let key = Repeatable { key: "k".to_owned(), body_hash: "h".to_owned(), expires_at: NOW + 1 };
    let limits = Limits::default();
    let (one, other) = ([new_post("alice", "alice")], [new_post("alice", "alice")]);
    let first = two.one.hand_over(&alice, upload.id, &one, Some(&key), &limits, NOW);
    let second = two.other.hand_over(&alice, upload.id, &other, Some(&key), &limits, NOW);
    let (first, second) = two.at_once(PERSON, first, second).await;
    assert_eq!(first.unwrap(), Handed::New(one[0].request));
    assert_eq!(second.unwrap(), Handed::Repeated(one[0].request));
}

#[tokio::test]
async fn a_ticket_that_is_shown_twice_at_once_lets_one_in() {
    let Some(two) = Two::new().await else { return };
    let ticket = Ticket::draw().unwrap();
    two.one.keep_pending(&ticket, &pending("alice"), NOW + 1).await.unwrap();
    let choices = Default::default();
    let first = two.one.confirm_pending(&ticket, &choices, |_| message("alice"), NOW);
    let second = two.other.take_pending(&ticket, NOW);
    let (first, second) = two.at_once("SELECT 1 FROM tickets FOR UPDATE", first, second).await;
    assert!(first.unwrap().is_some());
    assert!(second.unwrap().is_none());
}

#[tokio::test]
async fn an_account_that_is_disconnected_at_the_same_moment_takes_no_post() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    let (alice, account) = (person("alice"), pending("alice").profile.id);
    let (new, limits) = (new_post("alice", "alice"), Limits::default());
    let unlink = two.one.unlink(&alice, &account, NOW);
    let enqueue = two.other.accept(&new, &limits, NOW);
    let (unlinked, accepted) = two.at_once(PERSON, unlink, enqueue).await;
    assert!(unlinked.unwrap().is_some());
    assert_eq!(accepted.unwrap(), Accepted::NotLinked);
}

#[tokio::test]
async fn one_account_unlinked_by_both_its_people_at_once_is_forgotten() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "shared").await;
    link(&two.one, "bob", "shared").await;
    let account = pending("shared").profile.id;
    let (alice, bob) = (person("alice"), person("bob"));
    let first = two.one.unlink(&alice, &account, NOW);
    let second = two.other.unlink(&bob, &account, NOW);
    let (first, second) = two.at_once(LANE, first, second).await;
    let (first, second) = (first.unwrap().unwrap(), second.unwrap().unwrap());
    assert!(first.others && first.tokens.is_none());
    assert!(!second.others && second.tokens.is_some(), "the last one's are there to be revoked");
    assert!(two.one.tokens(&account).await.unwrap().is_none());
}

#[tokio::test]
async fn a_pause_is_told_once_and_tried_by_one_post() {
    let Some(two) = Two::new().await else { return };
    let operators = [PersonRef { platform: Platform::Telegram, id: "1".to_owned() }];
    let words = message("operators");
    let pause = |store: &Store| {
        let (store, operators, words) = (store.clone(), operators.clone(), words.clone());
        async move { store.pause(Pause::Credits, State::Publishing, &operators, &words, NOW).await.unwrap() }
    };
    // Nothing to wait for yet: the first is held up where it tells.
    let held = "LOCK TABLE incidents IN EXCLUSIVE MODE";
    let (until, _) = two.at_once(held, pause(&two.one), pause(&two.other)).await;
    assert_eq!(two.one.due_notices(crate::account::Platform::Telegram, NOW, 10).await.unwrap().len(), 1);

    let (first, second) = (accepted(&two, "alice").await, accepted(&two, "bob").await);
    let scopes = ["call:create".to_owned(), "account:1:create".to_owned()];
    let first = two.one.closed(&scopes, first, until);
    let second = two.other.closed(&scopes, second, until);
    let (first, second) = two.at_once("SELECT 1 FROM limits FOR UPDATE", first, second).await;
    assert!(first.unwrap().is_none(), "one tries");
    assert!(second.unwrap().is_some(), "the other waits");
}

#[tokio::test]
async fn a_post_that_begins_to_wait_at_the_moment_when_the_pause_ends_goes_on() {
    for end_first in [true, false] {
        let Some(two) = Two::new().await else { return };
        let words = message("operators");
        let until = two.one.pause(Pause::Credits, State::Publishing, &[], &words, NOW).await.unwrap();
        let first = accepted(&two, "alice").await;
        let scopes = ["call:create".to_owned(), "account:1:create".to_owned()];
        assert!(two.one.closed(&scopes, first, until).await.unwrap().is_none(), "it tries");
        let lease = loop {
            let lease = two.other.claim(until).await.unwrap().unwrap();
            if lease.post.id != first {
                break lease;
            }
            accepted(&two, "bob").await;
        };
        let again = until + Pause::Credits.span_ms();
        let waits = Post { waiting: Some(Pause::Credits.waiting(again)), ..lease.post.clone() };

        let end = two.one.resume(first, State::Publishing, &[], &words, until);
        let wait = two.other.save(&lease, &waits, Some(again), "parked", until);
        let held = "SELECT 1 FROM limits FOR UPDATE";
        match end_first {
            true => _ = two.at_once(held, end, wait).await,
            false => _ = two.at_once(held, wait, end).await,
        }

        assert_eq!(two.one.paused().await.unwrap(), None, "end first: {end_first}");
        let post = two.one.post(lease.post.id).await.unwrap().unwrap();
        assert_eq!(post.waiting, None, "end first: {end_first}");
        let lease = two.one.claim(until).await.unwrap().expect("it is due");
        assert_eq!(lease.post.id, post.id, "end first: {end_first}");
    }
}

async fn accepted(two: &Two, name: &str) -> PostId {
    link(&two.one, name, name).await;
    accept(&two.one, name, name).await
}

#[tokio::test]
async fn the_last_of_the_app_s_day_is_used_by_one_of_two_at_once() {
    let Some(two) = Two::new().await else { return };
    let (alice, bob) = (AccountId("at alice".to_owned()), AccountId("at bob".to_owned()));
    let need = |account| Need { call: "POST", account, step: State::Publishing, calls: 1 };
    two.one.keep_day("POST", 100, 1, NOW + 3_600_000).await.unwrap();

    let one = two.one.use_day(need(&alice), NOW);
    let other = two.other.use_day(need(&bob), NOW);
    let (one, other) = two.at_once(LIMITS, one, other).await;

    assert_eq!(one.unwrap(), None);
    assert_eq!(other.unwrap(), Some(Closed { why: Pause::RateLimit, until: NOW + 3_600_000 }));
}

/// Tells when a future that is polled by hand is to be polled again.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_transaction_that_is_given_up_once_it_has_begun_unheard_holds_nothing() {
    const BEGUN: &str = "SELECT count(*) FROM pg_stat_activity
                          WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let Some(two) = Two::new().await else { return };
    let mut watcher = two.session().await;
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut begin = Box::pin(two.one.begin());
    // The server says that it has begun before it answers, and the answer is not read until the next poll.
    loop {
        assert!(begin.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        tokio::time::timeout(Duration::from_secs(10), woken.0.notified()).await.expect("it is answered");
        let begun: i64 = sqlx::query_scalar(BEGUN).fetch_one(&mut watcher).await.unwrap();
        if begun == 1 {
            break;
        }
    }
    drop(begin);

    // Whatever is still to be rolled back is, before a connection is given out again.
    let Pool::Postgres(pool) = &two.one.write else { unreachable!() };
    let most = pool.pool.options().get_max_connections();
    drop(futures::future::join_all((0..most).map(|_| pool.acquire())).await);
    let held: i64 = sqlx::query_scalar(BEGUN).fetch_one(&mut watcher).await.unwrap();
    assert_eq!(held, 0, "whoever gets that connection next is in a transaction of somebody else's");
}

#[tokio::test]
async fn of_two_limits_told_at_once_the_later_one_holds() {
    let Some(two) = Two::new().await else { return };
    two.one.shut("call:create", Pause::RateLimit, Some(NOW + 1), NOW).await.unwrap();
    let first = two.one.shut("call:create", Pause::RateLimit, Some(NOW + 9_000), NOW);
    let second = two.other.shut("call:create", Pause::RateLimit, Some(NOW + 5_000), NOW);
    let (first, second) = two.at_once("SELECT 1 FROM limits FOR UPDATE", first, second).await;
    assert_eq!((first.unwrap(), second.unwrap()), (NOW + 9_000, NOW + 9_000));
}

#[tokio::test]
async fn a_change_of_key_does_not_bring_back_what_was_replaced_meanwhile() {
    let Some(two) = Two::new().await else { return };
    link(&two.one, "alice", "alice").await;
    let account = pending("alice").profile.id;
    let (_, rev) = two.one.tokens(&account).await.unwrap().unwrap();
    let both = Vault::new(&[8; 32]).with_former(&[7; 32]);
    let new = two.kept.open(both).await;
    let mut fresh = pending("alice").tokens;
    fresh.refresh = "the newest".into();

    let refresh = new.save_tokens(&account, rev, &fresh, NOW);
    let reseal = two.other.reseal(new.vault.as_ref());
    let (saved, resealed) = two.at_once(LANE, refresh, reseal).await;

    assert!(saved.unwrap());
    // What was left: a notice of two values, the mark; not the tokens.
    assert_eq!(resealed.unwrap(), Resealed { values: 3, damaged: 0 });
    let (kept, _) = new.tokens(&account).await.unwrap().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&kept.refresh), "the newest");
}

#[tokio::test]
async fn a_change_of_key_that_waits_for_one_post_holds_no_other() {
    let Some(two) = Two::new().await else { return };
    accepted(&two, "alice").await;
    accepted(&two, "bob").await;
    let mut other = two.session().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM posts WHERE id = (SELECT max(id) FROM posts) FOR UPDATE")
        .execute(&mut other)
        .await
        .unwrap();
    let other_way_about = async {
        two.until_waiting(1).await;
        let first = "SELECT 1 FROM posts WHERE id = (SELECT min(id) FROM posts) FOR UPDATE NOWAIT";
        sqlx::raw_sql(first).execute(&mut other).await.expect("the first is held as well");
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    };
    let new = Vault::new(&[8; 32]).with_former(&[7; 32]);
    let (resealed, ()) = tokio::join!(two.one.reseal(&new), other_way_about);
    // Two accounts, two posts, two notices of two values, and the mark.
    assert_eq!(resealed.unwrap(), Resealed { values: 9, damaged: 0 });
}

#[tokio::test]
async fn other_processes_hear_of_a_change_at_once_and_again_after_their_connection_was_cut() {
    const LISTENS: &str = "query LIKE 'LISTEN%' AND state = 'idle'";
    let Some(two) = Two::new().await else { return };
    let mut heard = two.other.changes();
    for name in ["alice", "bob"] {
        two.until_there_are(2, LISTENS).await;
        // So that it is not the beginning that is heard of.
        tokio::time::sleep(Duration::from_millis(200)).await;
        heard.mark_unchanged();
        link(&two.one, name, name).await;
        tokio::time::timeout(Duration::from_secs(10), heard.changed()).await.expect("it is told").unwrap();
        let cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                    WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        sqlx::raw_sql(cut).execute(&mut two.session().await).await.unwrap();
    }
    two.one.close().await;
    two.other.close().await;
}

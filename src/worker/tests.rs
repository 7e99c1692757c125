//! What no simulated X can time: a worker that sleeps between two instructions of its own.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::task::{ArcWake, waker};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Notify};
use uuid::Uuid;

use super::{Next, Running, StepError, Worker, publish};
use crate::{
    account::{AccountId, Person, Place, Platform, Profile, Tier, Tokens},
    chat::Chats,
    clock::Clock,
    config,
    health::Health,
    post::{Attachment, Kind, Media, NewPost, PostId, State},
    staging::Staging,
    store::{LEASE, Lease, PendingLink, Store, StoreError, Vault},
    ticket::Ticket,
    twitter::X,
    words::Message,
};

const NOW: i64 = 1_795_348_800_000;
/// Longer than what is left of a lease that was just prolonged.
const A_NAP: i64 = LEASE.as_millis() as i64 + 1_000;

/// A worker whose X is this listener, which never answers, and whose chats and storage are nowhere.
async fn worker(folder: &TempDir, x: &TcpListener) -> Worker {
    let url: url::Url = format!("http://{}/", x.local_addr().unwrap()).parse().unwrap();
    let twitter = config::Twitter {
        client_id: "app".to_owned(),
        client_secret: None,
        authorize_url: url.clone(),
        api_url: url.clone(),
        web_url: url.clone(),
    };
    let staging = config::Staging {
        endpoint_url: Some(url.clone()),
        bucket: "videos".to_owned(),
        region: "us-east-1".to_owned(),
        access_key_id: Some("key".to_owned()),
        secret_access_key: Some("secret".to_owned().into()),
        force_path_style: true,
    };
    let database = config::Database::sqlite(&folder.path().join("toall.db"));
    let settings = settings();
    Worker {
        store: Store::open(&database, Vault::new(&[7; 32]), NOW).await.unwrap(),
        chats: Chats::new([]),
        staging: Staging::connect(&staging).await.unwrap(),
        x: X::new(&twitter, url).unwrap(),
        clock: Clock::by_hand(NOW),
        running: Running::new(&settings),
        settings,
        limits: config::Limits::default(),
        retention_days: 400,
        operators: Vec::new(),
        health: Health::default(),
        blocked: Vec::new(),
    }
}

/// A post that is about to be made, with the lane it is on.
async fn ready_to_post(store: &Store) -> Lease {
    let person = Person { platform: Platform::Console, id: "1".to_owned(), name: "alice".to_owned() };
    let place = Place {
        platform: Platform::Console,
        chat: "1".to_owned(),
        thread: None,
        message: None,
        person: "1".to_owned(),
        private: true,
        interaction: None,
    };
    let account = AccountId("77".to_owned());
    let tokens = Tokens {
        access: "access".into(),
        refresh: "refresh".into(),
        issued_at: NOW,
        access_expires_at: NOW + 7_200_000,
        scope: String::new(),
    };
    let profile = Profile {
        id: account.clone(),
        username: "alice_makes".to_owned(),
        name: String::new(),
        avatar_url: None,
        tier: Tier::Free,
    };
    let ticket = Ticket::draw().unwrap();
    let pending = PendingLink {
        person: person.clone(),
        place: place.clone(),
        profile,
        tokens,
        grant: Uuid::now_v7(),
        was_broken: false,
    };
    store.keep_pending(&ticket, &pending, NOW + 1_000).await.unwrap();
    store.confirm_pending(&ticket, &Default::default(), |_| Message::text(""), NOW).await.unwrap().unwrap();
    let attachment = Attachment {
        platform: Platform::Console,
        source: String::new(),
        name: "surf.mp4".to_owned(),
        bytes: None,
        content_type: None,
        kind: Kind::Video,
    };
    let new = NewPost {
        id: PostId(Uuid::now_v7()),
        request: Uuid::now_v7(),
        staged: None,
        dedupe_key: "1".to_owned(),
        person,
        account,
        caption: "Hello".to_owned(),
        attachment,
        options: Default::default(),
        place: Some(place),
    };
    store.accept(&new, &config::Limits::default(), NOW).await.unwrap();
    let lease = store.claim(NOW).await.unwrap().unwrap();
    let mut post = lease.post.clone();
    post.state = State::Publishing;
    post.media = Some(Media { id: "99".to_owned(), expires_at: None, chunk_bytes: 1, segments_done: 1 });
    post.chunk_bytes = Some(1);
    store.save(&lease, &post, Some(NOW), "goes_on", NOW).await.unwrap();
    store.claim(NOW).await.unwrap().unwrap()
}

/// Makes the post by hand, an instruction at a time; sleeps once the lease has been prolonged for the last time, if
/// it is to. `None` when the request is on its way.
async fn published(
    worker: &Worker,
    lease: &Lease,
    x: &TcpListener,
    nap: bool,
) -> Option<Result<Next, StepError>> {
    let mut post = lease.post.clone();
    // So that the lease that is prolonged can be told from the one that was claimed.
    let prolonging = NOW + 1;
    worker.clock.set(prolonging);
    let prolonged = prolonging + i64::try_from(LEASE.as_millis()).unwrap();
    let mut work = pin!(publish::publish(worker, lease, &mut post));
    let woken = Arc::new(Woken::default());
    let waker = waker(woken.clone());
    loop {
        if nap && worker.store.next_lane_due().await.unwrap() == Some(prolonged) {
            worker.clock.set(prolonging + A_NAP);
        }
        if let Poll::Ready(outcome) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(outcome);
        }
        tokio::select! {
            () = woken.0.notified() => {}
            _ = x.accept() => return None,
        }
    }
}

/// Rings when the work can go on.
#[derive(Default)]
struct Woken(Notify);

impl ArcWake for Woken {
    fn wake_by_ref(woken: &Arc<Self>) {
        woken.0.notify_one();
    }
}

#[tokio::test]
async fn a_worker_that_sleeps_between_its_intent_and_the_request_sends_nothing() {
    for nap in [false, true] {
        let folder = TempDir::new().unwrap();
        let x = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let worker = worker(&folder, &x).await;
        let lease = ready_to_post(&worker.store).await;
        let outcome = published(&worker, &lease, &x, nap).await;
        match outcome {
            None => assert!(!nap, "the request left after the lease was over"),
            Some(Err(StepError::Store(StoreError::LeaseLost))) => assert!(nap, "awake, it posts"),
            Some(outcome) => panic!("{outcome:?}"),
        }
        let row = worker.store.post(lease.post.id).await.unwrap().unwrap();
        assert!(row.intent_at.is_some(), "whoever comes next looks before anything is sent");
    }
}

fn settings() -> config::Worker {
    config::Worker {
        concurrency: 1,
        transfers: 1,
        upload_parallelism: 1,
        on_unsure: config::OnUnsure::Ask,
        settle_secs: 60,
    }
}

#[test]
fn a_clock_that_was_set_back_keeps_no_token_from_being_renewed() {
    let running = Running::new(&settings());
    let account = AccountId("1".to_owned());
    assert!(running.may_renew(&account, NOW));
    assert!(!running.may_renew(&account, NOW + 1));
    assert!(running.may_renew(&account, NOW - 3_600_000));
}

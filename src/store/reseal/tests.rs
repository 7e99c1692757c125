//! A rotation may be stopped after any row: nothing is lost, and in the end the former key opens nothing.

use std::{collections::BTreeSet, fs, path::Path};

use secrecy::ExposeSecret;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    account::{Person, Place, Platform, Profile, Tier, Tokens},
    config,
    post::{Attachment, Kind, NewPost, PostId},
    store::{LinkRequest, PendingLink},
    ticket::Ticket,
    words::{Message, Span},
};

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];
const NOW: i64 = 1_800_000_000_000;
/// Two accounts, three posts, two tickets, and two notices with two values each.
const VALUES: u64 = 2 + 3 + 2 + 2 * 2;

fn both() -> Vault {
    Vault::new(&NEW).with_former(&OLD)
}

async fn open(dir: &Path, vault: Vault) -> Store {
    Store::open(&format!("sqlite:{}/toall.db", dir.display()), vault, NOW).await.unwrap()
}

fn place(of: &str) -> Place {
    Place {
        platform: Platform::Telegram,
        chat: format!("chat of {of}"),
        thread: None,
        message: None,
        person: of.to_owned(),
        private: true,
        interaction: None,
    }
}

fn message(of: &str) -> Message {
    Message { text: vec![Span::Text(format!("hello {of}"))], buttons: Vec::new() }
}

fn pending(of: &str) -> PendingLink {
    PendingLink {
        person: Person { platform: Platform::Telegram, id: of.to_owned(), name: of.to_owned() },
        place: place(of),
        profile: Profile {
            id: AccountId(format!("at {of}")),
            username: of.to_owned(),
            name: of.to_owned(),
            avatar_url: None,
            tier: Tier::Free,
        },
        tokens: Tokens {
            access: format!("access of {of}").into(),
            refresh: format!("refresh of {of}").into(),
            access_expires_at: NOW,
            scope: String::new(),
        },
    }
}

/// A database with something of everything that is sealed.
struct Kept {
    dir: TempDir,
    request: Ticket,
    waiting: Ticket,
}

impl Kept {
    async fn new() -> Kept {
        let kept = Kept {
            dir: tempfile::tempdir().unwrap(),
            request: Ticket::draw().unwrap(),
            waiting: Ticket::draw().unwrap(),
        };
        let store = kept.open(Vault::new(&OLD)).await;
        for name in ["alice", "bob"] {
            let ticket = Ticket::draw().unwrap();
            store.keep_pending(&ticket, &pending(name), NOW + 1).await.unwrap();
            store.confirm_pending(&ticket, |_| message(name), NOW).await.unwrap().unwrap();
        }
        for number in 0..3 {
            let new = NewPost {
                id: PostId(Uuid::now_v7()),
                request: Uuid::now_v7(),
                staged: None,
                dedupe_key: number.to_string(),
                person: pending("alice").person,
                account: pending("alice").profile.id,
                caption: String::new(),
                options: Default::default(),
                attachment: Attachment {
                    platform: Platform::Telegram,
                    source: String::new(),
                    name: String::new(),
                    bytes: None,
                    content_type: None,
                    kind: Kind::Video,
                },
                place: Some(place("alice")),
            };
            store.accept(&new, &config::Limits::default(), NOW).await.unwrap();
        }
        let request = LinkRequest {
            person: pending("carol").person,
            place: place("carol"),
            verifier: "verifier".into(),
        };
        store.keep_request(&kept.request, &request, NOW + 1).await.unwrap();
        store.keep_pending(&kept.waiting, &pending("dave"), NOW + 1).await.unwrap();
        store.close().await;
        kept
    }

    async fn open(&self, vault: Vault) -> Store {
        open(self.dir.path(), vault).await
    }

    /// All that was sealed opens with this vault, and is what it was.
    async fn assert_opens(&self, vault: fn() -> Vault) {
        // In a copy, so that looking takes nothing away.
        let copy = tempfile::tempdir().unwrap();
        let store = self.open(vault()).await;
        sqlx::query("VACUUM INTO $1")
            .bind(copy.path().join("toall.db").to_str().unwrap())
            .execute(&store.write)
            .await
            .unwrap();
        store.close().await;
        let store = open(copy.path(), vault()).await;
        for name in ["alice", "bob"] {
            let (tokens, _) = store.tokens(&pending(name).profile.id).await.unwrap().unwrap();
            assert_eq!(tokens.refresh.expose_secret(), format!("refresh of {name}"));
        }
        let statuses = store.due_statuses(NOW, 10).await.unwrap();
        assert_eq!(statuses.len(), 3);
        assert!(statuses.iter().all(|job| job.place.chat == "chat of alice"));
        let notices = store.due_notices(NOW, 10).await.unwrap();
        assert_eq!(notices.len(), 2);
        for notice in notices {
            assert_eq!(notice.message, message(&notice.place.person));
        }
        let request = store.take_request(&self.request, NOW).await.unwrap().unwrap();
        assert_eq!(request.verifier.expose_secret(), "verifier");
        let waiting = store.take_pending(&self.waiting, NOW).await.unwrap().unwrap();
        assert_eq!(waiting.tokens.access.expose_secret(), "access of dave");
        store.close().await;
    }

    /// How often something sealed with this key stands in the files, deleted or not.
    fn traces(&self, key: &[u8; 32]) -> usize {
        let mark = Vault::new(key).mark();
        // SQLite may still be taking its emptied log away.
        let files = fs::read_dir(self.dir.path()).unwrap();
        let files = files.filter_map(|entry| fs::read(entry.unwrap().path()).ok());
        files.map(|bytes| bytes.windows(mark.len()).filter(|window| *window == mark).count()).sum()
    }
}

/// Seals `values` values anew, one in each transaction, and stops as a kill does.
async fn stopped_after(kept: &Kept, values: u64) {
    let store = kept.open(both()).await;
    let vault = both();
    let mut done = Resealed::default();
    'all: for sealed in &SEALED {
        let mut after = String::new();
        loop {
            if done.values == values {
                break 'all;
            }
            match store.reseal_batch(sealed, &vault, &after, 1, &mut done).await.unwrap() {
                Some(last) => after = last,
                None => break,
            }
        }
    }
    assert_eq!(done.values, values);
    store.close().await;
}

#[tokio::test]
async fn every_sealed_column_of_the_schema_is_resealed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Vault::new(&OLD)).await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
          WHERE t.type = 'table' AND c.name LIKE '%\\_sealed' ESCAPE '\\'",
    )
    .fetch_all(&store.read)
    .await
    .unwrap();
    let listed = SEALED.iter().map(|sealed| (sealed.table.to_owned(), sealed.column.to_owned()));
    assert_eq!(columns.into_iter().collect::<BTreeSet<_>>(), listed.collect());
}

#[tokio::test]
async fn stopped_after_any_value_both_keys_open_and_the_next_run_goes_on() {
    for values in 0..=VALUES {
        let kept = Kept::new().await;
        stopped_after(&kept, values).await;
        kept.assert_opens(both).await;

        let store = kept.open(both()).await;
        let done = store.reseal(&both()).await.unwrap();
        assert_eq!(done, Resealed { values: VALUES - values, damaged: 0 });
        store.close().await;
        drop(store);
        kept.assert_opens(|| Vault::new(&NEW)).await;
    }
}

#[tokio::test]
async fn afterwards_the_former_key_opens_nothing_not_even_what_was_deleted() {
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&OLD)).await;
    // Its page is free now, and still holds it.
    store.take_pending(&kept.waiting, NOW).await.unwrap().unwrap();
    store.close().await;
    drop(store);
    assert!(kept.traces(&OLD) > 0);

    let store = kept.open(both()).await;
    store.reseal(&both()).await.unwrap();
    store.close().await;
    drop(store);
    assert_eq!(kept.traces(&OLD), 0);
    assert!(kept.traces(&NEW) > 0);
    let url = format!("sqlite:{}/toall.db", kept.dir.path().display());
    let refused = Store::open(&url, Vault::new(&OLD), NOW).await;
    let refused = refused.err().expect("the former key opens it").to_string();
    assert!(refused.contains("was written with another encryption key"), "{refused}");
}

#[tokio::test]
async fn a_key_that_is_not_the_former_one_changes_nothing() {
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&OLD)).await;
    let wrong = Vault::new(&NEW).with_former(&[9; 32]);
    let refused = store.reseal(&wrong).await.unwrap_err();
    assert!(matches!(refused, StoreError::Vault(VaultError::OtherKey)), "{refused}");
    store.close().await;
    drop(store);
    kept.assert_opens(|| Vault::new(&OLD)).await;
}

#[tokio::test]
async fn a_damaged_value_is_counted_and_does_not_stop_the_others() {
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&OLD)).await;
    sqlx::query("UPDATE notices SET place_sealed = substr(place_sealed, 1, 40)")
        .execute(&store.write)
        .await
        .unwrap();
    let done = store.reseal(&both()).await.unwrap();
    assert_eq!(done, Resealed { values: VALUES - 2, damaged: 2 });
    store.close().await;
}

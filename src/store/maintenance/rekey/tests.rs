//! A rotation may be stopped after any row: nothing is lost, and in the end the former key opens nothing.

use std::{collections::BTreeSet, fs, sync::Arc};

use secrecy::ExposeSecret;

use super::*;
use crate::{
    store::{
        LinkRequest, OpenError, PendingLink, Scope, Session, VaultError,
        tests::{
            Kept, NOW,
            people::{accept, link, message, pending, place},
            postgres, script,
        },
    },
    ticket::Ticket,
};

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];
/// Two accounts, three posts, two tickets, a session, two notices with two values each, and the mark.
const VALUES: u64 = 2 + 3 + 2 + 1 + 2 * 2 + 1;

fn both() -> Vault {
    Vault::new(&NEW).with_former(&OLD)
}

/// A database with something of everything that is sealed.
struct Full {
    kept: Kept,
    request: Ticket,
    waiting: Ticket,
}

impl Full {
    async fn new() -> Full {
        let full = Full {
            kept: Kept::new().await,
            request: Ticket::draw().unwrap(),
            waiting: Ticket::draw().unwrap(),
        };
        let store = full.open(Vault::new(&OLD)).await;
        for name in ["alice", "bob"] {
            link(&store, name, name).await;
        }
        for _ in 0..3 {
            accept(&store, "alice", "alice").await;
        }
        let request = LinkRequest {
            person: pending("carol").person,
            place: place("carol"),
            verifier: "verifier".into(),
        };
        store.keep_request(&full.request, &request, NOW + 1).await.unwrap();
        store.keep_pending(&full.waiting, &pending("dave"), NOW + 1).await.unwrap();
        let session = Session {
            person: pending("carol").person,
            place: place("carol"),
            scope: Scope::Manage,
            opened_by: None,
            id: uuid::Uuid::now_v7(),
            form_token: String::new(),
            browser: String::new(),
        };
        store.keep_session(&full.request, &session, NOW).await.unwrap();
        store.close().await;
        full
    }

    async fn open(&self, vault: Vault) -> Store {
        self.kept.open(vault).await
    }

    /// All that was sealed opens with this vault, and is what it was.
    async fn assert_opens(&self, vault: fn() -> Vault) {
        // In a copy, so that looking takes nothing away.
        let copy = self.kept.copy().await;
        let store = copy.open(vault()).await;
        for name in ["alice", "bob"] {
            let (tokens, _) = store.tokens(&pending(name).profile.id).await.unwrap().unwrap();
            assert_eq!(tokens.refresh.expose_secret(), format!("refresh of {name}"));
        }
        let statuses = store.due_statuses(crate::account::Platform::Telegram, NOW, 10).await.unwrap();
        assert_eq!(statuses.len(), 3);
        assert!(statuses.iter().all(|job| job.place.chat == "chat of alice"));
        let notices = store.due_notices(crate::account::Platform::Telegram, NOW, 10).await.unwrap();
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
        let Kept::Sqlite(folder) = &self.kept else { panic!("not SQLite") };
        // SQLite may still be taking its emptied log away.
        let files = fs::read_dir(folder.path()).unwrap();
        let files = files.filter_map(|entry| fs::read(entry.unwrap().path()).ok());
        files.map(|bytes| bytes.windows(mark.len()).filter(|window| *window == mark).count()).sum()
    }
}

/// Seals `values` values anew, one in each transaction, and stops as a kill does.
async fn stopped_after(kept: &Full, values: u64) {
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
    let kept = Kept::new().await;
    let store = kept.open(Vault::new(&OLD)).await;
    let columns = match &kept {
        Kept::Sqlite(_) => {
            "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
              WHERE t.type = 'table' AND c.name LIKE '%\\_sealed' ESCAPE '\\'"
        }
        Kept::Postgres(_) => {
            "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns
              WHERE table_schema = 'public' AND column_name LIKE '%\\_sealed'"
        }
    };
    let columns: Vec<(String, String)> = query(columns).fetch_all(&store.read).await.unwrap();
    let listed = SEALED.iter().map(|sealed| (sealed.table.to_owned(), sealed.column.to_owned()));
    assert_eq!(columns.into_iter().collect::<BTreeSet<_>>(), listed.collect());
}

#[tokio::test]
async fn stopped_after_any_value_both_keys_open_and_the_next_run_goes_on() {
    for values in 0..=VALUES {
        let kept = Full::new().await;
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
    if postgres::leave_out("SQLite's files are searched") {
        return;
    }
    let kept = Full::new().await;
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
    let refused = kept.kept.try_open(Vault::new(&OLD)).await;
    let refused = refused.err().expect("the former key opens it");
    assert!(matches!(refused, OpenError::OtherKey { .. }), "{refused}");
    assert!(!refused.to_string().contains("localhost"), "{refused}");
}

#[tokio::test]
async fn a_key_that_is_not_the_former_one_changes_nothing() {
    let kept = Full::new().await;
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
    let kept = Full::new().await;
    let store = kept.open(Vault::new(&OLD)).await;
    script(&store, "UPDATE notices SET place_sealed = substr(place_sealed, 1, 40)").await;
    let done = store.reseal(&both()).await.unwrap();
    assert_eq!(done, Resealed { values: VALUES - 2, damaged: 2 });
    store.close().await;
}

#[tokio::test]
async fn a_process_without_the_key_leaves_an_account_alone() {
    let kept = Kept::new().await;
    let store = kept.open(both()).await;
    link(&store, "alice", "alice").await;
    let PendingLink { person, profile, .. } = pending("alice");
    let account = profile.id;

    // As one that was not restarted yet.
    let other = Store { vault: Arc::new(Vault::new(&OLD)), ..store.clone() };
    let other_key = |error| matches!(error, StoreError::Vault(VaultError::OtherKey));
    assert!(other_key(other.tokens(&account).await.unwrap_err()));
    assert!(other_key(other.unlink(&person, &account, NOW).await.unwrap_err()));
    assert!(store.tokens(&account).await.unwrap().is_some(), "it is linked as before");
}

#[tokio::test]
async fn a_process_without_the_key_leaves_a_link_to_be_revoked_to_others() {
    let kept = Kept::new().await;
    let store = kept.open(both()).await;
    let ticket = Ticket::draw().unwrap();
    store.keep_pending(&ticket, &pending("alice"), NOW).await.unwrap();
    let other = Store { vault: Arc::new(Vault::new(&OLD)), ..store.clone() };
    assert!(other.expired_pending(NOW).await.unwrap().is_empty());
    assert_eq!(store.expired_pending(NOW).await.unwrap().len(), 1);
    // Until nobody will have that key any more.
    assert!(other.expired_pending(NOW + 24 * 3_600_000).await.unwrap().is_empty());
    assert!(store.expired_pending(NOW).await.unwrap().is_empty());
}

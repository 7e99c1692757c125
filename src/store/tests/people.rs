//! People and posts to keep.

use uuid::Uuid;

use crate::{
    account::{AccountId, Person, Place, Platform, Profile, Tier, Tokens},
    config,
    post::{Attachment, Kind, NewPost, PostId},
    store::{Accepted, PendingLink, Store},
    ticket::Ticket,
    words::{Message, Span},
};

use super::NOW;

pub(in crate::store) fn person(name: &str) -> Person {
    Person { platform: Platform::Telegram, id: name.to_owned(), name: name.to_owned() }
}

pub(in crate::store) fn place(of: &str) -> Place {
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

pub(in crate::store) fn message(of: &str) -> Message {
    Message { text: vec![Span::Text(format!("hello {of}"))], buttons: Vec::new() }
}

/// An account at X that `of` authorised.
pub(in crate::store) fn pending(of: &str) -> PendingLink {
    PendingLink {
        person: person(of),
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
            issued_at: NOW,
            access_expires_at: NOW,
            scope: String::new(),
        },
        grant: Uuid::now_v7(),
        was_broken: false,
    }
}

/// Links a person to the account of that name at X.
pub(in crate::store) async fn link(store: &Store, name: &str, account: &str) {
    let pending = PendingLink { person: person(name), place: place(name), ..pending(account) };
    let ticket = Ticket::draw().unwrap();
    store.keep_pending(&ticket, &pending, NOW + 1).await.unwrap();
    store.confirm_pending(&ticket, &Default::default(), |_| message(name), NOW).await.unwrap().unwrap();
}

/// A post to the account of that name.
pub(in crate::store) fn new_post(name: &str, account: &str) -> NewPost {
    NewPost {
        id: PostId(Uuid::now_v7()),
        request: Uuid::now_v7(),
        staged: None,
        dedupe_key: Uuid::now_v7().to_string(),
        person: person(name),
        account: pending(account).profile.id,
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
        place: Some(place(name)),
    }
}

/// Takes a post in, without limits.
pub(in crate::store) async fn accept(store: &Store, name: &str, account: &str) -> PostId {
    let new = new_post(name, account);
    let accepted = store.accept(&new, &config::Limits::default(), NOW).await.unwrap();
    assert_eq!(accepted, Accepted::New);
    new.id
}

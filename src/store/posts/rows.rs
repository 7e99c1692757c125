//! Posts as people see them: accepted, listed, cancelled, tried again.

use sqlx::FromRow;
use uuid::Uuid;

use crate::store::{
    Store, StoreError, Topics,
    db::{
        engine::{Tx, query},
        locks,
    },
    limits::user_limits,
    people::accounts,
    posts::lease,
};
use crate::{
    account::{AccountId, Person, PersonRef},
    caption,
    config::Limits,
    post::{Failure, Media, Mills, NewPost, OverLimit, PRICE, PRICE_WITH_LINK, Post, PostId, State},
};

/// What became of a request to post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A row now holds it.
    New,
    /// The same chat message was accepted before.
    Already,
    /// The person disconnected the account a moment ago.
    NotLinked,
    /// One of the operator's limits leaves no room for it.
    Over(OverLimit),
}

/// How long a failed post's file is kept for another try.
const KEEP_FAILED_MS: i64 = 24 * 3_600_000;
/// How long the file of a post in doubt is kept for an answer.
const KEEP_UNSURE_MS: i64 = 7 * 24 * 3_600_000;
/// A step that a cancellation interrupts may still be putting the file; deleting waits for it to notice.
pub(crate) const KEEP_CANCELED_MS: i64 = 60_000;

#[derive(FromRow)]
pub(crate) struct PostRow {
    pub(crate) id: String,
    request_id: String,
    user_id: String,
    account_id: String,
    caption: String,
    options: String,
    attachment: String,
    state: String,
    attempt: i64,
    trouble_since: Option<i64>,
    object_key: Option<String>,
    bytes: Option<i64>,
    sha256: Option<String>,
    media_type: Option<String>,
    duration_ms: Option<i64>,
    media_id: Option<String>,
    media_expires_at: Option<i64>,
    chunk_bytes: Option<i64>,
    segments_done: i64,
    processing_since: Option<i64>,
    processing_percent: Option<i64>,
    sessions: i64,
    refused_since: Option<i64>,
    refused_sessions: i64,
    refetches: i64,
    intent_at: Option<i64>,
    first_intent_at: Option<i64>,
    intents: i64,
    resend: i64,
    looks: i64,
    x_post_id: Option<String>,
    failure: Option<String>,
    notes: String,
    waiting: Option<String>,
    created_at: i64,
}

/// Small counts are stored as 64-bit integers; a value that does not fit is not ours.
pub(crate) fn small<T: TryFrom<i64>>(value: i64, what: &'static str) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::Unreadable(what))
}

fn json<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Unreadable(what))
}

impl TryFrom<PostRow> for Post {
    type Error = StoreError;

    fn try_from(row: PostRow) -> Result<Self, StoreError> {
        let chunk_bytes = row.chunk_bytes.map(|bytes| small(bytes, "chunk size")).transpose()?;
        let media = match (row.media_id, chunk_bytes) {
            (Some(id), Some(chunk_bytes)) => Some(Media {
                id,
                expires_at: row.media_expires_at,
                chunk_bytes,
                segments_done: small(row.segments_done, "segment count")?,
            }),
            _ => None,
        };
        Ok(Post {
            id: row.id.parse().map_err(|_| StoreError::Unreadable("post id"))?,
            request: row.request_id.parse().map_err(|_| StoreError::Unreadable("request id"))?,
            user: row.user_id,
            account: AccountId(row.account_id),
            caption: row.caption,
            options: json(&row.options, "options")?,
            attachment: json(&row.attachment, "attachment")?,
            state: row.state.parse().map_err(|_| StoreError::Unreadable("post state"))?,
            attempt: small(row.attempt, "attempts")?,
            trouble_since: row.trouble_since,
            object_key: row.object_key,
            bytes: row.bytes.map(|bytes| small(bytes, "size")).transpose()?,
            sha256: row.sha256,
            media_type: row.media_type,
            duration_ms: row.duration_ms.map(|ms| small(ms, "duration")).transpose()?,
            media,
            chunk_bytes,
            processing_since: row.processing_since,
            processing_percent: row
                .processing_percent
                .map(|percent| small(percent, "progress"))
                .transpose()?,
            sessions: small(row.sessions, "upload sessions")?,
            refused_since: row.refused_since,
            refused_sessions: small(row.refused_sessions, "refused sessions")?,
            refetches: small(row.refetches, "refetches")?,
            intent_at: row.intent_at,
            first_intent_at: row.first_intent_at,
            intents: small(row.intents, "intents")?,
            resend: row.resend == 1,
            looks: small(row.looks, "looks")?,
            x_post_id: row.x_post_id,
            failure: row.failure.as_deref().map(|text| json(text, "failure")).transpose()?,
            notes: json(&row.notes, "notes")?,
            waiting: row.waiting.as_deref().map(|text| json(text, "waiting")).transpose()?,
            created_at: row.created_at,
        })
    }
}

impl Store {
    /// Writes a post down, if the limits leave room. From here on it is finished or explained, whatever dies.
    pub async fn accept(&self, new: &NewPost, limits: &Limits, now: i64) -> Result<Accepted, StoreError> {
        let mut tx = self.begin().await?;
        let user = accounts::upsert_user(&mut tx, &new.person, now).await?;
        user_limits::lock(&mut tx, limits).await?;
        locks::lane(&mut tx, &new.account).await?;
        let accepted = self.accept_in(&mut tx, &user, new, limits, now).await?;
        if accepted == Accepted::New {
            self.commit_about(Topics::QUEUE | Topics::messages_to(&user), tx)
                .await
                .map_err(StoreError::Unanswered)?;
        }
        Ok(accepted)
    }

    /// As [`Store::accept`], as a part of a larger write: every post comes in through here. The person `user`, the
    /// budget and the lane are locked by now.
    pub(crate) async fn accept_in(
        &self,
        tx: &mut Tx,
        user: &str,
        new: &NewPost,
        limits: &Limits,
        now: i64,
    ) -> Result<Accepted, StoreError> {
        let place =
            new.place.as_ref().map(|place| self.seal_place(place, &new.id.to_string())).transpose()?;
        let attachment =
            serde_json::to_string(&new.attachment).map_err(|_| StoreError::Unreadable("attachment"))?;
        let options = serde_json::to_string(&new.options).map_err(|_| StoreError::Unreadable("options"))?;
        if !linked(tx, &new.person, &new.account).await? {
            return Ok(Accepted::NotLinked);
        }
        let known: Option<String> = query("SELECT id FROM posts WHERE dedupe_key = $1")
            .bind(&new.dedupe_key)
            .fetch_value_optional(&mut *tx)
            .await?;
        if known.is_some() {
            return Ok(Accepted::Already);
        }
        let price = price(&new.caption);
        let wanted = user_limits::Wanted { user, bytes: new.attachment.bytes, price };
        if let Some(over) = user_limits::room(tx, limits, &wanted, now).await? {
            return Ok(Accepted::Over(over));
        }
        let (state, key, bytes) = match &new.staged {
            None => (State::Staging, format!("posts/{}", new.id), None),
            Some((key, bytes)) => (State::Inspecting, key.clone(), i64::try_from(*bytes).ok()),
        };
        let written = query(
            "INSERT INTO posts (id, dedupe_key, user_id, account_id, caption, attachment, state, due_at, object_key,
                                place_sealed, status_due_at, created_at, updated_at, request_id, bytes, options,
                                counted_bytes, price, waiting)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $8, $8, $12, $13, $14, $15, $16, $17)
             ON CONFLICT (dedupe_key) DO NOTHING",
        )
        .bind(new.id.to_string())
        .bind(&new.dedupe_key)
        .bind(user)
        .bind(&new.account.0)
        .bind(&new.caption)
        .bind(attachment)
        .bind(state.as_str())
        .bind(now)
        .bind(key)
        .bind(&place)
        .bind(place.as_ref().map(|_| now))
        .bind(new.request.to_string())
        .bind(bytes)
        .bind(options)
        .bind(i64::try_from(new.attachment.bytes.unwrap_or(0)).unwrap_or(i64::MAX))
        .bind(i64::try_from(price.0).unwrap_or(i64::MAX))
        .bind(lease::wait_of_lane(tx, &new.account, now).await?)
        .execute(&mut *tx)
        .await?;
        if written == 0 {
            return Ok(Accepted::Already);
        }
        lease::event(tx, self, new.id, None, "accepted", None, now).await?;
        lease::rearm(tx, &new.account, now).await?;
        Ok(Accepted::New)
    }

    /// One post, whoever's.
    pub async fn post(&self, id: PostId) -> Result<Option<Post>, StoreError> {
        let row: Option<PostRow> = query("SELECT * FROM posts WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.read)
            .await?;
        row.map(Post::try_from).transpose()
    }

    /// One post of a person's.
    pub async fn own_post(&self, person: &Person, id: PostId) -> Result<Option<Post>, StoreError> {
        Ok(self.post(id).await?.filter(|post| post.user == accounts::user_id(person)))
    }

    /// A person's newest posts, newest first.
    pub async fn posts_of(&self, person: &Person, limit: u32) -> Result<Vec<Post>, StoreError> {
        let rows: Vec<PostRow> = query("SELECT * FROM posts WHERE user_id = $1 ORDER BY id DESC LIMIT $2")
            .bind(accounts::user_id(person))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await?;
        rows.into_iter().map(Post::try_from).collect()
    }

    /// A person's posts from before `before`, newest first.
    pub async fn posts_before(
        &self,
        person: &Person,
        before: PostId,
        limit: u32,
    ) -> Result<Vec<Post>, StoreError> {
        let rows: Vec<PostRow> =
            query("SELECT * FROM posts WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3")
                .bind(accounts::user_id(person))
                .bind(before.to_string())
                .bind(i64::from(limit))
                .fetch_all(&self.read)
                .await?;
        rows.into_iter().map(Post::try_from).collect()
    }

    /// The posts that a person asked for at once, in their order.
    pub async fn posts_of_request(&self, person: &Person, request: Uuid) -> Result<Vec<Post>, StoreError> {
        let rows: Vec<PostRow> =
            query("SELECT * FROM posts WHERE request_id = $1 AND user_id = $2 ORDER BY id")
                .bind(request.to_string())
                .bind(accounts::user_id(person))
                .fetch_all(&self.read)
                .await?;
        rows.into_iter().map(Post::try_from).collect()
    }

    /// Every media id a post ever had at X.
    pub async fn media_ids(&self, id: PostId) -> Result<Vec<String>, StoreError> {
        Ok(query("SELECT media_id FROM post_media WHERE post_id = $1")
            .bind(id.to_string())
            .fetch_values(&self.read)
            .await?)
    }
}

/// What X charges for a post with this text. Whether it charges a bare domain as a link is not stated, so it counts.
pub(crate) fn price(text: &str) -> Mills {
    if caption::count(text).links == 0 { PRICE } else { PRICE_WITH_LINK }
}

/// When the staged file of a post in `state` may go, if it may.
pub(crate) fn clean_at(state: State, now: i64) -> Option<i64> {
    match state {
        State::Posted => Some(now),
        State::Canceled => Some(now + KEEP_CANCELED_MS),
        State::Failed => Some(now + KEEP_FAILED_MS),
        State::NeedsUser => Some(now + KEEP_UNSURE_MS),
        _ => None,
    }
}

pub(crate) async fn linked(tx: &mut Tx, person: &Person, account: &AccountId) -> Result<bool, sqlx::Error> {
    let found: Option<i64> =
        query("SELECT created_at FROM account_links WHERE user_id = $1 AND account_id = $2")
            .bind(accounts::user_id(person))
            .bind(&account.0)
            .fetch_value_optional(&mut *tx)
            .await?;
    Ok(found.is_some())
}

impl Store {
    /// Stops the posts of blocked people that X was not asked to make yet.
    pub async fn stop_posts_of(&self, people: &[PersonRef], now: i64) -> Result<(), StoreError> {
        let failure =
            serde_json::to_string(&Failure::Blocked).map_err(|_| StoreError::Unreadable("failure"))?;
        for user in people.iter().map(ToString::to_string) {
            let accounts: Vec<String> =
                query(
                    "SELECT DISTINCT account_id FROM posts
                      WHERE user_id = $1 AND (due_at IS NOT NULL OR waiting = '{\"for\":\"connection_ended\"}')",
                )
                    .bind(&user)
                    .fetch_values(&self.read)
                    .await?;
            for account in accounts.into_iter().map(AccountId) {
                let mut tx = self.begin().await?;
                locks::person(&mut tx, &user).await?;
                locks::lane(&mut tx, &account).await?;
                let posts: Vec<String> = query(
                    "SELECT id FROM posts
                      WHERE user_id = $1 AND account_id = $2 AND intent_at IS NULL
                        AND (due_at IS NOT NULL OR waiting = '{\"for\":\"connection_ended\"}')",
                )
                .bind(&user)
                .bind(&account.0)
                .fetch_values(&mut tx)
                .await?;
                for id in posts {
                    end(&mut tx, &account, &id, State::Failed, Some(&failure), now).await?;
                }
                self.commit(tx).await?;
            }
        }
        Ok(())
    }
}

/// Ends a post that is under way; its lane is locked by now.
async fn end(
    tx: &mut Tx,
    account: &AccountId,
    id: &str,
    state: State,
    failure: Option<&String>,
    now: i64,
) -> Result<(), StoreError> {
    let clean_at = match state {
        State::Failed => Some(now + KEEP_CANCELED_MS),
        state => clean_at(state, now),
    };
    query(
        "UPDATE posts SET state = $1, failure = $2, due_at = NULL, waiting = NULL, clean_at = $3, updated_at = $4
          WHERE id = $5",
    )
    .bind(state.as_str())
    .bind(failure)
    .bind(clean_at)
    .bind(now)
    .bind(id)
    .execute(&mut *tx)
    .await?;
    let id = id.parse().map_err(|_| StoreError::Unreadable("post id"))?;
    lease::show(tx, id, now).await?;
    lease::drop_from_lane(tx, account, id, now).await?;
    Ok(())
}

/// Ends a person's waiting posts to an account that they disconnect; its lane is locked by now.
pub(crate) async fn disconnect(
    tx: &mut Tx,
    user: &str,
    account: &AccountId,
    now: i64,
) -> Result<(), StoreError> {
    let posts: Vec<(String, Option<i64>)> = query(
        "SELECT id, intent_at FROM posts WHERE user_id = $1 AND account_id = $2 AND due_at IS NOT NULL",
    )
    .bind(user)
    .bind(&account.0)
    .fetch_all(&mut *tx)
    .await?;
    let failure =
        serde_json::to_string(&Failure::Disconnected).map_err(|_| StoreError::Unreadable("failure"))?;
    for (id, intent_at) in posts {
        // Of a post that may be on X only its person can say so now.
        let (state, failure) = match intent_at {
            Some(_) => (State::NeedsUser, None),
            None => (State::Failed, Some(&failure)),
        };
        end(tx, account, &id, state, failure, now).await?;
    }
    Ok(())
}

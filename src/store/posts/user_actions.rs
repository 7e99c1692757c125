//! What people decide about their posts: stop it, try it again, say whether it is on X.

use crate::store::{
    Store, StoreError,
    db::{
        engine::{Tx, locking, query},
        locks,
    },
    limits::user_limits,
    people::accounts,
    posts::{
        lease,
        rows::{KEEP_CANCELED_MS, PostRow, linked, price},
    },
};
use crate::{
    account::Person,
    config::Limits,
    post::{OverLimit, Post, PostId, State},
};

/// What became of a button or command about one post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Done,
    /// The post has moved on; what was asked no longer applies.
    TooLate,
    /// No such post of this person's.
    NotYours,
    /// The person has disconnected the account it goes to.
    NotLinked,
    /// One of the operator's limits leaves no room for it.
    Over(OverLimit),
}

impl Store {
    /// Ends a post at its person's wish, unless it may already be on X. A post in doubt can be given up.
    pub async fn cancel(&self, person: &Person, id: PostId, now: i64) -> Result<Answered, StoreError> {
        let mut tx = self.begin().await?;
        let Some(post) = own(&mut tx, person, id).await? else { return Ok(Answered::NotYours) };
        if post.state.is_over() || (post.intent_at.is_some() && post.state != State::NeedsUser) {
            return Ok(Answered::TooLate);
        }
        query(
            "UPDATE posts SET state = 'canceled', due_at = NULL, waiting = NULL, clean_at = $2, updated_at = $1
              WHERE id = $3",
        )
        .bind(now)
        .bind(now + KEEP_CANCELED_MS)
        .bind(id.to_string())
        .execute(&mut tx)
        .await?;
        lease::show(&mut tx, id, now).await?;
        lease::event(&mut tx, self, id, None, "canceled", None, now).await?;
        lease::drop_from_lane(&mut tx, &post.account, id, now).await?;
        self.commit(tx).await?;
        metrics::counter!("toall_posts_total", "outcome" => "canceled", "code" => "").increment(1);
        Ok(Answered::Done)
    }

    /// Begins a failed post again: from the staged file while that is kept, else from the chat. A file that its
    /// person uploaded is whole from the start, though nobody has hashed it. One that may be on X unbeknown to its row
    /// ([`Store::reconcile`]) is looked for before it is sent.
    pub async fn retry(
        &self,
        person: &Person,
        id: PostId,
        limits: &Limits,
        now: i64,
    ) -> Result<Answered, StoreError> {
        let mut tx = self.begin().await?;
        locks::person(&mut tx, &accounts::user_id(person)).await?;
        user_limits::lock(&mut tx, limits).await?;
        let Some(post) = own(&mut tx, person, id).await? else { return Ok(Answered::NotYours) };
        if post.state != State::Failed {
            return Ok(Answered::TooLate);
        }
        if !linked(&mut tx, person, &post.account).await? {
            return Ok(Answered::NotLinked);
        }
        // Its bytes count since it was sent; its place among the posts and its price it gave up when it failed.
        let wanted = user_limits::Wanted { user: &post.user, bytes: None, price: price(&post.caption) };
        let no_bytes = Limits { bytes_per_person_per_day: None, ..limits.clone() };
        if let Some(over) = user_limits::room(&mut tx, &no_bytes, &wanted, now).await? {
            return Ok(Answered::Over(over));
        }
        query(
            "UPDATE posts SET
                    state = CASE WHEN sha256 IS NULL AND COALESCE(object_key, '') NOT LIKE 'uploads/%'
                                 THEN 'staging' ELSE 'inspecting' END,
                    due_at = $1, attempt = 0, claims = 0, failure = NULL, notes = '[]', waiting = NULL, clean_at = NULL,
                    bytes = CASE WHEN sha256 IS NULL AND COALESCE(object_key, '') NOT LIKE 'uploads/%'
                                 THEN NULL ELSE bytes END,
                    object_key = COALESCE(object_key, $2), media_id = NULL, segments_done = 0,
                    processing_since = NULL,
                    processing_percent = NULL, sessions = 0, refused_since = NULL, refused_sessions = 0, refetches = 0, looks = 0,
                    updated_at = $1,
                    intent_at = CASE WHEN first_intent_at IS NULL THEN NULL ELSE CAST($1 AS BIGINT) END
              WHERE id = $3",
        )
        .bind(now)
        .bind(format!("posts/{id}"))
        .bind(id.to_string())
        .execute(&mut tx)
        .await?;
        lease::show(&mut tx, id, now).await?;
        lease::event(&mut tx, self, id, None, "retried", None, now).await?;
        lease::rearm(&mut tx, &post.account, now).await?;
        self.commit(tx).await?;
        Ok(Answered::Done)
    }

    /// The person says that a post in doubt is not on X: it is made again, unless one more look finds it.
    pub async fn post_again(&self, person: &Person, id: PostId, now: i64) -> Result<Answered, StoreError> {
        let mut tx = self.begin().await?;
        let Some(post) = own(&mut tx, person, id).await? else { return Ok(Answered::NotYours) };
        if post.state != State::NeedsUser {
            return Ok(Answered::TooLate);
        }
        if !linked(&mut tx, person, &post.account).await? {
            return Ok(Answered::NotLinked);
        }
        // An upload made since the first attempt may not carry its warning yet; saying it twice changes nothing. One that
        // has run out is made anew on the way.
        let live = post.media.as_ref().is_some_and(|media| media.expires_at.is_none_or(|at| at > now));
        let next = if live && post.options.describe_video() { State::Describing } else { State::Publishing };
        query(
            "UPDATE posts SET
                    state = CASE WHEN sha256 IS NULL AND COALESCE(object_key, '') NOT LIKE 'uploads/%'
                                 THEN 'staging'
                                 WHEN media_type IS NULL THEN 'inspecting' ELSE $4 END,
                    object_key = COALESCE(object_key, $3),
                    resend = 1, sessions = 0, refused_since = NULL, refused_sessions = 0, refetches = 0, processing_since = NULL, looks = 0, attempt = 0, claims = 0,
                    failure = NULL, waiting = NULL, clean_at = NULL, due_at = $1, updated_at = $1
              WHERE id = $2",
        )
        .bind(now)
        .bind(id.to_string())
        .bind(format!("posts/{id}"))
        .bind(next.as_str())
        .execute(&mut tx)
        .await?;
        lease::show(&mut tx, id, now).await?;
        lease::event(&mut tx, self, id, None, "post_again", None, now).await?;
        // The step that now looks once more must not find its look mistaken for the new attempt.
        lease::drop_from_lane(&mut tx, &post.account, id, now).await?;
        self.commit(tx).await?;
        Ok(Answered::Done)
    }

    /// The person says that a post in doubt is on X: done, on their word.
    pub async fn vouch(&self, person: &Person, id: PostId, now: i64) -> Result<Answered, StoreError> {
        let mut tx = self.begin().await?;
        let Some(post) = own(&mut tx, person, id).await? else { return Ok(Answered::NotYours) };
        if post.state != State::NeedsUser {
            return Ok(Answered::TooLate);
        }
        query(
            "UPDATE posts SET state = 'posted', vouched = 1, due_at = NULL, waiting = NULL, clean_at = $1,
                    updated_at = $1
              WHERE id = $2",
        )
        .bind(now)
        .bind(id.to_string())
        .execute(&mut tx)
        .await?;
        lease::show(&mut tx, id, now).await?;
        lease::event(&mut tx, self, id, None, "vouched", None, now).await?;
        lease::drop_from_lane(&mut tx, &post.account, id, now).await?;
        self.commit(tx).await?;
        Ok(Answered::Done)
    }
}

/// A person's post, as it stands once its lane is locked: no step and nobody else decides about it from then on.
pub(crate) async fn own(tx: &mut Tx, person: &Person, id: PostId) -> Result<Option<Post>, StoreError> {
    query(locking!(
        "SELECT id FROM x_accounts WHERE id = (SELECT account_id FROM posts WHERE id = $1 AND user_id = $2)"
    ))
    .bind(id.to_string())
    .bind(accounts::user_id(person))
    .fetch_value_optional::<String>(&mut *tx)
    .await?;
    let row: Option<PostRow> = query("SELECT * FROM posts WHERE id = $1 AND user_id = $2")
        .bind(id.to_string())
        .bind(accounts::user_id(person))
        .fetch_optional(&mut *tx)
        .await?;
    row.map(Post::try_from).transpose()
}

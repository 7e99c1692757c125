//! What a step finds out, written down under its lease.

use std::sync::atomic::Ordering::Relaxed;

use crate::store::{
    Lease, Store, StoreError, Topics,
    db::{
        engine::{Tx, query},
        locks,
    },
    limits::rate_limits,
    posts::{
        lease::{self, drop_from_lane, event, release, show},
        rows::clean_at,
    },
};
use crate::{
    post::{Failure, Media, Post, PostId, State, Waiting},
    words::Message,
};

impl Store {
    /// Keeps how many bytes have been copied so far.
    pub async fn staged_so_far(&self, lease: &Lease, bytes: u64, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        query("UPDATE posts SET bytes = $1, claims = 0, waiting = NULL WHERE id = $2")
            .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
            .bind(lease.post.id.to_string())
            .execute(&mut tx)
            .await?;
        show(&mut tx, lease.post.id, now).await?;
        Ok(self.commit_about(Topics::messages_to(&lease.post.user), tx).await?)
    }

    /// Keeps the digests of the post's file, in place of those of a former copy.
    pub async fn keep_digests(&self, lease: &Lease, digests: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        query(
            "INSERT INTO post_digests (post_id, digests) VALUES ($1, $2)
             ON CONFLICT (post_id) DO UPDATE SET digests = excluded.digests",
        )
        .bind(lease.post.id.to_string())
        .bind(digests)
        .execute(&mut tx)
        .await?;
        // Nothing becomes due by it, and nothing is shown.
        Ok(tx.commit().await?)
    }

    /// The digests of a post's file.
    pub async fn digests(&self, id: PostId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(query("SELECT digests FROM post_digests WHERE post_id = $1")
            .bind(id.to_string())
            .fetch_value_optional(&self.write)
            .await?)
    }

    /// Keeps a new upload session, in place of a former one.
    pub async fn start_media(&self, lease: &Lease, media: &Media, now: i64) -> Result<(), StoreError> {
        let id = lease.post.id;
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        query("INSERT INTO post_media (media_id, post_id, created_at) VALUES ($1, $2, $3)")
            .bind(&media.id)
            .bind(id.to_string())
            .bind(now)
            .execute(&mut tx)
            .await?;
        query(
            "UPDATE posts SET media_id = $1, media_expires_at = $2, chunk_bytes = $3, segments_done = 0, claims = 0,
                    sessions = sessions + 1, refused_since = NULL, waiting = NULL, processing_since = NULL, processing_percent = NULL
              WHERE id = $4",
        )
        .bind(&media.id)
        .bind(media.expires_at)
        .bind(i64::try_from(media.chunk_bytes).unwrap_or(i64::MAX))
        .bind(id.to_string())
        .execute(&mut tx)
        .await?;
        event(&mut tx, self, id, Some(lease.epoch), "media", Some(&media.id), now).await?;
        Ok(self.commit_about(Topics::NONE, tx).await?)
    }

    /// Keeps that X acknowledged segments.
    pub async fn segments_acknowledged(
        &self,
        lease: &Lease,
        media_id: &str,
        segments: &[u32],
        now: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        let mut done = 0;
        for segment in segments {
            done += query(
                "INSERT INTO media_segments (media_id, segment) VALUES ($1, $2) ON CONFLICT (media_id, segment) DO NOTHING",
            )
            .bind(media_id)
            .bind(i64::from(*segment))
            .execute(&mut tx)
            .await?;
        }
        query(
            "UPDATE posts SET segments_done = segments_done + $1, claims = 0, waiting = NULL
              WHERE id = $2 AND media_id = $3",
        )
        .bind(i64::try_from(done).unwrap_or(0))
        .bind(lease.post.id.to_string())
        .bind(media_id)
        .execute(&mut tx)
        .await?;
        show(&mut tx, lease.post.id, now).await?;
        self.commit_about(Topics::messages_to(&lease.post.user), tx).await?;
        lease.progressed.store(true, Relaxed);
        Ok(())
    }

    /// The segments of an upload session that X has acknowledged, ascending.
    pub async fn segments_done(&self, media_id: &str) -> Result<Vec<u32>, StoreError> {
        let rows: Vec<i64> = query("SELECT segment FROM media_segments WHERE media_id = $1 ORDER BY segment")
            .bind(media_id)
            .fetch_values(&self.write)
            .await?;
        rows.into_iter()
            .map(|segment| u32::try_from(segment).map_err(|_| StoreError::Unreadable("segment")))
            .collect()
    }

    /// Writes the intent to make the post on X. From now on the post may be there, and who comes next looks first.
    ///
    /// Returns the caption, which its person may have edited since the lease began and no longer may.
    pub async fn intend(&self, lease: &Lease, now: i64) -> Result<String, StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        query(
            "UPDATE posts SET intent_at = $1, first_intent_at = COALESCE(first_intent_at, $1), intents = intents + 1,
                    resend = 0, looks = 0, billed_at = $1, updated_at = $1
              WHERE id = $2",
        )
            .bind(now)
            .bind(lease.post.id.to_string())
            .execute(&mut tx)
            .await?;
        let caption = query("SELECT caption FROM posts WHERE id = $1")
            .bind(lease.post.id.to_string())
            .fetch_value(&mut tx)
            .await?;
        event(&mut tx, self, lease.post.id, Some(lease.epoch), "intent", None, now).await?;
        self.commit_about(Topics::NONE, tx).await?;
        Ok(caption)
    }

    /// Writes down that the post is on X. A known fact: not fenced, whoever holds the lane now.
    ///
    /// When another post on X was made of it before, both are kept and the person is told in the words of `twice`,
    /// which is given the account's user name and the id known first.
    pub async fn posted(
        &self,
        lease: &Lease,
        x_post_id: &str,
        twice: impl Fn(&str, &str) -> Message,
        now: i64,
    ) -> Result<(), StoreError> {
        let id = lease.post.id;
        let mut tx = self.begin().await?;
        locks::lane(&mut tx, &lease.account).await?;
        let known: Option<String> = query("SELECT x_post_id FROM posts WHERE id = $1")
            .bind(id.to_string())
            .fetch_value(&mut tx)
            .await?;
        match known {
            // Another holder of the lane has found or made it, too.
            Some(known) if known == x_post_id => return Ok(()),
            Some(known) => {
                tracing::error!(post = %id, first = known, second = x_post_id, "two posts on X were made of one");
                self.also_posted(&mut tx, lease, (&known, x_post_id), twice, now).await?;
                return Ok(self.commit(tx).await?);
            }
            None => {}
        }
        query(
            "UPDATE posts SET state = 'posted', x_post_id = $1, due_at = NULL, waiting = NULL, failure = NULL,
                    attempt = 0, claims = 0, clean_at = $2, updated_at = $2
              WHERE id = $3",
        )
        .bind(x_post_id)
        .bind(now)
        .bind(id.to_string())
        .execute(&mut tx)
        .await?;
        show(&mut tx, id, now).await?;
        event(&mut tx, self, id, Some(lease.epoch), "posted", Some(x_post_id), now).await?;
        drop_from_lane(&mut tx, &lease.account, id, now).await?;
        let topics = Topics::QUEUE | Topics::CLEANING | Topics::messages_to(&lease.post.user);
        Ok(self.commit_about(topics, tx).await?)
    }

    /// Keeps a second post on X beside the `first`, and a notice of it. Told once, however often it is written.
    async fn also_posted(
        &self,
        tx: &mut Tx,
        lease: &Lease,
        (first, second): (&str, &str),
        twice: impl Fn(&str, &str) -> Message,
        now: i64,
    ) -> Result<(), StoreError> {
        let id = lease.post.id;
        let told: Option<i64> =
            query("SELECT id FROM post_events WHERE post_id = $1 AND kind = 'also_posted' AND detail = $2")
                .bind(id.to_string())
                .bind(second)
                .fetch_value_optional(&mut *tx)
                .await?;
        if told.is_some() {
            return Ok(());
        }
        event(tx, self, id, Some(lease.epoch), "also_posted", Some(second), now).await?;
        let (place, username): (Option<Vec<u8>>, String) = query(
            "SELECT p.place_sealed, a.username FROM posts p JOIN x_accounts a ON a.id = p.account_id WHERE p.id = $1",
        )
        .bind(id.to_string())
        .fetch_one(&mut *tx)
        .await?;
        // A program that asked sees it in the log only.
        let Some(place) = place else { return Ok(()) };
        let place = self.open_place(&place, &id.to_string())?;
        self.notify(tx, &place, &twice(&username, first), now).await
    }

    /// Ends a post whose result the database refuses to store. A post that may be on X is left to its person.
    pub async fn end_rejected(&self, lease: &Lease, may_be_posted: bool, now: i64) -> Result<(), StoreError> {
        let id = lease.post.id;
        let internal =
            serde_json::to_string(&Failure::Internal).map_err(|_| StoreError::Unreadable("failure"))?;
        let (state, failure) = match may_be_posted {
            true => (State::NeedsUser, None),
            false => (State::Failed, Some(internal)),
        };
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        query(
            "UPDATE posts SET state = $1, failure = $2, due_at = NULL, waiting = NULL, claims = 0, clean_at = $3,
                    updated_at = $4
              WHERE id = $5",
        )
        .bind(state.as_str())
        .bind(failure)
        .bind(clean_at(state, now))
        .bind(now)
        .bind(id.to_string())
        .execute(&mut tx)
        .await?;
        show(&mut tx, id, now).await?;
        event(&mut tx, self, id, Some(lease.epoch), "rejected", None, now).await?;
        drop_from_lane(&mut tx, &lease.account, id, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// Tells whether any other post was published after `since`.
    pub async fn others_posted(&self, lease: &Lease, since: i64) -> Result<bool, StoreError> {
        let other: Option<i64> = query(
            "SELECT billed_at FROM posts WHERE billed_at > $1 AND state = 'posted' AND id <> $2 ORDER BY billed_at LIMIT 1",
        )
        .bind(since)
        .bind(lease.post.id.to_string())
        .fetch_value_optional(&self.read)
        .await?;
        Ok(other.is_some())
    }

    /// Writes down what a step found, due again at `due_at` (`None`: nothing more to do), and lets the lane go.
    pub async fn save(
        &self,
        lease: &Lease,
        post: &Post,
        due_at: Option<i64>,
        kind: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let waited_for_all = lease.post.waiting.as_ref().is_some_and(Waiting::is_for_the_account);
        // The pause that it is to wait for may be over since it was asked for; whoever ends one from now on sees the post.
        let (waiting, due_at) = match &post.waiting {
            Some(waiting) if waiting.is_for_the_app() && !rate_limits::is_paused(&mut tx).await? => {
                (None, Some(now))
            }
            waiting => (waiting.as_ref(), due_at),
        };
        self.fence(&mut tx, lease).await?;
        let text = |value: Option<serde_json::Result<String>>| {
            value.transpose().map_err(|_| StoreError::Unreadable("a value to store"))
        };
        let size = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        let failure = text(post.failure.as_ref().map(serde_json::to_string))?;
        let is_long = due_at.is_some_and(|due| due - now >= lease::WORTH_TELLING_MS);
        let waits_for_all = is_long && waiting.is_some_and(Waiting::is_for_the_account);
        let waiting = text(waiting.map(serde_json::to_string))?;
        let notes = text(Some(serde_json::to_string(&post.notes)))?;
        let media = post.media.as_ref();
        query(
            "UPDATE posts SET state = $1, due_at = $2, attempt = $3, claims = 0, bytes = $4, sha256 = $5,
                    media_type = $6, duration_ms = $7, media_id = $8, media_expires_at = $9, chunk_bytes = $10,
                    segments_done = CASE WHEN CAST($8 AS TEXT) IS NULL THEN 0 ELSE segments_done END,
                    processing_since = $11, processing_percent = $12, intent_at = $13, looks = $14,
                    failure = $15, waiting = $16, clean_at = $17, updated_at = $18, first_intent_at = $19,
                    resend = $20, notes = $21, intents = $22, refused_since = $23, refused_sessions = $24, trouble_since = $25, refetches = $27,
                    billed_at = CASE WHEN CAST($13 AS BIGINT) IS NULL THEN NULL ELSE billed_at END
              WHERE id = $26",
        )
        .bind(post.state.as_str())
        .bind(due_at)
        .bind(i64::from(post.attempt))
        .bind(size(post.bytes))
        .bind(&post.sha256)
        .bind(&post.media_type)
        .bind(size(post.duration_ms))
        .bind(media.map(|media| &media.id))
        .bind(media.and_then(|media| media.expires_at))
        .bind(size(post.chunk_bytes))
        .bind(post.processing_since)
        .bind(post.processing_percent.map(i64::from))
        .bind(post.intent_at)
        .bind(i64::from(post.looks))
        .bind(&failure)
        .bind(&waiting)
        .bind(clean_at(post.state, now))
        .bind(now)
        .bind(post.first_intent_at)
        .bind(i64::from(post.resend))
        .bind(&notes)
        .bind(i64::from(post.intents))
        .bind(post.refused_since)
        .bind(i64::from(post.refused_sessions))
        .bind(post.trouble_since)
        .bind(post.id.to_string())
        .bind(i64::from(post.refetches))
        .execute(&mut tx)
        .await?;
        show(&mut tx, post.id, now).await?;
        event(&mut tx, self, post.id, Some(lease.epoch), kind, failure.as_deref(), now).await?;
        let mut topics = Topics::QUEUE | Topics::messages_to(&post.user);
        if clean_at(post.state, now).is_some() {
            topics = topics | Topics::CLEANING;
        }
        if waits_for_all || waited_for_all {
            // Their people may be on other platforms.
            topics = Topics::ALL;
            lease::tell_those_behind(&mut tx, lease, waiting.filter(|_| waits_for_all), now).await?;
        }
        release(&mut tx, &lease.account, now).await?;
        Ok(self.commit_about(topics, tx).await?)
    }
}

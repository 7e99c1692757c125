//! Files that people upload themselves, from the first signed address to the post.

use std::{fmt, str::FromStr};

use sqlx::FromRow;
use uuid::Uuid;

use crate::store::{
    Store, StoreError,
    db::{engine::query, locks},
    limits::user_limits,
    people::accounts,
    posts::{idempotency, rows::small},
};
use crate::{
    account::{AccountId, Person},
    config::Limits,
    post::{NewPost, OverLimit},
    store::Accepted,
};

/// Names an upload; shown to programs as the key of its object, `uploads/{uuid}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(pub Uuid);

const PREFIX: &str = "uploads/";

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.hyphenated())
    }
}

impl FromStr for UploadId {
    type Err = uuid::Error;

    /// Reads a key as it was shown.
    fn from_str(key: &str) -> Result<Self, Self::Err> {
        key.strip_prefix(PREFIX).unwrap_or_default().parse().map(UploadId)
    }
}

/// A file on its way into storage, or there and not posted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub id: UploadId,
    /// As its person named it; for reading only, never a path.
    pub filename: String,
    /// As declared; the truth is found by looking inside.
    pub content_type: String,
    /// As declared, in bytes.
    pub size: Option<u64>,
    /// Length of each part but the last, of an upload in parts.
    pub part_bytes: Option<u64>,
    /// Storage's name for the upload in parts, until it is complete.
    pub multipart: Option<String>,
    /// As found in storage, once it is complete.
    pub bytes: Option<u64>,
    /// Unix milliseconds.
    pub expires_at: i64,
}

#[derive(FromRow)]
struct UploadRow {
    id: String,
    filename: String,
    content_type: String,
    size: Option<i64>,
    part_bytes: Option<i64>,
    multipart_id: Option<String>,
    bytes: Option<i64>,
    expires_at: i64,
}

impl TryFrom<UploadRow> for Upload {
    type Error = StoreError;

    fn try_from(row: UploadRow) -> Result<Self, StoreError> {
        let bytes = |value: Option<i64>| value.map(|value| small(value, "size")).transpose();
        Ok(Upload {
            id: UploadId(row.id.parse().map_err(|_| StoreError::Unreadable("upload id"))?),
            filename: row.filename,
            content_type: row.content_type,
            size: bytes(row.size)?,
            part_bytes: bytes(row.part_bytes)?,
            multipart: row.multipart_id,
            bytes: bytes(row.bytes)?,
            expires_at: row.expires_at,
        })
    }
}

fn stored(bytes: Option<u64>) -> Option<i64> {
    bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// The most that one PUT may carry, in bytes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html>).
pub const MAX_PUT_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// Uploads that one person may have begun and not posted.
pub const MAX_OPEN: u32 = 20;
/// Uploads that one person may give up within a day.
const MAX_CLOSED: u32 = 100;

/// Outcome of a request to begin an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadBegun {
    Begun,
    /// The person has as many as one may.
    TooMany,
    /// The person's day has no room for these bytes.
    Over(OverLimit),
}

/// What became of a request to post an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    /// Rows now hold it, under this request id.
    New(Uuid),
    /// The same request was answered before.
    Repeated(Uuid),
    /// The same key came with another request.
    Conflict,
    /// The upload was posted or dropped meanwhile.
    Gone,
    /// The person disconnected an account a moment ago.
    NotLinked(AccountId),
    /// The limits leave no room.
    Over(OverLimit),
}

/// What makes a repeated request known: its key and the hash of what it asked.
#[derive(Clone, Debug)]
pub struct Repeatable {
    pub key: String,
    pub body_hash: String,
    /// Unix milliseconds after which it is forgotten.
    pub expires_at: i64,
}

impl Store {
    /// Keeps an upload that is about to begin, and counts its bytes towards its person's day.
    pub async fn begin_upload(
        &self,
        person: &Person,
        upload: &Upload,
        limits: &Limits,
        now: i64,
    ) -> Result<UploadBegun, StoreError> {
        let mut tx = self.begin().await?;
        let user = accounts::upsert_user(&mut tx, person, now).await?;
        for (closed, most) in [(0_i64, MAX_OPEN), (1, MAX_CLOSED)] {
            let held: i64 = query("SELECT count(*) FROM uploads WHERE user_id = $1 AND closed = $2")
                .bind(&user)
                .bind(closed)
                .fetch_value(&mut tx)
                .await?;
            if held >= i64::from(most) {
                return Ok(UploadBegun::TooMany);
            }
        }
        // Nothing bounds a file whose size is not declared, so it counts as the largest that one request may carry.
        let bytes = upload.size.unwrap_or(MAX_PUT_BYTES);
        if let Some(over) = user_limits::bytes_over(&mut tx, limits, &user, bytes, now).await? {
            return Ok(UploadBegun::Over(over));
        }
        query(
            "INSERT INTO uploads (id, user_id, filename, content_type, size, part_bytes, expires_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(upload.id.0.to_string())
        .bind(user)
        .bind(&upload.filename)
        .bind(&upload.content_type)
        .bind(stored(upload.size))
        .bind(stored(upload.part_bytes))
        .bind(upload.expires_at)
        .bind(now)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(UploadBegun::Begun)
    }

    /// The user whose upload still takes bytes; `None` when it is complete, closed, posted or expired.
    pub async fn open_upload(&self, id: UploadId, now: i64) -> Result<Option<String>, StoreError> {
        Ok(query(
            "SELECT user_id FROM uploads WHERE id = $1 AND closed = 0 AND bytes IS NULL AND expires_at > $2",
        )
        .bind(id.0.to_string())
        .bind(now)
        .fetch_value_optional(&self.read)
        .await?)
    }

    /// Tells whether anything still needs an upload's file: the open upload itself, or a post.
    pub async fn knows_upload(&self, id: UploadId) -> Result<bool, StoreError> {
        let known: i64 = query(
            "SELECT (SELECT count(*) FROM uploads WHERE id = $1 AND closed = 0)
                  + (SELECT count(*) FROM posts WHERE object_key = $2)",
        )
        .bind(id.0.to_string())
        .bind(id.to_string())
        .fetch_value(&self.read)
        .await?;
        Ok(known > 0)
    }

    /// Closes an upload that its person gave up. Its row stays until it expires, because its bytes count towards the
    /// person's day, and because a signed address may still bring bytes that are to be removed.
    pub async fn close_upload(&self, id: UploadId) -> Result<(), StoreError> {
        query("UPDATE uploads SET closed = 1 WHERE id = $1")
            .bind(id.0.to_string())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Keeps storage's name for an upload in parts.
    pub async fn upload_in_parts(&self, id: UploadId, multipart: &str) -> Result<(), StoreError> {
        query("UPDATE uploads SET multipart_id = $1 WHERE id = $2")
            .bind(multipart)
            .bind(id.0.to_string())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Keeps that an upload is complete, with the length it has.
    pub async fn upload_complete(&self, id: UploadId, bytes: u64) -> Result<(), StoreError> {
        query("UPDATE uploads SET bytes = $1, multipart_id = NULL WHERE id = $2")
            .bind(stored(Some(bytes)))
            .bind(id.0.to_string())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// A person's upload; `None` when it is nobody's or somebody else's, posted or expired.
    pub async fn upload(
        &self,
        person: &Person,
        id: UploadId,
        now: i64,
    ) -> Result<Option<Upload>, StoreError> {
        let row: Option<UploadRow> =
            query("SELECT * FROM uploads WHERE id = $1 AND user_id = $2 AND closed = 0 AND expires_at > $3")
                .bind(id.0.to_string())
                .bind(accounts::user_id(person))
                .bind(now)
                .fetch_optional(&self.write)
                .await?;
        row.map(Upload::try_from).transpose()
    }

    /// Uploads that nobody posted in time, whoever's.
    pub async fn expired_uploads(&self, now: i64, limit: u32) -> Result<Vec<Upload>, StoreError> {
        let rows: Vec<UploadRow> =
            query("SELECT * FROM uploads WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2")
                .bind(now)
                .bind(i64::from(limit))
                .fetch_all(&self.read)
                .await?;
        rows.into_iter().map(Upload::try_from).collect()
    }

    /// Forgets an upload whose file is gone.
    pub async fn drop_upload(&self, id: UploadId) -> Result<(), StoreError> {
        query("DELETE FROM uploads WHERE id = $1").bind(id.0.to_string()).execute(&self.write).await?;
        Ok(())
    }

    /// Turns an upload into posts, all or none, once for each key.
    pub async fn hand_over(
        &self,
        person: &Person,
        upload: UploadId,
        posts: &[NewPost],
        repeatable: Option<&Repeatable>,
        limits: &Limits,
        now: i64,
    ) -> Result<Handed, StoreError> {
        let mut tx = self.begin().await?;
        let user = accounts::upsert_user(&mut tx, person, now).await?;
        if let Some(repeatable) = repeatable
            && let Some(known) = idempotency::known(&mut tx, &user, repeatable, now).await?
        {
            return Ok(known);
        }
        let Some(request) = posts.first().map(|post| post.request) else { return Ok(Handed::Gone) };
        let taken =
            query("DELETE FROM uploads WHERE id = $1 AND user_id = $2 AND closed = 0 AND expires_at > $3")
                .bind(upload.0.to_string())
                .bind(&user)
                .bind(now)
                .execute(&mut tx)
                .await?;
        if taken == 0 {
            return Ok(Handed::Gone);
        }
        user_limits::lock(&mut tx, limits).await?;
        locks::lanes(&mut tx, posts.iter().map(|post| &post.account)).await?;
        for post in posts {
            match self.accept_in(&mut tx, &user, post, limits, now).await? {
                Accepted::New => {}
                Accepted::Over(over) => return Ok(Handed::Over(over)),
                Accepted::Already => return Ok(Handed::Gone),
                Accepted::NotLinked => return Ok(Handed::NotLinked(post.account.clone())),
            }
        }
        if let Some(repeatable) = repeatable {
            idempotency::remember(&mut tx, &user, repeatable, request).await?;
        }
        self.commit(tx).await?;
        Ok(Handed::New(request))
    }
}

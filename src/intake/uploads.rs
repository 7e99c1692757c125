//! From a file on somebody's disk to posts: signed addresses to send it to, and the request to post it.

use std::time::Duration;

use url::Url;
use uuid::Uuid;

use super::{Intake, caption_limit};
use crate::{
    account::{Account, AccountId, AccountState, Person, Place},
    caption::{Caption, CaptionError},
    post::{AltTextTooLong, Attachment, Kind, NewPost, Options, OverLimit, PostId},
    staging::{Part, StagingError},
    store::{Handed, Repeatable, StoreError, Upload, UploadId},
    video::MAX_BYTES,
};

/// The most that one PUT may carry, in bytes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html>).
pub const MAX_PUT_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// Length of each part but the last. A thousand of them are the most that X takes.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;
/// How long a signed address takes a file; more can be had while the upload lives.
pub const URL_LIFE: Duration = Duration::from_secs(3_600);
/// How long an upload is kept for its person to post it.
pub const UPLOAD_LIFE_MS: i64 = 24 * 3_600_000;
/// Uploads that one person may have begun and not posted.
pub const MAX_OPEN: u32 = 20;
/// How long a repeated request is known.
const REPEATABLE_MS: i64 = 24 * 3_600_000;

/// A file that somebody wants to upload, as they describe it.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub filename: String,
    pub content_type: String,
    pub size: Option<u64>,
    /// Whether to send it in parts.
    pub parts: bool,
}

/// An upload that can begin.
#[derive(Debug)]
pub struct Begun {
    pub id: UploadId,
    pub by: Sent,
    /// When the upload is forgotten unless it is posted, in Unix milliseconds.
    pub expires_at: i64,
}

/// How a file is to be sent.
#[derive(Debug)]
pub enum Sent {
    Whole(Signed),
    Parts { part_bytes: u64, parts: u32 },
}

/// An address that takes a PUT.
#[derive(Debug)]
pub struct Signed {
    /// A secret.
    pub url: Url,
    /// What must come along, besides the length.
    pub content_type: Option<String>,
    /// Unix milliseconds.
    pub expires_at: i64,
}

/// An address that takes a PUT of one part.
#[derive(Debug)]
pub struct SignedPart {
    pub number: u32,
    pub bytes: u64,
    pub to: Signed,
}

/// What somebody wants posted.
#[derive(Clone, Debug)]
pub struct PostRequest {
    pub upload: UploadId,
    pub caption: String,
    pub options: Options,
    pub accounts: Vec<AccountId>,
    /// Makes a repetition known: its key and a hash of all that was asked.
    pub repeatable: Option<(String, String)>,
}

/// Posts that were written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    pub request: Uuid,
    /// The same request was answered so before.
    pub repeated: bool,
}

/// Why an upload or its post was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("there is no such upload")]
    NoUpload,
    #[error("the file type is {0}, which is no video")]
    NotVideo(String),
    #[error("the file is empty")]
    Empty,
    #[error("the file has {bytes} bytes; {limit} are the most")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("an upload in parts must say how large it is")]
    SizeNeeded,
    #[error("{MAX_OPEN} uploads are open")]
    TooMany,
    #[error("the upload has no parts")]
    NotInParts,
    #[error("there is no part {0}")]
    NoPart(u32),
    /// The numbers of parts that are missing or not as long as they should be; none when nothing came at all.
    #[error("the upload is not complete")]
    Incomplete { missing: Vec<u32> },
    #[error("the file has {found} bytes, not {declared} as was said")]
    OtherSize { declared: u64, found: u64 },
    #[error("the account is not linked: {0}")]
    NotLinked(AccountId),
    #[error("the account must be linked again")]
    Reconnect(Box<Account>),
    #[error(transparent)]
    Caption(#[from] CaptionError),
    #[error(transparent)]
    AltText(#[from] AltTextTooLong),
    #[error("the limits leave no room")]
    Over(OverLimit),
    #[error("the key came with another request before")]
    OtherRequest,
    #[error(transparent)]
    Staging(#[from] StagingError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Upload {
    /// How many parts it has, when it is sent in parts.
    pub fn parts(&self) -> Option<u32> {
        let (size, part) = (self.size?, self.part_bytes?);
        u32::try_from(size.div_ceil(part.max(1))).ok()
    }

    /// The length that a part must have; `None` when there is no such part.
    pub fn part_length(&self, number: u32) -> Option<u64> {
        let (size, part) = (self.size?, self.part_bytes?);
        let start = u64::from(number.checked_sub(1)?).checked_mul(part)?;
        size.checked_sub(start).filter(|left| *left > 0).map(|left| left.min(part))
    }
}

impl Intake {
    /// Makes room for a file and says where to send it.
    pub async fn begin_upload(&self, person: &Person, wanted: Wanted) -> Result<Begun, UploadError> {
        let now = self.clock.now_ms();
        if !may_be_video(&wanted.content_type) {
            return Err(UploadError::NotVideo(wanted.content_type));
        }
        let limit = if wanted.parts { MAX_BYTES } else { MAX_PUT_BYTES };
        match wanted.size {
            Some(0) => return Err(UploadError::Empty),
            Some(bytes) if bytes > limit => return Err(UploadError::TooLarge { bytes, limit }),
            None if wanted.parts => return Err(UploadError::SizeNeeded),
            _ => {}
        }
        let upload = Upload {
            id: UploadId(Uuid::now_v7()),
            filename: wanted.filename,
            content_type: wanted.content_type,
            size: wanted.size,
            part_bytes: wanted.parts.then_some(PART_BYTES),
            multipart: None,
            bytes: None,
            expires_at: now + UPLOAD_LIFE_MS,
        };
        let key = upload.id.to_string();
        // Written first: what a crash leaves in storage is then found and removed with the row.
        if !self.store.begin_upload(person, &upload, MAX_OPEN, now).await? {
            return Err(UploadError::TooMany);
        }
        let by = match upload.parts() {
            Some(parts) => {
                let multipart = self.staging.begin_parts(&key, &upload.content_type).await?;
                self.store.upload_in_parts(upload.id, &multipart).await?;
                Sent::Parts { part_bytes: PART_BYTES, parts }
            }
            None => {
                let url = self.staging.presign_put(&key, &upload.content_type, upload.size, URL_LIFE).await?;
                Sent::Whole(Signed {
                    url,
                    content_type: Some(upload.content_type.clone()),
                    expires_at: now + life_ms(URL_LIFE),
                })
            }
        };
        tracing::info!(upload = %upload.id, size = upload.size, parts = upload.parts(), "upload begun");
        Ok(Begun { id: upload.id, by, expires_at: upload.expires_at })
    }

    /// Addresses for some parts of an upload.
    pub async fn sign_parts(
        &self,
        person: &Person,
        id: UploadId,
        numbers: &[u32],
    ) -> Result<Vec<SignedPart>, UploadError> {
        let upload = self.upload(person, id).await?;
        let multipart = upload.multipart.as_deref().ok_or(UploadError::NotInParts)?;
        let expires_at = self.clock.now_ms() + life_ms(URL_LIFE);
        let mut signed = Vec::with_capacity(numbers.len());
        for &number in numbers {
            let bytes = upload.part_length(number).ok_or(UploadError::NoPart(number))?;
            let url = self.staging.presign_part(&id.to_string(), multipart, number, bytes, URL_LIFE).await?;
            signed.push(SignedPart { number, bytes, to: Signed { url, content_type: None, expires_at } });
        }
        Ok(signed)
    }

    /// An upload in parts, and which of them have arrived whole.
    pub async fn parts_done(
        &self,
        person: &Person,
        id: UploadId,
    ) -> Result<(Upload, Vec<Part>), UploadError> {
        let upload = self.upload(person, id).await?;
        let multipart = upload.multipart.as_deref().ok_or(UploadError::NotInParts)?;
        let parts = self.staging.parts(&id.to_string(), multipart).await?.ok_or(UploadError::NoUpload)?;
        let whole = |part: &Part| upload.part_length(part.number) == Some(part.bytes);
        let done = parts.into_iter().filter(whole).collect();
        Ok((upload, done))
    }

    /// Makes one file of what was sent, if all of it was. Returns its length; asked again, the same.
    pub async fn complete_upload(&self, person: &Person, id: UploadId) -> Result<u64, UploadError> {
        let upload = self.upload(person, id).await?;
        self.complete(&upload).await
    }

    async fn complete(&self, upload: &Upload) -> Result<u64, UploadError> {
        let key = upload.id.to_string();
        if upload.bytes.is_none()
            && let Some(multipart) = upload.multipart.as_deref()
            // An upload that storage does not know any more was completed, and the answer lost.
            && let Some(parts) = self.staging.parts(&key, multipart).await?
        {
            let missing: Vec<u32> = (1..=upload.parts().unwrap_or_default())
                .filter(|number| {
                    let wanted = upload.part_length(*number);
                    !parts.iter().any(|part| part.number == *number && Some(part.bytes) == wanted)
                })
                .collect();
            if !missing.is_empty() {
                return Err(UploadError::Incomplete { missing });
            }
            self.staging.complete_parts(&key, multipart, &parts).await?;
        }
        // Asked even when known: the file may have been removed since.
        let found = match self.staging.size(&key).await {
            Err(StagingError::Missing) => return Err(UploadError::Incomplete { missing: Vec::new() }),
            found => found?,
        };
        match upload.size {
            _ if found == 0 => return Err(UploadError::Empty),
            Some(declared) if declared != found => return Err(UploadError::OtherSize { declared, found }),
            _ if found > MAX_BYTES => return Err(UploadError::TooLarge { bytes: found, limit: MAX_BYTES }),
            _ => {}
        }
        if upload.bytes != Some(found) {
            self.store.upload_complete(upload.id, found).await?;
        }
        Ok(found)
    }

    /// Gives up an upload that is not posted.
    pub async fn discard_upload(&self, person: &Person, id: UploadId) -> Result<(), UploadError> {
        let upload = self.upload(person, id).await?;
        if let Some(multipart) = upload.multipart.as_deref() {
            self.staging.abort_parts(&id.to_string(), multipart).await?;
        }
        self.staging.delete(&id.to_string()).await?;
        Ok(self.store.drop_upload(id).await?)
    }

    /// Writes a post down for each account. The status of each is shown at `place`, if there is one.
    pub async fn post_upload(
        &self,
        person: &Person,
        place: Option<&Place>,
        request: PostRequest,
    ) -> Result<Posted, UploadError> {
        let now = self.clock.now_ms();
        let repeatable = request.repeatable.map(|(key, body_hash)| Repeatable {
            key,
            body_hash,
            expires_at: now + REPEATABLE_MS,
        });
        if let Some(repeatable) = &repeatable
            && let Some(known) = self.store.repeated(person, repeatable, now).await?
        {
            return posted(known);
        }
        request.options.check()?;
        let linked = self.store.accounts(person).await?;
        for id in &request.accounts {
            let account = linked.iter().find(|account| account.id == *id);
            let account = account.ok_or_else(|| UploadError::NotLinked(id.clone()))?;
            if account.state == AccountState::ReconnectNeeded {
                return Err(UploadError::Reconnect(Box::new(account.clone())));
            }
            Caption::parse(request.caption.as_str(), caption_limit(account, self.clock.now_ms()))?;
        }
        let upload = self.upload(person, request.upload).await?;
        let bytes = self.complete(&upload).await?;
        let attachment = Attachment {
            platform: person.platform,
            source: upload.id.to_string(),
            name: upload.filename,
            bytes: Some(bytes),
            content_type: Some(upload.content_type),
            kind: Kind::Upload,
        };
        let request_id = Uuid::now_v7();
        let posts: Vec<NewPost> = request
            .accounts
            .iter()
            .enumerate()
            .map(|(index, account)| NewPost {
                id: PostId(if index == 0 { request_id } else { Uuid::now_v7() }),
                request: request_id,
                dedupe_key: format!("{}:{account}", upload.id),
                person: person.clone(),
                account: account.clone(),
                caption: request.caption.clone(),
                options: request.options.clone(),
                attachment: attachment.clone(),
                staged: Some((upload.id.to_string(), bytes)),
                place: place.cloned(),
            })
            .collect();
        let handed =
            self.store.hand_over(person, upload.id, &posts, repeatable.as_ref(), &self.limits, now).await?;
        tracing::info!(request = %request_id, posts = posts.len(), ?handed, "post asked for");
        match &handed {
            Handed::New(_) => self.watch_budget().await,
            Handed::Over(over) => self.watch_refusal(over).await,
            _ => {}
        }
        posted(handed)
    }

    async fn upload(&self, person: &Person, id: UploadId) -> Result<Upload, UploadError> {
        self.store.upload(person, id, self.clock.now_ms()).await?.ok_or(UploadError::NoUpload)
    }
}

fn posted(handed: Handed) -> Result<Posted, UploadError> {
    match handed {
        Handed::New(request) => Ok(Posted { request, repeated: false }),
        Handed::Repeated(request) => Ok(Posted { request, repeated: true }),
        Handed::Conflict => Err(UploadError::OtherRequest),
        Handed::Gone => Err(UploadError::NoUpload),
        Handed::NotLinked(account) => Err(UploadError::NotLinked(account)),
        Handed::Over(over) => Err(UploadError::Over(over)),
    }
}

/// What browsers say of a file that they do not know may be a video all the same.
fn may_be_video(content_type: &str) -> bool {
    content_type.starts_with("video/") || content_type == "application/octet-stream"
}

fn life_ms(life: Duration) -> i64 {
    i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 2)
}

//! From a file on somebody's disk to a file in storage: signed addresses to send it to, and that it is complete.

use std::time::Duration;

use url::Url;
use uuid::Uuid;

use super::Intake;
use crate::{
    account::{Account, AccountId, Person},
    caption::CaptionError,
    post::{AltTextTooLong, OverLimit},
    staging::{Part, StagingError},
    store::{MAX_OPEN, MAX_PUT_BYTES, StoreError, Upload, UploadBegun, UploadId},
    video::MAX_BYTES,
};

/// Length of each part but the last. A thousand of them are the most that X takes.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;
/// How long a signed address takes a file; more can be had while the upload lives. A bucket knows nothing of our rows,
/// so this is how long the address of an upload that was given up still works there.
pub const URL_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long an upload is kept for its person to post it.
pub const UPLOAD_LIFE_MS: i64 = 24 * 3_600_000;
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
        match self.store.begin_upload(person, &upload, &self.limits, now).await? {
            UploadBegun::Begun => {}
            UploadBegun::TooMany => return Err(UploadError::TooMany),
            UploadBegun::Over(over) => return Err(UploadError::Over(over)),
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

    pub(super) async fn complete(&self, upload: &Upload) -> Result<u64, UploadError> {
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
        // Closed first: what arrives from now on is refused, or removed by whoever takes it.
        self.store.close_upload(id).await?;
        if let Some(multipart) = upload.multipart.as_deref() {
            self.staging.abort_parts(&id.to_string(), multipart).await?;
        }
        self.staging.delete(&id.to_string()).await?;
        Ok(())
    }

    pub(super) async fn upload(&self, person: &Person, id: UploadId) -> Result<Upload, UploadError> {
        self.store.upload(person, id, self.clock.now_ms()).await?.ok_or(UploadError::NoUpload)
    }
}

/// What browsers say of a file that they do not know may be a video all the same.
fn may_be_video(content_type: &str) -> bool {
    content_type.starts_with("video/") || content_type == "application/octet-stream"
}

fn life_ms(life: Duration) -> i64 {
    i64::try_from(life.as_millis()).unwrap_or(i64::MAX / 2)
}

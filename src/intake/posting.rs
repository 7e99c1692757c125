//! The request to post an upload.

use uuid::Uuid;

use super::{Intake, UploadError, caption_limit};
use crate::{
    account::{AccountId, AccountState, Person, Place},
    caption::Caption,
    post::{Attachment, Kind, NewPost, Options, PostId},
    store::{Handed, Repeatable, UploadId},
};

/// How long a repeated request is known.
const REPEATABLE_MS: i64 = 24 * 3_600_000;

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

impl Intake {
    /// Writes a post down for each account. The status of each is shown at `place`, if there is one.
    pub async fn post_upload(
        &self,
        person: &Person,
        place: Option<&Place>,
        mut request: PostRequest,
    ) -> Result<Posted, UploadError> {
        let now = self.clock.now_ms();
        let repeatable = request.repeatable.take().map(|(key, body_hash)| Repeatable {
            key,
            body_hash,
            expires_at: now + REPEATABLE_MS,
        });
        if let Some(repeatable) = &repeatable
            && let Some(known) = self.store.repeated(person, repeatable, now).await?
        {
            return posted(known);
        }
        let handed = match self.hand_over(person, place, request, repeatable.as_ref(), now).await {
            // The same request may have taken the upload since it was asked for above.
            Err(UploadError::NoUpload) => match &repeatable {
                Some(repeatable) => self.store.repeated(person, repeatable, now).await?,
                None => None,
            }
            .ok_or(UploadError::NoUpload)?,
            handed => handed?,
        };
        posted(handed)
    }

    async fn hand_over(
        &self,
        person: &Person,
        place: Option<&Place>,
        request: PostRequest,
        repeatable: Option<&Repeatable>,
        now: i64,
    ) -> Result<Handed, UploadError> {
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
        let handed = self.store.hand_over(person, upload.id, &posts, repeatable, &self.limits, now).await?;
        tracing::info!(request = %request_id, posts = posts.len(), ?handed, "post asked for");
        match &handed {
            Handed::New(_) => self.watch_budget().await,
            Handed::Over(over) => self.watch_refusal(over).await,
            _ => {}
        }
        Ok(handed)
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

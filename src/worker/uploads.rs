//! Uploads that nobody posted in time.

use super::{Worker, chain};
use crate::store::StoreError;

/// How many are removed in one round; the rest waits for the next.
const BATCH: u32 = 50;

/// Removes them from storage, then from the list; what storage does not remove now waits for the next round.
pub(super) async fn drop_expired(worker: &Worker, now: i64) -> Result<(), StoreError> {
    worker.store.prune_idempotency(now).await?;
    for upload in worker.store.expired_uploads(now, BATCH).await? {
        let key = upload.id.to_string();
        let removed = async {
            if let Some(multipart) = &upload.multipart {
                worker.staging.abort_parts(&key, multipart).await?;
            }
            worker.staging.delete(&key).await
        };
        match removed.await {
            Ok(()) => {
                tracing::info!(upload = %upload.id, "an upload was never posted, and is removed");
                worker.store.drop_upload(upload.id).await?;
            }
            Err(error) => {
                tracing::warn!(upload = %upload.id, error = chain(&error), "an upload could not be removed yet");
            }
        }
    }
    Ok(())
}

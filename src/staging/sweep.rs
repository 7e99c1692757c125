//! Clearing away what no post knows any more.

use std::time::SystemTime;

use aws_sdk_s3::primitives::DateTime;

use super::{PREFIXES, Staging, StagingError};

/// What [`Staging::sweep`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub objects: usize,
    pub uploads: usize,
}

impl Staging {
    /// Of what is `ours` by its key, deletes what was last written before `older_than` and is not `known`, and aborts
    /// uploads begun before then, known or not. Needs `s3:ListBucket` and `s3:ListBucketMultipartUploads`.
    pub async fn sweep(
        &self,
        ours: impl Fn(&str) -> bool,
        known: impl Fn(&str) -> bool,
        older_than: SystemTime,
    ) -> Result<Swept, StagingError> {
        let older_than = DateTime::from(older_than);
        let mut swept = Swept::default();
        for prefix in PREFIXES {
            let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let mut pages = list.into_paginator().send();
            while let Some(page) = pages.next().await {
                for object in page?.contents() {
                    let (Some(key), Some(written)) = (object.key(), object.last_modified()) else {
                        continue;
                    };
                    if *written < older_than && ours(key) && !known(key) {
                        let delete = self.client.delete_object().bucket(&self.bucket).key(key);
                        delete.send().await?;
                        swept.objects += 1;
                    }
                }
            }
            swept.uploads += self.sweep_uploads(prefix, &ours, older_than).await?;
        }
        Ok(swept)
    }

    async fn sweep_uploads(
        &self,
        prefix: &str,
        ours: impl Fn(&str) -> bool,
        older_than: DateTime,
    ) -> Result<usize, StagingError> {
        let list = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(prefix);
        let page = match list.send().await {
            // Not every S3 can list them; such a one clears them by a rule of its own, or never.
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 501) => {
                return Ok(0);
            }
            page => page?,
        };
        // One page of a thousand: what is left after it waits for the next sweep.
        let mut aborted = 0;
        for upload in page.uploads() {
            let (Some(key), Some(id), Some(begun)) = (upload.key(), upload.upload_id(), upload.initiated())
            else {
                continue;
            };
            if *begun < older_than && ours(key) {
                self.abort(key, id).await?;
                aborted += 1;
            }
        }
        Ok(aborted)
    }
}

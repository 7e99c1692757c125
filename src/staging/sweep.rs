//! Clearing away what no post knows any more.

use std::time::SystemTime;

use aws_sdk_s3::primitives::DateTime;

use super::{PREFIXES, Staging, StagingError};

/// Counts of the objects that [`Staging::sweep`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub objects: usize,
    pub uploads: usize,
}

impl Staging {
    /// Deletes objects that are `ours` by their key, not `known`, and last written before `older_than`. Aborts uploads in
    /// parts that were begun before then and are not known, and all that were begun before `abandoned`. Needs `s3:ListBucket` and `s3:ListBucketMultipartUploads`.
    pub async fn sweep(
        &self,
        ours: impl Fn(&str) -> bool,
        known: impl Fn(&str) -> bool,
        older_than: SystemTime,
        abandoned: SystemTime,
    ) -> Result<Swept, StagingError> {
        let (older_than, abandoned) = (DateTime::from(older_than), DateTime::from(abandoned));
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
            swept.uploads += self.sweep_uploads(prefix, &ours, &known, older_than, abandoned).await?;
        }
        Ok(swept)
    }

    async fn sweep_uploads(
        &self,
        prefix: &str,
        ours: impl Fn(&str) -> bool,
        known: impl Fn(&str) -> bool,
        older_than: DateTime,
        abandoned: DateTime,
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
            let unneeded = *begun < abandoned || (*begun < older_than && !known(key));
            if unneeded && ours(key) {
                self.abort(key, id).await?;
                aborted += 1;
            }
        }
        Ok(aborted)
    }
}

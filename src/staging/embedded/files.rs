//! s3s-fs, with what a long-running service needs of it put right.

use std::{collections::HashSet, error::Error, io, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::StatusCode;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};
use s3s_fs::FileSystem;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    sync::watch,
};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::super::{POSTS, PREFIXES, UPLOADS};
use super::folder::{
    Aside, begun, clear_uploads, files_of, free_bytes, open_note, part_bytes, part_file, persist,
    private_dir, private_file, put_all_back,
};

/// Each read is a trip to the thread pool for blocking work; s3s-fs makes one for every 4 KiB.
const READ_BYTES: usize = 256 * 1024;

/// Objects are files under `root/bucket/key`; s3s-fs keeps notes and unfinished parts as dot files in `root`.
#[derive(Clone)]
pub(super) struct Files {
    inner: Arc<FileSystem>,
    root: PathBuf,
    /// Bytes of disk space that stay free.
    min_free: u64,
    /// Uploads whose parts are being joined.
    joining: watch::Sender<HashSet<String>>,
}

/// Parts being joined, until dropped.
struct Joining {
    upload: String,
    all: watch::Sender<HashSet<String>>,
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.all.send_modify(|all| {
            all.remove(&self.upload);
        });
    }
}

impl Files {
    /// Opens the folder, private to this user, and clears it of uploads that no process can finish any more.
    pub(super) async fn open(root: PathBuf, bucket: &'static str, min_free: u64) -> io::Result<Files> {
        blocking(move || {
            private_dir(&root)?;
            for prefix in PREFIXES {
                private_dir(&root.join(bucket).join(prefix))?;
            }
            private_dir(&root.join(bucket))?;
            persist(&[
                root.clone(),
                root.join(bucket),
                root.join(bucket).join(POSTS),
                root.join(bucket).join(UPLOADS),
            ])?;
            put_all_back(&root)?;
            clear_uploads(&root)?;
            let inner = FileSystem::new(&root).map_err(|error| io::Error::other(format!("{error:?}")))?;
            Ok(Files { inner: Arc::new(inner), root, min_free, joining: watch::Sender::default() })
        })
        .await
    }

    /// Refuses what would leave less than `min_free` on the disk.
    fn check_room(&self, coming: u64) -> S3Result<()> {
        let free = free_bytes(&self.root).map_err(S3Error::internal_error)?;
        if free.saturating_sub(coming) < self.min_free { Err(full()) } else { Ok(()) }
    }

    /// The uploads whose parts are being joined.
    pub(super) fn joining(&self) -> watch::Receiver<HashSet<String>> {
        self.joining.subscribe()
    }

    /// Refuses what concerns an upload that takes no parts (any more), which s3s-fs answers otherwise than S3, or not at
    /// all. One whose parts are being joined is waited for.
    async fn check_upload(&self, upload: &str) -> S3Result<()> {
        // The sender is ours, so it is not gone.
        let _ = self.joining().wait_for(|joining| !joining.contains(upload)).await;
        let open = match open_note(&self.root, upload) {
            Some(note) => tokio::fs::try_exists(note).await.map_err(S3Error::internal_error)?,
            None => false,
        };
        if open { Ok(()) } else { Err(s3_error!(NoSuchUpload)) }
    }

    /// Waits until nobody else joins this upload's parts.
    async fn begin_joining(&self, upload: &str) -> S3Result<Joining> {
        loop {
            self.check_upload(upload).await?;
            if self.joining.send_if_modified(|joining| joining.insert(upload.to_owned())) {
                return Ok(Joining { upload: upload.to_owned(), all: self.joining.clone() });
            }
        }
    }

    /// s3s-fs deletes each part once it is copied. Until all are, the files keep second names, so that a join that fails
    /// or dies with its process can be made again.
    async fn join(
        &self,
        upload: Uuid,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let root = self.root.clone();
        // The parts stay until they are joined, so they take their room twice.
        self.check_room(
            blocking({
                let root = root.clone();
                move || part_bytes(&root, upload)
            })
            .await
            .map_err(S3Error::internal_error)?,
        )?;
        let aside = blocking(move || Aside::keep(&root, upload)).await;
        let aside = aside
            .inspect_err(|error| tracing::warn!(%error, "a crash while parts are joined would lose them"));
        let joined = self.inner.complete_multipart_upload(req).await.map_err(say_if_full);
        // While the parts still have their second names.
        let joined = match joined {
            Ok(joined) => self.keep(&bucket, &key).await.map(|()| joined),
            refused => refused,
        };
        if let Ok(aside) = aside {
            let done = if joined.is_ok() { Aside::forget } else { Aside::put_back };
            blocking(move || done(aside)).await.map_err(S3Error::internal_error)?;
        }
        joined
    }

    fn object(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join(bucket).join(key)
    }

    /// Where s3s-fs 0.14 keeps an object's ETag and headers.
    fn notes(&self, bucket: &str, key: &str) -> [PathBuf; 2] {
        let (bucket, key) = (URL_SAFE_NO_PAD.encode(bucket), URL_SAFE_NO_PAD.encode(key));
        ["internal", "metadata"]
            .map(|kind| self.root.join(format!(".bucket-{bucket}.object-{key}.{kind}.json")))
    }

    /// Makes a new object private, and lasting: what is answered with 200 is there after a power cut.
    async fn keep(&self, bucket: &str, key: &str) -> S3Result<()> {
        let [internal, metadata] = self.notes(bucket, key);
        let files = [self.object(bucket, key), internal, metadata];
        for path in &files {
            match private_file(path.clone()).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(S3Error::internal_error(error));
                }
                _ => {}
            }
        }
        on_disk(files.into()).await
    }
}

/// A disk may find only now that it is full.
async fn on_disk(files: Vec<PathBuf>) -> S3Result<()> {
    blocking(move || persist(&files)).await.map_err(|error| say_if_full(S3Error::internal_error(error)))
}

/// Parts of uploads that a next process goes on with. The worker's own are sent again.
fn is_lasting(key: &str) -> bool {
    key.starts_with(UPLOADS)
}

#[async_trait::async_trait]
impl S3 for Files {
    /// As s3s-fs answers it, with a body that is read in larger steps.
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let range = req.input.range;
        let path = self.object(&req.input.bucket, &req.input.key);
        let mut response = self.inner.get_object(req).await?;
        let mut file = File::open(path).await.map_err(|error| s3_error!(error, NoSuchKey))?;
        let length = file.metadata().await.map_err(S3Error::internal_error)?.len();
        let wanted = match range {
            Some(range) => range.check(length)?,
            None => 0..length,
        };
        file.seek(io::SeekFrom::Start(wanted.start)).await.map_err(S3Error::internal_error)?;
        let body = ReaderStream::with_capacity(file.take(wanted.end - wanted.start), READ_BYTES);
        response.output.body = Some(StreamingBlob::wrap(body));
        Ok(response)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.inner.head_object(req).await
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        self.check_room(bytes_of(req.input.content_length))?;
        let response = self.inner.put_object(req).await.map_err(say_if_full)?;
        self.keep(&bucket, &key).await?;
        Ok(response)
    }

    /// s3s-fs leaves its notes about the object behind.
    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let notes = self.notes(&req.input.bucket, &req.input.key);
        let response = self.inner.delete_object(req).await?;
        for note in notes {
            match tokio::fs::remove_file(note).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(S3Error::internal_error(error));
                }
                _ => {}
            }
        }
        Ok(response)
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.inner.list_objects_v2(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.check_room(0)?;
        let lasting = is_lasting(&req.input.key);
        let response = self.inner.create_multipart_upload(req).await.map_err(say_if_full)?;
        if lasting && let Some(upload) = &response.output.upload_id {
            let (root, upload) = (self.root.clone(), upload.clone());
            let notes = blocking(move || files_of(&root, &upload)).await.map_err(S3Error::internal_error)?;
            on_disk(notes).await?;
        }
        Ok(response)
    }

    /// s3s-fs has none.
    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let prefix = req.input.prefix.unwrap_or_default();
        let root = self.root.clone();
        let uploads = blocking(move || begun(&root)).await.map_err(S3Error::internal_error)?.into_iter();
        let uploads =
            uploads.filter(|upload| upload.key.starts_with(&prefix)).map(|upload| MultipartUpload {
                key: Some(upload.key),
                upload_id: Some(upload.id),
                initiated: Some(upload.at.into()),
                ..MultipartUpload::default()
            });
        let uploads = Some(uploads.collect());
        Ok(S3Response::new(ListMultipartUploadsOutput { uploads, ..ListMultipartUploadsOutput::default() }))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.check_upload(&req.input.upload_id).await?;
        self.inner.list_parts(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.check_upload(&req.input.upload_id).await?;
        self.check_room(bytes_of(req.input.content_length))?;
        let part = part_file(&self.root, &req.input.upload_id, req.input.part_number);
        let part = part.filter(|_| is_lasting(&req.input.key));
        let response = self.inner.upload_part(req).await.map_err(say_if_full)?;
        on_disk(part.into_iter().collect()).await?;
        Ok(response)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let upload = Uuid::parse_str(&req.input.upload_id).map_err(|_| s3_error!(NoSuchUpload))?;
        // Join in a task of its own. Otherwise a caller that disconnects would stop it, and the next caller would start
        // over.
        let (files, joining) = (self.clone(), self.begin_joining(&req.input.upload_id).await?);
        let joined = tokio::spawn(async move {
            let _joining = joining;
            files.join(upload, req).await
        });
        joined.await.map_err(S3Error::internal_error)?
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.check_upload(&req.input.upload_id).await?;
        self.inner.abort_multipart_upload(req).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The bytes that a request brings, as far as it says.
fn bytes_of(content_length: Option<i64>) -> u64 {
    content_length.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

fn full() -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::Custom("StorageFull".into()));
    error.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
    error
}

/// s3s-fs answers `InternalError` to everything the disk refuses, which clients try again.
fn say_if_full(error: S3Error) -> S3Error {
    let mut cause = error.source().map(|source| source as &(dyn Error + 'static));
    while let Some(source) = cause {
        let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return full();
        }
        cause = source.source();
    }
    error
}

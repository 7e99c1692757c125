//! s3s-fs, with what a long-running service needs of it put right.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::StatusCode;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto::*, s3_error};
use s3s_fs::FileSystem;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};
use tokio_util::io::ReaderStream;

/// Each read is a trip to the thread pool for blocking work; s3s-fs makes one for every 4 KiB.
const READ_BYTES: usize = 256 * 1024;

/// Objects are files under `root/bucket/key`; s3s-fs keeps notes and unfinished parts as dot files in `root`.
pub(super) struct Files {
    inner: FileSystem,
    root: PathBuf,
}

impl Files {
    /// Opens the folder, private to this user, and clears it of uploads that no process can finish any more.
    pub(super) async fn open(root: PathBuf, bucket: &'static str) -> io::Result<Files> {
        tokio::task::spawn_blocking(move || {
            private_dir(&root)?;
            for prefix in super::super::PREFIXES {
                private_dir(&root.join(bucket).join(prefix))?;
            }
            private_dir(&root.join(bucket))?;
            clear_uploads(&root)?;
            let inner = FileSystem::new(&root).map_err(|error| io::Error::other(format!("{error:?}")))?;
            Ok(Files { inner, root })
        })
        .await
        .map_err(io::Error::other)?
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

    async fn make_private(&self, bucket: &str, key: &str) -> S3Result<()> {
        let [internal, metadata] = self.notes(bucket, key);
        for path in [self.object(bucket, key), internal, metadata] {
            match private_file(path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(S3Error::internal_error(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
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
        let response = self.inner.put_object(req).await.map_err(say_if_full)?;
        self.make_private(&bucket, &key).await?;
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
        self.inner.create_multipart_upload(req).await.map_err(say_if_full)
    }

    /// s3s-fs has none.
    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let prefix = req.input.prefix.unwrap_or_default();
        let root = self.root.clone();
        let found =
            tokio::task::spawn_blocking(move || begun(&root)).await.map_err(S3Error::internal_error)?;
        let uploads = found.map_err(S3Error::internal_error)?.into_iter();
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
        self.inner.list_parts(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.inner.upload_part(req).await.map_err(say_if_full)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let response = self.inner.complete_multipart_upload(req).await.map_err(say_if_full)?;
        self.make_private(&bucket, &key).await?;
        Ok(response)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.inner.abort_multipart_upload(req).await
    }
}

/// s3s-fs answers `InternalError` to everything the disk refuses, which clients try again.
fn say_if_full(mut error: S3Error) -> S3Error {
    let mut cause = error.source().map(|source| source as &(dyn Error + 'static));
    while let Some(source) = cause {
        let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            error.set_code(S3ErrorCode::Custom("StorageFull".into()));
            error.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
            break;
        }
        cause = source.source();
    }
    error
}

/// An upload in parts, as its notes in the folder tell of it.
struct Begun {
    id: String,
    key: String,
    at: SystemTime,
}

/// The uploads that were begun, by the notes that s3s-fs 0.14 keeps of each.
fn begun(root: &Path) -> io::Result<Vec<Begun>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let note = || {
            let (_, rest) = name.to_str()?.strip_prefix(".bucket-")?.split_once(".object-")?;
            let (key, id) = rest.strip_suffix(".metadata.json")?.split_once(".upload-")?;
            let key = String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?;
            Some((key, id.to_owned()))
        };
        if let Some((key, id)) = note() {
            found.push(Begun { id, key, at: entry.metadata()?.modified()? });
        }
    }
    Ok(found)
}

/// Nobody knows the ids of uploads that the worker began in an earlier life. People go on with theirs.
fn clear_uploads(root: &Path) -> io::Result<()> {
    let kept: Vec<String> = begun(root)?
        .into_iter()
        .filter(|upload| upload.key.starts_with(super::super::UPLOADS))
        .map(|upload| upload.id)
        .collect();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let part = name.starts_with(".upload_id-") || name.starts_with(".upload-");
        let note = name.starts_with(".bucket-") && name.contains(".upload-");
        if (part || note) && !kept.iter().any(|id| name.contains(id.as_str())) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

async fn private_file(path: PathBuf) -> io::Result<()> {
    #[cfg(unix)]
    tokio::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).await?;
    Ok(())
}

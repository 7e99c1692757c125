//! Errors from storage, sorted by their remedy.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::network;

/// Reason why a storage call failed. Says what to fix; never contains a credential or a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StagingError {
    #[error("The storage has no such bucket. Create it, or correct staging.bucket in the config.")]
    NoBucket,
    /// With the right that is missing, as policies of S3 name it.
    #[error(
        "The storage does not let this key do that. Give the key of the config the right {0} in the bucket, or check that it is \
         the right key."
    )]
    Denied(&'static str),
    #[error(
        "There is no key for the storage. Set staging.access_key_id and staging.secret_access_key, or give this machine \
         credentials of AWS."
    )]
    NoCredentials,
    #[error("The storage does not know the access key. Correct staging.access_key_id in the config.")]
    UnknownKey,
    #[error(
        "The secret does not belong to the access key, or a proxy changes requests on their way. Correct \
         staging.secret_access_key in the config, and check that the proxy keeps the Host header and the path."
    )]
    WrongSecret,
    #[error("The credentials for the storage have expired. Renew them, or use a key that does not expire.")]
    ExpiredCredentials,
    #[error("This machine's clock differs too much from the storage's. Set the clock, best by NTP.")]
    ClockOff,
    #[error(
        "What answers at staging.endpoint_url is not an S3 server: it sends a web page. Use the address of the S3 interface, \
         with its port and path, not that of a console or website."
    )]
    NotS3,
    #[error("The bucket is in another region. Correct staging.region in the config.")]
    WrongRegion,
    /// With the cause.
    #[error("The storage does not answer: {0}. Check staging.endpoint_url and the network between.")]
    Unreachable(String),
    #[error("The storage is full, or has no more than min_free left. Free some space and try again.")]
    Full,
    #[error("The stored file is not there any more. Send the video again.")]
    Missing,
    #[error("The stored file has another size than it should have. Send the video again.")]
    WrongSize,
    #[error("The stored file is damaged: it holds other bytes than were stored. Send the video again.")]
    Damaged,
    #[error("This name cannot be used for a stored file. Use letters, digits, dashes and single slashes.")]
    BadKey,
    /// Anything else, with the storage's own code for it.
    #[error(
        "The storage could not do this ({0}). Try again; if it stays so, look up that code at the storage provider."
    )]
    Other(String),
}

/// Why a stream was not stored. Whatever the reason, nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum PutError<E> {
    /// The stream itself failed.
    #[error("The file could not be read to its end: {0}")]
    Source(E),
    #[error("The file is larger than {limit} bytes, the most that is taken here.")]
    TooLarge { limit: u64 },
    #[error("The file is empty.")]
    Empty,
    #[error(transparent)]
    Storage(#[from] StagingError),
}

/// Calls of S3, each with the right that it needs.
pub trait Call: ProvideErrorMetadata {
    const RIGHT: &'static str;
}

macro_rules! rights {
    ($($error:path: $right:literal,)*) => {$(
        impl Call for $error {
            const RIGHT: &'static str = $right;
        }
    )*};
}

// <https://docs.aws.amazon.com/AmazonS3/latest/API/> names them for each call.
rights! {
    aws_sdk_s3::operation::put_object::PutObjectError: "s3:PutObject",
    aws_sdk_s3::operation::create_multipart_upload::CreateMultipartUploadError: "s3:PutObject",
    aws_sdk_s3::operation::upload_part::UploadPartError: "s3:PutObject",
    aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadError: "s3:PutObject",
    aws_sdk_s3::operation::abort_multipart_upload::AbortMultipartUploadError: "s3:AbortMultipartUpload",
    aws_sdk_s3::operation::list_parts::ListPartsError: "s3:ListMultipartUploadParts",
    aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsError: "s3:ListBucketMultipartUploads",
    aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Error: "s3:ListBucket",
    // Without the second, S3 refuses to say that an object is not there.
    aws_sdk_s3::operation::get_object::GetObjectError: "s3:GetObject or s3:ListBucket",
    aws_sdk_s3::operation::head_object::HeadObjectError: "s3:GetObject or s3:ListBucket",
    aws_sdk_s3::operation::delete_object::DeleteObjectError: "s3:DeleteObject",
    aws_sdk_s3::operation::get_bucket_cors::GetBucketCorsError: "s3:GetBucketCORS",
    aws_sdk_s3::operation::put_bucket_cors::PutBucketCorsError: "s3:PutBucketCORS",
}

impl<E: Call> From<SdkError<E, HttpResponse>> for StagingError {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(answer) => refused::<E>(answer.raw(), answer.err().code()),
            SdkError::ResponseError(answer) => refused::<E>(answer.raw(), None),
            SdkError::TimeoutError(_) => StagingError::Unreachable("it does not answer in time".to_owned()),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                StagingError::Unreachable("it does not answer in time".to_owned())
            }
            // TLS and proxies fail as errors of no kind.
            SdkError::DispatchFailure(failure)
                if failure.is_io()
                    || failure.as_connector_error().is_some_and(|error| network::is_known(error)) =>
            {
                let cause = failure.as_connector_error().map(|error| network::cause(error));
                StagingError::Unreachable(cause.unwrap_or_else(|| "the connection failed".to_owned()))
            }
            // Without a usable credential the SDK does not get as far as a connection.
            SdkError::DispatchFailure(_) => StagingError::NoCredentials,
            _ => StagingError::Other("the request could not be made".into()),
        }
    }
}

fn refused<E: Call>(answer: &HttpResponse, code: Option<&str>) -> StagingError {
    let body = answer.body().bytes().unwrap_or_default();
    refusal(answer.status().as_u16(), answer.headers().get("content-type"), body, code, E::RIGHT)
}

/// Codes as in <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; the status decides
/// where a code is absent (answers to HEAD) or of the provider's own making.
pub(super) fn refusal(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
    code: Option<&str>,
    right: &'static str,
) -> StagingError {
    match (status, code.unwrap_or_default()) {
        // A proxy whose S3 server is down has a page for that, too, and it goes away.
        (..500, _) if is_page(content_type, body) => StagingError::NotS3,
        (_, "NoSuchBucket") => StagingError::NoBucket,
        (_, "NoSuchKey" | "NotFound") => StagingError::Missing,
        (_, "InvalidRange") | (416, _) => StagingError::WrongSize,
        (_, "PermanentRedirect" | "AuthorizationHeaderMalformed") | (301 | 307, _) => {
            StagingError::WrongRegion
        }
        (507, _) | (_, "QuotaExceeded") => StagingError::Full,
        (_, "RequestTimeTooSkewed") => StagingError::ClockOff,
        (_, "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired") => {
            StagingError::ExpiredCredentials
        }
        (_, "InvalidAccessKeyId" | "UnrecognizedClientException") => StagingError::UnknownKey,
        (_, "SignatureDoesNotMatch") => StagingError::WrongSecret,
        (status, "NoSuchUpload") => other(status, "NoSuchUpload"),
        (401 | 403, _) => StagingError::Denied(right),
        (404, _) => StagingError::Missing,
        (status, code) => other(status, code),
    }
}

/// Tells whether an answer is a page for browsers. S3 answers errors in XML.
fn is_page(content_type: Option<&str>, body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let begins_with =
        |tag: &str| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    content_type.is_some_and(is_html) || begins_with("<!doctype html") || begins_with("<html")
}

pub(super) fn is_html(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("text/html")
}

fn other(status: u16, code: &str) -> StagingError {
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    StagingError::Other(format!("{status} {code}").trim_end().to_owned())
}

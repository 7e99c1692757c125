//! What can go wrong with storage, sorted by what can be done about it.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::network;

/// Why storage did not do what was asked. Says what to mend; never holds a credential or a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StagingError {
    #[error("The storage has no such bucket. Create it, or correct staging.bucket in the config.")]
    NoBucket,
    #[error(
        "The storage refused us. Check staging.access_key_id, staging.secret_access_key and what that key may do in the bucket."
    )]
    Denied,
    #[error("The bucket is in another region. Correct staging.region in the config.")]
    WrongRegion,
    /// With the cause.
    #[error("The storage does not answer: {0}. Check staging.endpoint_url and the network between.")]
    Unreachable(String),
    #[error("The storage is full, or has no more than min_free left. Free some space and try again.")]
    Full,
    #[error("The stored file is not there any more. Send the video again.")]
    Missing,
    /// The object ends before the range asked for does, or the connection did.
    #[error("The storage gave fewer bytes than the file should have. Try again, or send the video again.")]
    CutShort,
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

impl<E: ProvideErrorMetadata> From<SdkError<E, HttpResponse>> for StagingError {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(answer) => refusal(answer.raw().status().as_u16(), answer.err().code()),
            SdkError::ResponseError(answer) => refusal(answer.raw().status().as_u16(), None),
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
            SdkError::DispatchFailure(_) => StagingError::Denied,
            _ => StagingError::Other("the request could not be made".into()),
        }
    }
}

/// Codes as in <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; the status decides
/// where a code is absent (answers to HEAD) or of the provider's own making.
fn refusal(status: u16, code: Option<&str>) -> StagingError {
    match (status, code.unwrap_or_default()) {
        (_, "NoSuchBucket") => StagingError::NoBucket,
        (_, "NoSuchKey" | "NotFound") => StagingError::Missing,
        (_, "InvalidRange") | (416, _) => StagingError::CutShort,
        (_, "PermanentRedirect" | "AuthorizationHeaderMalformed") | (301 | 307, _) => {
            StagingError::WrongRegion
        }
        (507, _) | (_, "QuotaExceeded") => StagingError::Full,
        (status, code @ ("RequestTimeTooSkewed" | "NoSuchUpload")) => other(status, code),
        (401 | 403, _) => StagingError::Denied,
        (404, _) => StagingError::Missing,
        (status, code) => other(status, code),
    }
}

fn other(status: u16, code: &str) -> StagingError {
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    StagingError::Other(format!("{status} {code}").trim_end().to_owned())
}

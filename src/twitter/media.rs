//! Uploading a video in chunks: initialize, append, finalize, status
//! (docs.x.com, x-api/media/quickstart/media-upload-chunked).

use std::{error::Error, time::Duration};

use bytes::Bytes;
use futures::Stream;
use reqwest::{
    Body,
    multipart::{Form, Part},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{X, XError, call, error::tidy, send, watched::Watched};

/// Time after which an upload without progress fails.
pub(super) const STALL: Duration = Duration::from_secs(60);
/// Slowest supported line in bytes per second. It sets how long to wait for X's answer after the system has accepted a
/// whole chunk.
const SLOWEST: u64 = 16 * 1024;

/// An upload session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Media id that the post refers to.
    pub id: String,
    /// Key under which a post on the timeline names its video, if X has sent it yet.
    pub key: Option<String>,
    /// Time for which X keeps the session.
    pub expires_after: Option<Duration>,
}

/// State of an upload after its last chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaStatus {
    pub processing: Processing,
    /// True if X sent no `processing_info`: after finalize the video is then ready; before it, nothing is known.
    pub silent: bool,
    pub key: Option<String>,
    /// Time for which X keeps the video for a post, from now.
    pub expires_after: Option<Duration>,
}

/// X's work on an uploaded video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Processing {
    /// The video can be posted.
    Ready,
    Pending {
        /// 0 to 100.
        percent: Option<u8>,
        /// Delay that X requests before the next status call; the caller must bound it.
        check_after: Option<Duration>,
    },
    Failed(ProcessingError),
}

/// Reason why X cannot use a video. The texts are X's own, safe to display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessingError {
    pub code: i64,
    pub name: String,
    pub message: String,
}

impl X {
    /// Opens a session for a video of exactly `total_bytes`: `POST /2/media/upload/initialize`.
    pub async fn initialize(
        &self,
        access: &SecretString,
        media_type: &str,
        total_bytes: u64,
    ) -> Result<Media, XError> {
        #[derive(Serialize)]
        struct Initialize<'a> {
            media_type: &'a str,
            total_bytes: u64,
            media_category: &'static str,
        }
        #[derive(Deserialize)]
        struct Session {
            #[serde(deserialize_with = "super::id")]
            id: String,
            media_key: Option<String>,
            #[serde(default, deserialize_with = "hint")]
            expires_after_secs: Option<u64>,
        }
        let request = self.post(self.at(&["2", "media", "upload", "initialize"]), access);
        let body = Initialize { media_type, total_bytes, media_category: "tweet_video" };
        let session: Session = send(call::INITIALIZE, request.json(&body)).await?.accepted()?.data()?;
        Ok(Media {
            id: session.id,
            key: session.media_key,
            expires_after: session.expires_after_secs.map(Duration::from_secs),
        })
    }

    /// Sends one chunk of `len` bytes, straight from `body`: `POST /2/media/upload/{id}/append`.
    ///
    /// Safe to repeat. `segment` counts from 0 to 999. Fails with [`XError::Source`] when `body` does, and with
    /// [`XError::Stalled`] when nothing of it moves for a minute.
    pub async fn append<E>(
        &self,
        access: &SecretString,
        media_id: &str,
        segment: u32,
        len: u64,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<(), XError>
    where
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let watched = Watched::new(len);
        let body = watched.clone().watch(body);
        let part = Part::stream_with_length(Body::wrap_stream(body), len).file_name("media");
        let form = Form::new().text("segment_index", segment.to_string()).part("media", part);
        // No total timeout: a chunk that keeps moving must get through on any line, however slow.
        let url = self.at(&["2", "media", "upload", media_id, "append"]);
        let request = self.http.post(url).bearer_auth(access.expose_secret()).multipart(form);

        let answer = send(call::APPEND, request);
        let taken = self.stall + Duration::from_secs(len / SLOWEST);
        let answer = watched.answer(self.stall, taken, answer).await;
        if let Ok(answer) = &answer {
            self.heard(answer);
        }
        match watched.failure() {
            Some(failure) => Err(XError::Source(failure)),
            // X documents 200 with a body, but also sends 202 and 204 without one.
            None => answer?.accepted().map(drop),
        }
    }

    /// Tells X that every chunk has been sent: `POST /2/media/upload/{id}/finalize`.
    pub async fn finalize(&self, access: &SecretString, media_id: &str) -> Result<MediaStatus, XError> {
        let request = self.post(self.at(&["2", "media", "upload", media_id, "finalize"]), access);
        let state: State = send(call::FINALIZE, request).await?.accepted()?.data()?;
        Ok(state.into())
    }

    /// Asks X for the processing state of a video: `GET /2/media/upload`.
    pub async fn status(&self, access: &SecretString, media_id: &str) -> Result<MediaStatus, XError> {
        let mut url = self.at(&["2", "media", "upload"]);
        url.query_pairs_mut().append_pair("command", "STATUS").append_pair("media_id", media_id);
        let state: State = send(call::STATUS, self.get(url, access)).await?.accepted()?.data()?;
        Ok(state.into())
    }
}

/// The answer of finalize and status.
#[derive(Deserialize)]
struct State {
    media_key: Option<String>,
    #[serde(default, deserialize_with = "hint")]
    expires_after_secs: Option<u64>,
    processing_info: Option<Info>,
}

#[derive(Deserialize)]
struct Info {
    state: Option<String>,
    #[serde(default, deserialize_with = "hint")]
    check_after_secs: Option<u64>,
    #[serde(default, deserialize_with = "hint")]
    progress_percent: Option<u64>,
    /// X sends this although its schema lacks it.
    error: Option<Value>,
}

/// Parses an optional number; anything but a natural number counts as absent, since the answer is useful without it.
fn hint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(from)?.as_u64())
}

impl From<State> for MediaStatus {
    fn from(state: State) -> MediaStatus {
        MediaStatus {
            silent: state.processing_info.is_none(),
            // Without `processing_info` there is nothing to process.
            processing: state.processing_info.map_or(Processing::Ready, Processing::from),
            key: state.media_key,
            expires_after: state.expires_after_secs.map(Duration::from_secs),
        }
    }
}

impl From<Info> for Processing {
    fn from(info: Info) -> Processing {
        // An error counts in any state: X has sent one while the state was still `in_progress`.
        match (info.error.filter(|error| !error.is_null()), info.state.as_deref()) {
            (Some(error), _) => Processing::Failed(ProcessingError::read(&error)),
            (None, Some("failed")) => Processing::Failed(ProcessingError::default()),
            (None, Some("succeeded")) => Processing::Ready,
            (None, _) => Processing::Pending {
                percent: info.progress_percent.map(|percent| percent.min(100) as u8),
                check_after: info.check_after_secs.map(Duration::from_secs),
            },
        }
    }
}

impl ProcessingError {
    fn read(error: &Value) -> ProcessingError {
        let text = |name: &str| tidy(error.get(name).and_then(Value::as_str).unwrap_or_default());
        ProcessingError {
            code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
            name: text("name"),
            message: text("message"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_odd_hint_does_not_spoil_the_answer() {
        for odd in [json!(-1), json!(1.5), json!("5"), json!(null), json!(1e300)] {
            let answer = json!({
                "expires_after_secs": odd,
                "processing_info": { "state": "succeeded", "check_after_secs": odd, "progress_percent": odd },
            });
            let state: State = serde_json::from_value(answer).unwrap();
            let status = MediaStatus::from(state);
            assert_eq!((status.processing, status.expires_after), (Processing::Ready, None), "{odd}");
        }
    }
}

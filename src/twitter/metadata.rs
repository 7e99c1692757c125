//! Metadata of a video at X: alternative text and warnings.

use secrecy::SecretString;
use serde::Serialize;

use super::{X, XError, call, send};
use crate::post::Sensitive;

impl X {
    /// Sets a video's alternative text and the warning before it: `POST /2/media/metadata`, billed per call.
    ///
    /// Safe to repeat; X must have processed the video. X does not document alternative texts for videos.
    pub async fn describe(
        &self,
        access: &SecretString,
        media_id: &str,
        alt_text: Option<&str>,
        sensitive: Sensitive,
    ) -> Result<(), XError> {
        #[derive(Serialize)]
        struct Description<'a> {
            id: &'a str,
            metadata: Metadata<'a>,
        }
        #[derive(Serialize)]
        struct Metadata<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            alt_text: Option<AltText<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            sensitive_media_warning: Option<Sensitive>,
        }
        #[derive(Serialize)]
        struct AltText<'a> {
            text: &'a str,
        }
        let metadata = Metadata {
            alt_text: alt_text.map(|text| AltText { text }),
            sensitive_media_warning: Some(sensitive).filter(|sensitive| sensitive.any()),
        };
        let request = self.post(self.at(&["2", "media", "metadata"]), access);
        let body = Description { id: media_id, metadata };
        send(call::METADATA, request.json(&body)).await?.accepted().map(drop)
    }
}

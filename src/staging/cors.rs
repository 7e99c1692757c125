//! The bucket's CORS rules, which let browsers send files to it.

use std::time::Duration;

use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    types::{CorsConfiguration, CorsRule},
};
use reqwest::{Method, header, redirect::Policy};
use serde_json::json;

use super::{Staging, StagingError, UPLOADS};
use crate::network;

const PATIENCE: Duration = Duration::from_secs(10);
/// Time for which a browser caches the rule.
const MAX_AGE_SECONDS: i32 = 3600;

impl Staging {
    /// Asks the bucket what a browser asks before it sends a file from a page of `origin` (Fetch Standard,
    /// "CORS-preflight fetch"): whether it may PUT.
    ///
    /// # Errors
    /// [`StagingError::Unreachable`] when the bucket does not answer at all.
    pub async fn lets_browsers_put(&self, origin: &str) -> Result<bool, StagingError> {
        let url = self.presign_put(&format!("{UPLOADS}probe"), "video/mp4", None, PATIENCE).await?;
        let client = network::client().redirect(Policy::none()).timeout(PATIENCE).build();
        let client = client.map_err(|_| StagingError::Other("no client".into()))?;
        let answer = client
            .request(Method::OPTIONS, url)
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "PUT")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type")
            .send()
            .await
            .map_err(|error| StagingError::Unreachable(network::cause(&error)))?;
        let said =
            |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let lists = |name, wanted: &str| {
            said(name).split(',').any(|word| word.trim() == "*" || word.trim().eq_ignore_ascii_case(wanted))
        };
        let origin = [origin, "*"].contains(&said(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        Ok(answer.status().is_success()
            && origin
            && lists(header::ACCESS_CONTROL_ALLOW_METHODS, "PUT")
            && lists(header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"))
    }

    /// Adds the rule that lets a browser PUT from a page of `origin`, beside the rules that the bucket has.
    ///
    /// # Errors
    /// [`StagingError::Denied`] when the key may not read or write the bucket's rules, among others.
    pub async fn let_browsers_put(&self, origin: &str) -> Result<(), StagingError> {
        let present = self.client.get_bucket_cors().bucket(&self.bucket).send().await;
        let mut rules = match present {
            Ok(present) => present.cors_rules.unwrap_or_default(),
            Err(error) if error.code() == Some("NoSuchCORSConfiguration") => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let rule = CorsRule::builder()
            .allowed_origins(origin)
            .allowed_methods("PUT")
            .allowed_headers("content-type")
            .max_age_seconds(MAX_AGE_SECONDS)
            .build()
            .map_err(|_| StagingError::Other("the rule could not be made".to_owned()))?;
        rules.push(rule);
        let rules = CorsConfiguration::builder()
            .set_cors_rules(Some(rules))
            .build()
            .map_err(|_| StagingError::Other("the rules could not be made".to_owned()))?;
        self.client.put_bucket_cors().bucket(&self.bucket).cors_configuration(rules).send().await?;
        Ok(())
    }
}

/// The rule that lets them, as S3's `PutBucketCors` takes it (`aws s3api put-bucket-cors`).
pub fn cors_rule(origin: &str) -> String {
    json!({
        "CORSRules": [{
            "AllowedOrigins": [origin],
            "AllowedMethods": ["PUT"],
            "AllowedHeaders": ["content-type"],
            "MaxAgeSeconds": MAX_AGE_SECONDS,
        }]
    })
    .to_string()
}

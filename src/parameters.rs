//! Secrets that the operator keeps in AWS Systems Manager Parameter Store, for settings given as `ssm:/path`.
//!
//! Needs only the call `GetParameters`, which is signed with the library that the S3 client uses. AWS's SDK for the
//! Parameter Store covers some 150 calls and would slow down every build (docs/decisions/0011-parameter-store.md).

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::ProvideCredentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use reqwest::{RequestBuilder, redirect};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{clock::Clock, config::Parameters, network};

/// Maximum number of names per call (AWS API reference, `GetParameters`).
const BATCH: usize = 10;
/// Timeout of a call. It is short because the service cannot start before the call returns.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest accepted answer. Ten advanced parameters of 8 KiB each, escaped, are far smaller.
const ANSWER_LIMIT: usize = 1024 * 1024;
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: &str = "AmazonSSM.GetParameters";

#[derive(Serialize)]
struct Wanted<'a> {
    #[serde(rename = "Names")]
    names: &'a [String],
    #[serde(rename = "WithDecryption")]
    with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    name: String,
    value: String,
    /// The requested version or label, including its colon.
    selector: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
}

/// Fetches each parameter by name. A failure is worded as the end of a sentence about the parameter.
///
/// Region, credentials and endpoint come from the standard AWS chain: `AWS_REGION`, `AWS_ENDPOINT_URL_SSM`, the
/// machine's role and so on. Sends no request if `names` is empty.
pub async fn fetch(names: BTreeSet<String>, clock: &Clock) -> Parameters {
    let names: Vec<String> = names.into_iter().collect();
    let mut fetched = Parameters::new();
    if names.is_empty() {
        return fetched;
    }
    let aws = aws_config::defaults(BehaviorVersion::latest()).http_client(network::aws_client()).load().await;
    for batch in names.chunks(BATCH) {
        match ask(&aws, batch, clock).await {
            Ok(found) => fetched.extend(batch.iter().map(|name| {
                let missing = || Err("there is no such parameter in this account and region".to_owned());
                (name.clone(), found.get(name).cloned().map_or_else(missing, Ok))
            })),
            Err(why) => fetched.extend(batch.iter().map(|name| (name.clone(), Err(why.clone())))),
        }
    }
    fetched
}

async fn ask(
    aws: &SdkConfig,
    names: &[String],
    clock: &Clock,
) -> Result<HashMap<String, SecretString>, String> {
    let request = request(aws, names, clock).await?;
    // reqwest's error contains the URL. Here that is safe: the signature and the names are not in the URL.
    let mut response =
        request.send().await.map_err(|error| format!("the Parameter Store does not answer ({error})"))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| "the answer was cut short".to_owned())? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err("the answer is endless".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        let kind = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.kind).unwrap_or_default();
        // The part before the # is a namespace (AWS JSON 1.1 protocol).
        let kind = kind.rsplit('#').next().unwrap_or_default();
        let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
        return Err(match kind.as_str() {
            "AccessDeniedException" => {
                "these AWS credentials may not read it. Allow ssm:GetParameters, and kms:Decrypt for its key"
                    .to_owned()
            }
            "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
                "AWS does not accept these credentials".to_owned()
            }
            "" => format!("AWS refused ({status})"),
            kind => format!("AWS refused ({kind})"),
        });
    }
    let answer: Answer =
        serde_json::from_slice(&body).map_err(|_| "the answer is not of the documented shape".to_owned())?;
    let named = |Parameter { name, value, selector }| (name + &selector.unwrap_or_default(), value.into());
    Ok(answer.parameters.into_iter().map(named).collect())
}

/// Builds the signed request for these parameters.
async fn request(aws: &SdkConfig, names: &[String], clock: &Clock) -> Result<RequestBuilder, String> {
    let region = aws.region().ok_or("no AWS region is set. Set AWS_REGION")?;
    let url = endpoint(aws, region.as_ref())?;
    let credentials = aws.credentials_provider().ok_or("there are no AWS credentials")?;
    let credentials = credentials.provide_credentials().await;
    let identity = credentials
        .map_err(|_| "there are no AWS credentials. Give this machine a role, or set them")?
        .into();
    let body = serde_json::to_string(&Wanted { names, with_decryption: true })
        .map_err(|_| "its name cannot be sent".to_owned())?;

    let unsigned = |_| "the request could not be signed".to_owned();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region.as_ref())
        .name("ssm")
        .time(UNIX_EPOCH + Duration::from_millis(clock.now_ms().max(0).unsigned_abs()))
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| "the request could not be signed".to_owned())?
        .into();
    let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
    let signable =
        SignableRequest::new("POST", url.as_str(), headers.into_iter(), SignableBody::Bytes(body.as_bytes()))
            .map_err(unsigned)?;
    let (signature, _) = sign(signable, &params).map_err(unsigned)?.into_parts();

    let http = network::client().redirect(redirect::Policy::none()).timeout(TIMEOUT).build();
    let mut request = http.map_err(|error| format!("the HTTP client could not be made ({error})"))?.post(url);
    for (name, value) in headers.into_iter().chain(signature.headers()) {
        request = request.header(name, value);
    }
    Ok(request.body(body))
}

/// Endpoint of the Parameter Store: the environment's setting, otherwise the region's default.
fn endpoint(aws: &SdkConfig, region: &str) -> Result<Url, String> {
    let given = std::env::var("AWS_ENDPOINT_URL_SSM").ok().or_else(|| aws.endpoint_url().map(str::to_owned));
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let text = given.unwrap_or_else(|| format!("https://ssm.{region}.{domain}/"));
    Url::parse(&text).map_err(|_| "AWS_ENDPOINT_URL_SSM is not a web address".to_owned())
}

//! The plainest client there can be, as the yardstick: the calls of X's documentation, one after the other.

use std::path::Path;

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{
    Body, Client, RequestBuilder, Response,
    header::LOCATION,
    multipart::{Form, Part},
    redirect::Policy,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};
use tokio_util::io::ReaderStream;
use url::Url;

use crate::{simulator::Simulator, video::MIB};

/// Another person's client of the same X.
pub struct Peer {
    http: Client,
    base: String,
    token: String,
}

impl Peer {
    pub async fn sign_in(x: &Simulator) -> anyhow::Result<Peer> {
        let http = Client::builder().redirect(Policy::none()).build()?;
        let verifier = "a-verifier-is-at-least-43-characters-long-as-RFC-7636-says";
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let callback = x.callback();
        let asked = Url::parse_with_params(
            &format!("{}/i/oauth2/authorize", x.url),
            [
                ("response_type", "code"),
                ("client_id", "sandbox-client"),
                ("redirect_uri", &callback),
                ("scope", "tweet.read tweet.write users.read media.write"),
                ("state", "peer"),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
        )?;
        let decision = [("user", "bob_films"), ("decision", "authorize")];
        let back = http.post(asked).form(&decision).send().await?;
        let back = back.headers().get(LOCATION).context("X did not authorise")?.to_str()?;
        let back = Url::parse(back)?;
        let code = back.query_pairs().find(|(name, _)| name == "code").context("no code")?.1.into_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &callback),
            ("code_verifier", verifier),
        ];
        let tokens = http.post(format!("{}/2/oauth2/token", x.url));
        let tokens = tokens.basic_auth("sandbox-client", Some("sandbox-secret")).form(&form).send().await?;
        let tokens: Value = accepted(tokens)?.json().await?;
        let token = tokens["access_token"].as_str().context("no token")?.to_owned();
        Ok(Peer { http, base: format!("{}/2/media/upload", x.url), token })
    }

    /// Each MiB once the one before it is acknowledged.
    pub async fn one_at_a_time(&self, video: &Path) -> anyhow::Result<()> {
        let mut file = File::open(video).await?;
        let total = file.metadata().await?.len();
        let id = self.initialize(total).await?;
        for (segment, start) in (0..total).step_by(MIB as usize).enumerate() {
            let length = MIB.min(total - start);
            let mut chunk = vec![0; usize::try_from(length)?];
            file.seek(std::io::SeekFrom::Start(start)).await?;
            file.read_exact(&mut chunk).await?;
            self.append(&id, segment, Part::bytes(chunk)).await?;
        }
        self.finalize(&id).await
    }

    /// All of it in one request, streamed from the file.
    pub async fn in_one(&self, video: &Path) -> anyhow::Result<()> {
        let file = File::open(video).await?;
        let total = file.metadata().await?.len();
        let id = self.initialize(total).await?;
        let body = Body::wrap_stream(ReaderStream::with_capacity(file, 256 * 1024));
        self.append(&id, 0, Part::stream_with_length(body, total)).await?;
        self.finalize(&id).await
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}/{path}", self.base)).bearer_auth(&self.token)
    }

    async fn initialize(&self, total: u64) -> anyhow::Result<String> {
        let body = json!({"media_type": "video/mp4", "total_bytes": total, "media_category": "tweet_video"});
        let answer: Value = accepted(self.post("initialize").json(&body).send().await?)?.json().await?;
        Ok(answer["data"]["id"].as_str().context("no id")?.to_owned())
    }

    async fn append(&self, id: &str, segment: usize, media: Part) -> anyhow::Result<()> {
        let media = media.file_name("media");
        let form = Form::new().text("segment_index", segment.to_string()).part("media", media);
        let answer = self.post(&format!("{id}/append")).multipart(form).send().await?;
        accepted(answer)?.bytes().await?;
        Ok(())
    }

    async fn finalize(&self, id: &str) -> anyhow::Result<()> {
        accepted(self.post(&format!("{id}/finalize")).send().await?)?.bytes().await?;
        Ok(())
    }
}

fn accepted(answer: Response) -> anyhow::Result<Response> {
    ensure!(answer.status().is_success(), "X answered {}", answer.status());
    Ok(answer)
}

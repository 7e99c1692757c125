//! The one way out to Discord's REST API, and what its refusals mean.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderValue},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use serenity::{
    http::{Http, HttpBuilder, LightMethod, Request, Route},
    model::id::ApplicationId,
};

use url::Url;

use crate::{account::Interaction, chat::ChatError, config, network};

use super::{commands, throttle::Throttle};

/// Answers are small; anything larger is not Discord's.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// Characters of a refusal's reason that are worth a log line.
const REASON_LIMIT: usize = 300;

/// Pauses up to this long are waited out here, longer ones are the caller's to plan.
const SHORT_PAUSE: Duration = Duration::from_secs(3);

/// The bot's own application ("Get Current Application" in Discord's documentation), which serenity does not know.
const APPLICATION: &str = "applications/@me";

/// The `User-Agent` of every request. Discord refuses requests without one of this form, with code 40333 or with an error
/// page of Cloudflare's (Discord's developer documentation, "User Agent").
pub(super) const USER_AGENT: &str =
    concat!("DiscordBot (https://toall.example, ", env!("CARGO_PKG_VERSION"), ")");

/// The address that serenity writes into every route, and replaces when given another.
const DISCORD: &str = "https://discord.com";

/// Sends requests as the bot.
///
/// serenity's own rate limiter stays off: it ignores another `api_url`, counts all interactions as
/// one bucket and keeps an entry for each for ever. A 429 says how long to wait, which is enough.
#[derive(Clone)]
pub(super) struct Rest {
    http: Arc<Http>,
    client: reqwest::Client,
    throttle: Throttle,
}

impl Rest {
    pub(super) fn new(settings: &config::Discord) -> Result<Self, ChatError> {
        let client = network::client()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(20))
            .build()
            .map_err(|error| ChatError::Trouble(error.to_string()))?;
        let token = settings.token.expose_secret();
        if token.trim().is_empty() || !token.trim().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ChatError::Refused(WRONG_TOKEN.to_owned()));
        }
        let api = settings.api_url.as_str().trim_end_matches('/');
        let mut http = HttpBuilder::new(token).client(client.clone()).ratelimiter_disabled(true);
        if api != DISCORD {
            http = http.proxy(api);
        }
        Ok(Rest { http: Arc::new(http.build()), client, throttle: Throttle::default() })
    }

    /// A client of serenity's own with the same settings, for its gateway.
    pub(super) fn for_gateway(&self, application: ApplicationId) -> Http {
        let mut http = HttpBuilder::new(self.http.token())
            .client(self.client.clone())
            .ratelimiter_disabled(true)
            .application_id(application);
        if let Some(proxy) = &self.http.proxy {
            http = http.proxy(proxy);
        }
        http.build()
    }

    /// The token as the gateway wants it, without its kind.
    pub(super) fn gateway_token(&self) -> &str {
        self.http.token().trim_start_matches("Bot ")
    }

    /// The application that the bot belongs to.
    pub(super) async fn application(&self) -> Result<Application, Problem> {
        let answer = self.answer(self.request(Method::GET, APPLICATION)).await?;
        serde_json::from_slice(&answer)
            .map_err(|_| Problem::Trouble("the answer could not be read".to_owned()))
    }

    /// Has Discord bring interactions to an address, or over the gateway again.
    pub(super) async fn set_endpoint(&self, url: Option<&Url>) -> Result<(), Problem> {
        let body = json!({ "interactions_endpoint_url": url });
        self.answer(self.request(Method::PATCH, APPLICATION).json(&body)).await.map(drop)
    }

    /// Tells Discord the commands, in place of those it knew.
    pub(super) async fn register_commands(&self, application_id: ApplicationId) -> Result<(), Problem> {
        let route = Route::Commands { application_id };
        self.send(route, LightMethod::Put, Some(&commands::all())).await.map(drop)
    }

    /// Sends a request and reads the JSON that answers it.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        route: Route<'_>,
        method: LightMethod,
        body: Option<&Value>,
    ) -> Result<T, Problem> {
        let answer = self.send(route, method, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|_| Problem::Trouble("the answer could not be read".to_owned()))
    }

    /// Sends a request and returns the body of a successful answer.
    pub(super) async fn send(
        &self,
        route: Route<'_>,
        method: LightMethod,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, Problem> {
        let mut tries = 3;
        loop {
            tries -= 1;
            match self.send_once(route, method, body).await {
                Err(Problem::SlowDown(pause)) if tries > 0 && pause <= SHORT_PAUSE => {
                    tokio::time::sleep(pause).await;
                }
                answer => return answer,
            }
        }
    }

    async fn send_once(
        &self,
        route: Route<'_>,
        method: LightMethod,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, Problem> {
        let request = Request::new(route, method)
            .body(body.map(|body| body.to_string().into_bytes()))
            .build(&self.client, self.http.token(), self.http.proxy.as_deref())
            .map_err(|error| Problem::Refused(error.to_string()))?;
        match route {
            // The global limit does not apply to callbacks ("Rate Limits", "Global Rate Limit"), and they cannot wait.
            Route::InteractionResponse { .. } => self.send_now(request).await,
            _ => self.answer(request).await,
        }
    }

    /// Sends a request, unless Discord has paused this process, and reads the body of a successful answer.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Problem> {
        self.throttle.wait(SHORT_PAUSE).await.map_err(Problem::SlowDown)?;
        self.send_now(request).await
    }

    async fn send_now(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Problem> {
        // In place of serenity's own.
        let name = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))]);
        answer(request.headers(name), &self.throttle).await
    }

    /// A request to an endpoint that serenity does not know.
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let api = self.http.proxy.as_deref().unwrap_or(DISCORD).trim_end_matches('/');
        let request = self.client.request(method, format!("{api}/api/v10/{path}"));
        request.header(header::AUTHORIZATION, self.http.token())
    }

    /// A fresh address for an attachment whose signed one has expired, if Discord still has the file.
    ///
    /// The endpoint is what Discord's own clients use; its documentation leaves it out, bots may use it
    /// (github.com/esmBot/esmBot/issues/461), and serenity does not know it.
    pub(super) async fn refreshed(&self, source: &str) -> Result<String, Problem> {
        #[derive(Deserialize)]
        struct Refreshed {
            refreshed_urls: Vec<Pair>,
        }
        #[derive(Deserialize)]
        struct Pair {
            refreshed: String,
        }
        let request = self
            .request(Method::POST, "attachments/refresh-urls")
            .json(&json!({ "attachment_urls": [source] }));
        let answer: Refreshed = serde_json::from_slice(&self.answer(request).await?)
            .map_err(|_| Problem::Trouble("the answer could not be read".to_owned()))?;
        let first = answer.refreshed_urls.into_iter().next();
        first.map(|pair| pair.refreshed).ok_or_else(|| Problem::Answer {
            status: 404,
            code: 0,
            message: "no such attachment".to_owned(),
        })
    }
}

/// Sends a request and reads the body of a successful answer.
async fn answer(request: reqwest::RequestBuilder, throttle: &Throttle) -> Result<Vec<u8>, Problem> {
    let mut response = request.send().await.map_err(trouble)?;
    let status = response.status().as_u16();
    let mut answer = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(trouble)? {
        if answer.len() + bytes.len() > ANSWER_LIMIT {
            return Err(Problem::Trouble("the answer was too long".to_owned()));
        }
        answer.extend_from_slice(&bytes);
    }
    if response.status().is_success() {
        return Ok(answer);
    }
    let refusal: Option<Refusal> = serde_json::from_slice(&answer).ok();
    Err(match (status, refusal) {
        (429, refusal) => {
            // A 429 without Discord's body comes from Cloudflare, which counts the whole address.
            let global = refusal.as_ref().is_none_or(|refusal| refusal.global)
                || response.headers().contains_key("x-ratelimit-global");
            let pause = refusal.unwrap_or_default().pause(response.headers());
            if global {
                throttle.pause(pause);
            }
            Problem::SlowDown(pause)
        }
        (500.., _) => Problem::Trouble(format!("status {status}")),
        // Something between here and Discord answered: it knows nothing of the token, the channel or the message.
        (_, None | Some(Refusal { code: INTERNAL_NETWORK_ERROR, .. })) => {
            Problem::Trouble(format!("status {status}, which is not Discord's own answer"))
        }
        (_, Some(refusal)) => Problem::Answer { status, code: refusal.code, message: refusal.reason() },
    })
}

/// The secret that lets an interaction be answered.
pub(super) fn token(interaction: &Interaction) -> &str {
    interaction.token.expose_secret()
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// Discord's refusal, with its JSON error code (0 when it gave none).
    #[error("status {status}, code {code}: {message}")]
    Answer { status: u16, code: u64, message: String },
    #[error("asked to wait {0:?}")]
    SlowDown(Duration),
    #[error("{0}")]
    Trouble(String),
    /// Not sent, because Discord could only refuse it.
    #[error("{0}")]
    Refused(String),
}

// Codes: Discord's developer documentation, "Opcodes and Status Codes", JSON error codes.
const INTERNAL_NETWORK_ERROR: u64 = 40333;
const UNKNOWN_WEBHOOK: u64 = 10015;
const UNKNOWN_INTERACTION: u64 = 10062;
const ALREADY_ACKNOWLEDGED: u64 = 40060;
const INVALID_WEBHOOK_TOKEN: u64 = 50027;
const UNKNOWN_MEMBER: u64 = 10007;
const UNKNOWN_USER: u64 = 10013;
/// The message is an hour old and was edited too often; it was written by somebody else; it is a system message.
const UNEDITABLE: [u64; 3] = [30046, 50005, 50021];
/// Missing access or permission; a channel that takes no text; an archived or a locked thread; text that the server's
/// filter blocks.
const MAY_NOT_WRITE: [u64; 7] = [50001, 50013, 50008, 50024, 50083, 160005, 200000];

impl Problem {
    /// Whether the interaction token is no longer taken.
    pub(super) fn is_dead_token(&self) -> bool {
        matches!(
            self,
            Problem::Answer { code: UNKNOWN_WEBHOOK | UNKNOWN_INTERACTION | INVALID_WEBHOOK_TOKEN, .. }
        )
    }

    /// Whether what the request names is not there (any more).
    pub(super) fn is_gone(&self) -> bool {
        self.is_dead_token()
            || matches!(self, Problem::Answer { status, code, .. } if *status == 404 || UNEDITABLE.contains(code))
    }

    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Problem::Answer { status, code, .. } if *status == 403 || MAY_NOT_WRITE.contains(code))
    }

    /// True when a person is not in the server that was asked about.
    pub(super) fn is_no_member(&self) -> bool {
        matches!(self, Problem::Answer { code: UNKNOWN_MEMBER | UNKNOWN_USER, .. })
    }

    pub(super) fn is_already_acknowledged(&self) -> bool {
        matches!(self, Problem::Answer { code: ALREADY_ACKNOWLEDGED, .. })
    }
}

/// What to do about a token that Discord does not take.
pub(super) const WRONG_TOKEN: &str = "Discord does not accept the bot token. Copy it again from the \
    developer portal (your application, Bot, Reset Token) into `token` under [discord]";

impl From<Problem> for ChatError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::SlowDown(pause) => ChatError::SlowDown(pause),
            Problem::Trouble(reason) => ChatError::Trouble(reason),
            Problem::Refused(reason) => ChatError::Refused(reason),
            gone if gone.is_gone() => ChatError::Gone(gone.to_string()),
            forbidden if forbidden.is_forbidden() => ChatError::Forbidden(forbidden.to_string()),
            Problem::Answer { status: 401, .. } => ChatError::Refused(WRONG_TOKEN.to_owned()),
            refused => ChatError::Refused(refused.to_string()),
        }
    }
}

/// Describes what went wrong on the way, without the address: it may hold an interaction token.
pub(super) fn trouble(error: reqwest::Error) -> Problem {
    Problem::Trouble(match error.is_connect() {
        true => format!("no connection to Discord: {}", network::cause(&error)),
        false => format!("the connection to Discord broke: {}", network::cause(&error)),
    })
}

/// The bot's application, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Application {
    pub(super) id: ApplicationId,
    /// The key that Discord signs interactions with, in hexadecimal digits.
    pub(super) verify_key: String,
    /// Where Discord brings interactions; nowhere while they come over the gateway.
    pub(super) interactions_endpoint_url: Option<String>,
}

/// A member of a server, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Member {
    pub(super) roles: Vec<String>,
}

/// The body of a refusal.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u64,
    message: String,
    /// Which fields were wrong and why, nested as the request was.
    #[serde(default)]
    errors: Value,
    retry_after: Option<f64>,
    /// Whether a 429 pauses all requests of the bot.
    #[serde(default)]
    global: bool,
}

impl Refusal {
    fn reason(&self) -> String {
        let mut reason = self.message.clone();
        if !self.errors.is_null() {
            reason = format!("{reason} {}", self.errors);
        }
        reason.chars().take(REASON_LIMIT).collect()
    }

    /// Seconds are in the body, or in the header when the refusal came from the network in front of it.
    fn pause(&self, headers: &reqwest::header::HeaderMap) -> Duration {
        let header = || headers.get("retry-after")?.to_str().ok()?.parse().ok();
        let seconds = self.retry_after.or_else(header).unwrap_or(5.0);
        Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or(SHORT_PAUSE)
    }
}

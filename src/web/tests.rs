//! The web part over real sockets, with a simulated X behind it and a clock turned by hand.

mod api;
mod connections;
mod hostile;
mod linking;
mod log;
mod ops;
mod requests;
mod visits;

use std::time::{Duration, UNIX_EPOCH};

use reqwest::{
    Client, RequestBuilder, StatusCode,
    header::{HeaderMap, LOCATION},
    redirect,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{ServerLimits, Web, router, serve};
use crate::{
    account::{Person, Place, Platform},
    chat::{Chat, Chats, console::Console},
    clock::Clock,
    config,
    health::Health,
    intake::Intake,
    sandbox::{Call, Sandbox, Settings},
    staging::{Staging, embedded},
    store::{Store, Vault},
    ticket::ApiToken,
    twitter::X,
};

/// When the clock stands at first: a day in 2027.
const START: i64 = 1_800_000_000_000;
const CALLBACK: &str = "/api/social/callback";

struct World {
    url: Url,
    http: Client,
    sandbox: Sandbox,
    intake: Intake,
    clock: Clock,
    stop: CancellationToken,
    served: JoinHandle<()>,
    storage: embedded::Server,
    _dir: TempDir,
}

/// What came back.
#[derive(Debug)]
struct Shown {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl World {
    async fn start() -> World {
        World::with_limits(ServerLimits::default()).await
    }

    async fn with_limits(limits: ServerLimits) -> World {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::by_hand(START);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let callback = url.join(CALLBACK).unwrap();

        let mut settings = Settings::new(dir.path().join("x"));
        settings.redirect_uris = vec![callback.to_string()];
        let hands = clock.clone();
        settings.clock =
            std::sync::Arc::new(move || UNIX_EPOCH + Duration::from_millis(hands.now_ms().unsigned_abs()));
        let sandbox = Sandbox::start(settings).await.unwrap();
        let at_x = |path: &str| -> Url { format!("{}{path}", sandbox.url()).parse().unwrap() };
        let twitter = config::Twitter {
            client_id: "sandbox-client".into(),
            client_secret: Some("sandbox-secret".into()),
            authorize_url: at_x("/i/oauth2/authorize"),
            api_url: at_x(""),
            web_url: at_x(""),
        };
        let database = config::Database::sqlite(&dir.path().join("toall.db"));
        let (staging, storage) = Staging::embedded(&dir.path().join("staging"), 0).await.unwrap();
        let intake = Intake {
            store: Store::open(&database, Vault::new(&[7; 32]), START).await.unwrap(),
            chats: Chats::new([Chat::Console(Console::default())]),
            staging: staging.clone(),
            x: X::new(&twitter, callback).unwrap(),
            clock: clock.clone(),
            public_url: url.clone(),
            access: config::Access::everyone(),
            limits: config::Limits::default(),
            admission: Default::default(),
        };
        let stop = CancellationToken::new();
        let web = Web {
            intake: intake.clone(),
            staging,
            door: Some(storage.door()),
            chats: Vec::new(),
            health: Health::default(),
            public_url: url.clone(),
            stop: stop.clone(),
        };
        let served = tokio::spawn(serve(listener, router(web), limits, stop.clone()));
        let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        World { url, http, sandbox, intake, clock, stop, served, storage, _dir: dir }
    }

    fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    /// The address of X's consent page, as `/connect twitter` gives it.
    async fn offer(&self, person: &Person) -> Url {
        self.intake.offer_link(person, &private_chat(person)).await.unwrap().url
    }

    /// Presses a button on X's page: where X then sends the browser.
    async fn at_x(&self, consent: Url, username: &str, decision: &str) -> Url {
        let form = [("user", username), ("decision", decision)];
        let response = self.http.post(consent).form(&form).send().await.unwrap();
        response.headers()[LOCATION].to_str().unwrap().parse().unwrap()
    }

    /// The callback of a person who agreed on X's page.
    async fn agreed(&self, person: &Person, username: &str) -> Url {
        self.at_x(self.offer(person).await, username, "authorize").await
    }

    async fn get(&self, url: impl reqwest::IntoUrl) -> Shown {
        shown(self.http.get(url)).await
    }

    /// Submits the form at this position on a page.
    async fn press(&self, page: &Shown, form: usize) -> Shown {
        let (action, ticket) = page.forms().into_iter().nth(form).expect("the page has such a form");
        shown(self.http.post(self.at(&action)).form(&[("ticket", ticket)])).await
    }

    async fn link(&self, person: &Person, username: &str) {
        let page = self.get(self.agreed(person, username).await).await;
        assert_eq!(self.press(&page, 0).await.status, StatusCode::OK);
    }

    async fn api_token(&self, person: &Person) -> String {
        let ticket = crate::ticket::Ticket::draw().unwrap();
        let token = ApiToken {
            id: uuid::Uuid::now_v7(),
            name: String::new(),
            last4: ticket.expose()[39..].to_owned(),
            created_at: START,
            last_used_at: None,
        };
        assert!(self.intake.store.add_api_token(person, &ticket.hash(), &token, 10).await.unwrap());
        format!("toall_{}", ticket.expose())
    }

    async fn linked(&self, person: &Person) -> Vec<String> {
        let accounts = self.intake.store.accounts(person).await.unwrap();
        accounts.into_iter().map(|account| account.username).collect()
    }

    /// The statuses with which X answered calls of this kind.
    fn calls(&self, call: Call) -> Vec<Option<u16>> {
        let exchanges = self.sandbox.exchanges();
        exchanges.iter().filter(|seen| seen.call == Some(call)).map(|seen| seen.status).collect()
    }
}

impl Shown {
    /// Action and ticket of each form, in order.
    fn forms(&self) -> Vec<(String, String)> {
        let after = |text: &str, start: &str| {
            let (_, rest) = text.split_once(start).unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        let forms = self.body.split("<form ").skip(1);
        forms.map(|form| (after(form, "action=\""), after(form, "name=\"ticket\" value=\""))).collect()
    }

    /// What a reader sees: the text without its tags.
    fn text(&self) -> String {
        let (_, body) = self.body.split_once("<body>").unwrap_or_else(|| panic!("{self:?}"));
        body.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)).collect()
    }

    #[track_caller]
    fn says(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.text().contains(text), "{text:?} is not in {:?}", self.text());
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn shown(request: RequestBuilder) -> Shown {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Shown { status, headers, body: response.text().await.unwrap() }
}

fn person(id: &str, name: &str) -> Person {
    Person { platform: Platform::Discord, id: id.into(), name: name.into() }
}

fn alice() -> Person {
    person("80351110224678912", "alice")
}

fn private_chat(person: &Person) -> Place {
    Place {
        platform: person.platform,
        chat: person.id.clone(),
        thread: None,
        message: None,
        person: person.id.clone(),
        private: true,
        interaction: None,
    }
}

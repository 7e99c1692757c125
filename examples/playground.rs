//! The whole service on one machine, for tools that look at it from outside: the browser tests, a fuzzer of the API,
//! somebody who wants to try the pages.
//!
//! Prints one line of JSON with the addresses, then answers each line of its input with one line of JSON:
//!
//! - `ask NAME COMMAND`: says `/COMMAND` in NAME's private chat; the answer's text and the address under it
//! - `said NAME`: every message in NAME's chat, as last edited
//! - `link NAME USERNAME`: links an account of the simulated X, without a browser
//! - `token NAME`: an API token
//! - `lose`: the simulated X makes the next post and does not answer
//! - `hide SECONDS`: new posts stay away from timelines for so long
//!
//! Ends with its input. Run it with `cargo run --example playground`. `cargo run --example playground -- URL BUCKET` keeps
//! its files in a bucket of the S3 server at this address, such as a LocalStack, instead of a folder.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Client, header::LOCATION, redirect::Policy};
use serde_json::{Value, json};
use tempfile::TempDir;
use toall::{
    account::{Person, Place, Platform},
    app::{App, Role},
    chat::{
        Ask, Delivery, Incoming,
        console::{Console, Shown},
    },
    clock::Clock,
    config::{self, Config},
    sandbox::{Call, Effect, Fault, Processing, Sandbox, Settings},
    words::{Act, Span},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use url::Url;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let public_url: Url = format!("http://{}", listener.local_addr()?).parse()?;
    let x = Sandbox::start(Settings {
        processing: Processing { steps: 2, check_after_secs: 1 },
        redirect_uris: vec![format!("{public_url}api/social/callback")],
        ..Settings::new(folder.path().join("x"))
    })
    .await?;
    let console = Console::default();
    let config = config(&public_url, &x, &folder, bucket()?)?;
    let roles = [Role::Chat, Role::Web, Role::Worker];
    let app = App::start_on(&config, &roles, Clock::system(), Some(listener), Some(console.clone())).await?;
    let playground = Playground { app, x, console };

    println!("{}", json!({ "url": public_url, "x": playground.x.url() }));
    let (input, mut lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.take_while(|line| input.blocking_send(line.clone()).is_ok()).for_each(drop);
    });
    while let Some(line) = lines.recv().await {
        let answer = playground.obey(&line).await;
        println!("{}", answer.unwrap_or_else(|error| json!({ "error": format!("{error:#}") })));
    }
    playground.app.stop().await;
    Ok(())
}

/// The bucket named on the command line.
fn bucket() -> anyhow::Result<Option<config::Staging>> {
    let mut arguments = std::env::args().skip(1);
    let Some(endpoint) = arguments.next() else { return Ok(None) };
    Ok(Some(config::Staging {
        endpoint_url: Some(endpoint.parse()?),
        bucket: arguments.next().context("no bucket was named")?,
        region: "us-east-1".to_owned(),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some("test".to_owned().into()),
        force_path_style: true,
    }))
}

struct Playground {
    app: App,
    x: Sandbox,
    console: Console,
}

impl Playground {
    async fn obey(&self, line: &str) -> anyhow::Result<Value> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["ask", name, command] => {
                let shown = self.ask(name, ask(command)?).await?;
                json!({ "text": text(&shown), "link": link(&shown) })
            }
            ["said", name] => {
                let said = self.said(name).into_iter();
                json!(said.map(|shown| text(&shown)).collect::<Vec<_>>())
            }
            ["link", name, username] => self.link(name, username).await?,
            ["token", name] => {
                let said = text(&self.ask(name, Ask::Token { name: String::new() }).await?);
                let token = said.split_whitespace().find(|word| word.starts_with("toall_"));
                json!({ "token": token.context("no token was given")? })
            }
            ["lose"] => {
                self.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));
                json!({})
            }
            ["hide", seconds] => {
                self.x.set_visibility_delay(Duration::from_secs(seconds.parse()?));
                json!({})
            }
            _ => bail!("nobody knows what that means: {line}"),
        })
    }

    /// Says something in a person's chat, and returns the answer.
    async fn ask(&self, name: &str, ask: Ask) -> anyhow::Result<Shown> {
        let (done, dealt_with) = oneshot::channel();
        let incoming = Incoming { from: person(name), at: place(name), ask, groups: Vec::new() };
        self.app.inbox().send(Delivery { incoming, done }).await?;
        dealt_with.await?;
        self.said(name).pop().context("nothing was answered")
    }

    fn said(&self, name: &str) -> Vec<Shown> {
        let chat = place(name).chat;
        self.console.messages().into_iter().filter(|shown| shown.at.chat == chat).collect()
    }

    async fn link(&self, name: &str, username: &str) -> anyhow::Result<Value> {
        let offer = self.ask(name, Ask::Connect { what: "twitter".to_owned() }).await?;
        let http = Client::builder().redirect(Policy::none()).build()?;
        let decision = [("user", username), ("decision", "authorize")];
        let back = http.post(link(&offer).context("no link")?).form(&decision).send().await?;
        let back: Url = back.headers().get(LOCATION).context("X did not agree")?.to_str()?.parse()?;
        let page = http.get(back.clone()).send().await?.text().await?;
        let ticket = page.split_once("name=\"ticket\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        let (ticket, _) = ticket.context("the page has no form")?;
        let linked = http.post(back.join("/api/social/callback")?).form(&[("ticket", ticket)]).send().await?;
        Ok(json!({ "status": linked.status().as_u16() }))
    }
}

fn ask(command: &str) -> anyhow::Result<Ask> {
    Ok(match command {
        "connect" => Ask::Connect { what: "twitter".to_owned() },
        "upload" => Ask::Upload,
        "web" => Ask::Web,
        "posts" => Ask::Posts,
        _ => bail!("nobody knows /{command}"),
    })
}

fn person(name: &str) -> Person {
    Person { platform: Platform::Discord, id: format!("id-{name}"), name: name.to_owned() }
}

/// A private chat on the console, whatever chat the person is said to be from.
fn place(name: &str) -> Place {
    Place {
        platform: Platform::Console,
        chat: format!("chat-{name}"),
        thread: None,
        message: None,
        person: format!("id-{name}"),
        private: true,
        interaction: None,
    }
}

fn text(shown: &Shown) -> String {
    let spans = shown.message.text.iter().map(|span| match span {
        Span::Text(text) | Span::Link(text) | Span::Code(text) => text.clone(),
        Span::Time(at) => format!("<{at}>"),
    });
    spans.collect()
}

fn link(shown: &Shown) -> Option<&str> {
    shown.message.buttons.iter().find_map(|button| match &button.act {
        Act::Open(url) => Some(url.as_str()),
        Act::Do(_) => None,
    })
}

fn config(
    public_url: &Url,
    x: &Sandbox,
    folder: &TempDir,
    staging: Option<config::Staging>,
) -> anyhow::Result<Config> {
    let x: Url = x.url().parse()?;
    Ok(Config {
        public_url: public_url.clone(),
        data_dir: folder.path().join("data"),
        min_free: 0,
        web: config::Web::on((Ipv4Addr::LOCALHOST, 0).into()),
        metrics: None,
        database: config::Database::sqlite(&folder.path().join("toall.db")),
        access: config::Access::everyone(),
        limits: config::Limits::default(),
        security: config::Security { encryption_key: None, former_encryption_key: None },
        discord: None,
        telegram: None,
        twitter: config::Twitter {
            client_id: "sandbox-client".to_owned(),
            client_secret: Some("sandbox-secret".to_owned().into()),
            authorize_url: x.join("/i/oauth2/authorize")?,
            api_url: x.clone(),
            web_url: x,
        },
        staging,
        worker: config::Worker {
            concurrency: 8,
            transfers: 4,
            upload_parallelism: 4,
            on_unsure: config::OnUnsure::Ask,
            settle_secs: 3,
        },
    })
}

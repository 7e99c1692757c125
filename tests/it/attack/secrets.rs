//! Everything that was secret on the way, looked for in everything that stays behind.

use memchr::memmem;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use toall::sandbox::{Answer, Call, Effect, Fault};
use url::Url;

use super::real::{BUCKET_SECRET, CLIENT_SECRET, Real, files};
use crate::{
    telegram::{self, ALICE, TOKEN},
    world::{Page, browser, sample},
};

const CAPTION: &str = "a caption that nobody else may read 5f2c";

/// A secret in all the shapes in which it could be written down.
struct Secret {
    name: String,
    shapes: Vec<Vec<u8>>,
}

impl Secret {
    fn new(name: &str, value: &str) -> Secret {
        let mut shapes = vec![
            value.as_bytes().to_vec(),
            url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().into_bytes(),
            toall::ticket::hex(value.as_bytes()).into_bytes(),
            toall::ticket::hex(value.as_bytes()).to_uppercase().into_bytes(),
            format!("{:?}", value.as_bytes()).trim_matches(['[', ']']).as_bytes().to_vec(),
        ];
        // Inside of something longer, base64 depends on where it begins; its ends mix with the neighbours.
        for before in 0..3 {
            let bytes = [&vec![0; before][..], value.as_bytes()].concat();
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let text = engine.encode(&bytes);
                shapes.push(text.as_bytes()[(before * 8).div_ceil(6)..text.len() - 2].to_vec());
            }
        }
        Secret { name: name.to_owned(), shapes }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.shapes.iter().any(|shape| memmem::find(bytes, shape).is_some())
    }
}

/// Fails when any of the secrets stands in `bytes`.
#[track_caller]
fn assert_clean(what: &str, bytes: &[u8], secrets: &[Secret]) {
    for secret in secrets {
        if secret.is_in(bytes) {
            let text = String::from_utf8_lossy(bytes);
            let shape = secret
                .shapes
                .iter()
                .map(|shape| String::from_utf8_lossy(shape))
                .find(|s| text.contains(&**s));
            let line =
                shape.and_then(|shape| text.lines().find(|line| line.contains(&*shape)).map(str::to_owned));
            panic!("{} is in {what}: {line:?}", secret.name);
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The first address in a text.
fn link_in(text: &str) -> Url {
    let at = text.find("http").unwrap_or_else(|| panic!("no link in {text}"));
    text[at..].split_whitespace().next().unwrap().parse().unwrap()
}

fn query(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned()
}

/// A day in the life of a service, with trouble in it; notes secrets that only browsers and chats see.
struct Day {
    real: Real,
    secrets: Vec<(String, String)>,
    /// Everything that was answered to a browser or a program.
    pages: String,
}

impl Day {
    async fn says(&self, start: &str) -> telegram::Shown {
        self.real
            .telegram
            .wait_for(|telegram| {
                telegram.said(ALICE.id).into_iter().rev().find(|shown| shown.text.starts_with(start))
            })
            .await
    }

    /// A fresh link from the chat, and where X sends the browser once alice agreed.
    async fn agreed(&mut self) -> Url {
        let before = self.real.telegram.said(ALICE.id).len();
        self.real.telegram.private(ALICE).text("/connect twitter");
        let text = self
            .real
            .telegram
            .wait_for(|telegram| telegram.said(ALICE.id).get(before).map(|shown| shown.text.clone()))
            .await;
        let form = [("user", "alice_makes"), ("decision", "authorize")];
        let answer = browser().post(link_in(&text)).form(&form).send().await.unwrap();
        let callback: Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
        self.secrets.push(("the state".to_owned(), query(&callback, "state")));
        self.secrets.push(("the code".to_owned(), query(&callback, "code")));
        callback
    }

    async fn open(&mut self, url: &Url) -> Page {
        let page = Page::open(url).await;
        let ticket =
            page.html.split("name=\"ticket\" value=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
        match ticket {
            Some(ticket) => self.secrets.push(("the page's ticket".to_owned(), ticket.to_owned())),
            None => self.pages += &page.html,
        }
        page
    }

    async fn get(&mut self, url: Url, token: &str) {
        let answer = browser().get(url).bearer_auth(token).send().await.unwrap();
        self.pages += &format!("{:?}", answer.headers());
        self.pages += &answer.text().await.unwrap();
    }
}

async fn day() -> Day {
    let mut real = Real::new().await;
    real.start().await;
    let mut day = Day { real, secrets: Vec::new(), pages: String::new() };

    // X drops the exchange; refuses it; then a link is made, and pressed twice.
    for effect in [Effect::Drop, Effect::Refuse(Answer::oauth(400, "invalid_request", "no"))] {
        day.real.x.order(Fault::on(Call::Token, effect));
        let callback = day.agreed().await;
        day.open(&callback).await;
    }
    let callback = day.agreed().await;
    let page = day.open(&callback).await;
    day.open(&callback).await;
    page.submit(0).await;
    day.pages += &page.submit(1).await.html;
    day.says("Linked @alice_makes").await;

    // A token for programs, used and misused.
    day.real.telegram.private(ALICE).text("/token");
    let shown = day
        .real
        .telegram
        .wait_for(|telegram| telegram.said(ALICE.id).into_iter().find(|shown| shown.text.contains("toall_")))
        .await;
    let at = shown.text.find("toall_").unwrap() + "toall_".len();
    let token = shown.text[at..at + 43].to_owned();
    let whole = format!("toall_{token}");
    day.secrets.push(("the API token".to_owned(), token));
    for path in ["/api/social/accounts", "/api/social/connect/twitter", "/api/nothing"] {
        let url = day.real.url.join(path).unwrap();
        day.get(url, &whole).await;
    }
    let url = day.real.url.join("/api/social/accounts").unwrap();
    day.get(url, &format!("{whole}x")).await;

    // A post whose download and refresh fail at first, with a name that would like to be a line of the log.
    day.real.telegram.fail_next("getFile", telegram::Fault::Drop);
    day.real.x.order(Fault::on(Call::Refresh, Effect::Refuse(Answer::html(503))));
    let caption = format!("/post {CAPTION}\nERROR forged");
    let name = "surf\nERROR forged\r\n.mp4";
    day.real.telegram.private(ALICE).video(name, fs::read(sample()).unwrap(), &caption);
    day.says("The file cannot be fetched from the chat at the moment").await;
    day
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stays_in_logs_database_metrics_pages_or_a_dump() {
    let mut day = day().await;
    // Killed amid it all, so that the write-ahead log is as a crash leaves it.
    day.real.end("KILL").await;
    let after_crash: Vec<(PathBuf, Vec<u8>)> =
        files(&day.real.data()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(
        after_crash.iter().any(|(path, _)| path.ends_with("toall.db-wal")),
        "there is a log to look into"
    );
    day.real.start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", day.real.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    // The kernel gives the memory of a process that must not be dumped to root.
    let memory = fs::metadata(format!("/proc/{}/environ", day.real.pid())).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&memory), 0);
    day.says("Posted to @alice_makes").await;
    // Another pair of tokens, ended at X.
    day.real.telegram.private(ALICE).text("/disconnect");
    day.says("Disconnected @alice_makes").await;
    browser().get(day.real.url.join("/readyz").unwrap()).send().await.unwrap();
    let metrics = browser().get(day.real.metrics.join("/metrics").unwrap()).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("toall_http_requests_total"), "{metrics}");

    // Everything that a shell with an open hand made is for its owner alone.
    let data = day.real.data();
    assert_eq!(mode(&data), 0o700);
    for path in files(&data) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert_eq!(day.real.end("TERM").await.code(), Some(0));

    let key = fs::read_to_string(data.join("toall.key")).unwrap().trim().to_owned();
    let raw = base64::engine::general_purpose::STANDARD.decode(&key).unwrap();
    let mut secrets: Vec<Secret> = day
        .real
        .wire
        .secrets()
        .into_iter()
        .chain(day.secrets)
        .chain([
            ("the client secret".to_owned(), CLIENT_SECRET.to_owned()),
            ("the bucket's secret".to_owned(), BUCKET_SECRET.to_owned()),
            ("the bot's token".to_owned(), TOKEN.split_once(':').unwrap().1.to_owned()),
            ("the encryption key".to_owned(), key),
        ])
        .map(|(name, value)| Secret::new(&name, &value))
        .collect();
    let hex = toall::ticket::hex(&raw).into_bytes();
    secrets.push(Secret { name: "the encryption key, bare".to_owned(), shapes: vec![raw, hex] });
    let passed = |name: &str| secrets.iter().filter(|secret| secret.name == name).count();
    assert!(passed("access_token") >= 2 && passed("refresh_token") >= 2, "generations of tokens");
    assert!(passed("code_verifier") >= 3 && passed("the state") >= 3 && passed("the page's ticket") == 2);

    let log = day.real.log();
    for said in ["\"level\":\"TRACE\"", "the step did not work", "\"message\":\"stopping\""] {
        assert!(log.contains(said), "the log is the whole of it: {said}");
    }
    assert_clean("the log", log.as_bytes(), &secrets);
    assert_clean("the metrics", metrics.as_bytes(), &secrets);
    assert_clean("the pages", day.pages.as_bytes(), &secrets);
    for (path, bytes) in &after_crash {
        if !path.ends_with("toall.key") {
            assert_clean(&format!("{} after the crash", path.display()), bytes, &secrets);
        }
    }
    for path in files(&data) {
        if !path.ends_with("toall.key") {
            assert_clean(&path.display().to_string(), &fs::read(&path).unwrap(), &secrets);
        }
    }
    assert!(!day.real.wire.compressed(), "nothing that unpacks is asked for");
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not a line of the log: {line}");
    }
    for line in log.lines().filter(|line| line.contains(CAPTION)) {
        assert!(line.contains("\"level\":\"DEBUG\"") || line.contains("\"level\":\"TRACE\""), "{line}");
    }
}

#[test]
fn the_search_finds_a_secret_in_every_shape() {
    let secret = Secret::new("a secret", "s3cr3t+/=tokenλ");
    let basic = base64::engine::general_purpose::STANDARD.encode("sandbox-client:s3cr3t+/=tokenλ@");
    let upper = toall::ticket::hex("s3cr3t+/=tokenλ".as_bytes()).to_uppercase();
    for text in ["https://x/bots3cr3t+/=tokenλ/file", "code=s3cr3t%2B%2F%3Dtoken%CE%BB&x=1", &basic, &upper]
    {
        assert!(secret.is_in(text.as_bytes()), "{text}");
    }
    for before in ["", "a", "ab", "abc"] {
        let text = URL_SAFE_NO_PAD.encode(format!("{before}s3cr3t+/=tokenλ and more"));
        assert!(secret.is_in(text.as_bytes()), "{text}");
    }
    assert!(!secret.is_in(b"s3cr3t and /=token apart"));
}

#[test]
fn a_panic_prints_no_secret() {
    use toall::{account::Tokens, config, ticket::Ticket};
    let ticket = Ticket::draw().unwrap();
    let tokens = Tokens {
        access: "hush-access".into(),
        refresh: "hush-refresh".into(),
        issued_at: 0,
        access_expires_at: 0,
        scope: String::new(),
    };
    let telegram = config::Telegram {
        token: "hush-bot".into(),
        api_url: "https://api.example".parse().unwrap(),
        mode: config::TelegramMode::Polling,
    };
    let discord = config::Discord {
        token: "hush-bot".into(),
        api_url: "https://api.example".parse().unwrap(),
        media_hosts: Vec::new(),
        mode: config::DiscordMode::Gateway,
    };
    let security = config::Security {
        encryption_key: Some("hush-key".into()),
        former_encryption_key: Some("hush-former".into()),
    };
    let database = config::Database {
        url: "postgres://toall:hush@db/toall".into(),
        max_connections: 10,
        retention_days: 400,
    };
    let crash = std::panic::catch_unwind(|| {
        panic!("{:?}", (&tokens, &telegram, &discord, &security, &database, &ticket));
    });
    let said = *crash.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("REDACTED"), "{said}");
    assert!(!said.contains("hush") && !said.contains(ticket.expose()), "{said}");
}

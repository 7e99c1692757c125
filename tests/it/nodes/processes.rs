//! Three real processes under load, stopped and killed one after another.

mod killed;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{StatusCode, header::LOCATION};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use toall::sandbox::{Call, Effect, Fault, Gate, Processing, Sandbox, Settings};

use crate::{
    crash::{
        child::Child,
        people::{ALICE, BOB, EVERYBODY, Person},
        s3, site,
    },
    postgres::{self, Database},
    telegram::{TOKEN, Telegram},
    world::{PATIENCE, Page, browser},
};

/// A first answer may take so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A row is looked at again after this long, though nothing else has happened.
const WRITTEN_DOWN: Duration = Duration::from_millis(200);
/// How long the number of posts under way may stay the same.
const STILL: Duration = Duration::from_secs(90);
/// Between two posts of the load.
const PACE: Duration = Duration::from_millis(250);

/// An installation of three processes.
struct Three {
    children: Vec<Child>,
    x: Sandbox,
    telegram: Telegram,
    database: Database,
    folder: TempDir,
    /// Hold the addresses while a process is down.
    _addresses: Vec<Option<tokio::net::TcpSocket>>,
}

/// A post that was sent to the bot.
struct Sent {
    by: Person,
    message: i64,
    at: Instant,
}

impl Three {
    async fn start() -> Option<Three> {
        let database = postgres::cluster().await?.database().await;
        let folder = TempDir::new().unwrap();
        let addresses: Vec<_> = (0..3).map(|_| site::an_address()).collect();
        let public = addresses[0].0;
        let settings = Settings {
            redirect_uris: vec![format!("http://{public}/api/social/callback")],
            duplicate_window: Duration::ZERO,
            processing: Processing { steps: 1, check_after_secs: 0 },
            enforce_rate_limits: false,
            ..Settings::new(folder.path().join("x"))
        };
        let x = Sandbox::start(settings).await.unwrap();
        let telegram = Telegram::start().await;
        let bucket = s3::serve(&folder.path().join("bucket")).await;
        let mut children = Vec::new();
        for (number, (address, _)) in addresses.iter().enumerate() {
            let path = folder.path().join(format!("{number}.toml"));
            let config = format!(
                "public_url = \"http://{public}\"\ndata_dir = \"{data}\"\n\
                 [web]\nlisten = \"{address}\"\n\
                 [database]\nurl = \"{database}\"\n\
                 [security]\nencryption_key = \"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\"\n\
                 [telegram]\ntoken = \"{TOKEN}\"\napi_url = \"{telegram}\"\n\
                 [twitter]\nclient_id = \"sandbox-client\"\nclient_secret = \"sandbox-secret\"\n\
                 authorize_url = \"{x}/i/oauth2/authorize\"\napi_url = \"{x}\"\nweb_url = \"{x}\"\n\
                 [staging]\nendpoint_url = \"{bucket}\"\nbucket = \"{name}\"\naccess_key_id = \"{key}\"\n\
                 secret_access_key = \"{secret}\"\nforce_path_style = true\n\
                 [access]\nopen = true\n[limits]\nposts_per_person_per_day = \"none\"\n\
                 connections_per_person_per_hour = \"none\"\n\
                 monthly_budget_usd = \"none\"\n\
                 # A process that is killed before X heard of a post leaves it in doubt: nobody is here to be asked.\n\
                 [worker]\nsettle_secs = 25\non_unsure = \"retry\"\n",
                data = folder.path().join(format!("data{number}")).display(),
                database = database.url,
                telegram = telegram.settings().api_url,
                x = x.url(),
                name = s3::BUCKET,
                key = s3::KEY,
                secret = s3::SECRET,
            );
            std::fs::write(&path, config).unwrap();
            children.push(Child::new(&path));
        }
        for child in &children {
            child.start();
        }
        for child in &children {
            child.until_ready().await;
        }
        let addresses = addresses.into_iter().map(|(_, held)| held).collect();
        let three = Three { children, x, telegram, database, folder, _addresses: addresses };
        for person in EVERYBODY {
            link(&three.telegram, person).await;
        }
        Some(three)
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.database.url).await.unwrap()
    }

    fn post(&self, by: Person, caption: &str, film: &[u8]) -> Sent {
        let at = Instant::now();
        let chat = self.telegram.private(by.user);
        Sent { by, message: chat.video("film.mp4", film.to_vec(), &format!("/post {caption}")), at }
    }

    /// How long each post waited for its first answer.
    async fn first_answers(&self, sent: &[Sent], seen: &Seen) -> Vec<Duration> {
        let answers = |telegram: &Telegram| {
            seen.look(telegram);
            let seen = seen.0.lock().unwrap();
            sent.iter()
                .map(|post| seen.get(&(post.by.user.id, post.message)).map(|at| *at - post.at))
                .collect::<Option<Vec<Duration>>>()
        };
        self.telegram.wait_for(answers).await
    }

    /// A minute passes for what this process held when it was killed or put to sleep.
    async fn a_minute_later(&self, node: &str) {
        let statements = format!(
            "UPDATE x_accounts SET due_at = 0 WHERE lease_owner = '{node}';
             UPDATE leases SET due_at = 0 WHERE owner = '{node}';
             UPDATE posts SET status_taken_until = 0"
        );
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection().await).await.unwrap();
    }

    /// Waits until every post is on X and its chat has the last word.
    async fn until_all_are_over(&self, posts: usize) {
        let mut connection = self.connection().await;
        let mut said = self.telegram.changes();
        let (mut fewest, mut moved) = (i64::MAX, Instant::now());
        loop {
            said.mark_unchanged();
            // In one statement: between two, a post may come in.
            let (all, open): (i64, i64) = sqlx::query_as(
                "SELECT count(*), count(*) FILTER (WHERE state <> 'posted' OR status_shown <> status_want OR status_due_at IS NOT NULL)
                   FROM posts",
            )
            .fetch_one(&mut connection)
            .await
            .unwrap();
            if open == 0 && all == posts as i64 {
                break;
            }
            if open < fewest {
                (fewest, moved) = (open, Instant::now());
            }
            if moved.elapsed() > STILL {
                let rows: Vec<(String, String, Option<String>)> =
                    sqlx::query_as("SELECT caption, state, waiting FROM posts WHERE state <> 'posted' OR status_due_at IS NOT NULL")
                        .fetch_all(&mut connection)
                        .await
                        .unwrap();
                let nodes: Vec<_> = self.children.iter().map(node).collect();
                panic!(
                    "{open} of {all} are not over, {posts} were sent: {rows:#?}\nof {nodes:?}\n{}",
                    self.children.iter().map(Child::said).collect::<Vec<_>>().join("\n")
                );
            }
            // The chat has the last word; that it has is written down after it, which is told to nobody.
            let _ = tokio::time::timeout(WRITTEN_DOWN, said.changed()).await;
        }
    }

    /// Waits until every post is on X once and everybody was told so once.
    async fn until_all_are_posted(&self, posts: usize) {
        self.until_all_are_over(posts).await;
        let mut captions: Vec<_> = self.x.posts().into_iter().map(|post| post.text).collect();
        captions.sort();
        let made = captions.len();
        captions.dedup();
        assert_eq!((made, captions.len()), (posts, posts), "nothing lost, nothing twice");
        let said: Vec<_> = EVERYBODY.iter().flat_map(|person| self.telegram.said(person.user.id)).collect();
        let told = said.iter().filter(|shown| shown.text.starts_with("Posted to")).count();
        assert_eq!(told, posts, "everybody is told once: {said:#?}");
    }
}

/// Links a person's account through the chat and the browser.
async fn link(telegram: &Telegram, person: Person) {
    telegram.private(person.user).text("/connect twitter");
    let link = telegram
        .wait_for(|telegram| {
            let said = telegram.said(person.user.id);
            let text = &said.iter().find(|shown| shown.text.contains("http"))?.text;
            text[text.find("http")?..].split_whitespace().next().map(str::to_owned)
        })
        .await;
    let form = [("user", person.account), ("decision", "authorize")];
    let answer = browser().post(link).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND, "X refused the link");
    let page = Page::open(&answer.headers()[LOCATION].to_str().unwrap().parse().unwrap()).await;
    page.submit(0).await;
    telegram
        .wait_for(|telegram| {
            telegram.said(person.user.id).iter().any(|shown| shown.text.starts_with("Linked")).then_some(())
        })
        .await;
}

/// When the bot first replied to each message.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<(i64, i64), Instant>>);

impl Seen {
    fn look(&self, telegram: &Telegram) {
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap();
        for person in EVERYBODY {
            for shown in telegram.said(person.user.id) {
                if let Some(message) = shown.reply_to {
                    seen.entry((person.user.id, message)).or_insert(now);
                }
            }
        }
    }
}

/// What a process calls itself among the others.
fn node(child: &Child) -> String {
    let said = child.said_now();
    let ready = said.lines().rfind(|line| line.contains("\"message\":\"ready\"")).unwrap();
    ready.split("\"node\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_are_restarted_under_load_and_one_is_killed() {
    let Some(three) = Three::start().await else { return };
    let three = Arc::new(three);
    let seen = Arc::new(Seen::default());
    let restarted = Arc::new(AtomicBool::new(false));
    let film = site::film(0, &mut fastrand::Rng::with_seed(7));
    let load = tokio::spawn({
        let (three, seen, restarted, film) = (three.clone(), seen.clone(), restarted.clone(), film.clone());
        async move {
            let (mut sent, mut said) = (Vec::new(), three.telegram.changes());
            while !restarted.load(Ordering::SeqCst) {
                let by = EVERYBODY[sent.len() % 2];
                sent.push(three.post(by, &format!("Load {}", sent.len()), &film));
                let next = tokio::time::Instant::now() + PACE;
                while tokio::time::timeout_at(next, said.changed()).await.is_ok() {
                    seen.look(&three.telegram);
                }
            }
            sent
        }
    });
    for child in &three.children {
        let (status, _) = child.stop().await;
        assert_eq!(status.code(), Some(0), "{}", child.said());
        child.start();
        child.until_ready().await;
    }
    restarted.store(true, Ordering::SeqCst);
    let sent = load.await.unwrap();
    let mut answers = three.first_answers(&sent, &seen).await;
    answers.sort();
    let (usual, longest) = (answers[answers.len() / 2], answers[answers.len() - 1]);
    println!("{} posts during the restart; the longest first answer took {longest:?}", sent.len());
    // A machine so busy that half of all answers take long says nothing of the restart.
    assert!(longest <= ANSWER_WITHIN.max(usual * 3), "{answers:?}");

    let killed = &three.children[1];
    let name = node(killed);
    let mut more: Vec<Sent> =
        (0..4).map(|number| three.post(EVERYBODY[number % 2], &format!("Killed {number}"), &film)).collect();
    three.first_answers(&more, &seen).await;
    assert!(killed.kill());
    three.a_minute_later(&name).await;
    more.extend((4..6).map(|number| three.post(EVERYBODY[number % 2], &format!("Killed {number}"), &film)));
    three.first_answers(&more, &seen).await;
    three.until_all_are_posted(sent.len() + more.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_stopped_in_an_upload_finds_it_done_by_another() {
    let Some(three) = Three::start().await else { return };
    let film = site::film(0, &mut fastrand::Rng::with_seed(8));
    let gate = Gate::closed();
    let held = three.x.order(Fault::on(Call::Append, Effect::Hold(gate.clone())));
    three.post(ALICE, "Stopped", &film);
    let mut asked = three.x.changes();
    let uploading = asked.wait_for(|_| held.fired() == 1);
    tokio::time::timeout(PATIENCE, uploading).await.expect("the upload").unwrap();
    let owner: String =
        sqlx::query_scalar("SELECT lease_owner FROM x_accounts WHERE lease_owner IS NOT NULL")
            .fetch_one(&mut three.connection().await)
            .await
            .unwrap();
    let sleeper = three.children.iter().find(|child| node(child) == owner).expect("one of the three");
    sleeper.signal("STOP");
    three.a_minute_later(&owner).await;
    three.post(BOB, "Meanwhile", &film);
    three.until_all_are_posted(2).await;
    sleeper.signal("CONT");
    gate.open();
    // It is well, and has nothing to add.
    three.post(ALICE, "Afterwards", &film);
    three.until_all_are_posted(3).await;
    let (status, _) = sleeper.stop().await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(three.x.posts().len(), 3);
}

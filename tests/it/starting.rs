//! What the operator reads when the service cannot start.

use sqlx::{AssertSqlSafe, PgConnection};
use tempfile::TempDir;
use toall::{
    app::{self, App, Role},
    clock::Clock,
    config::{self, Config},
    store::Lost,
};

use crate::{
    postgres,
    telegram::Telegram,
    world::{NOON, World, browser, named, person, sample},
};

const ALL: [Role; 3] = [Role::Chat, Role::Web, Role::Worker];

/// An address where nobody listens: port 1 is not handed out to programs that ask for a free one.
fn nowhere() -> url::Url {
    "http://127.0.0.1:1/".parse().unwrap()
}

async fn readiness(world: &World) -> (u16, serde_json::Value) {
    let answer = browser().get(world.config.public_url.join("readyz").unwrap()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_although_nothing_outside_answers() {
    let world = World::with(|_, config| {
        config.staging = Some(config::Staging {
            endpoint_url: Some(nowhere()),
            bucket: "toall".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: Some("key".to_owned()),
            secret_access_key: Some("secret-of-the-bucket".to_owned().into()),
            force_path_style: true,
        });
        config.discord = Some(config::Discord {
            token: "secret-of-discord".to_owned().into(),
            api_url: nowhere(),
            media_hosts: vec!["cdn.discordapp.com".to_owned()],
            mode: config::DiscordMode::Gateway,
        });
        config.telegram = Some(config::Telegram {
            token: "1:secret-of-telegram".to_owned().into(),
            api_url: nowhere(),
            mode: config::TelegramMode::Polling,
        });
    })
    .await;
    let (status, report) = readiness(&world).await;
    assert_eq!((status, report["status"].as_str()), (200, Some("degraded")), "{report}");
    assert_eq!(report["parts"]["database"], "ok");
    for part in ["staging", "discord", "telegram"] {
        assert_eq!(report["parts"][part], "failed", "{report}");
    }
    // What needs none of them works.
    world.link("alice", "alice_makes").await;
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_rejects_its_token_is_disabled_alone() {
    let clock = Clock::by_hand(NOON);
    let telegram = Telegram::start().await;
    let mut settings = telegram.settings();
    settings.token = "1:not-the-token".to_owned().into();
    let world = World::with_clock(clock, |_, config| {
        config.telegram = Some(settings);
        config.access.operators = vec![named("olga")];
    })
    .await;
    world
        .until("the operator is told", |world| {
            world.told("olga").iter().any(|text| text.contains("Telegram"))
        })
        .await;
    let (status, report) = readiness(&world).await;
    assert_eq!((status, report["status"].as_str()), (200, Some("degraded")), "{report}");
    assert_eq!(report["parts"]["telegram"], "disabled");
    world.link("alice", "alice_makes").await;
    world.post("alice", "By another chat", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_database_is_refused() {
    if postgres::leave_out("several processes may share it") {
        return;
    }
    let world = World::new().await;

    let refused = App::start_on(&world.config, &ALL, Clock::by_hand(NOON), None, None).await;

    let said = refused.err().expect("two processes on one file").to_string();
    assert!(
        said.ends_with(
            "is in use by another toall process. Stop that one first: a SQLite file belongs to one process"
        ),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_named_with_its_setting() {
    let world = World::new().await;
    let elsewhere = tempfile::TempDir::new().unwrap();
    let mut config = world.config.clone();
    config.data_dir = elsewhere.path().to_owned();
    config.database = config::Database::sqlite(&elsewhere.path().join("toall.db"));

    let refused = App::start(&config, &ALL, Clock::by_hand(NOON)).await;

    let said = refused.err().expect("two listeners on one address").to_string();
    let address = config.web.listen.to_string();
    assert!(said.starts_with(&format!("Cannot listen on {address}: ")), "{said}");
    assert!(said.ends_with("Choose another address for web.listen in the config."), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_key_is_named() {
    let mut world = World::new().await;
    world.link("alice", "alice_makes").await;
    world.kill().await;
    std::fs::remove_file(world.config.data_dir.join("toall.key")).unwrap();

    let refused = App::start_on(&world.config, &ALL, Clock::by_hand(NOON), None, None).await;

    let said = refused.err().expect("another key").to_string();
    assert!(said.contains("was written with another encryption key. Put the former key back"), "{said}");
}

/// A config of a folder of its own, with this database.
fn config_of(folder: &TempDir, database: &postgres::Database) -> Config {
    let path = folder.path().join("config.toml");
    let text = format!(
        "data_dir = {:?}\ntwitter.client_id = 'id'\ntwitter.api_url = '{}'\ndatabase.url = '{}'\n\
         security.encryption_key = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='\n",
        folder.path().join("data"),
        nowhere(),
        database.url,
    );
    std::fs::write(&path, text).unwrap();
    Config::load(&path, std::iter::empty()).unwrap()
}

/// What `toall reconcile` and `toall rotate-key` say, who refuse alike.
async fn both_refuse(config: &Config) -> String {
    let rotated = app::rotate::rotate_key(config, &mut Vec::new()).await.unwrap_err();
    let reconciled =
        app::reconcile::reconcile(config, Lost::Long, &Clock::system(), &mut Vec::new()).await.unwrap_err();
    assert_eq!(rotated.to_string(), reconciled.to_string());
    rotated.to_string()
}

async fn count(connection: &mut PgConnection, of: &str) -> i64 {
    let count = AssertSqlSafe(format!("SELECT count(*) FROM {of}"));
    sqlx::query_scalar(count).fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_installation_is_nothing_is_made_by_who_needs_one() {
    let Some(cluster) = postgres::cluster().await else { return };
    let folder = TempDir::new().unwrap();
    let (empty, nobodys) = (cluster.empty().await, cluster.database().await);
    for (database, of) in
        [(&empty, "pg_tables WHERE schemaname = current_schema()"), (&nobodys, "installation")]
    {
        let said = both_refuse(&config_of(&folder, database)).await;
        assert!(said.ends_with(" holds no installation of toall. Correct database.url"), "{said}");
        assert_eq!(count(&mut cluster.connect(&database.name).await, of).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_an_older_version_is_brought_up_to_date_by_a_start_only() {
    let Some(cluster) = postgres::cluster().await else { return };
    let (folder, database) = (TempDir::new().unwrap(), cluster.database().await);
    let config = config_of(&folder, &database);
    let mut connection = cluster.connect(&database.name).await;
    sqlx::query("DELETE FROM _sqlx_migrations").execute(&mut connection).await.unwrap();

    let said = both_refuse(&config).await;
    assert!(said.contains(" was written by an older version of toall. Start this version with it"), "{said}");
    let mut out = Vec::new();
    app::check::check(&config, None, false, &mut out).await.unwrap();
    let said = String::from_utf8(out).unwrap();
    let line = "· database    of an older version: it will be brought up to date at the start";
    assert!(said.lines().any(|said| said == line), "{said}");
    assert_eq!(count(&mut connection, "_sqlx_migrations").await, 0);
}

//! What the operator reads when the service cannot start.

use toall::{
    app::{self, App, Role},
    clock::Clock,
    config,
};

use crate::{
    postgres,
    world::{NOON, World},
};

const ALL: [Role; 3] = [Role::Chat, Role::Web, Role::Worker];

/// Where nobody listens: the port was free a moment ago.
fn nowhere() -> url::Url {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{free}/").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_that_cannot_be_reached_is_named_at_once() {
    let world = World::new().await;
    let mut config = world.config.clone();
    let (bucket, discord, telegram) = (nowhere(), nowhere(), nowhere());
    config.staging = Some(config::Staging {
        endpoint_url: Some(bucket),
        bucket: "toall".to_owned(),
        region: "us-east-1".to_owned(),
        access_key_id: Some("key".to_owned()),
        secret_access_key: Some("secret-of-the-bucket".to_owned().into()),
        force_path_style: true,
    });
    config.discord = Some(config::Discord {
        token: "secret-of-discord".to_owned().into(),
        api_url: discord.clone(),
        media_hosts: vec!["cdn.discordapp.com".to_owned()],
        mode: config::DiscordMode::Gateway,
    });
    config.telegram = Some(config::Telegram {
        token: "1:secret-of-telegram".to_owned().into(),
        api_url: telegram.clone(),
        mode: config::TelegramMode::Polling,
    });

    let said = app::serve(&config, &ALL).await.unwrap_err().to_string();

    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert_eq!(lines[0], "toall cannot start:");
    assert_eq!(
        lines[1],
        "  staging: The storage does not answer. Check staging.endpoint_url and the network between."
    );
    assert!(lines[2].starts_with("  Discord: "), "{said}");
    assert!(
        lines[2].ends_with(&format!("Check this machine's network, and discord.api_url ({discord}).")),
        "{said}"
    );
    assert!(lines[3].starts_with("  Telegram: "), "{said}");
    assert!(
        lines[3].ends_with(&format!("Check this machine's network, and telegram.api_url ({telegram}).")),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
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

mod example;
mod exposed;
mod key;
mod problems;
mod rotation;

use std::{fs, path::Path};

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::account::Platform;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Loads a file of this text beside these variables.
fn load_bytes(text: &[u8], env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load(&path, env).map_err(|errors| ConfigErrors { file: Some("config.toml".into()), ..errors })
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    load_bytes(text.as_bytes(), env)
}

/// As `load`, with the one setting that has no default.
fn load_with_id(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    load(text, &[&[("TWITTER_CLIENT_ID", "id")], env].concat())
}

#[test]
fn everything_has_its_default() {
    let config = load_with_id("", &[]).unwrap();
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8080/");
    assert_eq!(config.callback_url().as_str(), "http://127.0.0.1:8080/api/social/callback");
    assert_eq!(config.data_dir, Path::new("data"));
    assert_eq!(config.min_free, 1_000_000_000);
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:8080");
    assert!(config.metrics.is_none());
    assert_eq!(config.database.url.expose_secret(), "sqlite:data/toall.db");
    assert!(config.security.encryption_key.is_none());
    assert!(config.discord.is_none());
    assert!(config.telegram.is_none());
    assert_eq!(config.twitter.client_id, "id");
    assert!(config.twitter.client_secret.is_none());
    assert_eq!(config.twitter.authorize_url.as_str(), "https://x.com/i/oauth2/authorize");
    assert_eq!(config.twitter.api_url.as_str(), "https://api.x.com/");
    assert_eq!(config.twitter.web_url.as_str(), "https://x.com/");
    assert!(config.staging.is_none());
    assert_eq!((config.worker.concurrency, config.worker.transfers), (8, 4));
    assert_eq!(config.worker.upload_parallelism, 16);
    assert_eq!(config.worker.on_unsure, OnUnsure::Ask);
    assert_eq!(config.worker.settle_secs, 60);
    assert!(!config.access.open && config.access.operators.is_empty());
    assert_eq!(config.limits.in_flight_per_person, Some(100));
    assert_eq!(config.limits.posts_per_person_per_day, Some(50));
    assert_eq!(config.limits.bytes_per_person_per_day, None);
    assert_eq!(config.limits.monthly_budget, Some(Mills(25_000)));
    assert_eq!(config.limits.connections_per_person_per_hour, Some(5));
}

#[test]
fn a_section_that_is_there_is_on_with_its_defaults() {
    let config =
        load_with_id("[metrics]\n[discord]\ntoken = 'd'\n[telegram]\ntoken = 't'\n[staging]", &[]).unwrap();
    assert_eq!(config.metrics.unwrap().listen.to_string(), "127.0.0.1:9464");
    let discord = config.discord.unwrap();
    assert_eq!(discord.api_url.as_str(), "https://discord.com/");
    assert_eq!(discord.media_hosts, ["cdn.discordapp.com", "media.discordapp.net"]);
    assert_eq!(config.telegram.unwrap().api_url.as_str(), "https://api.telegram.org/");
    let staging = config.staging.unwrap();
    assert!(staging.endpoint_url.is_none());
    assert_eq!((staging.bucket.as_str(), staging.region.as_str()), ("toall", "us-east-1"));
    assert!(staging.access_key_id.is_none() && staging.secret_access_key.is_none());
    assert!(staging.force_path_style);
}

#[test]
fn the_environment_wins_over_the_file_and_toall_over_the_short_names() {
    let id = |text, env: &[_]| load(text, env).unwrap().twitter.client_id;
    let file = "twitter.client_id = 'file'";
    assert_eq!(id(file, &[]), "file");
    assert_eq!(id(file, &[("TWITTER_CLIENT_ID", "short")]), "short");
    let both = [("TWITTER_CLIENT_ID", "short"), ("TOALL_TWITTER__CLIENT_ID", "long")];
    assert_eq!(id(file, &both), "long");
    assert_eq!(id(file, &[both[1], both[0]]), "long");
}

#[test]
fn every_setting_can_come_from_the_environment() {
    let config = load(
        "",
        &[
            ("TOALL_PUBLIC_URL", "https://toall.example.org/x/"),
            ("TOALL_DATA_DIR", "/var/lib/toall"),
            ("TOALL_WEB__LISTEN", "0.0.0.0:80"),
            ("TOALL_METRICS__LISTEN", "[::1]:9464"),
            ("TOALL_DATABASE__URL", "sqlite:/elsewhere/t.db"),
            ("TOALL_SECURITY__ENCRYPTION_KEY", KEY),
            ("TOALL_DISCORD__TOKEN", "12345"),
            ("TOALL_DISCORD__API_URL", "http://127.0.0.1:1"),
            ("TOALL_DISCORD__MEDIA_HOSTS", "127.0.0.1:2, CDN.example.org"),
            ("TOALL_TELEGRAM__TOKEN", "1:t"),
            ("TOALL_TELEGRAM__API_URL", "http://127.0.0.1:3"),
            ("TOALL_TWITTER__CLIENT_ID", "0123"),
            ("TOALL_TWITTER__CLIENT_SECRET", "s"),
            ("TOALL_TWITTER__AUTHORIZE_URL", "http://127.0.0.1:4/a"),
            ("TOALL_TWITTER__API_URL", "http://127.0.0.1:4"),
            ("TOALL_TWITTER__WEB_URL", "http://127.0.0.1:5"),
            ("TOALL_STAGING__ENDPOINT_URL", "http://127.0.0.1:6"),
            ("TOALL_STAGING__BUCKET", "b"),
            ("TOALL_STAGING__REGION", "auto"),
            ("TOALL_STAGING__ACCESS_KEY_ID", "a"),
            ("TOALL_STAGING__SECRET_ACCESS_KEY", "k"),
            ("TOALL_STAGING__FORCE_PATH_STYLE", "false"),
            ("TOALL_WORKER__CONCURRENCY", "64"),
            ("TOALL_WORKER__UPLOAD_PARALLELISM", "1"),
            ("TOALL_WORKER__ON_UNSURE", "retry"),
            ("TOALL_WORKER__SETTLE_SECS", "25"),
            ("TOALL_ACCESS__DISCORD_SERVERS", "1, 2"),
            ("TOALL_ACCESS__DISCORD_ROLES", "3"),
            ("TOALL_ACCESS__TELEGRAM_CHATS", "-1004"),
            ("TOALL_ACCESS__PEOPLE", "discord:5, telegram:6"),
            ("TOALL_ACCESS__OPERATORS", "telegram:7"),
            ("TOALL_LIMITS__POSTS_PER_PERSON_PER_DAY", "20"),
            ("TOALL_LIMITS__BYTES_PER_PERSON_PER_DAY", "2 GB"),
            ("TOALL_LIMITS__IN_FLIGHT_PER_PERSON", "1"),
            ("TOALL_LIMITS__MONTHLY_BUDGET_USD", "12.505"),
            ("TOALL_LIMITS__CONNECTIONS_PER_PERSON_PER_HOUR", "7"),
            ("TOALL_LOG", "debug"),
        ],
    )
    .unwrap();
    assert_eq!(config.callback_url().as_str(), "https://toall.example.org/x/api/social/callback");
    assert_eq!(config.database.url.expose_secret(), "sqlite:/elsewhere/t.db");
    let discord = config.discord.unwrap();
    assert_eq!(discord.token.expose_secret(), "12345");
    assert_eq!(discord.media_hosts, ["127.0.0.1:2", "cdn.example.org"]);
    assert_eq!(config.twitter.client_id, "0123", "digits stay text");
    assert!(!config.staging.unwrap().force_path_style);
    assert_eq!(config.worker.concurrency, 64);
    assert_eq!(config.worker.on_unsure, OnUnsure::Retry);
    assert_eq!(config.worker.settle_secs, 25);
    let groups: Vec<_> = config.access.groups.iter().map(ToString::to_string).collect();
    assert_eq!(groups, ["discord_server:1", "discord_server:2", "discord_role:3", "telegram_chat:-1004"]);
    let people: Vec<_> = config.access.people.iter().map(|person| (person.platform, &*person.id)).collect();
    assert_eq!(people, [(Platform::Discord, "5"), (Platform::Telegram, "6")]);
    assert_eq!(config.access.operators[0].id, "7");
    assert_eq!(config.limits.posts_per_person_per_day, Some(20));
    assert_eq!(config.limits.bytes_per_person_per_day, Some(2_000_000_000));
    assert_eq!(config.limits.in_flight_per_person, Some(1));
    assert_eq!(config.limits.monthly_budget, Some(Mills(12_505)));
    assert_eq!(config.limits.connections_per_person_per_hour, Some(7));
}

#[test]
fn every_limit_takes_none() {
    let keys = [
        "posts_per_person_per_day",
        "bytes_per_person_per_day",
        "in_flight_per_person",
        "monthly_budget_usd",
        "connections_per_person_per_hour",
    ];
    let text: String = keys.into_iter().map(|key| format!("limits.{key} = 'none'\n")).collect();
    let limits = load_with_id(&text, &[]).unwrap().limits;
    assert_eq!(format!("{limits:?}"), format!("{:?}", crate::config::Limits::default()));
}

#[test]
fn a_blocked_operator_is_no_operator() {
    let text = "access.operators = ['discord:1', 'discord:2']\naccess.blocked = ['discord:2']";
    let access = load_with_id(text, &[]).unwrap().access;
    assert_eq!(access.operators.len(), 1);
    assert_eq!(access.operators[0].id, "1");
}

#[test]
fn money_is_taken_as_written() {
    let budget = |written: &str| {
        let text = format!("limits.monthly_budget_usd = {written}");
        load_with_id(&text, &[]).ok().and_then(|config| config.limits.monthly_budget)
    };
    for (written, mills) in [
        ("25", 25_000),
        ("25.00", 25_000),
        ("0.015", 15),
        ("'0.015'", 15),
        ("'$12.5'", 12_500),
        // As floats these are a little less than they read.
        ("0.29", 290),
        ("1.005", 1_005),
        ("1000000", 1_000_000_000),
    ] {
        assert_eq!(budget(written), Some(Mills(mills)), "{written}");
    }
    for written in
        ["0", "-1", "0.0151", "1e400", "inf", "nan", "'1,5'", "'.5'", "'5.'", "1000001", "true", "''"]
    {
        assert_eq!(budget(written), None, "{written}");
    }
}

#[test]
fn ids_may_stand_without_quotes_and_sizes_with_a_unit() {
    let text = "access.telegram_chats = [-1001, '-1002']\nlimits.bytes_per_person_per_day = 5000";
    let config = load_with_id(text, &[]).unwrap();
    let groups: Vec<_> = config.access.groups.iter().map(ToString::to_string).collect();
    assert_eq!(groups, ["telegram_chat:-1001", "telegram_chat:-1002"]);
    assert_eq!(config.limits.bytes_per_person_per_day, Some(5_000));
}

#[test]
fn a_list_in_a_variable_may_be_an_array_or_words_between_commas() {
    for list in [
        r#"["a.example", "b.example:8443"]"#,
        "['a.example', 'b.example:8443',]",
        " a.example ,b.example:8443",
    ] {
        let env = [("TOALL_DISCORD__TOKEN", "t"), ("TOALL_DISCORD__MEDIA_HOSTS", list)];
        let config = load_with_id("", &env).unwrap();
        assert_eq!(config.discord.unwrap().media_hosts, ["a.example", "b.example:8443"], "{list}");
    }
    let env = [("TOALL_DISCORD__TOKEN", "t"), ("TOALL_DISCORD__MEDIA_HOSTS", "[a.example")];
    assert!(load_with_id("", &env).unwrap_err().to_string().contains("is not a list"));
}

#[test]
fn a_secret_may_live_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let secret = |content: &[u8]| {
        fs::write(dir.path().join("secret"), content).unwrap();
        let given = format!("file:{}", dir.path().join("secret").display());
        load_with_id("", &[("TOALL_TWITTER__CLIENT_SECRET", &given)])
            .map(|config| config.twitter.client_secret.unwrap().expose_secret().to_owned())
            .map_err(|errors| {
                let path = dir.path().join("secret");
                errors.problems[0].fault.replace(path.to_str().unwrap(), "PATH")
            })
    };
    assert_eq!(secret(b"hush").unwrap(), "hush");
    assert_eq!(secret(b"hush\r\n").unwrap(), "hush");
    assert_eq!(
        secret(b"\n").unwrap_err(),
        "names the file \"PATH\", which is empty. Write the secret into it."
    );
    assert_eq!(
        secret(b"\xff").unwrap_err(),
        "names the file \"PATH\", which could not be read: it is not UTF-8 text."
    );
    assert_eq!(
        secret(&[b'x'; (1 << 20) + 1]).unwrap_err(),
        "names the file \"PATH\", which could not be read: it is larger than 1 MiB."
    );
    assert_eq!(
        secret(b"two\nlines").unwrap_err(),
        "has a space or line break in it. Copy it again, whole and alone."
    );
}

/// Injected into every pod of a namespace with Services called `toall` (two ports, one of them UDP) and `toall-web`
/// (IPv6). Docker's and Podman's tests of the same image have no KUBERNETES_ variables beside them.
#[test]
fn the_variables_a_kubelet_injects_are_no_settings() {
    let links = [
        ("TOALL_SERVICE_HOST", "10.0.0.2"),
        ("TOALL_SERVICE_PORT", "80"),
        ("TOALL_SERVICE_PORT_HTTP", "80"),
        ("TOALL_SERVICE_PORT_METRICS", "9464"),
        ("TOALL_PORT", "tcp://10.0.0.2:80"),
        ("TOALL_PORT_80_TCP", "tcp://10.0.0.2:80"),
        ("TOALL_PORT_80_TCP_PROTO", "tcp"),
        ("TOALL_PORT_80_TCP_PORT", "80"),
        ("TOALL_PORT_80_TCP_ADDR", "10.0.0.2"),
        ("TOALL_PORT_443_UDP", "udp://10.0.0.2:443"),
        ("TOALL_PORT_443_UDP_PROTO", "udp"),
        ("TOALL_WEB_SERVICE_HOST", "fd00::2"),
        ("TOALL_WEB_SERVICE_PORT", "8080"),
        ("TOALL_WEB_PORT", "tcp://[fd00::2]:8080"),
        ("TOALL_WEB_PORT_8080_TCP", "tcp://[fd00::2]:8080"),
        ("TOALL_WEB_PORT_8080_TCP_ADDR", "fd00::2"),
        ("TOALL_LOG", "info"),
        ("TOALL_CONFIG", "config.toml"),
    ];
    load_with_id("", &links).unwrap();
}

/// Also in a cluster: a misspelt setting must not pass for a variable of the kubelet.
#[test]
fn a_misspelt_variable_is_no_kubelets() {
    let mistakes = [
        ("TOALL_PORT", "8080"),
        ("TOALL_WEB_PORT", "8080"),
        ("TOALL_SERVICE_HOST", "toall.example.org"),
        ("TOALL_SERVICE_PORT", "http"),
        ("TOALL_PORT_80_TCP_NAME", "tcp"),
        ("TOALL_PORT_X_TCP_ADDR", "10.0.0.2"),
        ("TOALL_WEB_LISTEN", "0.0.0.0:8080"),
    ];
    let cluster = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    for mistake in mistakes {
        let errors = load_with_id("", &[cluster, mistake]).unwrap_err().to_string();
        assert!(errors.contains(mistake.0), "{errors}");
    }
    let near = load_with_id("", &[("TOALL_WEB_LISTEN", "0.0.0.0:8080")]).unwrap_err().to_string();
    assert!(near.contains("Did you mean TOALL_WEB__LISTEN?"), "{near}");
}

fn load_environment(env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::read(None, env)?.check(Parameters::new())
}

#[test]
fn the_environment_alone_is_enough() {
    let id = ("TOALL_TWITTER__CLIENT_ID", "id");
    let config = load_environment(&[id, ("TOALL_TELEGRAM__TOKEN", "1:t"), ("PORT", "9000")]).unwrap();
    assert!(config.telegram.is_some() && config.discord.is_none());
    assert_eq!(config.web.listen.to_string(), "0.0.0.0:9000");
    let config = load_environment(&[id, ("PORT", "9000"), ("TOALL_WEB__LISTEN", "127.0.0.1:1")]).unwrap();
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:1");
    let beside_a_file = load_with_id("", &[("PORT", "9000")]).unwrap();
    assert_eq!(beside_a_file.web.listen.to_string(), "127.0.0.1:8080");

    let errors = load_environment(&[("PORT", "many")]).unwrap_err();
    assert!(!errors.temporary);
    let said = errors.to_string();
    assert!(said.starts_with("the environment has 2 problems:\n"), "{said}");
    assert!(said.contains("  PORT  ") && said.contains("  TOALL_TWITTER__CLIENT_ID"), "{said}");
    assert!(said.ends_with("--config FILE or TOALL_CONFIG names one."), "{said}");
}

#[test]
fn nesting_without_end_is_refused() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
    ] {
        assert_eq!(load_with_id(&text, &[]).unwrap_err().problems.len(), 1);
    }
}

/// A value of any TOML kind, as text.
fn any_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "[a-z:/@.?#0-9\\[\\]-]{0,24}".prop_map(|text| format!("'{text}'")),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|bool| bool.to_string()),
        Just("1979-05-27T07:32:00Z".to_owned()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(", "))),
            prop::collection::vec(inner, 0..4).prop_map(|values| {
                let pairs: Vec<_> =
                    values.iter().enumerate().map(|(i, value)| format!("k{i} = {value}")).collect();
                format!("{{ {} }}", pairs.join(", "))
            }),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let known: Vec<_> = keys::KEYS.iter().map(|(key, _)| key.to_string()).collect();
    prop_oneof![
        4 => prop::sample::select(known),
        1 => prop::sample::select(keys::sections()).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_loaded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = load_bytes(&bytes, &[]).map_err(|errors| errors.to_string());
    }

    #[test]
    fn any_toml_is_loaded_or_refused(
        entries in prop::collection::btree_map(any_key(), any_value(), 0..8),
        env in prop::collection::btree_map("TOALL_[A-Z_]{0,12}", any::<String>(), 0..3),
        (key, value) in (prop::sample::select(keys::KEYS), any::<String>()),
    ) {
        let text: String = entries.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let variable = keys::variable(key.0);
        let mut env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        env.push((&variable, &value));
        if let Err(errors) = load(&text, &env) {
            prop_assert!(!errors.problems.is_empty());
            prop_assert_eq!(errors.to_string().lines().count(), 1 + errors.problems.len(), "one line each");
        }
    }
}

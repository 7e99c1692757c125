use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use figment::value::Value;
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

const EXAMPLE: &str = include_str!("../../config.example.toml");
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Loads a file of this text beside these variables.
fn load_bytes(text: &[u8], env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, text).unwrap();
    let env = env
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load(&path, env).map_err(|errors| ConfigErrors {
        file: "config.toml".into(),
        ..errors
    })
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    load_bytes(text.as_bytes(), env)
}

/// As `load`, with the one setting that has no default.
fn load_with_id(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    load(text, &[&[("TWITTER_CLIENT_ID", "id")], env].concat())
}

/// The example with the `#` before every setting and section removed.
fn uncommented() -> String {
    let is_prose = |rest: &str| rest.is_empty() || rest.starts_with([' ', '#']);
    EXAMPLE
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !is_prose(rest))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn everything_has_its_default() {
    let config = load_with_id("", &[]).unwrap();
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8080/");
    assert_eq!(
        config.callback_url().as_str(),
        "http://127.0.0.1:8080/api/social/callback"
    );
    assert_eq!(config.data_dir, Path::new("data"));
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:8080");
    assert!(config.metrics.is_none());
    assert_eq!(config.database.url.expose_secret(), "sqlite:data/toall.db");
    assert!(config.security.encryption_key.is_none());
    assert!(config.discord.is_none());
    assert!(config.telegram.is_none());
    assert_eq!(config.twitter.client_id, "id");
    assert!(config.twitter.client_secret.is_none());
    assert_eq!(
        config.twitter.authorize_url.as_str(),
        "https://x.com/i/oauth2/authorize"
    );
    assert_eq!(config.twitter.api_url.as_str(), "https://api.x.com/");
    assert_eq!(config.twitter.web_url.as_str(), "https://x.com/");
    assert!(config.staging.is_none());
    assert_eq!(config.worker.concurrency, 4);
    assert_eq!(config.worker.upload_parallelism, 4);
    assert_eq!(config.worker.on_unsure, OnUnsure::Ask);
    assert_eq!(config.worker.settle_secs, 60);
}

#[test]
fn a_section_that_is_there_is_on_with_its_defaults() {
    let config = load_with_id(
        "[metrics]\n[discord]\ntoken = 'd'\n[telegram]\ntoken = 't'\n[staging]",
        &[],
    )
    .unwrap();
    assert_eq!(config.metrics.unwrap().listen.to_string(), "127.0.0.1:9464");
    let discord = config.discord.unwrap();
    assert_eq!(discord.api_url.as_str(), "https://discord.com/");
    assert_eq!(
        discord.media_hosts,
        ["cdn.discordapp.com", "media.discordapp.net"]
    );
    assert_eq!(
        config.telegram.unwrap().api_url.as_str(),
        "https://api.telegram.org/"
    );
    let staging = config.staging.unwrap();
    assert!(staging.endpoint_url.is_none());
    assert_eq!(
        (staging.bucket.as_str(), staging.region.as_str()),
        ("toall", "us-east-1")
    );
    assert!(staging.access_key_id.is_none() && staging.secret_access_key.is_none());
    assert!(
        !staging.force_path_style,
        "AWS wants the bucket in the host name"
    );
}

#[test]
fn an_endpoint_of_ones_own_means_path_style_unless_said_otherwise() {
    let style = |text| {
        load_with_id(text, &[])
            .unwrap()
            .staging
            .unwrap()
            .force_path_style
    };
    assert!(style("[staging]\nendpoint_url = 'http://127.0.0.1:9000'"));
    assert!(!style(
        "[staging]\nendpoint_url = 'http://127.0.0.1:9000'\nforce_path_style = false"
    ));
}

#[test]
fn every_problem_is_named_at_once() {
    let text = "[discord]\ntoken = 'hush'\ntokn = 'hush'\n[worker]\nconcurrency = 'many'";
    let errors = load(text, &[]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "config.toml has 3 problems:\n  \
         discord.tokn           is not a setting. Did you mean discord.token?\n  \
         twitter.client_id      is missing. Copy it from console.x.com › your app › Keys and tokens.\n  \
         worker.concurrency     is \"many\"; a whole number from 1 to 64 is needed."
    );
}

/// Each case is a file or variables with one fault; the snapshot shows what the operator reads of it.
#[test]
fn each_problem_has_its_sentence() {
    let files = [
        "public_url = 'example.org'",
        "public_url = 'ftp://example.org'",
        "public_url = 'https://example.org/?a=b'",
        "public_url = 'https://example.org/#top'",
        "public_url = 'https://me:hush@example.org'",
        "public_url = 'me:hush@example.org'",
        "public_url = ''",
        "public_url = 8080",
        "data_dir = 'what?'",
        "[data_dir]",
        "web = 'on'",
        "[[web]]",
        "web.listen = 'localhost:8080'",
        "web.listen = ':8080'",
        "metrics.listen = '127.0.0.1:99999'",
        "metrics.listen = '127.0.0.1:8080'",
        "database.url = 'postgres://toall:hush@db/toall'",
        "database.url = 'mysql://toall:hush@db/toall'",
        "database.url = 'sqlite:'",
        "database.url = 'sqlite::memory:'",
        "security.encryption_key = 'c2hvcnQ='",
        "security.encryption_key = 'not base64'",
        "security.encryption_key = 'file:/no/such/file'",
        "[discord]",
        "discord.token = ''",
        "discord.token = 'hush hush'",
        "discord.token = 12345",
        "discord.token = 'file:/no/such/file'",
        "discord = { token = 't', media_hosts = [] }",
        "discord = { token = 't', media_hosts = ['https://cdn.discordapp.com'] }",
        "discord = { token = 't', media_hosts = ['cdn.discordapp.com/attachments'] }",
        "discord = { token = 't', media_hosts = ['cdn.discordapp.com:http'] }",
        "discord = { token = 't', media_hosts = ['*.discordapp.com'] }",
        "discord = { token = 't', media_hosts = [443] }",
        "[telegram]",
        "twitter.client_secret = ''",
        "twitter.secret = 'hush'",
        "twitter.colour = 'hush'",
        "twiter.client_secret = 'hush'",
        "access.people = ['alice']",
        "client_secret = 'hush'",
        "colour = 'hush'",
        "discord_token = 'hush'",
        "web.public_url = 'https://example.org'",
        "staging.bucket = 'to all'",
        "staging.access_key_id = 'AKIA'",
        "staging.secret_access_key = 'hush'",
        "staging.force_path_style = 'yes'",
        "worker.concurrency = 0",
        "worker.concurrency = 65",
        "worker.concurrency = 1.5",
        "worker.concurrency = -1",
        "worker.upload_parallelism = 17",
        "worker.on_unsure = 'hope'",
        "worker.settle_secs = 3601",
        "worker.settle_secs = 1979-05-27",
        "discord.token = hush",
        "discord.token = 'hush",
        "a = 1\na = 2",
        "'line\nbreak' = 1",
    ];
    let variables = [
        ("TOALL_WORKER__CONCURRENCY", "many"),
        ("TOALL_WORKER__CONCURENCY", "4"),
        ("TOALL_TWITTER_CLIENT_SECRET", "hush"),
        ("TOALL_PUBLICURL", "https://example.org"),
        ("TOALL_COLOUR", "hush"),
        ("toall_web__listen_", "ignored: another prefix"),
        ("TOALL_DISCORD__TOKEN", ""),
        ("TOALL_DISCORD__API_URL", "https://discord.com"),
        ("TOALL_METRICS__LISTEN", "9464"),
        ("TWITTER_CLIENT_SECRET", "file:/no/such/file"),
    ];
    let mut report = String::new();
    for file in files {
        let read =
            load_with_id(file, &[]).map_or_else(|errors| errors.to_string(), |_| "loads".into());
        report += &format!("{file}\n{read}\n\n");
    }
    for (name, value) in variables {
        let read = load_with_id("", &[(name, value)])
            .map_or_else(|errors| errors.to_string(), |_| "loads".into());
        report += &format!("{name}={value}\n{read}\n\n");
    }
    let spoken = report
        .lines()
        .filter(|line| line.starts_with("  ") && !line.contains("hush ="));
    assert!(spoken.clone().count() > 60);
    assert!(
        spoken.clone().all(|line| !line.contains("hush")),
        "a secret is echoed"
    );
    insta::assert_snapshot!(report);
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let errors = Config::load(Path::new("no/config.toml"), std::iter::empty()).unwrap_err();
    insta::assert_snapshot!(errors, @r"
    no/config.toml has 1 problem:
      the file               could not be read: there is no such file. `toall init` writes one to start from.
    ");
}

#[test]
fn file_and_environment_are_told_apart() {
    let errors = load("colour = 1", &[("TOALL_WEB__LISTEN", "8080")])
        .unwrap_err()
        .to_string();
    assert!(
        errors.starts_with("config.toml and the environment have 3 problems:\n"),
        "{errors}"
    );
    let errors = load_with_id("", &[("TOALL_WEB__LISTEN", "8080")])
        .unwrap_err()
        .to_string();
    assert!(
        errors.starts_with("the environment has 1 problem:\n"),
        "{errors}"
    );
}

#[test]
fn the_environment_wins_over_the_file_and_toall_over_the_short_names() {
    let id = |text, env: &[_]| load(text, env).unwrap().twitter.client_id;
    let file = "twitter.client_id = 'file'";
    assert_eq!(id(file, &[]), "file");
    assert_eq!(id(file, &[("TWITTER_CLIENT_ID", "short")]), "short");
    let both = [
        ("TWITTER_CLIENT_ID", "short"),
        ("TOALL_TWITTER__CLIENT_ID", "long"),
    ];
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
            ("TOALL_WORKER__SETTLE_SECS", "0"),
            ("TOALL_LOG", "debug"),
        ],
    )
    .unwrap();
    assert_eq!(
        config.callback_url().as_str(),
        "https://toall.example.org/x/api/social/callback"
    );
    assert_eq!(
        config.database.url.expose_secret(),
        "sqlite:/elsewhere/t.db"
    );
    let discord = config.discord.unwrap();
    assert_eq!(discord.token.expose_secret(), "12345");
    assert_eq!(discord.media_hosts, ["127.0.0.1:2", "cdn.example.org"]);
    assert_eq!(config.twitter.client_id, "0123", "digits stay text");
    assert!(!config.staging.unwrap().force_path_style);
    assert_eq!(config.worker.concurrency, 64);
    assert_eq!(config.worker.on_unsure, OnUnsure::Retry);
    assert_eq!(config.worker.settle_secs, 0);
}

#[test]
fn a_list_in_a_variable_may_be_an_array_or_words_between_commas() {
    for list in [
        r#"["a.example", "b.example:8443"]"#,
        "['a.example', 'b.example:8443',]",
        " a.example ,b.example:8443",
    ] {
        let env = [
            ("TOALL_DISCORD__TOKEN", "t"),
            ("TOALL_DISCORD__MEDIA_HOSTS", list),
        ];
        let config = load_with_id("", &env).unwrap();
        assert_eq!(
            config.discord.unwrap().media_hosts,
            ["a.example", "b.example:8443"],
            "{list}"
        );
    }
    let env = [
        ("TOALL_DISCORD__TOKEN", "t"),
        ("TOALL_DISCORD__MEDIA_HOSTS", "[a.example"),
    ];
    assert!(
        load_with_id("", &env)
            .unwrap_err()
            .to_string()
            .contains("is not a list")
    );
}

#[test]
fn a_secret_may_live_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let secret = |content: &[u8]| {
        fs::write(dir.path().join("secret"), content).unwrap();
        let given = format!("file:{}", dir.path().join("secret").display());
        load_with_id("", &[("TOALL_TWITTER__CLIENT_SECRET", &given)])
            .map(|config| {
                config
                    .twitter
                    .client_secret
                    .unwrap()
                    .expose_secret()
                    .to_owned()
            })
            .map_err(|errors| errors.problems[0].fault.clone())
    };
    assert_eq!(secret(b"hush").unwrap(), "hush");
    assert_eq!(secret(b"hush\r\n").unwrap(), "hush");
    assert_eq!(
        secret(b"\n").unwrap_err(),
        "names a file that is empty. Write the secret into it."
    );
    assert_eq!(
        secret(b"\xff").unwrap_err(),
        "names a file that could not be read: it is not UTF-8 text."
    );
    assert_eq!(
        secret(&[b'x'; (1 << 20) + 1]).unwrap_err(),
        "names a file that could not be read: it is larger than 1 MiB."
    );
    assert_eq!(
        secret(b"two\nlines").unwrap_err(),
        "has a space or line break in it. Copy it again, whole and alone."
    );
}

#[test]
fn the_variables_kubernetes_makes_for_a_service_are_no_settings() {
    let links = [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("TOALL_SERVICE_HOST", "10.0.0.2"),
        ("TOALL_SERVICE_PORT_HTTP", "8080"),
        ("TOALL_PORT", "tcp://10.0.0.2:8080"),
        ("TOALL_PORT_8080_TCP_ADDR", "10.0.0.2"),
        ("TOALL_WEB_SERVICE_PORT", "8080"),
    ];
    load_with_id("", &links).unwrap();
    let outside = load_with_id("", &links[1..]).unwrap_err();
    assert_eq!(outside.problems.len(), 5);
}

#[test]
fn warns_of_what_works_but_is_hardly_meant() {
    let warnings = |url: &str| {
        load_with_id(
            &format!("public_url = '{url}'\n[telegram]\ntoken = 't'"),
            &[],
        )
        .unwrap()
        .warnings()
    };
    for fine in [
        "https://toall.example.org",
        "http://localhost:8080",
        "http://127.0.0.2",
        "http://[::1]:8080",
    ] {
        assert_eq!(warnings(fine), [""; 0], "{fine}");
    }
    let warned = warnings("http://toall.example.org");
    assert!(
        warned[0]
            .starts_with("public_url is http://toall.example.org/, so logins travel unencrypted."),
        "{warned:?}"
    );
    assert!(
        load_with_id("", &[]).unwrap().warnings()[0]
            .starts_with("Neither [discord] nor [telegram] is set")
    );
}

#[test]
fn debug_hides_every_secret() {
    let text = format!(
        "security.encryption_key = '{KEY}'\ndatabase.url = 'sqlite:hush'\ndiscord.token = 'hush'\ntelegram.token = 'hush'\n\
         twitter.client_secret = 'hush'\nstaging = {{ access_key_id = 'a', secret_access_key = 'hush' }}"
    );
    let debug = format!("{:?}", load_with_id(&text, &[]).unwrap());
    assert!(!debug.contains("hush") && !debug.contains(KEY), "{debug}");
}

#[test]
fn the_example_lists_every_setting_with_its_default() {
    let dict = sources::parse(&uncommented()).unwrap();
    let mut listed = BTreeSet::new();
    for (name, value) in &dict {
        match value {
            Value::Dict(_, section) => {
                listed.extend(section.keys().map(|key| format!("{name}.{key}")))
            }
            _ => drop(listed.insert(name.clone())),
        }
    }
    let known: BTreeSet<_> = keys::KEYS.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(listed, known);

    for (key, absent) in keys::KEYS {
        let keys::Absent::Default(default) = absent else {
            continue;
        };
        let shown = match Value::from(dict.clone()).find(key).unwrap() {
            Value::String(_, text) => text,
            Value::Num(_, number) => number.to_i128().unwrap().to_string(),
            Value::Array(_, list) => list
                .iter()
                .map(|entry| entry.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(", "),
            other => panic!("{key} is {other:?}"),
        };
        assert_eq!(shown, *default, "{key}");
    }
}

#[test]
fn the_example_explains_every_setting_on_the_line_above() {
    let lines: Vec<_> = EXAMPLE.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].starts_with('#') && !pair[1].starts_with("# ") && pair[1].contains(" = ") {
            assert!(
                pair[0].starts_with("# "),
                "{} has no comment above",
                pair[1]
            );
        }
    }
}

#[test]
fn the_example_loads_as_it_is_and_uncommented() {
    let as_it_is = load_with_id(EXAMPLE, &[]).unwrap();
    assert!(as_it_is.discord.is_none() && as_it_is.staging.is_none());

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("toall.key"), KEY).unwrap();
    let text = uncommented().replace("file:data/", &format!("file:{}/", dir.path().display()));
    let config = load(&text, &[]).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(config.discord.is_some() && config.telegram.is_some() && config.metrics.is_some());
    assert!(config.staging.unwrap().force_path_style);
}

#[test]
fn the_key_is_made_once_and_kept_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/data");
    let config = load_with_id(&format!("data_dir = '{}'", data.display()), &[]).unwrap();
    let first = load_or_create_key(&config).unwrap();
    let again = load_or_create_key(&config).unwrap();
    assert_eq!(first.expose_secret(), again.expose_secret());
    assert_ne!(*first.expose_secret(), [0; 32]);

    let path = data.join("toall.key");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&data)), (0o600, 0o700));
    assert_eq!(
        fs::read_dir(&data).unwrap().count(),
        1,
        "no draft is left behind"
    );

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = load_or_create_key(&config).unwrap_err().to_string();
    assert!(
        exposed.ends_with(&format!(
            "Run `chmod 600 {}`, then start again.",
            path.display()
        )),
        "{exposed}"
    );

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "short").unwrap();
    assert!(matches!(
        load_or_create_key(&config),
        Err(KeyError::Damaged { .. })
    ));
}

#[test]
fn many_who_make_the_key_at_once_get_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let key = || *load_or_create_key_file(dir.path()).unwrap().expose_secret();
    let keys: BTreeSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(key)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_key_in_the_configuration_needs_no_file() {
    let config = load_with_id(
        &format!("data_dir = '/no/such'\nsecurity.encryption_key = '{KEY}'"),
        &[],
    )
    .unwrap();
    let expected: Vec<u8> = (0..32).collect();
    assert_eq!(
        load_or_create_key(&config).unwrap().expose_secret()[..],
        expected[..]
    );
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
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|list| format!("[{}]", list.join(", "))),
            prop::collection::vec(inner, 0..4).prop_map(|values| {
                let pairs: Vec<_> = values
                    .iter()
                    .enumerate()
                    .map(|(i, value)| format!("k{i} = {value}"))
                    .collect();
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

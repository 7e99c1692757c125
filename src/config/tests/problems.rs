//! What operators read when something is wrong.

use std::path::Path;

use super::*;

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
        "database.url = 'postgres:toall'",
        "database.url = 'postgres://toall:hush/@db/toall'",
        "database.max_connections = 1",
        "database.url = 'mysql://toall:hush@db/toall'",
        "database.url = 'sqlite:'",
        "database.url = 'sqlite::memory:'",
        "security.encryption_key = 'c2hvcnQ='",
        "security.encryption_key = 'not base64'",
        "security.encryption_key = 'file:/no/such/file'",
        "security.former_encryption_key = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='",
        "security = { encryption_key = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', \
         former_encryption_key = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=' }",
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
        "discord = { token = 't', mode = 'https' }",
        "discord = { token = 't', mode = 'http' }",
        "[telegram]",
        "telegram = { token = 't', mode = 'hook' }",
        "telegram = { token = 't', mode = 'webhook' }",
        "public_url = 'https://example.org:9443'\ntelegram = { token = 't', mode = 'webhook' }",
        "twitter.client_secret = ''",
        "twitter.secret = 'hush'",
        "twitter.colour = 'hush'",
        "twiter.client_secret = 'hush'",
        "access.people = ['alice']",
        "access.people = ['console:1']",
        "access.people = ['discord:']",
        "access.people = []",
        "access.operators = ['discord:@me']",
        "access.discord_servers = ['Surfers']",
        "access.discord_servers = [1.5]",
        "access.telegram_chats = ['@surfers']",
        "access.persons = ['discord:1']",
        "limits.posts_per_person_per_day = 0",
        "limits.bytes_per_person_per_day = '2 gallons'",
        "limits.bytes_per_person_per_day = '99999999 TB'",
        "limits.in_flight_per_person = 0",
        "limits.monthly_budget_usd = 'plenty'",
        "limits.monthly_budget_usd = 0.0001",
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
        "worker.settle_secs = 24\nworker.on_unsure = 'retry'",
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
        let read = load_with_id(file, &[]).map_or_else(|errors| errors.to_string(), |_| "loads".into());
        report += &format!("{file}\n{read}\n\n");
    }
    for (name, value) in variables {
        let read =
            load_with_id("", &[(name, value)]).map_or_else(|errors| errors.to_string(), |_| "loads".into());
        report += &format!("{name}={value}\n{read}\n\n");
    }
    let spoken: Vec<_> = report.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(spoken.len(), files.len() + variables.len() - 1);
    assert!(spoken.iter().all(|line| !line.contains("hush")), "a secret is echoed");
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
    let errors = load("colour = 1", &[("TOALL_WEB__LISTEN", "8080")]).unwrap_err().to_string();
    assert!(errors.starts_with("config.toml and the environment have 3 problems:\n"), "{errors}");
    let errors = load_with_id("", &[("TOALL_WEB__LISTEN", "8080")]).unwrap_err().to_string();
    assert!(errors.starts_with("the environment has 1 problem:\n"), "{errors}");
}

#[test]
fn warns_of_what_works_but_is_hardly_meant() {
    let warnings = |url: &str| {
        load_with_id(&format!("public_url = '{url}'\n[telegram]\ntoken = 't'"), &[]).unwrap().warnings()
    };
    for fine in
        ["https://toall.example.org", "http://localhost:8080", "http://127.0.0.2", "http://[::1]:8080"]
    {
        assert_eq!(warnings(fine), [""; 0], "{fine}");
    }
    let warned = warnings("http://toall.example.org");
    assert!(
        warned[0].starts_with("public_url is http://toall.example.org/, so logins travel unencrypted."),
        "{warned:?}"
    );
    assert!(
        load_with_id("", &[]).unwrap().warnings()[0].starts_with("Neither [discord] nor [telegram] is set")
    );
}

#[test]
fn debug_hides_every_secret() {
    let text = format!(
        "security.encryption_key = '{KEY}'\ndatabase.url = 'postgres://toall:hush@db/toall'\ndiscord.token = 'hush'\ntelegram.token = 'hush'\n\
         twitter.client_secret = 'hush'\nstaging = {{ access_key_id = 'a', secret_access_key = 'hush' }}"
    );
    let debug = format!("{:?}", load_with_id(&text, &[]).unwrap());
    assert!(!debug.contains("hush") && !debug.contains(KEY), "{debug}");
}

#[test]
fn the_value_of_a_parameter_is_never_shown_and_its_line_end_does_not_count() {
    let keys = [
        "web.listen",
        "worker.concurrency",
        "worker.on_unsure",
        "staging.bucket",
        "access.people",
        "public_url",
    ];
    for key in keys {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, format!("twitter.client_id = 'ssm:id'\n{key} = 'ssm:/mine'")).unwrap();
        let kept = |name: &str, value: &str| (name.to_owned(), Ok(SecretString::from(value)));
        let parameters = Parameters::from([kept("id", "abc\n"), kept("/mine", "hush hush")]);
        let said = Settings::read(Some(&path), std::iter::empty())
            .unwrap()
            .check(parameters)
            .unwrap_err()
            .to_string();
        assert!(!said.contains("hush") && said.contains("the value of the parameter \"/mine\""), "{said}");
        assert!(!said.contains("client_id"), "{said}");
    }
}

use std::{fs, iter, os::unix::fs::PermissionsExt, path::Path};

use clap::{ValueEnum as _, error::ErrorKind};

use super::*;
use crate::config::{Config, load_or_create_key};

fn parse_words(words: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(iter::once("toall").chain(words.split_whitespace())).map(|cli| cli.command)
}

fn roles(words: &str) -> Result<Vec<Role>, ErrorKind> {
    match parse_words(words) {
        Ok(Command::Serve(serve)) => Ok(serve.roles),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn commands_are_those_of_the_contract() {
    let names: Vec<_> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert_eq!(
        names,
        [
            "demo",
            "serve",
            "check",
            "healthcheck",
            "init",
            "backup",
            "rotate-key",
            "migrate-database",
            "reconcile",
            "completions"
        ]
    );
    assert!(matches!(
        parse_words("demo --video surf.mov --caption hi --exit"),
        Ok(Command::Demo(Demo { video: Some(_), caption: Some(_), exit: true, listen: None }))
    ));
    assert!(matches!(
        parse_words("demo"),
        Ok(Command::Demo(Demo { video: None, caption: None, exit: false, listen: None }))
    ));
    assert!(matches!(
        parse_words("demo --listen 0.0.0.0:8080"),
        Ok(Command::Demo(Demo { listen: Some(address), .. })) if address.port() == 8080
    ));
    assert!(
        matches!(parse_words("backup copy.db"), Ok(Command::Backup(backup)) if backup.file == Path::new("copy.db"))
    );
    assert!(
        matches!(parse_words("serve"), Ok(Command::Serve(serve)) if serve.config.path.is_none()),
        "without --config the environment is enough"
    );
    assert!(
        matches!(parse_words("check --config c.toml"), Ok(Command::Check(check)) if check.config.path.as_deref() == Some(Path::new("c.toml")))
    );
    assert!(matches!(parse_words("init"), Ok(Command::Init(init)) if init.dir == Path::new(".")));
    assert!(matches!(parse_words("completions fish"), Ok(Command::Completions(_))));
    for (words, kind) in [
        ("backup", ErrorKind::MissingRequiredArgument),
        ("demo --listen 8080", ErrorKind::ValueValidation),
        ("post", ErrorKind::InvalidSubcommand),
        ("completions cmd", ErrorKind::InvalidValue),
        ("--version", ErrorKind::DisplayVersion),
        ("--help", ErrorKind::DisplayHelp),
        ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
    ] {
        assert_eq!(parse_words(words).unwrap_err().kind(), kind, "toall {words}");
    }
}

#[test]
fn roles_are_all_unless_named() {
    use Role::{Chat, Web, Worker};
    assert_eq!(roles("serve --config c"), Ok(vec![Chat, Web, Worker]));
    assert_eq!(roles("serve --config c --role worker"), Ok(vec![Worker]));
    assert_eq!(roles("serve --config c --role worker,web"), Ok(vec![Worker, Web]));
    assert_eq!(roles("serve --config c --role cook"), Err(ErrorKind::InvalidValue));
    assert_eq!(roles("serve --config c --role ,"), Err(ErrorKind::InvalidValue));
}

#[test]
fn every_help_page_reads_well() {
    let mut pages = String::new();
    let pages_of =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect::<Vec<_>>();
    for page in iter::once(String::new()).chain(pages_of) {
        let words = ["toall", page.as_str(), "--help"].into_iter().filter(|word| !word.is_empty());
        // A fixed width, because the terminal's is anyone's.
        let help = Cli::command().term_width(100).try_get_matches_from(words).unwrap_err();
        pages += &format!("$ toall --help {page}\n{help}\n");
    }
    insta::assert_snapshot!(pages);
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in Shell::value_variants() {
        let mut script = Vec::new();
        completions(*shell, &mut script).unwrap();
        assert!(String::from_utf8(script).unwrap().contains("serve"), "{shell}");
    }
}

#[test]
fn init_writes_what_loads_once_the_client_id_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("new \"home\"");
    let mut said = Vec::new();
    init(&home, &mut said).unwrap();

    let mode = |file: &str| fs::metadata(home.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("config.toml"), mode("data/toall.key")), (0o600, 0o600));

    let path = home.join("config.toml");
    let missing = Config::load(&path, iter::empty()).unwrap_err();
    assert_eq!(missing.problems.len(), 1, "{missing}");
    assert!(missing.to_string().contains("twitter.client_id      is missing."), "{missing}");

    let id = ("TWITTER_CLIENT_ID".to_owned(), "id".to_owned());
    let config = Config::load(&path, iter::once(id)).unwrap();
    assert_eq!(config.data_dir, home.join("data"));
    let key = fs::read(home.join("data/toall.key")).unwrap();
    load_or_create_key(&config).unwrap();
    assert_eq!(
        fs::read(home.join("data/toall.key")).unwrap(),
        key,
        "the service uses the key that init made"
    );

    let said = String::from_utf8(said).unwrap().replace(home.to_str().unwrap(), "HOME");
    assert!(said.contains(config.callback_url().as_str()));
    insta::assert_snapshot!(said);
}

#[test]
fn init_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), "mine").unwrap();
    let refused = init(dir.path(), &mut Vec::new()).unwrap_err();
    assert!(matches!(&refused, InitError::Exists(_)), "{refused}");
    assert!(refused.to_string().contains("is there already and stays as it is"));
    assert_eq!(fs::read_to_string(dir.path().join("config.toml")).unwrap(), "mine");
    assert!(!dir.path().join("data").exists());
}

#[test]
fn init_keeps_a_key_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &mut Vec::new()).unwrap();
    let key = fs::read(dir.path().join("data/toall.key")).unwrap();
    fs::remove_file(dir.path().join("config.toml")).unwrap();
    init(dir.path(), &mut Vec::new()).unwrap();
    assert_eq!(fs::read(dir.path().join("data/toall.key")).unwrap(), key);
}

#[test]
fn init_says_why_it_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let refused = init(&dir.path().join("file/inside"), &mut Vec::new()).unwrap_err().to_string();
    assert!(refused.ends_with("Make the directory writable, or choose another with --dir."), "{refused}");
    let refused = init(&dir.path().join("100%"), &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, InitError::Path(_)));
}

//! Changing the encryption key, stopped anywhere.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use secrecy::ExposeSecret;

use super::*;

fn with_file(dir: &Path) -> Config {
    load_with_id(&format!("data_dir = '{}'", dir.display()), &[]).unwrap()
}

fn current(config: &Config) -> [u8; 32] {
    *load_or_create_key(config).unwrap().expose_secret()
}

fn former(config: &Config) -> Option<[u8; 32]> {
    former_key(config).unwrap().map(|key| *key.expose_secret())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_key_takes_the_place_of_the_former_which_is_kept_for_old_backups() {
    let dir = tempfile::tempdir().unwrap();
    let config = with_file(dir.path());
    let first = current(&config);
    assert_eq!(former(&config), None);

    begin_rotation(&config).unwrap();
    let second = current(&config);
    assert_ne!(second, first);
    assert_eq!(former(&config), Some(first));
    begin_rotation(&config).unwrap();
    assert_eq!((current(&config), former(&config)), (second, Some(first)), "begun once, it goes on");

    let aside = |number: u32| dir.path().join(format!("toall.key.old-{number}"));
    assert_eq!(end_rotation(&config).unwrap(), Retired::Kept(aside(1)));
    assert_eq!((current(&config), former(&config)), (second, None));

    begin_rotation(&config).unwrap();
    assert_eq!(former(&config), Some(second));
    assert_eq!(end_rotation(&config).unwrap(), Retired::Kept(aside(2)), "no old key is written over");
    assert_eq!(names(dir.path()), ["toall.key", "toall.key.old-1", "toall.key.old-2"]);
    for name in names(dir.path()) {
        let mode = fs::metadata(dir.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn stopped_before_the_new_key_is_in_place_the_next_run_makes_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = with_file(dir.path());
    let first = current(&config);
    fs::hard_link(dir.path().join("toall.key"), dir.path().join("toall.key.former")).unwrap();
    assert_eq!(former(&config), Some(first), "until then both are the same key");

    begin_rotation(&config).unwrap();
    assert_ne!(current(&config), first);
    assert_eq!(former(&config), Some(first));
}

#[test]
fn keys_of_the_configuration_are_the_operators_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let other = "HyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4=";
    let one = format!("data_dir = '{}'\nsecurity.encryption_key = '{KEY}'", dir.path().display());
    let config = load_with_id(&one, &[]).unwrap();
    assert_eq!(former(&config), None);
    let refused = begin_rotation(&config).unwrap_err();
    assert!(matches!(refused, KeyError::OnlyOne), "{refused}");

    let two = format!("{one}\nsecurity.former_encryption_key = '{other}'");
    let config = load_with_id(&two, &[]).unwrap();
    assert!(former(&config).is_some_and(|key| key != current(&config)));
    begin_rotation(&config).unwrap();
    assert_eq!(end_rotation(&config).unwrap(), Retired::InConfig);
    assert_eq!(names(dir.path()), [""; 0], "nothing is written");
}

#[test]
fn a_former_key_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = with_file(dir.path());
    current(&config);
    begin_rotation(&config).unwrap();
    let path: PathBuf = dir.path().join("toall.key.former");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(former_key(&config), Err(KeyError::Exposed { .. })));
}

//! The encryption key.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use secrecy::ExposeSecret;

use super::*;

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
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft is left behind");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = load_or_create_key(&config).unwrap_err().to_string();
    assert!(
        exposed.ends_with(&format!("Run `chmod 600 {}`, then start again.", path.display())),
        "{exposed}"
    );

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "short").unwrap();
    assert!(matches!(load_or_create_key(&config), Err(KeyError::Damaged { .. })));
}

#[test]
fn many_who_make_the_key_at_once_get_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let key = || *load_or_create_key_file(dir.path()).unwrap().expose_secret();
    let keys: BTreeSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(key)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_key_in_the_configuration_needs_no_file() {
    let config =
        load_with_id(&format!("data_dir = '/no/such'\nsecurity.encryption_key = '{KEY}'"), &[]).unwrap();
    let expected: Vec<u8> = (0..32).collect();
    assert_eq!(load_or_create_key(&config).unwrap().expose_secret()[..], expected[..]);
}

//! Who may read the configuration.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

fn said(text: &str, mode: u32) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    exposed(&path).map(|said| said.replace(path.to_str().unwrap(), "FILE"))
}

#[test]
fn secrets_that_everybody_may_read_are_named_with_the_mend() {
    for text in [
        "discord.token = 'hush'",
        "[telegram]\ntoken = 'hush'",
        "[twitter]\nclient_id = 'id'\nclient_secret = 'hush'",
        "staging.secret_access_key = 'hush'",
        "security.encryption_key = 'hush'",
        "security.former_encryption_key = 'hush'",
    ] {
        for mode in [0o644, 0o602] {
            let said = said(text, mode).unwrap_or_else(|| panic!("{text} in {mode:o}"));
            assert!(said.starts_with("FILE holds secrets") && said.contains("`chmod o-rwx FILE`"), "{said}");
            assert!(!said.contains("hush"), "{said}");
        }
        assert_eq!(said(text, 0o600), None);
        assert_eq!(said(text, 0o640), None, "a group is the operator's choice");
    }
    for text in [
        "public_url = 'http://x'",
        "discord.token = 'file:/run/secrets/token'",
        "discord.token = 'ssm:/toall/token'",
        "twitter.client_id = 'id'",
    ] {
        assert_eq!(said(text, 0o644), None, "{text}");
    }
}

//! Whether others on the machine can read the secrets in `config.toml`.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use figment::value::{Dict, Value};

use super::{file, sources};

/// Parts of the names of settings that are secret.
const SECRET: [&str; 3] = ["secret", "token", "encryption_key"];

/// A sentence about a file that holds secrets and that everybody may read or write; `None` when all is well.
///
/// A group that may read it is the operator's choice, and so is a file with no secret in it.
pub fn exposed(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.mode();
    let open = mode & 0o006 != 0;
    let dict = sources::parse(&file::read(path).ok()?).ok()?;
    (open && holds_secret(&dict)).then(|| {
        let path = path.display();
        format!(
            "{path} holds secrets, and everybody on this machine may read it. Run `chmod o-rwx {path}`, or keep each \
             secret in a file of its own (token = \"file:PATH\")."
        )
    })
}

fn holds_secret(dict: &Dict) -> bool {
    dict.iter().any(|(name, value)| match value {
        Value::Dict(_, section) => holds_secret(section),
        Value::String(_, text) => {
            let elsewhere = text.is_empty() || text.starts_with("file:") || text.starts_with("ssm:");
            !elsewhere && SECRET.iter().any(|word| name.contains(word))
        }
        _ => false,
    })
}

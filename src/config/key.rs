//! The encryption key: given in the configuration, or kept in `{data_dir}/toall.key` and made when missing.
//! With `rotation`, which changes it, the only place of `config` that writes.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretBox};

use super::{Config, file, parse};

/// The key that seals tokens in the database.
pub type EncryptionKey = SecretBox<[u8; 32]>;

/// Why there is no encryption key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("security.encryption_key is not base64 of 32 bytes. `openssl rand -base64 32` makes one.")]
    Given,
    #[error("{path} may be read by others on this machine. Run `chmod 600 {path}`, then start again.")]
    Exposed { path: PathBuf },
    #[error(
        "{path} does not hold a key (base64 of 32 bytes). Restore it from a backup: without it the linked accounts must be connected again."
    )]
    Damaged { path: PathBuf },
    #[error("{path} could not be read: {why}.")]
    Unreadable { path: PathBuf, why: String },
    #[error("{path} could not be written: {why}. Make the directory writable for the user that runs toall.")]
    Unwritable { path: PathBuf, why: io::Error },
    #[error(
        "The key stands in the configuration, where only you can change it: move it to security.former_encryption_key, put a new one into security.encryption_key (`openssl rand -base64 32` makes one), and run this again."
    )]
    OnlyOne,
    #[error("the system gave no random numbers for a new key: {0}")]
    Random(getrandom::Error),
}

/// The key from the configuration, else from `{data_dir}/toall.key`, made on the first call.
///
/// Blocks on the disk; call it while starting. Safe to call from several processes at once: all get one key.
///
/// # Errors
/// When the key file is readable by others, does not hold a key, or cannot be read or written.
pub fn load_or_create_key(config: &Config) -> Result<EncryptionKey, KeyError> {
    if let Some(key) = &config.security.encryption_key {
        return parse::decode_key(key.expose_secret())
            .map(|key| SecretBox::new(Box::new(key)))
            .ok_or(KeyError::Given);
    }
    load_or_create_key_file(&config.data_dir)
}

/// The key of `{data_dir}/toall.key`, made with its directory when missing; for `toall init`, which has no [`Config`] yet.
///
/// # Errors
/// As [`load_or_create_key`].
pub fn load_or_create_key_file(data_dir: &Path) -> Result<EncryptionKey, KeyError> {
    let path = data_dir.join("toall.key");
    match read(&path)? {
        Some(key) => Ok(key),
        None => {
            create(data_dir, &path)?;
            read(&path)?.ok_or_else(|| KeyError::Unreadable { path, why: "it went away again".into() })
        }
    }
}

/// The key in a file; `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<EncryptionKey>, KeyError> {
    let unreadable = |why| KeyError::Unreadable { path: path.into(), why };
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.mode(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(file::reason(&error))),
    };
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.into() });
    }
    let text = file::read(path).map_err(unreadable)?;
    match parse::decode_key(text.trim()) {
        Some(key) => Ok(Some(SecretBox::new(Box::new(key)))),
        None => Err(KeyError::Damaged { path: path.into() }),
    }
}

/// Puts a new key where there is none; the first of two writers wins.
fn create(dir: &Path, path: &Path) -> Result<(), KeyError> {
    match place(dir, path, |draft| fs::hard_link(draft, path)) {
        Err(KeyError::Unwritable { why, .. }) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        placed => placed,
    }
}

/// Puts a new key in the place of the one that is there.
pub(super) fn replace(dir: &Path, path: &Path) -> Result<(), KeyError> {
    place(dir, path, |draft| fs::rename(draft, path))
}

/// Writes a new key beside its place and moves it there whole: a crash leaves no half a key.
fn place(dir: &Path, path: &Path, put: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), KeyError> {
    let mut random = [0; 40];
    getrandom::fill(&mut random).map_err(KeyError::Random)?;
    let (key, suffix) = random.split_at(32);
    let suffix: String = suffix.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = dir.join(format!(".toall.key.{suffix}"));
    let placed = write(dir, &draft, &STANDARD.encode(key))
        .and_then(|()| put(&draft))
        .and_then(|()| File::open(dir)?.sync_all());
    let _ = fs::remove_file(&draft);
    placed.map_err(|why| KeyError::Unwritable { path: path.into(), why })
}

fn write(dir: &Path, draft: &Path, key: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

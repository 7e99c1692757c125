//! Changing the encryption key. From the first step to the last, two keys are at hand: the new one and the former one.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretBox};

use super::{
    Config,
    key::{self, EncryptionKey, KeyError},
    parse,
};

/// Where the former key is after [`end_rotation`].
#[derive(Debug, PartialEq, Eq)]
pub enum Retired {
    /// In a file of this name, which nothing reads any more.
    Kept(PathBuf),
    /// Still in the configuration beside the present one; only the operator changes that.
    InConfig,
}

/// The key before the present one, while the key is being changed: from the configuration, else from
/// `{data_dir}/toall.key.former`.
///
/// # Errors
/// As [`super::load_or_create_key`].
pub fn former_key(config: &Config) -> Result<Option<EncryptionKey>, KeyError> {
    if let Some(given) = &config.security.former_encryption_key {
        let key = parse::decode_key(given.expose_secret()).ok_or(KeyError::Given)?;
        return Ok(Some(SecretBox::new(Box::new(key))));
    }
    match config.security.encryption_key {
        Some(_) => Ok(None),
        None => key::read(&files(&config.data_dir).former),
    }
}

/// Makes a new key in the place of `{data_dir}/toall.key`, which becomes the former one. Where a rotation was begun
/// before, or the configuration gives both keys, there is nothing to do.
///
/// Whoever calls this owns the database: a service that runs meanwhile would go on sealing with the former key.
///
/// # Errors
/// [`KeyError::OnlyOne`] when the configuration gives a key and no former one; else as [`super::load_or_create_key`].
pub fn begin_rotation(config: &Config) -> Result<(), KeyError> {
    if config.security.former_encryption_key.is_some() {
        return Ok(());
    }
    if config.security.encryption_key.is_some() {
        return Err(KeyError::OnlyOne);
    }
    let Files { current, former } = files(&config.data_dir);
    let present = super::load_or_create_key(config)?;
    match key::read(&former)? {
        Some(before) if before.expose_secret() != present.expose_secret() => return Ok(()),
        // Stopped after the next line, an earlier time.
        Some(_) => {}
        None => fs::hard_link(&current, &former)
            .and_then(|()| sync(&config.data_dir))
            .map_err(|why| KeyError::Unwritable { path: former, why })?,
    }
    key::replace(&config.data_dir, &current)
}

/// Puts the former key aside, under a name that is free: backups made before need it.
///
/// Call it once nothing is sealed with it any more.
///
/// # Errors
/// [`KeyError::Unwritable`].
pub fn end_rotation(config: &Config) -> Result<Retired, KeyError> {
    if config.security.former_encryption_key.is_some() {
        return Ok(Retired::InConfig);
    }
    let Files { former, .. } = files(&config.data_dir);
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |why| KeyError::Unwritable { path, why }
    };
    let mut number = 1;
    loop {
        let aside = config.data_dir.join(format!("toall.key.old-{number}"));
        match fs::hard_link(&former, &aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(unwritable(&aside)(error)),
            Ok(()) => {
                fs::remove_file(&former)
                    .and_then(|()| sync(&config.data_dir))
                    .map_err(unwritable(&former))?;
                return Ok(Retired::Kept(aside));
            }
        }
    }
}

struct Files {
    current: PathBuf,
    former: PathBuf,
}

fn files(data_dir: &Path) -> Files {
    Files { current: data_dir.join("toall.key"), former: data_dir.join("toall.key.former") }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

//! `toall init`: a commented configuration, a key, and what to fill in next.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::config::{KeyError, load_or_create_key_file};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// Why `toall init` wrote nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("{0} is there already and stays as it is. Choose another place with --dir, or edit it.")]
    Exists(PathBuf),
    #[error("{path} could not be written: {why}. Make the directory writable, or choose another with --dir.")]
    Unwritable { path: PathBuf, why: io::Error },
    #[error(
        "The path {0:?} has characters that a configuration cannot hold (not UTF-8, or one of % and ?). Choose another with --dir."
    )]
    Path(PathBuf),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("what comes next could not be printed: {0}")]
    Print(io::Error),
}

/// Writes `config.toml` (mode 0600) and `data/toall.key` into `dir`, then prints what to do next.
///
/// A key that is there already is kept.
///
/// # Errors
/// When a `config.toml` is there already, or `dir` cannot be written to.
pub fn init(dir: &Path, out: &mut impl Write) -> Result<(), InitError> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |why| InitError::Unwritable { path, why }
    };
    // Absolute, so that the service finds its data wherever it is started.
    let dir = std::path::absolute(dir).map_err(unwritable(dir))?;
    let path = dir.join("config.toml");
    let data_dir = dir.join("data");
    let text = filled(&data_dir).ok_or_else(|| InitError::Path(data_dir.clone()))?;
    if path.symlink_metadata().is_ok() {
        return Err(InitError::Exists(path));
    }
    fs::create_dir_all(&dir).map_err(unwritable(&dir))?;
    load_or_create_key_file(&data_dir)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map_err(unwritable(&path))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(InitError::Exists(path));
        }
        Err(error) => return Err(unwritable(&path)(error)),
    }
    print_next(&path, &data_dir.join("toall.key"), out).map_err(InitError::Print)
}

/// The example with the data directory filled in.
fn filled(data_dir: &Path) -> Option<String> {
    let data_dir = data_dir.to_str().filter(|dir| !dir.contains(['%', '?']))?;
    // JSON's way to write text is one of TOML's.
    let quoted = serde_json::to_string(data_dir).ok()?;
    Some(EXAMPLE.replacen("#data_dir = \"data\"", &format!("data_dir = {quoted}"), 1))
}

fn print_next(config: &Path, key: &Path, out: &mut impl Write) -> io::Result<()> {
    let (config, key) = (config.display(), key.display());
    writeln!(
        out,
        "\
Wrote {config}
  and {key}
Both are readable by you alone. Keep a copy of the key: without it every account has to be linked again.

Fill in {config}:

  1. [twitter]   Make an app at console.x.com. Under User authentication settings choose
                 \"Read and write\" and \"Web App\", and register this callback URL, to the letter:
                   http://127.0.0.1:8080/api/social/callback
                 Then copy the OAuth 2.0 client ID and client secret from Keys and tokens.
                 The app must be in the package Pay-per-use and the environment Production,
                 and there must be credits: otherwise logging in works and posting does not.
  2. public_url  For people beyond this machine: the https:// address that leads here.
                 The callback URL to register is then public_url + /api/social/callback.
  3. [discord]   Make an app at discord.com/developers, and copy the token from its page Bot.
     [telegram]  Ask @BotFather in Telegram for a bot, and copy the token it gives.
                 One of the two is enough.

Then see whether it all works, and start it:

  toall check --config {config}
  toall serve --config {config}"
    )
}

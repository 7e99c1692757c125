//! The one place where loading reads files: the configuration itself, and secrets given as `file:PATH`.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// More than any configuration or secret needs, so that a wrong path cannot fill the memory.
const LIMIT: u64 = 1 << 20;

/// Reads a text file whole.
///
/// # Errors
/// Why not, as the end of a sentence such as "could not be read: …".
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| reason(&error))?;
    if bytes.len() as u64 > LIMIT {
        return Err("it is larger than 1 MiB".into());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into())
}

/// The system's reason in plain words where there are any.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "this user may not read it".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => error.to_string(),
    }
}

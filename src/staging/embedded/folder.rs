//! The folder that s3s-fs 0.14 works in: what lies there, and who may read it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

/// An upload in parts, as its notes in the folder tell of it.
pub(super) struct Begun {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) at: SystemTime,
}

/// The uploads that were begun, by the notes that s3s-fs 0.14 keeps of each.
pub(super) fn begun(root: &Path) -> io::Result<Vec<Begun>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let note = || {
            let (_, rest) = name.to_str()?.strip_prefix(".bucket-")?.split_once(".object-")?;
            let (key, id) = rest.strip_suffix(".metadata.json")?.split_once(".upload-")?;
            let key = String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?;
            Some((key, id.to_owned()))
        };
        if let Some((key, id)) = note() {
            found.push(Begun { id, key, at: entry.metadata()?.modified()? });
        }
    }
    Ok(found)
}

/// Where the note lies that an upload takes parts. `None` for what is no id.
pub(super) fn open_note(root: &Path, upload: &str) -> Option<PathBuf> {
    Some(root.join(format!(".upload-{}.json", Uuid::parse_str(upload).ok()?)))
}

/// What the names of folders begin with that hold parts while they are joined.
const ASIDE: &str = ".joining-";

/// An upload's files, kept under second names while s3s-fs joins the parts and deletes each.
pub(super) struct Aside {
    root: PathBuf,
    folder: PathBuf,
}

impl Aside {
    pub(super) fn keep(root: &Path, upload: Uuid) -> io::Result<Aside> {
        let aside = Aside { root: root.to_owned(), folder: root.join(format!("{ASIDE}{upload}")) };
        let upload = upload.to_string();
        private_dir(&aside.folder)?;
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let name = file_name.to_string_lossy();
            if belongs(&name) && name.contains(&upload) {
                fs::hard_link(entry.path(), aside.folder.join(&file_name))?;
            }
        }
        Ok(aside)
    }

    /// Puts back what is missing, as if nothing had been joined.
    pub(super) fn put_back(self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let place = self.root.join(entry.file_name());
            if !place.try_exists()? {
                fs::rename(entry.path(), place)?;
            }
        }
        self.forget()
    }

    pub(super) fn forget(self) -> io::Result<()> {
        fs::remove_dir_all(&self.folder)
    }
}

/// The bytes of all parts of an upload.
pub(super) fn part_bytes(root: &Path, upload: Uuid) -> io::Result<u64> {
    let upload = upload.to_string();
    let mut bytes = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".upload_id-") && name.contains(&upload) {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// The bytes that this user may still write to the disk.
pub(super) fn free_bytes(root: &Path) -> io::Result<u64> {
    #[cfg(unix)]
    {
        let disk = rustix::fs::statvfs(root)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = root;
        Ok(u64::MAX)
    }
}

/// Whether a file is part of an upload, or a note about one.
fn belongs(name: &str) -> bool {
    let part = name.starts_with(".upload_id-") || name.starts_with(".upload-");
    let note = name.starts_with(".bucket-") && name.contains(".upload-");
    part || note
}

/// Puts back what was being joined when an earlier life ended.
pub(super) fn put_all_back(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(ASIDE) {
            Aside { root: root.to_owned(), folder: entry.path() }.put_back()?;
        }
    }
    Ok(())
}

/// Nobody knows the ids of uploads that the worker began in an earlier life. People go on with theirs.
pub(super) fn clear_uploads(root: &Path) -> io::Result<()> {
    let kept: Vec<String> = begun(root)?
        .into_iter()
        .filter(|upload| upload.key.starts_with(super::super::UPLOADS))
        .map(|upload| upload.id)
        .collect();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if belongs(&name) && !kept.iter().any(|id| name.contains(id.as_str())) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

pub(super) async fn private_file(path: PathBuf) -> io::Result<()> {
    #[cfg(unix)]
    tokio::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).await?;
    Ok(())
}

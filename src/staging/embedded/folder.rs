//! The folder that s3s-fs 0.14 works in: what lies there, and who may read it.

use std::{
    collections::BTreeSet,
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

/// Where a part of an upload lies. `None` for what is no id.
pub(super) fn part_file(root: &Path, upload: &str, part: i32) -> Option<PathBuf> {
    Some(root.join(format!(".upload_id-{}.part-{part}", Uuid::parse_str(upload).ok()?)))
}

/// The files of an upload: its notes, and the parts it has.
pub(super) fn files_of(root: &Path, upload: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if belongs(&name) && name.contains(upload) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Name prefix of folders that hold parts while these are joined.
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
        for file in files_of(root, &upload)? {
            let Some(name) = file.file_name() else { continue };
            fs::hard_link(&file, aside.folder.join(name))?;
        }
        // Before the first part is deleted.
        sync(&aside.folder)?;
        sync(root)?;
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
        sync(&self.root)?;
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

/// Returns true if a file is part of an upload, or metadata of one.
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

/// Brings files and their names to the disk, so that they outlast a power cut. A file that is not there has nothing to keep.
pub(super) fn persist(files: &[PathBuf]) -> io::Result<()> {
    let mut folders = BTreeSet::new();
    for file in files {
        match sync(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            synced => synced?,
        }
        folders.extend(file.parent());
    }
    folders.into_iter().try_for_each(sync)
}

/// Waits until the disk has a file, or the names in a folder.
fn sync(path: &Path) -> io::Result<()> {
    // Other systems let nobody open a folder.
    if cfg!(unix) || !path.is_dir() {
        fs::File::open(path)?.sync_all()?;
    }
    #[cfg(test)]
    SYNCED.lock().unwrap().push((path.to_owned(), fs::metadata(path)?.len()));
    Ok(())
}

/// Paths on the disk, with the length of each at that moment: no test can cut the power.
#[cfg(test)]
pub(super) static SYNCED: std::sync::Mutex<Vec<(PathBuf, u64)>> = std::sync::Mutex::new(Vec::new());

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

//! Notices what others write to disk.

use std::{io, path::Path};

/// Rings when a file of one of some folders is written, made or removed; of a folder in it, not. What happens between
/// two waits is not missed.
#[cfg(target_os = "linux")]
pub struct Bell(tokio::net::unix::pipe::Receiver);

#[cfg(target_os = "linux")]
impl Bell {
    pub fn on(folders: &[impl AsRef<Path>]) -> io::Result<Bell> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

        let bell = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        for folder in folders {
            let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE;
            add_watch(&bell, folder.as_ref(), changes)?;
        }
        // No pipe, but it is read and waited for as one.
        Ok(Bell(tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(bell)?))
    }

    pub async fn rung(&self) {
        loop {
            self.0.readable().await.unwrap();
            // What exactly happened does not matter: who waits looks for itself.
            if self.0.try_read(&mut [0; 4096]).is_ok() {
                return;
            }
        }
    }
}

/// Where the system has no such bell, time rings it.
#[cfg(not(target_os = "linux"))]
pub struct Bell;

#[cfg(not(target_os = "linux"))]
impl Bell {
    pub fn on(_: &[impl AsRef<Path>]) -> io::Result<Bell> {
        Ok(Bell)
    }

    pub async fn rung(&self) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

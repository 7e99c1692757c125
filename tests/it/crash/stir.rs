//! Notices when something happens around a service in another process, so that nobody has to look all the time.

use std::{io, path::Path, time::Duration};

use tokio::sync::watch;

use super::child::Said;

/// All that can stir at a site. What happens between two waits is not missed.
pub struct Stir {
    pub data: Bell,
    pub telegram: watch::Receiver<u64>,
    pub discord: Option<watch::Receiver<u64>>,
    pub wires: watch::Receiver<u64>,
    pub child: watch::Receiver<Said>,
}

/// Some things only time brings: an answer that did not come, a process that came to nothing.
const LONGEST: Duration = Duration::from_secs(1);

impl Stir {
    /// Returns once anything has happened, and at the latest after a second.
    pub async fn felt(mut self) {
        let on_discord = async {
            match &mut self.discord {
                Some(changes) => changes.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.data.rung() => {}
            _ = self.telegram.changed() => {}
            _ = on_discord => {}
            _ = self.wires.changed() => {}
            _ = self.child.changed() => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    }
}

/// Rings when a file of a folder is written, made or removed.
#[cfg(target_os = "linux")]
pub struct Bell(tokio::net::unix::pipe::Receiver);

#[cfg(target_os = "linux")]
impl Bell {
    pub fn on(folder: &Path) -> io::Result<Bell> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

        let bell = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        add_watch(&bell, folder, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE)?;
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
    pub fn on(_: &Path) -> io::Result<Bell> {
        Ok(Bell)
    }

    pub async fn rung(&self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

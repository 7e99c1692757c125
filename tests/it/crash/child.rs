//! The real binary, as a process of its own that can be killed.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    path::{Path, PathBuf},
    process::{self, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::world::PATIENCE;

/// `toall serve` on one configuration, started as often as wanted. Killed when dropped. Clones are the same one.
#[derive(Clone)]
pub struct Child(Arc<Inner>);

struct Inner {
    config: PathBuf,
    log: PathBuf,
    running: Mutex<Option<process::Child>>,
    /// How long the log was at the last start.
    before: AtomicUsize,
}

/// What the service says in its log once it does its work.
const READY: &str = "\"message\":\"ready\"";

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(mut process) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The binary with a clean environment, so that the tester's own settings do not leak in.
pub fn toall(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toall"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}

impl Child {
    /// Prepares `toall serve --config config`; what it says on stderr is added to `log`.
    pub fn new(config: &Path, log: &Path) -> Child {
        let (config, log) = (config.to_owned(), log.to_owned());
        Child(Arc::new(Inner { config, log, running: Mutex::new(None), before: AtomicUsize::new(0) }))
    }

    fn running(&self) -> MutexGuard<'_, Option<process::Child>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn start(&self) {
        self.start_as(toall(&["serve", "--config", self.0.config.to_str().unwrap()]));
    }

    /// Starts it by a command of the caller's own; its process id.
    pub fn start_as(&self, mut command: Command) -> u32 {
        self.0.before.store(self.said().len(), Ordering::SeqCst);
        let log = OpenOptions::new().create(true).append(true).open(&self.0.log).unwrap();
        let process = command.stderr(log).spawn().expect("the binary starts");
        let id = process.id();
        let before = self.running().replace(process);
        assert!(before.is_none(), "it runs already");
        id
    }

    /// SIGKILL; false when it was not running. Returns once the process is gone.
    pub fn kill(&self) -> bool {
        let Some(mut process) = self.running().take() else { return false };
        process.kill().expect("a process that was not waited for can be killed");
        process.wait().unwrap();
        true
    }

    /// Sends the signal of this name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.running().as_ref().expect("it runs").id();
        // The standard library sends no signal but SIGKILL; `kill` is part of every shell.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap();
        assert!(sent.success());
    }

    /// How it ended, if it did by itself.
    pub fn ended(&self) -> Option<ExitStatus> {
        let mut running = self.running();
        let status = running.as_mut()?.try_wait().unwrap()?;
        *running = None;
        Some(status)
    }

    /// Waits until it has ended by itself; how, and how long that took.
    pub async fn end(&self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        let ended = until(|| self.ended()).await;
        (ended.unwrap_or_else(|| panic!("it does not end; it said: {}", self.said())), started.elapsed())
    }

    /// SIGTERM, and then its end.
    pub async fn stop(&self) -> (ExitStatus, Duration) {
        self.signal("TERM");
        self.end().await
    }

    /// All that it said on stderr, over all its starts.
    pub fn said(&self) -> String {
        let mut said = Vec::new();
        if let Ok(mut file) = File::open(&self.0.log) {
            file.read_to_end(&mut said).unwrap();
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    /// What it has said on stderr since it was started last.
    pub fn said_now(&self) -> String {
        self.said().split_off(self.0.before.load(Ordering::SeqCst))
    }

    /// Waits until it says that it does its work.
    pub async fn until_ready(&self) {
        self.until_logged(READY).await;
    }

    /// Waits until it has said this since it was started last.
    pub async fn until_logged(&self, word: &str) {
        let logged = until(|| self.said_now().contains(word).then_some(())).await;
        logged.unwrap_or_else(|| panic!("it never says {word}: {}", self.said()));
    }
}

/// Looks every few milliseconds, because another process tells nobody when it changes something; `None` when it
/// does not come true in time.
pub async fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.ok()
}

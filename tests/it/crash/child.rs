//! The real binary, as a process of its own that can be killed.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{self, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

use crate::world::PATIENCE;

/// Where the binary stands that these tests were built with.
pub const BINARY: &str = env!("CARGO_BIN_EXE_toall");

/// `toall serve` on one configuration, started as often as wanted. Killed when dropped. Clones are the same one.
#[derive(Clone)]
pub struct Child(Arc<Inner>);

struct Inner {
    config: PathBuf,
    running: Mutex<Option<Running>>,
    said: Arc<watch::Sender<Said>>,
}

struct Running {
    process: process::Child,
    /// Ends with the process.
    listener: JoinHandle<()>,
}

/// What it said on stderr.
#[derive(Default)]
pub struct Said {
    /// Over all its starts.
    text: Vec<u8>,
    /// How much of that is from before the last start.
    before: usize,
    /// Whether it will say no more, because it has ended.
    over: bool,
}

/// What the service says in its log once it does its work.
const READY: &str = "\"message\":\"ready\"";

impl Running {
    fn end(mut self) -> ExitStatus {
        let status = self.process.wait().unwrap();
        self.listener.join().unwrap();
        status
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = running.process.kill();
            running.end();
        }
    }
}

/// The binary with a clean environment, so that the tester's own settings do not leak in.
pub fn toall(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The binary as it was at the first start: who builds beside a long run puts another in its place.
#[cfg(target_os = "linux")]
fn binary() -> PathBuf {
    use std::{fs::File, os::fd::AsRawFd, sync::LazyLock};

    static OPENED: LazyLock<File> = LazyLock::new(|| File::open(BINARY).unwrap());
    format!("/proc/self/fd/{}", OPENED.as_raw_fd()).into()
}

#[cfg(not(target_os = "linux"))]
fn binary() -> PathBuf {
    BINARY.into()
}

impl Child {
    /// Prepares `toall serve --config config`.
    pub fn new(config: &Path) -> Child {
        let (running, said) = (Mutex::default(), Arc::default());
        Child(Arc::new(Inner { config: config.to_owned(), running, said }))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn start(&self) {
        self.start_as(toall(&["serve", "--config", self.0.config.to_str().unwrap()]));
    }

    /// Starts it by a command of the caller's own; its process id.
    pub fn start_as(&self, mut command: Command) -> u32 {
        let mut process = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (id, stderr) = (process.id(), process.stderr.take().unwrap());
        self.0.said.send_modify(|said| (said.before, said.over) = (said.text.len(), false));
        let said = self.0.said.clone();
        let listener = thread::spawn(move || listen(stderr, &said));
        let before = self.running().replace(Running { process, listener });
        assert!(before.is_none(), "it runs already");
        id
    }

    /// SIGKILL; false when it was not running. Returns once the process is gone.
    pub fn kill(&self) -> bool {
        let Some(mut running) = self.running().take() else { return false };
        running.process.kill().expect("a process that was not waited for can be killed");
        running.end();
        true
    }

    /// Sends the signal of this name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.running().as_ref().expect("it runs").process.id();
        // The standard library sends no signal but SIGKILL; `kill` is part of every shell.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap();
        assert!(sent.success());
    }

    /// How it ended, if it did by itself.
    pub fn ended(&self) -> Option<ExitStatus> {
        if !self.0.said.borrow().over {
            return None;
        }
        self.running().take().map(Running::end)
    }

    /// Waits until it has ended by itself; how, and how long that took.
    pub async fn end(&self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        let mut said = self.changes();
        if timeout(PATIENCE, said.wait_for(|said| said.over)).await.is_err() {
            panic!("it does not end; it said: {}", self.said());
        }
        (self.ended().expect("nobody killed it"), started.elapsed())
    }

    /// SIGTERM, and then its end.
    pub async fn stop(&self) -> (ExitStatus, Duration) {
        self.signal("TERM");
        self.end().await
    }

    /// Changes with all that it says on stderr, and when it ends.
    pub fn changes(&self) -> watch::Receiver<Said> {
        self.0.said.subscribe()
    }

    /// All that it said on stderr, over all its starts.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.0.said.borrow().text).into_owned()
    }

    /// What it has said on stderr since it was started last.
    pub fn said_now(&self) -> String {
        self.0.said.borrow().now()
    }

    /// Waits until it says that it does its work.
    pub async fn until_ready(&self) {
        self.until_logged(READY).await;
    }

    /// Waits until it has said this since it was started last.
    pub async fn until_logged(&self, word: &str) {
        let mut said = self.changes();
        let logged = timeout(PATIENCE, said.wait_for(|said| said.now().contains(word))).await;
        if logged.is_err() {
            panic!("it never says {word}: {}", self.said());
        }
    }
}

impl Said {
    fn now(&self) -> String {
        String::from_utf8_lossy(&self.text[self.before..]).into_owned()
    }
}

/// Hears a process to its end.
fn listen(mut stderr: ChildStderr, said: &watch::Sender<Said>) {
    let mut heard = [0; 8192];
    while let Ok(bytes @ 1..) = stderr.read(&mut heard) {
        said.send_modify(|said| said.text.extend(&heard[..bytes]));
    }
    said.send_modify(|said| said.over = true);
}

//! Logs: to stderr, for people on a terminal and as JSON lines elsewhere.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use anyhow::anyhow;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Libraries that write what they send and receive, tokens included, when they are let: they never are. What goes
/// wrong in the embedded S3 is said by its client.
const QUIET: [&str; 11] = [
    "serenity=error",
    "tungstenite=info",
    "tokio_tungstenite=info",
    "teloxide_core=info",
    "aws_config=info",
    "aws_runtime=info",
    "aws_sdk_s3=info",
    "aws_sigv4=info",
    "aws_smithy_runtime=info",
    "s3s=off",
    "s3s_fs=off",
];

/// Starts logging with the filter of `TOALL_LOG`, else of `RUST_LOG`, else `default` (such as `warn,toall=info`).
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn start_logs(default: &str) -> anyhow::Result<()> {
    let (variable, directives) = ["TOALL_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|variable| {
            Some((variable, std::env::var(variable).ok().filter(|value| !value.is_empty())?))
        })
        .unwrap_or(("the default", default.to_owned()));
    let filter = EnvFilter::builder().parse(directives).map_err(|error| {
        anyhow!(
            "The log filter in {variable} cannot be read: {error}. Write it as info, or warn,toall=debug."
        )
    })?;
    let filter = QUIET.iter().filter_map(|quiet| quiet.parse().ok()).fold(filter, EnvFilter::add_directive);
    let writer = Stderr { journal: is_journal() };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match io::stderr().is_terminal() {
        true => logs.with_target(false).try_init(),
        false => logs.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow!("Logging could not be started: {error}."))
}

/// Prints what made the program end to stderr.
pub fn print_error(error: impl Display) {
    let error = error.to_string();
    // The journal takes each line for an entry of its own.
    let prefix = if is_journal() { priority(Level::ERROR) } else { "" };
    for line in error.lines() {
        eprintln!("{prefix}{line}");
    }
}

/// True if stderr leads to systemd's journal (systemd.exec(5), `JOURNAL_STREAM`). The variable alone does not tell: a
/// child whose stderr leads elsewhere inherits it.
fn is_journal() -> bool {
    let Ok(stderr) = rustix::fs::fstat(io::stderr()) else { return false };
    std::env::var("JOURNAL_STREAM")
        .is_ok_and(|stream| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// The prefix by which the journal knows how important a line is (sd-daemon(3)).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Writes log lines to stderr; in the journal, with their priority.
struct Stderr {
    journal: bool,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { prefix: "" }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        Line { prefix: if self.journal { priority(*meta.level()) } else { "" } }
    }
}

/// One line of the log.
struct Line {
    prefix: &'static str,
}

impl Write for Line {
    /// The subscriber writes a line whole, in one call. So does this, or lines of other threads would come between.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.prefix {
            "" => io::stderr().write_all(line)?,
            prefix => io::stderr().write_all(&[prefix.as_bytes(), line].concat())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

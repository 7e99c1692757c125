//! Logs: to stderr, for people on a terminal and as JSON lines elsewhere.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

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
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match io::stderr().is_terminal() {
        true => logs.with_target(false).try_init(),
        false => logs.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow!("Logging could not be started: {error}."))
}

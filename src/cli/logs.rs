//! Logs: to stderr, for people on a terminal and as JSON lines elsewhere.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

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
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match io::stderr().is_terminal() {
        true => logs.with_target(false).try_init(),
        false => logs.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow!("Logging could not be started: {error}."))
}

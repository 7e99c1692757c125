//! A process of this same binary in another role, spoken with in lines of JSON.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, ensure};
use serde::{Serialize, de::DeserializeOwned};

/// Killed when dropped.
pub struct Role {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Role {
    pub fn start(name: &str, args: &[&str]) -> anyhow::Result<Role> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("The {name} does not start"))?;
        let to = process.stdin.take().context("no stdin")?;
        let from = BufReader::new(process.stdout.take().context("no stdout")?);
        Ok(Role { process, to, from })
    }

    pub fn ask(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.to, "{line}").context("The other process is gone")
    }

    pub fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        ensure!(self.from.read_line(&mut line)? > 0, "The other process ended; see above");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a line from a role to the process that started it.
pub fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

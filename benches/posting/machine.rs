//! Figures about the machine and its processes.

use std::net::Ipv4Addr;

use anyhow::Context;

/// A port that nobody has.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// How busy the machine is besides: figures taken on a busy one say little.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg");
    let load = load.ok().and_then(|text| text.split(' ').next().map(str::to_owned));
    format!("load of the last minute: {}", load.as_deref().unwrap_or("unknown"))
}

/// A line such as `VmHWM:   1234 kB` of what Linux says of a process.
pub fn memory_kib(process: &str, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))
        .context("Memory can only be read on Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.context("No such figure")?.parse().context("Not a number")
}

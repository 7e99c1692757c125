//! CPU time as Linux counts it: what a piece of work costs, however busy the machine is besides.

use anyhow::Context;

/// Ticks per second in `/proc`; 100 on every Linux (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

/// Seconds that this process has used.
pub fn own() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("CPU time can only be read on Linux")?;
    Ok(fields(&stat).context("No such figure")?.used)
}

/// Seconds that a server has used, of whose processes this is one: of all that live, and of all that did.
pub fn family(member: i32) -> Option<f64> {
    let parent = of(member)?.parent;
    let server = of(parent)?;
    let children = std::fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let process: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        of(process).filter(|process| process.parent == parent)
    });
    Some(server.used + server.of_the_dead + children.map(|child| child.used).sum::<f64>())
}

struct Process {
    parent: i32,
    used: f64,
    /// By children that have ended.
    of_the_dead: f64,
}

fn of(process: i32) -> Option<Process> {
    fields(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// See proc_pid_stat(5). The name, in brackets, may hold anything, so it is passed over.
fn fields(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let rest: Vec<&str> = rest.split_whitespace().collect();
    let seconds = |at: usize| Some(rest.get(at)?.parse::<f64>().ok()? / TICKS);
    Some(Process {
        parent: rest.get(1)?.parse().ok()?,
        used: seconds(11)? + seconds(12)?,
        of_the_dead: seconds(13)? + seconds(14)?,
    })
}

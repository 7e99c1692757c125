//! The command line: its commands and options, and the two commands that need no service, `init` and `completions`.

mod init;
mod logs;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, path::PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::app::Role;

pub use init::{InitError, init};
pub use logs::{print_error, start_logs};

/// Publish video to X from the chat you already sit in.
#[derive(Debug, Parser)]
#[command(name = "toall", version, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  toall demo                        see it work in a minute, with no account anywhere
  toall init                        write config.toml and a key, and say what to fill in
  toall check --config config.toml  find out what is missing
  toall serve --config config.toml  run it

Every setting can also come from the environment, as in TOALL_TWITTER__CLIENT_SECRET.
TOALL_LOG=debug says more on stderr (also toall::worker=debug; RUST_LOG works too).")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The command to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    Demo(Demo),
    Serve(Serve),
    Check(Check),
    Healthcheck(Healthcheck),
    Init(Init),
    Backup(Backup),
    RotateKey(RotateKey),
    MigrateDatabase(MigrateDatabase),
    Reconcile(Reconcile),
    Completions(Completions),
}

/// The option that names the configuration file, the same for every command.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration; without it, environment variables alone
    #[arg(long = "config", value_name = "FILE", env = "TOALL_CONFIG", hide_env_values = true)]
    pub path: Option<PathBuf>,
}

/// See it work on this machine: simulated X, embedded storage, a chat in the terminal
///
/// Connects an account, posts a video, shows the progress and the link, then keeps serving so that the link opens in a
/// browser.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toall demo
  toall demo --video surf.mov --caption \"First wave of the year\"
  toall demo --exit                 for scripts: post, then stop
  toall demo --listen 0.0.0.0:8080  in a container: docker run -p 8080-8081:8080-8081")]
pub struct Demo {
    /// The video to post [default: a small sample]
    #[arg(long, value_name = "FILE")]
    pub video: Option<PathBuf>,
    /// The text to post with it [default: one that comes with the sample]
    #[arg(long, value_name = "TEXT")]
    pub caption: Option<String>,
    /// Stop once the post is out, instead of serving its page
    #[arg(long)]
    pub exit: bool,
    /// The address and port of its pages; the simulated X takes the next port [default: free ports of this machine only]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

/// Run everything that is configured, until Ctrl-C or SIGTERM
///
/// Stops gently: what is in flight is finished or handed back within 20 seconds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toall serve --config config.toml
  toall serve --config config.toml --role web,worker")]
pub struct Serve {
    #[command(flatten)]
    pub config: ConfigFile,
    /// The parts this process runs, separated by commas
    #[arg(long = "role", value_name = "ROLES", value_delimiter = ',', hide_possible_values = true)]
    #[arg(default_value = "chat,web,worker")]
    pub roles: Vec<Role>,
}

/// Try every part and say what to mend
///
/// Looks at the configuration, database, storage, bots, X app and public URL, one line each. The exit code is 1 if any
/// fails.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toall check --config config.toml && toall serve --config config.toml")]
pub struct Check {
    #[command(flatten)]
    pub config: ConfigFile,
    /// Add the CORS rule that the bucket needs for uploads by browsers
    #[arg(long)]
    pub fix: bool,
}

/// Ask the service on this machine if it is ready
///
/// Reads web.listen from the configuration and asks /readyz there. The exit code is 0 unless the answer is not_ready or
/// there is none.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toall healthcheck --config config.toml")]
pub struct Healthcheck {
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Copy the database to a file while toall runs
///
/// SQLite only; for PostgreSQL it prints the pg_dump command. The copy needs the encryption key, which is not in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toall backup --config config.toml /backups/toall-$(date +%F).db")]
pub struct Backup {
    #[command(flatten)]
    pub config: ConfigFile,
    /// The file to write; must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Write config.toml with every setting explained, and an encryption key
///
/// Overwrites nothing, and ends with what to fill in next.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toall init
  toall init --dir /srv/toall")]
pub struct Init {
    /// Where to write; made when missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

/// Change the encryption key: seal everything in the database anew
///
/// Stop the service first. May be stopped at any moment and run again; until it is done, the former key and the new one
/// both work.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  systemctl stop toall && toall rotate-key --config config.toml && systemctl start toall")]
pub struct RotateKey {
    #[command(flatten)]
    pub config: ConfigFile,
}

/// Move everything to another database, from SQLite to PostgreSQL or back
///
/// Stop the service first. Every row is read back and compared before any counts; stopped half-way, it leaves nothing in
/// the new database and the old one as it was.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  toall migrate-database --config config.toml --from sqlite:data/toall.db --to file:/run/secrets/database_url

An address is sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE. One with a password is better kept in a file
(file:PATH) or a parameter (ssm:NAME): others on the machine can read a command line.")]
pub struct MigrateDatabase {
    #[command(flatten)]
    pub config: ConfigFile,
    /// The database to read
    #[arg(long, value_name = "ADDRESS")]
    pub from: String,
    /// The database to write; empty, or without tables
    #[arg(long, value_name = "ADDRESS")]
    pub to: String,
}

/// After a restore or a failover, look at X before anything is posted
///
/// Run it before the service starts again. What a restored database calls unfinished may have been posted since: each such
/// post is looked for at X, and its person is asked where that does not tell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toall reconcile --config config.toml              after restoring a backup
  toall reconcile --config config.toml --failover   after a failover of PostgreSQL that lost the last commits")]
pub struct Reconcile {
    #[command(flatten)]
    pub config: ConfigFile,
    /// Only seconds were lost: posts that had no upload at X go on without asking
    #[arg(long)]
    pub failover: bool,
}

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  toall completions bash > ~/.local/share/bash-completion/completions/toall
  toall completions fish > ~/.config/fish/completions/toall.fish")]
pub struct Completions {
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Reads this process's arguments; on a mistake, `--help` or `--version` it prints and exits.
pub fn parse() -> Command {
    Cli::parse().command
}

/// Writes the completion script of a shell.
///
/// # Errors
/// When `out` cannot be written to.
pub fn completions(shell: Shell, out: &mut impl io::Write) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "toall", &mut script);
    out.write_all(&script)
}

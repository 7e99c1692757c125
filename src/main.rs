//! The `toall` binary: reads the command line, runs what was asked, and turns errors into words.

use std::{io, process::ExitCode};

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, setrlimit, umask},
};
use toall::{
    app::{self, demo::Demo},
    cli::{self, Command, ConfigFile},
    clock::Clock,
    config::{self, Config, ConfigErrors, Settings},
    parameters,
    store::Lost,
};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    keep_private();
    let command = cli::parse();
    let outcome = Runtime::new().map_err(Into::into).and_then(|runtime| {
        let outcome = runtime.block_on(run(command));
        // A library's task that does not end must not keep the process.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            cli::print_error(format_args!("{error:#}"));
            match error.downcast_ref::<ConfigErrors>() {
                Some(errors) if !errors.temporary => ExitCode::from(BAD_CONFIGURATION),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// EX_CONFIG of sysexits(3): starting again cannot help until somebody corrects the settings.
const BAD_CONFIGURATION: u8 = 78;

/// Keeps what this process writes to its own user, whatever the umask was, and prevents core dumps: one would hold every
/// key and token in memory.
fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
    // Refused only where the limit could not be lowered any more, and then it is lower still.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A limit of 0 does not stop a dump that the kernel pipes to a program (core(5)); this does. It also keeps other
    // processes of the same user from reading the memory.
    #[cfg(target_os = "linux")]
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(demo) => {
            cli::start_logs("error")?;
            app::demo::demo(Demo {
                video: demo.video,
                caption: demo.caption,
                exit: demo.exit,
                listen: demo.listen,
            })
            .await?;
        }
        Command::Serve(serve) => {
            cli::start_logs("info")?;
            let config = settings(&serve.config).await?;
            if let Some(warning) = serve.config.path.as_deref().and_then(config::exposed) {
                tracing::warn!("{warning}");
            }
            app::serve(&config, &serve.roles).await?;
        }
        Command::Check(check) => {
            cli::start_logs("error")?;
            let config = settings(&check.config).await?;
            let exposed = check.config.path.as_deref().and_then(config::exposed);
            if !app::check::check(&config, exposed, check.fix, &mut io::stdout()).await? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Healthcheck(healthcheck) => {
            let listen =
                Settings::read(healthcheck.config.path.as_deref(), config::environment())?.web_listen()?;
            println!("{}", app::healthcheck(listen).await?);
        }
        Command::Backup(backup) => {
            cli::start_logs("error")?;
            let config = settings(&backup.config).await?;
            app::backup::backup(&config, &backup.file, &mut io::stdout()).await?;
        }
        Command::RotateKey(rotate) => {
            cli::start_logs("error")?;
            let config = settings(&rotate.config).await?;
            app::rotate::rotate_key(&config, &mut io::stdout()).await?;
        }
        Command::MigrateDatabase(migrate) => {
            cli::start_logs("error")?;
            let config = settings(&migrate.config).await?;
            app::migrate::migrate_database(&config, &migrate.from, &migrate.to, &mut io::stdout()).await?;
        }
        Command::Reconcile(reconcile) => {
            cli::start_logs("error")?;
            let config = settings(&reconcile.config).await?;
            let lost = if reconcile.failover { Lost::Seconds } else { Lost::Long };
            app::reconcile::reconcile(&config, lost, &Clock::system(), &mut io::stdout()).await?;
        }
        Command::Init(init) => cli::init(&init.dir, &mut io::stdout())?,
        Command::Completions(completions) => cli::completions(completions.shell, &mut io::stdout())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the configuration, and the settings that are kept in a Parameter Store.
async fn settings(file: &ConfigFile) -> anyhow::Result<Config> {
    let settings = Settings::read(file.path.as_deref(), config::environment())?;
    let fetched = parameters::fetch(settings.parameters(), &Clock::system()).await;
    Ok(settings.check(fetched)?)
}

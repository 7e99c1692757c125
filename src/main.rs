//! The `toall` binary: reads the command line, runs what was asked, and turns errors into words.

use std::{io, process::ExitCode};

use toall::{
    app::{self, demo::Demo},
    cli::{self, Command},
    config::{self, Config},
};

fn main() -> ExitCode {
    match run(cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(demo) => {
            cli::start_logs("error")?;
            app::demo::demo(Demo { video: demo.video, caption: demo.caption, exit: demo.exit }).await?;
        }
        Command::Serve(serve) => {
            cli::start_logs("info,s3s=warn,s3s_fs=warn")?;
            let config = Config::load(&serve.config, config::environment())?;
            app::serve(&config, &serve.roles).await?;
        }
        Command::Check(check) => {
            cli::start_logs("error")?;
            let config = Config::load(&check.config, config::environment())?;
            if !app::check::check(&config, &mut io::stdout()).await? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Init(init) => cli::init(&init.dir, &mut io::stdout())?,
        Command::Completions(completions) => cli::completions(completions.shell, &mut io::stdout())?,
    }
    Ok(ExitCode::SUCCESS)
}

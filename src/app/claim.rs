//! The code with which the first operator claims a new bot.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use crate::{config::Config, intake::Intake};

/// The file in `data_dir` that holds the code where there is no terminal.
const FILE: &str = "claim.txt";

/// Makes a code while the bot has no operator, and shows it to the person who started toall.
pub(super) async fn offer(intake: &Intake, config: &Config) {
    let file = config.data_dir.join(FILE);
    let _ = std::fs::remove_file(&file);
    let code = match intake.offer_claim().await {
        Ok(Some(code)) => code,
        Ok(None) => return,
        Err(error) => {
            tracing::error!(%error, "no code could be made to claim this bot with");
            return;
        }
    };
    let says = format!(
        "This bot has no operator yet. Send it this in Discord or Telegram within an hour to become one:\n\n  \
         /claim {}\n\nOn Telegram, t.me/YOUR_BOT?start={0} does the same. The code works once.\n",
        code.expose()
    );
    match io::stdout().is_terminal() {
        true => println!("\n{says}"),
        false => match write(&file, &says) {
            Ok(()) => tracing::warn!(
                file = %file.display(),
                "This bot has no operator yet. The file holds a code; send it to the bot as /claim CODE within an hour."
            ),
            Err(error) => {
                tracing::error!(file = %file.display(), %error, "the code to claim this bot with could not be written");
            }
        },
    }
}

/// Writes a file that only its owner can read.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

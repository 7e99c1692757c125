//! What the demo shows: one live status on a terminal, plain lines elsewhere.

use std::{
    cell::RefCell,
    io::{IsTerminal, stdout},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{Timestamp, tz::TimeZone};

use crate::words::{Act, Message, Span};

/// Room for the name in front of what is said.
const NAME: usize = 8;

/// Where the demo's chat is shown.
pub struct Screen {
    live: Option<ProgressBar>,
    /// What was printed last without a terminal, so that nothing is printed twice.
    last: RefCell<String>,
    colour: bool,
}

impl Screen {
    pub fn new() -> Self {
        let terminal = stdout().is_terminal();
        Screen {
            live: terminal.then(|| {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
                if let Ok(style) = ProgressStyle::with_template("{msg} {spinner:.dim}") {
                    bar.set_style(style);
                }
                bar
            }),
            last: RefCell::new(String::new()),
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// A line of the program's own.
    pub fn say(&self, line: &str) {
        println!("{line}");
    }

    pub fn blank(&self) {
        println!();
    }

    /// What the person types.
    pub fn person(&self, name: &str, line: &str) {
        println!("{}{line}", self.name(name));
    }

    /// What happens outside the chat.
    pub fn aside(&self, line: &str) {
        let text = format!("{:NAME$}… {line}", "");
        println!("{}", self.dim(&text));
    }

    /// A message of the bot's that stays as it is.
    pub fn answer(&self, message: &Message) {
        println!("{}", self.block(message));
    }

    /// A message of the bot's that changes.
    pub fn live(&self, message: &Message) {
        match &self.live {
            Some(bar) => {
                bar.enable_steady_tick(Duration::from_millis(120));
                bar.set_message(self.block(message));
            }
            None => {
                let line = plain(message).replace('\n', " · ");
                if *self.last.borrow() != line {
                    println!("{:NAME$}{line}", "toall");
                    self.last.replace(line);
                }
            }
        }
    }

    /// The last state of a message that changed.
    pub fn settle(&self, message: &Message) {
        match &self.live {
            Some(bar) => {
                bar.finish_and_clear();
                println!("{}", self.block(message));
            }
            None => self.live(message),
        }
    }

    fn block(&self, message: &Message) -> String {
        let mut text = String::new();
        for (number, line) in plain(message).lines().enumerate() {
            let lead = if number == 0 { self.name("toall") } else { format!("\n{:NAME$}", "") };
            text += &format!("{lead}{line}");
        }
        let buttons: Vec<_> = message.buttons.iter().map(|button| format!("[ {} ]", button.label)).collect();
        if !buttons.is_empty() {
            text += &format!("  {}", self.dim(&buttons.join(" ")));
        }
        for button in &message.buttons {
            if let Act::Open(url) = &button.act
                && !plain(message).contains(url)
                && url.len() < 120
            {
                text += &format!("\n{:NAME$}{}", "", self.dim(url));
            }
        }
        text
    }

    fn name(&self, name: &str) -> String {
        let padded = format!("{name:NAME$}");
        if self.colour { format!("\u{1b}[1m{padded}\u{1b}[0m") } else { padded }
    }

    fn dim(&self, text: &str) -> String {
        if self.colour { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A message as text. Control characters stay out of the terminal.
fn plain(message: &Message) -> String {
    let spans = message.text.iter().map(|span| match span {
        Span::Text(text) | Span::Link(text) | Span::Code(text) => text.clone(),
        Span::Time(at) => Timestamp::from_millisecond(*at)
            .map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M").to_string())
            .unwrap_or_default(),
    });
    spans.collect::<String>().chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

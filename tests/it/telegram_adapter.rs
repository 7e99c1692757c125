//! The Telegram adapter against the stand-in.

mod files;
mod hearing;
mod saying;

use std::time::Duration;

use toall::{
    chat::{Ask, ChatError, Delivery, Incoming, telegram::Telegram as Adapter},
    clock::Clock,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::telegram::{TOKEN, Telegram};

/// Real time after which something that should have happened has not.
const GUARD: Duration = Duration::from_secs(20);

/// An adapter that receives from a stand-in.
struct Running {
    bot: Adapter,
    inbox: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ChatError>>,
}

impl Running {
    fn start(telegram: &Telegram) -> Self {
        let (sender, inbox) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let bot = adapter(telegram);
        let (runs, stopped) = (bot.clone(), stop.clone());
        let task = tokio::spawn(async move { runs.run(sender, stopped).await });
        Running { bot, inbox, stop, task }
    }

    /// The next delivery, not yet said to be stored.
    async fn delivery(&mut self) -> Delivery {
        let delivery = timeout(GUARD, self.inbox.recv()).await;
        delivery.expect("nothing was delivered").expect("the adapter ended")
    }

    /// What is asked next; says that it is stored.
    async fn hears(&mut self) -> Incoming {
        let delivery = self.delivery().await;
        delivery.done.send(()).unwrap();
        delivery.incoming
    }

    /// Stops, and requires that it is prompt.
    async fn stop(self) -> Result<(), ChatError> {
        self.stop.cancel();
        let ended = timeout(Duration::from_secs(3), self.task).await;
        ended.expect("the stop was not prompt").unwrap()
    }
}

fn adapter(telegram: &Telegram) -> Adapter {
    Adapter::new(&telegram.settings(), Clock::by_hand(1_767_323_045_000)).unwrap()
}

fn post_of(incoming: Incoming) -> (String, Option<toall::post::Attachment>, String) {
    match incoming.ask {
        Ask::Post { caption, file, dedupe_key, .. } => (caption, file, dedupe_key),
        other => panic!("not a post: {other:?}"),
    }
}

/// The error of a call, checked to hold no part of the token that is secret.
fn error<T>(result: Result<T, ChatError>) -> ChatError {
    let Err(error) = result else {
        panic!("it worked");
    };
    let (_, secret) = TOKEN.split_once(':').unwrap();
    let said = format!("{error} {error:?} {error:#?}");
    assert!(!said.contains(secret), "{said}");
    error
}

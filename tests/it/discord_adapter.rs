//! The Discord adapter against the stand-in: real serenity, real sockets.

mod hears;
mod limits;
mod media;
mod menu;
mod shards;
mod speaks;

use std::time::Duration;

use toall::{
    chat::{
        ChatError, Delivery, Incoming,
        discord::{Discord as Adapter, Shards},
    },
    clock::Clock,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::discord::{Discord, Posted, World};

const NOON: i64 = 1_763_812_800_000;
const MINUTE: i64 = 60_000;

/// A bot that runs against a stand-in.
struct Bot {
    discord: Discord,
    adapter: Adapter,
    clock: Clock,
    inbox: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), ChatError>>,
}

impl Bot {
    async fn start() -> Bot {
        Bot::start_with(&Shards::All, |_| {}).await
    }

    /// Starts with these shards, against a stand-in that was changed before.
    async fn start_with(shards: &Shards, change: impl FnOnce(&mut World)) -> Bot {
        let clock = Clock::by_hand(NOON);
        let discord = Discord::start(clock.clone()).await;
        change(&mut discord.world());
        let adapter = Adapter::new(&discord.settings(), clock.clone()).unwrap();
        let (sender, inbox) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (adapter, shards, stop) = (adapter.clone(), shards.clone(), stop.clone());
            async move { adapter.run(sender, &shards, stop).await }
        });
        Bot { discord, adapter, clock, inbox, stop, running }
    }

    /// The next request, taken and stored.
    async fn heard(&mut self) -> Incoming {
        let Delivery { incoming, done } = self.delivered().await;
        done.send(()).expect("the bot waits for that");
        incoming
    }

    /// The next request, which is not stored yet.
    async fn delivered(&mut self) -> Delivery {
        let delivery = timeout(Duration::from_secs(20), self.inbox.recv()).await;
        delivery.expect("somebody asks").expect("the bot runs")
    }

    /// What a slash command without options arrives as.
    async fn asked(&mut self, user: &str, channel: &str, command: &str) -> Incoming {
        self.discord.slash(user, channel, command, &[], None).await;
        self.heard().await
    }

    fn only_message(&self, channel: &str) -> Posted {
        only(self.discord.messages(channel))
    }

    /// Stops the bot and checks that it never sent what Discord refuses.
    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        assert_eq!(self.discord.world().refusals, [""; 0]);
    }
}

fn only(mut messages: Vec<Posted>) -> Posted {
    assert_eq!(messages.len(), 1, "{messages:#?}");
    messages.remove(0)
}

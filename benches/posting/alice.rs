//! Alice, in a chat that is a value.

use std::{path::Path, time::Duration};

use anyhow::Context;
use reqwest::{Client, header::LOCATION, redirect::Policy};
use toall::{
    account::{Person, Place, Platform},
    chat::{
        Ask, Delivery, Inbox, Incoming,
        console::{Console, Shown},
    },
    post::{Attachment, Kind, Options},
    words::Act,
};
use tokio::sync::oneshot;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(300);

/// Somebody who posts.
pub struct Alice {
    pub inbox: Inbox,
    pub console: Console,
}

/// Returns true if the post of a message is finished. While the post is being made, the message has no button.
pub fn is_over(shown: &Shown) -> bool {
    let buttons = &shown.message.buttons;
    !buttons.is_empty() && !buttons.iter().any(|button| button.label == "Cancel")
}

pub fn is_posted(shown: &Shown) -> bool {
    shown.message.buttons.iter().any(|button| button.label == "Open on X")
}

impl Alice {
    /// Asks for a file to be posted; each time by another `number`.
    pub async fn post(&self, video: &Path, number: u32) -> anyhow::Result<()> {
        let file = Attachment {
            platform: Platform::Console,
            source: video.to_str().context("The temporary folder has no readable name")?.to_owned(),
            name: "video.mp4".to_owned(),
            bytes: Some(std::fs::metadata(video)?.len()),
            content_type: None,
            kind: Kind::Video,
        };
        let ask = Ask::Post {
            caption: "Posted by the benchmark".to_owned(),
            options: Options::default(),
            account: String::new(),
            file: Some(file),
            dedupe_key: format!("console:{number}"),
        };
        self.ask(ask).await
    }

    async fn ask(&self, ask: Ask) -> anyhow::Result<()> {
        let from = Person { platform: Platform::Console, id: "alice".to_owned(), name: "alice".to_owned() };
        let at = Place {
            platform: Platform::Console,
            chat: "bench".to_owned(),
            thread: None,
            message: None,
            person: "alice".to_owned(),
            private: true,
            interaction: None,
        };
        let (done, _) = oneshot::channel();
        let delivery = Delivery { incoming: Incoming { from, at, ask, groups: Vec::new() }, done };
        self.inbox.send(delivery).await.context("The service stopped")
    }

    /// The message at `index`, once it is there and as `wanted`.
    pub async fn message(&self, index: usize, wanted: impl Fn(&Shown) -> bool) -> anyhow::Result<Shown> {
        let mut changes = self.console.changes();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                changes.mark_unchanged();
                if let Some(shown) = self.console.messages().get(index).filter(|shown| wanted(shown)) {
                    return shown.clone();
                }
                // The console lives as long as the service.
                let _ = changes.changed().await;
            }
        });
        waited.await.context("The service is stuck")
    }

    /// From `/connect` to *Link account*, through X's page and ours.
    pub async fn link(&self) -> anyhow::Result<()> {
        self.ask(Ask::Connect { what: "twitter".to_owned() }).await?;
        let offer = self.message(0, |_| true).await?;
        let link = offer.message.buttons.iter().find_map(|button| match &button.act {
            Act::Open(url) => Some(url.clone()),
            Act::Do(_) => None,
        });
        let link = link.context("The answer to /connect holds no link")?;
        let http = Client::builder().redirect(Policy::none()).build()?;
        let decision = [("user", "alice_makes"), ("decision", "authorize")];
        let back = http.post(link).form(&decision).send().await?;
        let back: Url = back.headers().get(LOCATION).context("X did not authorise")?.to_str()?.parse()?;
        let page = http.get(back.clone()).send().await?.error_for_status()?.text().await?;
        let form = page.split("<form").nth(1).context("no form")?;
        let attribute = |name: &str| {
            let value = form.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
            Some(value.to_owned())
        };
        let action = back.join(&attribute("action").context("no action")?)?;
        let ticket = attribute("value").context("no ticket")?;
        http.post(action).form(&[("ticket", ticket)]).send().await?.error_for_status()?;
        self.message(1, |_| true).await.map(drop)
    }
}

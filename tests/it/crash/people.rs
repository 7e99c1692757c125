//! What people do and read in their chat, be it on Telegram or on Discord.

use reqwest::{StatusCode, header::LOCATION};
use url::Url;

use super::site::{Row, Site};
use crate::{
    telegram::{Shown, User},
    world::{PATIENCE, Page, browser},
};

/// Somebody who talks with the bot, and their account on X.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub user: User,
    pub account: &'static str,
}

pub const ALICE: Person = Person { user: User { id: 77, name: "alice" }, account: "alice_makes" };
pub const BOB: Person = Person { user: User { id: 78, name: "bob" }, account: "bob_films" };
pub const EVERYBODY: [Person; 2] = [ALICE, BOB];

/// A message of the bot's, as a person reads it.
#[derive(Clone, Debug)]
pub struct Line {
    pub id: i64,
    pub text: String,
    pub buttons: Vec<String>,
    /// Where its first button leads that opens a page.
    pub link: Option<Url>,
    /// Whose request it answers: a message on Telegram, an interaction on Discord.
    pub answers: Option<i64>,
}

/// A request of a person's.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub id: i64,
    /// The life of the service in which it was made.
    life: usize,
}

impl Site {
    /// Whether the service hears what people say, now or once it is back.
    pub fn is_online(&self) -> bool {
        self.discord.as_ref().is_none_or(|channel| channel.is_online())
    }

    /// What the bot has said to a person so far, oldest first.
    pub fn said(&self, person: Person) -> Vec<Line> {
        match &self.discord {
            Some(channel) => channel.said(person),
            None => self.telegram.said(person.user.id).into_iter().map(Line::from).collect(),
        }
    }

    /// Links a person's account through the chat and the browser.
    pub async fn link(&self, person: Person) {
        let already = self.said(person);
        let is_new = |line: &Line| already.iter().all(|known| known.id != line.id);
        match &self.discord {
            Some(channel) => channel.ask_for_link(person).await,
            None => _ = self.telegram.private(person.user).text("/connect twitter"),
        }
        let link = self
            .until_read(person, |line| {
                let written = line.text.find("http").and_then(|at| line.text[at..].split_whitespace().next());
                let link = line.link.clone().or_else(|| written?.parse().ok());
                link.filter(|_| is_new(line) && line.text.starts_with("Link your"))
            })
            .await;
        let form = [("user", person.account), ("decision", "authorize")];
        let answer = browser().post(link).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FOUND, "X refused the link");
        let callback = answer.headers()[LOCATION].to_str().unwrap().parse().unwrap();
        let page = Page::open(&callback).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text());
        page.submit(0).await;
        self.until_read(person, |line| (is_new(line) && line.text.starts_with("Linked")).then_some(())).await;
    }

    /// A person sends a video.
    pub async fn post(&self, person: Person, name: &str, bytes: &[u8], caption: &str) -> Request {
        let life = self.trap.life();
        let id = match &self.discord {
            Some(channel) => channel.post(person, name, bytes, caption).await,
            None => {
                let chat = self.telegram.private(person.user);
                chat.video(name, bytes.to_vec(), &format!("/post {caption}"))
            }
        };
        Request { id, life }
    }

    /// A person presses a button.
    pub async fn press(&self, person: Person, message: i64, label: &str) -> Request {
        let life = self.trap.life();
        let id = match &self.discord {
            Some(channel) => channel.press(person, message, label).await,
            None => {
                self.telegram.private(person.user).press(message, label);
                message
            }
        };
        Request { id, life }
    }

    /// Whether nothing will come of a request that has left no trace: Telegram tells the next process of it, Discord
    /// does not.
    pub fn is_lost(&self, request: Request) -> bool {
        self.discord
            .as_ref()
            .is_some_and(|channel| request.life < self.trap.life() || channel.is_refused(request.id))
    }

    /// A person's status message of a post, as it stands in the chat.
    pub fn status(&self, row: &Row) -> Option<Line> {
        let person = EVERYBODY.into_iter().find(|person| person.account == row.username)?;
        let message = row.message()?;
        self.said(person).into_iter().find(|line| line.id == message)
    }

    /// Waits for a message to a person that begins so.
    pub async fn until_told(&self, person: Person, start: &str) -> Line {
        self.until_read(person, |line| line.text.starts_with(start).then(|| line.clone())).await
    }

    async fn until_read<T>(&self, person: Person, look: impl Fn(&Line) -> Option<T>) -> T {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let stir = self.listen();
                if let Some(found) = self.said(person).iter().find_map(&look) {
                    return found;
                }
                stir.felt().await;
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("it was never said: {:#?}\n{}", self.said(person), self.child.said()),
        }
    }
}

impl From<Shown> for Line {
    fn from(shown: Shown) -> Line {
        let link = shown.buttons.iter().find_map(|button| button.url.as_deref());
        Line {
            id: shown.id,
            link: link.and_then(|link| link.parse().ok()),
            answers: shown.reply_to,
            buttons: shown.buttons.into_iter().map(|button| button.label).collect(),
            text: shown.text,
        }
    }
}

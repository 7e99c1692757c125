//! The browser of the person who links an account.

use reqwest::{Client, StatusCode, redirect::Policy};
use url::Url;

/// A browser that shows where it is sent instead of going there.
pub fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

/// A page as a browser has it.
pub struct Page {
    pub url: Url,
    pub status: StatusCode,
    pub html: String,
}

impl Page {
    pub async fn open(url: &Url) -> Page {
        Page::read(url.clone(), browser().get(url.clone()).send().await.unwrap()).await
    }

    async fn read(url: Url, answer: reqwest::Response) -> Page {
        let status = answer.status();
        Page { url, status, html: answer.text().await.unwrap() }
    }

    /// What a person reads on it, in one line.
    pub fn text(&self) -> String {
        let body = self.html.split_once("<body>").map_or("", |(_, body)| body);
        let parts = body.split('<').filter_map(|part| part.split_once('>'));
        let text: String = parts.map(|(tag, text)| spaced(tag, text)).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Presses the button of the form at `index`, counted from 0.
    pub async fn submit(&self, index: usize) -> Page {
        self.submit_with(index, &[]).await
    }

    /// The same, with what the person chose in other fields of the form.
    pub async fn submit_with(&self, index: usize, chosen: &[(&str, &str)]) -> Page {
        let form =
            self.html.split("<form").nth(index + 1).expect("no such form").split("</form>").next().unwrap();
        let attribute = |tag: &str, name: &str| {
            tag.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        let action = self.url.join(&attribute(form, "action")).unwrap();
        let hidden = form.split("<input").nth(1).expect("no hidden field");
        let mut fields = vec![(attribute(hidden, "name"), attribute(hidden, "value"))];
        fields.extend(chosen.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let answer = browser().post(action.clone()).form(&fields).send().await.unwrap();
        Page::read(action, answer).await
    }
}

/// Text after a tag; tags that stand inside a line leave no space.
fn spaced(tag: &str, text: &str) -> String {
    let inline =
        ["bdi", "/bdi", "b", "/b", "code", "/code"].contains(&tag.split(' ').next().unwrap_or_default());
    if inline { text.to_owned() } else { format!(" {text}") }
}

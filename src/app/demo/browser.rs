//! The browser of the demo: authorises at X and confirms on our page, over HTTP as a person's would.

use anyhow::{Context, bail, ensure};
use reqwest::{Client, Response, StatusCode, header::LOCATION, redirect::Policy};
use url::Url;

/// Our page that asks whether to link the account.
pub struct Confirmation {
    http: Client,
    /// What the page asks.
    pub question: String,
    action: Url,
    field: (String, String),
}

/// Signs in at the simulated X as `user`, authorises the app, and opens the page X sends the browser back to.
pub async fn authorise(link: &str, user: &str) -> anyhow::Result<Confirmation> {
    let http = Client::builder().redirect(Policy::none()).build()?;
    let page = http.get(link).send().await.context("X's page did not open")?;
    ensure!(page.status().is_success(), "X refused the link: {}", page.status());
    let decision = [("user", user), ("decision", "authorize")];
    let sent_back = http.post(link).form(&decision).send().await?;
    let callback = location(&sent_back)?;
    let answer = http.get(callback.clone()).send().await.context("Our page did not open")?;
    ensure!(answer.status() == StatusCode::OK, "Our page answered {}", answer.status());
    let html = answer.text().await?;
    let form = between(&html, "<form", "</form>").context("Our page holds no form")?;
    let action = attribute(form, "action").context("The form leads nowhere")?;
    let hidden = between(form, "<input", ">").context("The form has no field")?;
    let name = attribute(hidden, "name").context("The field has no name")?;
    let value = attribute(hidden, "value").context("The field is empty")?;
    let heading = between(&html, "<h1", "</h1>").unwrap_or_default();
    Ok(Confirmation {
        http,
        question: text(heading),
        action: callback.join(action)?,
        field: (name.to_owned(), value.to_owned()),
    })
}

impl Confirmation {
    /// Presses *Link account*.
    pub async fn confirm(self) -> anyhow::Result<()> {
        let (name, value) = &self.field;
        let answer = self.http.post(self.action).form(&[(name, value)]).send().await?;
        if answer.status().is_client_error() || answer.status().is_server_error() {
            bail!("The account was not linked: {}", answer.status());
        }
        Ok(())
    }
}

fn location(answer: &Response) -> anyhow::Result<Url> {
    let location = answer.headers().get(LOCATION).context("X did not send the browser back")?;
    Ok(location.to_str()?.parse()?)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    between(tag, &format!("{name}=\""), "\"")
}

/// The words of a piece of HTML.
fn text(html: &str) -> String {
    let mut words = String::new();
    let mut inside = true;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => words.push(c),
            _ => {}
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

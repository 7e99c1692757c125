//! The pages people see in a browser: nothing from elsewhere but profile pictures.

use std::sync::LazyLock;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

mod accounts;
mod avatars;
mod linking;
mod sign_in;
mod upload;

use super::{assets, error::Refusal};
use crate::{account::Person, words};

pub(super) use accounts::{AccountsPage, Listed, accounts};
use avatars::{Pictures, chat_face, chat_person, face};
pub(super) use linking::{denied, linked, not_linked, question};
pub(super) use sign_in::{door, link_gone, signed_out};
pub(super) use upload::{UploadPage, upload};

const STYLE: &str = include_str!("style.css");

/// Lets the browser use the stylesheet inside the page, and no other.
static STYLE_SOURCE: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE))));

/// A whole page.
pub(super) struct Page {
    status: StatusCode,
    title: String,
    body: Markup,
    pictures: Pictures,
    policy: Policy,
    /// Whose page it is, with a way to sign out, and the larger stylesheet.
    visitor: Option<Visitor>,
}

/// What a page needs its browser to allow, besides its stylesheet and pictures.
#[derive(Default)]
struct Policy {
    scripts: bool,
    /// A preview of a file that the person picked.
    preview: bool,
    /// Where the page sends files, besides here.
    storage: Option<String>,
}

/// The person whom a page was made for.
struct Visitor {
    base: String,
    person: Person,
}

impl Page {
    fn new(title: &str, body: Markup) -> Self {
        Page {
            status: StatusCode::OK,
            title: title.to_owned(),
            body,
            pictures: Pictures::default(),
            policy: Policy::default(),
            visitor: None,
        }
    }

    fn markup(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · toall" }
                    style { (PreEscaped(STYLE)) }
                    @if let Some(Visitor { base, .. }) = &self.visitor {
                        link rel="stylesheet" href={(base) (assets::path("app.css"))};
                    }
                }
                body {
                    @match &self.visitor {
                        None => header.brand { "toall" },
                        Some(visitor) => (visitor.banner()),
                    }
                    main { (self.body) }
                }
            }
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let policy = self.policy.header(self.visitor.is_some(), &self.pictures);
        let mut response = (self.status, self.markup()).into_response();
        // A picture's origin is checked to be plain, so the value is always valid.
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

impl Policy {
    fn header(&self, linked_style: bool, pictures: &Pictures) -> String {
        let mut policy = format!("default-src 'none'; style-src {}", *STYLE_SOURCE);
        if linked_style {
            policy += " 'self'";
        }
        policy += &format!("; img-src {}; form-action 'self'", pictures.sources());
        if self.scripts {
            policy += "; script-src 'self'; connect-src 'self'";
            if let Some(origin) = &self.storage {
                policy += &format!(" {origin}");
            }
        }
        if self.preview {
            policy += "; media-src blob:";
        }
        policy + "; base-uri 'none'; frame-ancestors 'none'"
    }
}

impl Visitor {
    fn banner(&self) -> Markup {
        let who = words::chat_identity(self.person.platform, &self.person.name);
        html! {
            header {
                p.brand { "toall" }
                form method="post" action={(self.base) "/sign-out"} {
                    span.quiet { (chosen(&who)) }
                    button.plain type="submit" { "Sign out" }
                }
            }
        }
    }
}

/// A name that somebody chose, apart from the text around it and without letters that turn it around.
fn chosen(name: &str) -> Markup {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let name: String = name.chars().filter(|c| !turns(*c)).collect();
    html! { bdi { (name) } }
}

/// What this is, for somebody who opens the bare address.
pub(super) fn start() -> Page {
    let body = html! {
        h1 { "Publish video to X from your chat" }
        p { "This is a " b { "toall" } " service. You talk to it in Discord or Telegram, not here." }
        ol {
            li { "Send " code { "/connect twitter" } " to the bot, and link your X account." }
            li { "Upload a video with " code { "/post" } " and a caption." }
            li { "Watch it go, and open it on X." }
        }
        p.quiet { code { "/help" } " in the chat tells the rest." }
    };
    Page::new("Publish video from your chat", body)
}

/// A refusal.
pub(super) fn refused(refusal: &Refusal) -> Page {
    let body = html! {
        h1 { (refusal.title) }
        p { (refusal.why) }
        p.remedy { (commands(refusal.remedy)) }
    };
    Page { status: refusal.status, ..Page::new(refusal.title, body) }
}

/// Sets the chat commands in a sentence of ours apart.
fn commands(text: &str) -> Markup {
    let found = ["/connect twitter", "/accounts", "/upload", "/web", "/help"]
        .into_iter()
        .filter_map(|command| text.split_once(command).map(|(before, after)| (before, command, after)))
        .min_by_key(|(before, ..)| before.len());
    match found {
        Some((before, command, after)) => html! { (before) code { (command) } (commands(after)) },
        None => html! { (text) },
    }
}

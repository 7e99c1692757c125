//! The pages people see in a browser: nothing from elsewhere but profile pictures.

use std::{collections::BTreeSet, sync::LazyLock};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use url::Url;

mod accounts;
mod door;
mod upload;

use super::{assets, error::Refusal};
use crate::{
    account::{Person, Platform, Profile},
    words,
};

pub(super) use accounts::{AccountsPage, Listed, accounts};
pub(super) use door::{door, link_gone, signed_out};
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

/// The hosts whose profile pictures a page shows.
///
/// A picture lies at X. The browser, which comes from X, fetches it there itself without saying from where, and may
/// load pictures from that host only. Fetching it here instead would have this service open addresses it was told.
#[derive(Default)]
struct Pictures(BTreeSet<String>);

impl Pictures {
    /// Admits a picture and returns its address, if it is a plain one.
    fn admit(&mut self, avatar: Option<&str>) -> Option<Url> {
        let url = Url::parse(avatar?).ok().filter(|url| ["http", "https"].contains(&url.scheme()))?;
        let origin = url.origin().ascii_serialization();
        // A host may hold a semicolon, which would end the directive.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:/[]".contains(&byte);
        origin.bytes().all(plain).then(|| self.0.insert(origin))?;
        // X serves 48 pixels unless asked for more (docs.x.com, "User profile images and banners").
        Url::parse(&url.as_str().replacen("_normal.", "_bigger.", 1)).ok()
    }

    fn sources(&self) -> String {
        match self.0.is_empty() {
            true => "'none'".to_owned(),
            false => self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
        }
    }
}

/// A name that somebody chose, apart from the text around it and without letters that turn it around.
fn chosen(name: &str) -> Markup {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let name: String = name.chars().filter(|c| !turns(*c)).collect();
    html! { bdi { (name) } }
}

/// A round picture, or the first letter where there is none or while it loads.
fn face(picture: Option<&Url>, letter: Option<char>) -> Markup {
    html! {
        span.face aria-hidden="true" {
            @if let Some(letter) = letter { (letter.to_uppercase()) }
            @if let Some(url) = picture { img src=(url) alt="" referrerpolicy="no-referrer"; }
        }
    }
}

fn chat_face(platform: Platform) -> Markup {
    face(None, platform.title().chars().next())
}

/// What the chat's people call the person, and the id that no other can take.
fn chat_person(person: &Person) -> Markup {
    let id: String = person.id.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
    html! {
        b { (chosen(&words::chat_identity(person.platform, &person.name))) }
        @if person.platform != Platform::Console { span.quiet { "id " (id) } }
    }
}

/// Asks the person in the browser whether to link: the first form does, the second does not.
pub(super) fn question(base: &str, profile: &Profile, person: &Person, ticket: &str) -> Page {
    let account = words::name(&profile.username, &profile.name);
    let chat = words::chat_identity(person.platform, &person.name);
    let mut pictures = Pictures::default();
    let picture = pictures.admit(profile.avatar_url.as_deref());
    let body = html! {
        h1 { "Link " (chosen(&account)) " to " (chosen(&chat)) "?" }
        div.pair {
            div.who { (face(picture.as_ref(), profile.username.chars().next())) span { b { (chosen(&account)) } span.quiet { "on X" } } }
            span.arrow aria-hidden="true" { "↓" }
            div.who { (chat_face(person.platform)) span { (chat_person(person)) } }
        }
        p { "Posts sent with " code { "/post" } " will be published there." }
        p.quiet { "Did somebody else send you the link to X? Then they could post as you: choose " b { "Not me" } "." }
        div.answers {
            form method="post" action={(base) "/api/social/callback"} {
                input type="hidden" name="ticket" value=(ticket);
                button.primary type="submit" { "Link account" }
            }
            form method="post" action={(base) "/api/social/callback/refuse"} {
                input type="hidden" name="ticket" value=(ticket);
                button type="submit" { "Not me" }
            }
        }
    };
    Page { pictures, ..Page::new("Link this account?", body) }
}

/// After *Link account*, in a browser that is not signed in.
pub(super) fn linked(profile: &Profile, person: &Person) -> Page {
    let mut pictures = Pictures::default();
    let picture = pictures.admit(profile.avatar_url.as_deref());
    let name = words::name(&profile.username, &profile.name);
    let body = html! {
        p.mark aria-hidden="true" { "✓" }
        h1 { "Linked " (chosen(&name)) }
        p { "Go back to your chat and upload a video with " code { "/post" } " to publish it." }
        ul.pair {
            li.who {
                (face(picture.as_ref(), profile.username.chars().next()))
                span {
                    b { (chosen(&name)) }
                    span.quiet {
                        "linked to " (chosen(&words::chat_identity(person.platform, &person.name)))
                    }
                }
            }
        }
        p.quiet {
            "You can close this page. " code { "/disconnect" } " in the chat undoes it, and " code { "/web" }
            " shows all accounts and posts here."
        }
    };
    Page { pictures, ..Page::new("Linked", body) }
}

/// After *Not me*. `revoked` is false when X could not be told.
pub(super) fn not_linked(revoked: bool) -> Page {
    let body = html! {
        h1 { "Nothing was linked" }
        @if revoked {
            p { "X has taken the permission back, and nothing about your account was kept here." }
        } @else {
            p {
                "Nothing about your account was kept here. X could not be told just now: remove the app yourself \
                 on X, under Settings, Security and account access, Apps and sessions, Connected apps."
            }
        }
        p.quiet { "You can close this page." }
    };
    Page::new("Nothing was linked", body)
}

/// After *Cancel* on X's page.
pub(super) fn denied() -> Page {
    let body = html! {
        h1 { "Nothing was linked" }
        p { "X sent you back without a permission for this service, so all is as it was." }
        p.quiet { "Changed your mind? Send " code { "/connect twitter" } " again in your chat for a new link." }
    };
    Page::new("Nothing was linked", body)
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

#[cfg(test)]
mod tests {
    use super::Pictures;

    #[test]
    fn only_plain_origins_reach_the_policy() {
        let mut pictures = Pictures::default();
        for address in [
            "https://a;script-src/x.jpg",
            "https://a,b/x.jpg",
            "javascript:alert(1)",
            "data:image/png,x",
            "x.jpg",
        ] {
            assert_eq!(pictures.admit(Some(address)), None, "{address}");
        }
        assert_eq!(pictures.sources(), "'none'");
        let shown = pictures.admit(Some("https://pbs.twimg.com/profile_images/1/a_normal.jpg")).unwrap();
        assert_eq!(shown.path(), "/profile_images/1/a_bigger.jpg");
        assert!(pictures.admit(Some("https://pbs.twimg.com/profile_images/2/b_normal.jpg")).is_some());
        assert!(pictures.admit(Some("http://[::1]:8080/c.svg")).is_some());
        assert_eq!(pictures.sources(), "http://[::1]:8080 https://pbs.twimg.com");
    }
}

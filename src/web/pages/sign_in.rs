//! The page that a link from chat opens first, and what stands there when the link no longer works.

use maud::html;

use super::{Page, Policy, chat_face, chat_person, chosen, commands};
use crate::{
    account::Person,
    store::{Invitation, Scope, Session},
    web::{Site, assets, error::Refusal},
    words,
};

/// Says for whom a link is. A script presses the button, unless `other` is signed in here: then it is a person's choice.
pub(in crate::web) fn door(
    site: &Site,
    invitation: &Invitation,
    ticket: &str,
    other: Option<&Session>,
) -> Page {
    let (heading, action) = match invitation.scope {
        Scope::Upload => ("Upload a video", "upload"),
        Scope::Manage => ("Your accounts and posts", "accounts"),
    };
    let who = |person: &Person| words::chat_identity(person.platform, &person.name);
    let base = &site.base;
    let body = html! {
        h1 { (heading) }
        div.pair { div.who { (chat_face(invitation.person.platform)) span { (chat_person(&invitation.person)) } } }
        p { "This link is for " (chosen(&who(&invitation.person))) " only, and works once. Not you? Close this page." }
        @if let Some(other) = other {
            p.remedy { "This browser is signed in as " (chosen(&who(&other.person))) ". Continuing signs them out here." }
        }
        form #door.answers method="post" action={(base) "/" (action) "/" (ticket)} {
            @if let Some(other) = other {
                input type="hidden" name="replaces" value=(other.form_token);
                button.primary type="submit" { "Continue as " (chosen(&who(&invitation.person))) }
            } @else {
                button.primary type="submit" { "Continue" }
            }
        }
        @if other.is_none() { script type="module" src={(base) (assets::path("door.js"))} {} }
    };
    Page { policy: Policy { scripts: other.is_none(), ..Policy::default() }, ..Page::new(heading, body) }
}

/// A link that was used, is late, or never was; and the way on for a browser that is signed in all the same.
pub(in crate::web) fn link_gone(site: &Site, refusal: &Refusal, signed_in: Option<&Session>) -> Page {
    let body = html! {
        h1 { (refusal.title) }
        p { (refusal.why) }
        p.remedy { (commands(refusal.remedy)) }
        @if let Some(session) = signed_in {
            @let who = words::chat_identity(session.person.platform, &session.person.name);
            h2 { "This browser is signed in" }
            p { "As " (chosen(&who)) ", by another link." }
            p { a.button href={(site.base) "/upload"} { "Upload a video" } }
            @if session.scope == Scope::Manage {
                p { a.button href={(site.base) "/accounts"} { "Accounts and posts" } }
            }
        }
    };
    Page { status: refusal.status, ..Page::new(refusal.title, body) }
}

/// After *Sign out*.
pub(in crate::web) fn signed_out() -> Page {
    let body = html! {
        h1 { "Signed out" }
        p { "This browser no longer acts for you. Posts under way go on." }
        p.quiet { code { "/upload" } " or " code { "/web" } " in your chat gives a new link." }
    };
    Page::new("Signed out", body)
}

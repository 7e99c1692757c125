//! The pages on the way back from X.

use maud::{Markup, html};

use super::{Page, Pictures, chat_face, chat_person, chosen, face};
use crate::{
    account::{Person, PersonRef, Profile},
    intake::RefusedLink,
    store::{Choice, PendingLink},
    words,
};

/// Asks the person in the browser whether to link: the first form does, the second does not.
pub(in crate::web) fn question(base: &str, pending: &PendingLink, others: &[Person], ticket: &str) -> Page {
    let PendingLink { profile, person, .. } = pending;
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
        @if !others.is_empty() { (connections(others, pending)) }
        div.answers {
            form #link method="post" action={(base) "/api/social/callback"} {
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

/// Choices about the connections of other people, sent with *Link account*.
fn connections(others: &[Person], pending: &PendingLink) -> Markup {
    html! {
        h2 { "Other people connected to this account" }
        @if pending.was_broken {
            p { "X had ended their access. They can post again only if you keep their connection." }
        } @else {
            p { "They can post to it as well. End a connection to stop that; posts of theirs that wait are then not sent." }
        }
        @for other in others {
            @let user = PersonRef::from(other).to_string();
            fieldset.other {
                legend { (chat_person(other)) }
                @for (value, label, choice) in [("keep", "Keep", Choice::Keep), ("end", "End", Choice::End)] {
                    label {
                        input type="radio" form="link" name=(user) value=(value)
                            checked[choice == pending.default_choice()];
                        " " (label)
                    }
                }
            }
        }
    }
}

/// After *Link account*, in a browser that is not signed in.
pub(in crate::web) fn linked(profile: &Profile, person: &Person) -> Page {
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

/// After *Not me*.
pub(in crate::web) fn not_linked(outcome: RefusedLink) -> Page {
    let body = html! {
        h1 { "Nothing was linked" }
        @match outcome {
            RefusedLink::Revoked => {
                p { "X has taken the permission back, and nothing about your account was kept here." }
            }
            RefusedLink::NotRevoked => {
                p {
                    "Nothing about your account was kept here. X could not be told just now: remove the app yourself \
                     on X, under Settings, Security and account access, Apps and sessions, Connected apps."
                }
            }
            RefusedLink::Needed => {
                p {
                    "Nobody new can post to this account. People who had connected it before can still post to it. \
                     To end that as well, connect it yourself and end their connections, or remove the app on X, under \
                     Settings, Security and account access, Apps and sessions, Connected apps."
                }
            }
        }
        p.quiet { "You can close this page." }
    };
    Page::new("Nothing was linked", body)
}

/// After *Cancel* on X's page.
pub(in crate::web) fn denied() -> Page {
    let body = html! {
        h1 { "Nothing was linked" }
        p { "X sent you back without a permission for this service, so all is as it was." }
        p.quiet { "Changed your mind? Send " code { "/connect twitter" } " again in your chat for a new link." }
    };
    Page::new("Nothing was linked", body)
}

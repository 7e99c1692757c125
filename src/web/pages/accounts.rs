//! The accounts page.

use jiff::Timestamp;
use maud::{Markup, html};
use url::Url;

use super::{Page, Pictures, Policy, Visitor, chosen, face};
use crate::{
    account::{Account, AccountState, Tier},
    post::State,
    store::{Scope, Session, SignedIn},
    ticket::ApiToken,
    web::assets,
    words::{self, Act, Deed, Message, Span},
};

/// What the page shows.
pub(in crate::web) struct AccountsPage<'a> {
    pub(in crate::web) base: &'a str,
    pub(in crate::web) session: &'a Session,
    pub(in crate::web) accounts: &'a [Account],
    pub(in crate::web) posts: &'a [Listed],
    pub(in crate::web) tokens: &'a [ApiToken],
    pub(in crate::web) browsers: &'a [SignedIn],
    /// What came of the button that was pressed, or of a link that was made.
    pub(in crate::web) said: Option<&'a str>,
}

/// A post in the list.
pub(in crate::web) struct Listed {
    pub(in crate::web) line: String,
    pub(in crate::web) state: State,
    /// Unix milliseconds.
    pub(in crate::web) created_at: i64,
    /// Its status, as the chat shows it.
    pub(in crate::web) status: Message,
    /// On X.
    pub(in crate::web) link: Option<String>,
}

/// The person's accounts and posts.
pub(in crate::web) fn accounts(page: &AccountsPage<'_>) -> Page {
    let mut pictures = Pictures::default();
    let listed: Vec<_> = page
        .accounts
        .iter()
        .map(|account| (account, pictures.admit(account.avatar_url.as_deref())))
        .collect();
    let moving = page.posts.iter().any(|post| !post.state.is_over());
    let who = words::chat_identity(page.session.person.platform, &page.session.person.name);
    let body = html! {
        @if let Some(said) = page.said { p.said role="status" { (chosen(said)) } }
        h1 data-base=(page.base) { "Accounts of " (chosen(&who)) }
        @if page.accounts.is_empty() {
            p { "No X account is linked yet. Link one, and videos can be published to it." }
        }
        ul.cards {
            @for (account, picture) in &listed { li.card { (page.account(account, picture.as_ref())) } }
        }
        p { a.button .primary[page.accounts.is_empty()] href=(page.link_address()) { "Link an X account" } }
        h2 #posts-title { "Recent posts" }
        div #posts data-moving[moving] aria-labelledby="posts-title" role="region" {
            @if page.posts.is_empty() {
                p.quiet { "Nothing yet." }
            } @else {
                ul.cards { @for post in page.posts { li.card { (page.post(post)) } } }
            }
        }
        @if !page.accounts.is_empty() { p { a.button href={(page.base) "/upload"} { "Upload a video" } } }
        h2 { "API tokens" }
        @if page.tokens.is_empty() {
            p.quiet { "None. " code { "/token" } " in your chat makes one, for a program that posts for you." }
        }
        ul.cards { @for token in page.tokens { li.card { (page.token(token)) } } }
        h2 { "Signed in with these browsers" }
        ul.cards { @for browser in page.browsers { li.card { (page.browser(browser)) } } }
        script type="module" src={(page.base) (assets::path("accounts.js"))} {}
    };
    Page {
        pictures,
        policy: Policy { scripts: true, ..Policy::default() },
        visitor: Some(Visitor { base: page.base.to_owned(), person: page.session.person.clone() }),
        ..Page::new("Accounts and posts", body)
    }
}

impl AccountsPage<'_> {
    fn account(&self, account: &Account, picture: Option<&Url>) -> Markup {
        let several = self.accounts.len() > 1;
        let broken = account.state == AccountState::ReconnectNeeded;
        let name = words::name(&account.username, &account.name);
        html! {
            div.who {
                (face(picture, account.username.chars().next()))
                span {
                    b { (chosen(&name)) }
                    span.quiet {
                        (tier(account.tier))
                        @if account.preferred && several { " · " code { "/post" } " goes here" }
                    }
                    @if broken { span.bad { "X no longer lets this service post here. Connect it again." } }
                }
            }
            div.acts {
                @if broken {
                    a.button.primary href=(self.link_address()) { "Connect again" }
                }
                @if several && !account.preferred {
                    (self.button("Post here by default", &Deed::Prefer(account.id.clone()), "", Some(&name)))
                }
                @if account.others_to_end > 0 {
                    details {
                        summary { "Other people: " (account.others_to_end) span.unseen { " on " (name) } }
                        p { "They can post here too. Posts of theirs that wait are not sent until they connect again." }
                        (self.button("End all others", &Deed::EndOthers(account.id.clone()), "danger", Some(&name)))
                    }
                }
                details {
                    summary { "Disconnect" span.unseen { " " (name) } }
                    p { "Posts that wait to go to it are not made. Posts that are on X stay there." }
                    (self.button("Disconnect now", &Deed::Disconnect(account.id.clone()), "danger", Some(&name)))
                }
            }
        }
    }

    fn link_address(&self) -> String {
        format!("{}/accounts/link", self.base)
    }

    fn post(&self, post: &Listed) -> Markup {
        let at = moment(post.created_at);
        let explained = matches!(post.state, State::Failed | State::NeedsUser);
        html! {
            p { (chosen(&post.line)) " " time.quiet datetime=(at) { (at) } }
            @if explained { p.reason { @for span in &post.status.text { (text(span)) } } }
            @if let Some(link) = &post.link { p { a href=(link) rel="noreferrer" { (link) } } }
            div.acts {
                @for button in &post.status.buttons {
                    @match &button.act {
                        // The link stands above already.
                        Act::Open(_) if post.link.is_some() => {},
                        Act::Open(url) => a.button href=(url) rel="noreferrer" { (button.label) },
                        Act::Do(Deed::Connect) => a.button href=(self.link_address()) { (button.label) },
                        Act::Do(Deed::Upload) => a.button href={(self.base) "/upload"} { (button.label) },
                        Act::Do(deed) => (self.button(&button.label, deed, "", Some(&post.line))),
                    }
                }
            }
        }
    }

    fn token(&self, token: &ApiToken) -> Markup {
        let made = moment(token.created_at);
        let name = if token.name.is_empty() { "A token without a name" } else { &token.name };
        html! {
            p { b { (chosen(name)) } " " span.quiet { "ends in " code { (token.last4) } } }
            p.quiet {
                "Made " time datetime=(made) { (made) }
                @match token.last_used_at.map(moment) {
                    Some(at) => { ", last used " time datetime=(at) { (at) } },
                    None => ", never used",
                }
                "."
            }
            div.acts {
                details {
                    summary { "End it" span.unseen { ": " (chosen(name)) ", ends in " (token.last4) } }
                    p { "Programs that use it are let in no more. Posts under way go on." }
                    (self.button("End the token now", &Deed::RevokeToken(token.id), "danger", Some(&token.last4)))
                }
            }
        }
    }

    fn browser(&self, browser: &SignedIn) -> Markup {
        let (since, used) = (moment(browser.created_at), moment(browser.last_used_at));
        let here = browser.id == self.session.id;
        html! {
            p {
                b { (browser.browser) }
                span.quiet {
                    @if browser.scope == Scope::Upload { " uploads only" }
                    @if here { " this browser" }
                }
            }
            p.quiet { "Since " time datetime=(since) { (since) } ", last used " time datetime=(used) { (used) } "." }
            div.acts { (self.button("Sign out", &Deed::SignOut(browser.id), "", Some(&browser.browser))) }
        }
    }

    /// A button with a form of its own; `of` says to those who do not see the page what it belongs to.
    fn button(&self, label: &str, deed: &Deed, class: &str, of: Option<&str>) -> Markup {
        html! {
            form method="post" action={(self.base) "/accounts"} {
                input type="hidden" name="deed" value=(deed);
                input type="hidden" name="form" value=(self.session.form_token);
                button class=[(!class.is_empty()).then_some(class)] type="submit" {
                    (label) @if let Some(of) = of { span.unseen { ": " (of) } }
                }
            }
        }
    }
}

/// Whole seconds; the script says them in the reader's own time.
fn moment(ms: i64) -> Timestamp {
    Timestamp::from_second(ms.div_euclid(1_000)).unwrap_or_default()
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Free => "X account",
        Tier::Basic => "X account with Basic",
        Tier::Premium => "X account with Premium",
        Tier::PremiumPlus => "X account with Premium+",
    }
}

fn text(span: &Span) -> Markup {
    match span {
        Span::Text(text) => html! { (text) },
        Span::Code(text) => html! { code { (text) } },
        Span::Link(url) => html! { a href=(url) rel="noreferrer" { (url) } },
        Span::Time(at) => {
            let at = moment(*at);
            html! { time datetime=(at) { (at) } }
        }
    }
}

//! The upload page. Its script fills what is hidden here; the words of the script come with the page.

use maud::{Markup, PreEscaped, html};

use super::{Page, Policy, Visitor, chosen};
use crate::{
    account::{Account, AccountState},
    caption,
    post::ALT_TEXT_LIMIT,
    store::{Scope, Session},
    video::MAX_BYTES,
    web::{assets, session::person_tag},
    words,
};

/// What the page shows.
pub(in crate::web) struct UploadPage<'a> {
    pub(in crate::web) base: &'a str,
    /// Where browsers send files, when not to us.
    pub(in crate::web) storage: Option<&'a str>,
    pub(in crate::web) session: &'a Session,
    /// Each with its address on X.
    pub(in crate::web) accounts: &'a [(Account, String)],
}

/// Pick a video, write a caption, post.
pub(in crate::web) fn upload(page: &UploadPage<'_>) -> Page {
    let body = html! {
        h1 #title tabindex="-1" { "Upload a video" }
        // The script takes it away; it shows only once the script has had its time.
        p #needs-script .problem {
            "This page needs JavaScript, to send a large file in parts and to go on where it stopped. Switch it on \
             for this site and reload; or send the video in your chat."
        }
        @if page.accounts.is_empty() {
            p.problem { "No X account is linked yet. Send " code { "/connect twitter" } " in your chat, then reload this page." }
        }
        div #app hidden data-base=(page.base) data-memory=(person_tag(&page.session.person)) data-form=(page.session.form_token) data-max=(MAX_BYTES) {
            div #resume .notice hidden {}
            section #file aria-labelledby="file-title" {
                h2.unseen #file-title { "The video" }
                (picker())
                (chosen_file())
            }
            form #compose novalidate autocomplete="off" {
                fieldset #fields {
                    legend.unseen { "The post" }
                    (caption_field())
                    (account_choice(page.accounts))
                    (options())
                }
                p #refused .problem role="alert" hidden {}
                button #post .primary type="submit" { "Post" }
                button #unpost type="button" hidden { "Change it first" }
                p.quiet #post-hint {}
            }
            section #result hidden aria-labelledby="title" {
                ul #statuses .cards {}
                p #sent .quiet {}
                p #result-note .problem role="status" hidden {}
                button #another type="button" { "Post another video" }
            }
            p #say .unseen role="status" {}
        }
        @if page.session.scope == Scope::Manage {
            p.quiet { a href={(page.base) "/accounts"} { "Accounts and posts" } }
        }
        script #words type="application/json" { (PreEscaped(script_words())) }
        script type="module" src={(page.base) (assets::path("upload.js"))} {}
    };
    Page {
        policy: Policy { scripts: true, preview: true, storage: page.storage.map(str::to_owned) },
        visitor: Some(Visitor { base: page.base.to_owned(), person: page.session.person.clone() }),
        ..Page::new("Upload a video", body)
    }
}

fn picker() -> Markup {
    html! {
        div #picker {
            input #input .unseen type="file" accept="video/*,.mp4,.mov,.m4v,.webm" aria-describedby="picker-hint";
            label #drop .drop for="input" {
                span.button.primary { "Choose a video" }
                span.quiet #picker-hint { "or drop it here, or paste it. MP4 or MOV, up to " (words::size(MAX_BYTES)) "." }
            }
        }
        p #picked .problem role="alert" hidden {}
    }
}

fn chosen_file() -> Markup {
    html! {
        div #chosen hidden {
            video #preview controls muted playsinline preload="metadata" aria-label="Preview of your video" {}
            p #facts {}
            div #transfer {
                p #progress-label { "Upload" }
                progress #bar max="100" value="0" aria-labelledby="progress-label" {}
                p #progress .quiet {}
                p #trouble .problem role="alert" hidden {}
                div.acts {
                    button #again type="button" hidden { "Try again now" }
                    button #drop-file type="button" { "Cancel the upload" }
                }
            }
        }
    }
}

fn caption_field() -> Markup {
    html! {
        div.field {
            label for="caption" { "Caption" }
            textarea #caption name="caption" rows="4" aria-describedby="counter price" {}
            p.below { span #counter { "0 of " (caption::LIMIT) } span #price {} }
            p #caption-problem .problem role="alert" hidden {}
        }
    }
}

fn account_choice(accounts: &[(Account, String)]) -> Markup {
    let several = accounts.len() > 1;
    html! {
        @if let [(only, _)] = accounts {
            p.field #account { "It goes to " b { (chosen(&words::name(&only.username, &only.name))) } "." (broken(only)) }
        }
        fieldset.field #accounts hidden[!several] {
            legend { "Post to" }
            @for (account, profile) in accounts {
                label.choice {
                    input type="checkbox" name="account" value={"twitter:" (account.id)} checked[!several || account.preferred]
                        data-name={"@" (account.username)} data-profile=(profile) data-limit=(caption::limit_for(account.tier));
                    span { (chosen(&words::name(&account.username, &account.name))) (broken(account)) }
                }
            }
            p #same .quiet role="status" hidden {}
        }
    }
}

fn broken(account: &Account) -> Markup {
    html! {
        @if account.state == AccountState::ReconnectNeeded {
            span.bad { "It must be connected again: send " code { "/connect twitter" } " in your chat." }
        }
    }
}

fn options() -> Markup {
    html! {
        details.field #options {
            summary { "More options" }
            div.field {
                label for="replies" { "Who can reply" }
                select #replies name="replies" {
                    option value="" { "Everyone" }
                    option value="following" { "Accounts you follow" }
                    option value="mentionedUsers" { "Accounts you mention" }
                    option value="verified" { "Verified accounts" }
                    option value="subscribers" { "Your subscribers" }
                }
            }
            div.field {
                label for="alt" { "Description for people who do not see the video" }
                textarea #alt name="alt_text" rows="2" maxlength=(ALT_TEXT_LIMIT) {}
            }
            fieldset.field {
                legend { "Warn before it is shown" }
                label.choice { input type="checkbox" name="adult_content"; span { "Nudity or sexual content" } }
                label.choice { input type="checkbox" name="graphic_violence"; span { "Violence" } }
                label.choice { input type="checkbox" name="other"; span { "Otherwise sensitive" } }
            }
            fieldset.field {
                legend { "Declare" }
                label.choice { input type="checkbox" name="made_with_ai"; span { "Made with AI" } }
                label.choice { input type="checkbox" name="paid_partnership"; span { "Paid partnership" } }
            }
        }
    }
}

/// The words of the script, as JSON that cannot end the element it stands in.
fn script_words() -> String {
    words::BROWSER.replace('<', "\\u003c")
}

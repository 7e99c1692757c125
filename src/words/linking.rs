//! Connecting and disconnecting X accounts.

use super::{Deed, Message};
use crate::account::{Account, AccountState, Platform, Profile};

/// The answer to `/connect twitter`.
pub fn connect(url: &str) -> Message {
    Message::text("Link your X account. The link is yours alone and lasts 10 minutes.")
        .open("Authorise on X", url)
}

/// `/connect` with anything but `twitter`.
pub fn connect_what(what: &str) -> Message {
    match what {
        "" => Message::text("Which service? Send /connect twitter to link an X account."),
        _ => Message::text("I can only connect X so far. Send /connect twitter."),
    }
}

/// Said in a group when the person cannot be written to in private.
pub fn open_private_chat(link: Option<&str>) -> Message {
    let message = Message::text(
        "That is between the two of us. Open a private chat with me, press Start, and send it there.",
    );
    match link {
        Some(link) => message.open("Open private chat", link),
        None => message,
    }
}

/// The chat's word after the browser confirmed.
pub fn linked(profile: &Profile) -> Message {
    Message::text(format!(
        "Linked {}. Upload a video with /post to publish it.",
        name(&profile.username, &profile.name)
    ))
}

/// `@alice_makes (Alice)`
pub fn name(username: &str, display: &str) -> String {
    let display: String = display.chars().filter(|c| !c.is_control()).take(60).collect();
    match display.trim() {
        "" => format!("@{username}"),
        display => format!("@{username} ({display})"),
    }
}

/// `Discord user alice`
pub fn chat_identity(platform: Platform, person: &str) -> String {
    match platform {
        Platform::Console => "this console".to_owned(),
        platform => {
            let person: String = person.chars().filter(|c| !c.is_control()).take(60).collect();
            format!("{} user {person}", platform.title())
        }
    }
}

/// A person has no account yet.
pub fn not_linked() -> Message {
    Message::text("You have not linked an X account yet. Link one, then send the video again.")
        .button("Connect X", Deed::Connect)
}

/// Accounts that a list names one by one: a message holds so many with names as long as X allows.
const LISTED: usize = 8;
/// User names that a sentence names.
const NAMED: usize = 20;

/// `/accounts`
pub fn accounts(accounts: &[Account]) -> Message {
    if accounts.is_empty() {
        return Message::text("You have not linked an X account yet.").button("Connect X", Deed::Connect);
    }
    let mut message = Message::text(match accounts.len() {
        1 => "Your X account:",
        _ => "Your X accounts:",
    });
    for account in accounts.iter().take(LISTED) {
        let mut line = format!("\n{}", name(&account.username, &account.name));
        if account.preferred && accounts.len() > 1 {
            line += " · /post goes here";
        }
        if account.state == AccountState::ReconnectNeeded {
            line += " · must be connected again";
        }
        match account.others_to_end {
            0 => {}
            1 => line += " · 1 other person can post here",
            others => line += &format!(" · {others} other people can post here"),
        }
        message = message.then(line);
    }
    if accounts.len() > LISTED {
        message = message.then(format!("\nand {} more", accounts.len() - LISTED));
    }
    for account in accounts.iter().take(4) {
        if !account.preferred {
            message =
                message.button(&format!("Post to @{}", account.username), Deed::Prefer(account.id.clone()));
        }
    }
    if accounts.iter().any(|account| account.state == AccountState::ReconnectNeeded) {
        message = message.button("Reconnect", Deed::Connect);
    }
    for account in accounts.iter().filter(|account| account.others_to_end > 0).take(4) {
        let label = match accounts.len() {
            1 => "End all others".to_owned(),
            _ => format!("End all others on @{}", account.username),
        };
        message = message.button(&label, Deed::AskEndOthers(account.id.clone()));
    }
    message
}

/// *End all others*, before it is done: it stops other people's posts.
pub fn end_others_question(account: &Account) -> Message {
    let name = name(&account.username, &account.name);
    let (who, label) = match account.others_to_end {
        1 => ("1 other person".to_owned(), "End the connection".to_owned()),
        others => (format!("{others} other people"), format!("End {others} connections")),
    };
    Message::text(format!(
        "{who} can post to {name}. If you end that, their waiting posts are not sent until they connect the account again."
    ))
    .button(&label, Deed::EndOthers(account.id.clone()))
}

/// After *End all others*.
pub fn others_ended(account: &Account, ended: usize) -> Message {
    let account = name(&account.username, &account.name);
    Message::text(match ended {
        0 => format!("Nobody else is connected to {account}."),
        1 => format!("Ended 1 person's connection to {account}. Their waiting posts are not sent."),
        _ => format!("Ended {ended} people's connections to {account}. Their waiting posts are not sent."),
    })
}

/// *End all others* by somebody who does not own the account.
pub fn not_the_owner() -> Message {
    Message::text(
        "Only the person who connected this account last can end other people's connections. Connect it again to do that.",
    )
    .button("Connect X", Deed::Connect)
}

/// Said to a person whose connection the account's owner ended.
pub fn connection_ended(username: &str, display: &str) -> Message {
    Message::text(format!(
        "The owner of {} ended your connection to it. Your waiting posts are kept: connect it again and they go on.",
        name(username, display)
    ))
    .button("Connect again", Deed::Connect)
}

/// After a button chose where `/post` goes.
pub fn preferred(account: &Account) -> Message {
    Message::text(format!("/post now goes to {}.", name(&account.username, &account.name)))
}

/// `/disconnect` where there is a choice to make.
pub fn disconnect_which(accounts: &[Account]) -> Message {
    accounts.iter().take(5).fold(Message::text("Which account shall I disconnect?"), |message, account| {
        message.button(&format!("@{}", account.username), Deed::Disconnect(account.id.clone()))
    })
}

/// A name that is none of the person's accounts.
pub fn unknown_account(name: &str, accounts: &[Account]) -> Message {
    let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    let mut known: Vec<_> =
        accounts.iter().take(NAMED).map(|account| format!("@{}", account.username)).collect();
    if accounts.len() > NAMED {
        known.push(format!("and {} more", accounts.len() - NAMED));
    }
    Message::text(format!("You have not linked @{name}. Linked: {}.", known.join(", ")))
}

/// Nothing to disconnect.
pub fn nothing_linked() -> Message {
    Message::text("You have no linked X account, so there is nothing to disconnect.")
}

/// After `/disconnect`. `revoked` is false when X could not be told.
pub fn disconnected(account: &Account, others: bool, revoked: bool) -> Message {
    let name = name(&account.username, &account.name);
    Message::text(match (others, revoked) {
        (true, _) => format!("Disconnected {name} from you. Others here still post to it."),
        (false, true) => format!("Disconnected {name}. X has been told, and I have forgotten its keys."),
        (false, false) => format!(
            "Disconnected {name}, and I have forgotten its keys. X could not be told just now; \
             you can remove the app yourself under Settings, Connected apps, on X."
        ),
    })
}

//! From a Telegram update to what a person asks.

use super::wire::{CallbackQuery, Entity, Media, Message, Update, User};
use crate::{
    account::{Group, Person, Place, Platform},
    chat::{Ask, Incoming},
    post::{Attachment, Kind, Options},
    ticket::Ticket,
};

/// What `update` asks of the bot named `me`, if it asks anything of it.
///
/// Only people ask: bots and channels are not somebody who could have linked an account. Only their own words count: a
/// forwarded command is somebody else's.
pub(super) fn understand(update: &Update, me: &str) -> Option<Incoming> {
    match update {
        Update { message: Some(message), .. } => from_message(message, me),
        Update { edited_message: Some(message), .. } => from_edit(message, me),
        Update { callback_query: Some(query), .. } => from_press(query),
        _ => None,
    }
}

fn from_message(message: &Message, me: &str) -> Option<Incoming> {
    if message.sender_chat.is_some() {
        return from_nobody(message, me);
    }
    let sender = message.from.as_ref().filter(|user| !user.is_bot)?;
    if message.chat.kind == "channel" {
        return None;
    }
    let words = words(message);
    let ask = match words.as_deref().and_then(command).filter(|_| is_own(message)) {
        Some(command) => ask(&command, message, me)?,
        // An album is one message per picture, and the first carries the words.
        None if message.media_group_id.is_some() && words.is_none() => return None,
        // What the service itself writes, such as that a message was pinned, has neither.
        None if words.is_none() && attachment(&message.media).is_none() => return None,
        None if message.chat.is_private() => Ask::Help,
        None => return None,
    };
    Some(Incoming { from: person(sender), at: place(message, sender), ask, groups: groups(message) })
}

/// A command in the name of a group or channel. Telegram puts a bot of its own in place of the person.
fn from_nobody(message: &Message, me: &str) -> Option<Incoming> {
    let stand_in = message.from.as_ref()?;
    if message.is_automatic_forward || message.chat.kind == "channel" || !is_own(message) {
        return None;
    }
    ask(&command(&words(message)?)?, message, me)?;
    Some(Incoming {
        from: person(stand_in),
        at: place(message, stand_in),
        ask: Ask::Anonymous,
        groups: Vec::new(),
    })
}

/// A `/post` whose text was edited; other edits ask for nothing.
fn from_edit(message: &Message, me: &str) -> Option<Incoming> {
    let sender = message.from.as_ref().filter(|user| !user.is_bot && message.sender_chat.is_none())?;
    let words = words(message)?;
    let command = command(&words).filter(|_| is_own(message))?;
    let Ask::Post { caption, dedupe_key, .. } = ask(&command, message, me)? else { return None };
    Some(Incoming {
        from: person(sender),
        at: place(message, sender),
        ask: Ask::Edit { caption, dedupe_key },
        groups: groups(message),
    })
}

/// Whether the words of a message are its sender's own.
fn is_own(message: &Message) -> bool {
    message.forward_origin.is_none() && message.via_bot.is_none()
}

/// The text or caption of a message, with the addresses behind its links.
fn words(message: &Message) -> Option<String> {
    match (&message.text, &message.caption) {
        (Some(text), _) => Some(with_addresses(text, &message.entities)),
        (None, Some(caption)) => Some(with_addresses(caption, &message.caption_entities)),
        (None, None) => None,
    }
}

/// The text with the address of each link behind the words that carry it: X shows no links under words.
fn with_addresses(text: &str, entities: &[Entity]) -> String {
    let links = entities.iter().filter(|entity| entity.kind == "text_link");
    let mut links: Vec<(usize, usize, &str)> = links
        .filter_map(|link| {
            let url = link.url.as_deref().filter(|url| url.starts_with("http"))?;
            Some((byte_at(text, link.offset)?, byte_at(text, link.offset.checked_add(link.length)?)?, url))
        })
        .collect();
    links.sort_unstable();
    let mut whole = String::new();
    let mut written = 0;
    for (start, end, url) in links {
        // Links do not overlap, unless somebody else made the update.
        if start < written || end <= start {
            continue;
        }
        let bare = |address: &str| {
            let address = address.trim_start_matches("https://").trim_start_matches("http://");
            address.trim_end_matches('/').to_owned()
        };
        if bare(&text[start..end]) == bare(url) {
            whole.push_str(&text[written..start]);
            whole.push_str(url);
        } else {
            whole.push_str(&text[written..end]);
            whole.push_str(&format!(" ({url})"));
        }
        written = end;
    }
    whole.push_str(&text[written..]);
    whole
}

/// The byte at which a number of UTF-16 units ends.
fn byte_at(text: &str, units: usize) -> Option<usize> {
    let mut passed = 0;
    let starts = text.char_indices().map(|(at, c)| (at, c.len_utf16())).chain([(text.len(), 0)]);
    for (at, length) in starts {
        if passed == units {
            return Some(at);
        }
        passed += length;
    }
    None
}

fn from_press(query: &CallbackQuery) -> Option<Incoming> {
    let deed = query.data.as_deref()?.parse().ok()?;
    let message = query.message.as_ref()?;
    Some(Incoming {
        from: person(&query.from),
        at: place(message, &query.from),
        ask: Ask::Press(deed),
        groups: groups(message),
    })
}

struct Command<'a> {
    name: String,
    /// The bot it names, as in `/post@bot`.
    bot: Option<&'a str>,
    rest: &'a str,
}

// Read from the text: the entities that mark commands count in UTF-16 and add nothing.
fn command(text: &str) -> Option<Command<'_>> {
    let text = text.strip_prefix('/')?;
    let (name, tail) = word(text);
    let (bot, tail) = match tail.strip_prefix('@').map(word) {
        Some((bot, tail)) if !bot.is_empty() => (Some(bot), tail),
        _ => (None, tail),
    };
    let rest = behind_name(tail)?;
    (1..=32).contains(&name.len()).then(|| Command { name: name.to_ascii_lowercase(), bot, rest })
}

/// The letters, digits and underscores at the start, and what follows.
fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()))
}

/// What follows the name of a command, without what people set between the two: `/post: x`, `/post🎬 x`. `None` when that
/// was no name at all, but the beginning of a path or of a word.
fn behind_name(tail: &str) -> Option<&str> {
    let begins = |c: char| c.is_alphanumeric() || c.is_whitespace() || "#$\"'“”«([<@".contains(c);
    let rest = tail.trim_start_matches(|c: char| !begins(c) && c != '/');
    let separated = rest.len() < tail.len();
    match rest.chars().next() {
        Some('/') if !separated => None,
        Some(c) if c.is_alphanumeric() && !separated => None,
        _ => Some(rest.trim()),
    }
}

fn ask(command: &Command<'_>, message: &Message, me: &str) -> Option<Ask> {
    if command.bot.is_some_and(|bot| !bot.eq_ignore_ascii_case(me)) {
        return None;
    }
    let rest = command.rest.to_owned();
    Some(match command.name.as_str() {
        "connect" => Ask::Connect { what: rest },
        "post" => Ask::Post {
            caption: rest,
            options: Options::default(),
            account: String::new(),
            file: file(message),
            dedupe_key: format!("telegram:{}:{}", message.chat.id, message.message_id),
        },
        "posts" => Ask::Posts,
        "accounts" => Ask::Accounts,
        "disconnect" => Ask::Disconnect { what: rest },
        "cancel" => Ask::Cancel,
        "upload" => Ask::Upload,
        "web" => Ask::Web,
        "token" => Ask::Token { name: rest },
        "tokens" => Ask::Tokens,
        "help" => Ask::Help,
        "claim" => Ask::Claim { code: rest },
        // `t.me/bot?start=CODE` opens the chat with the code behind the command; other links may carry other words.
        "start" if Ticket::shown(&rest).is_some() => Ask::Claim { code: rest },
        "start" => Ask::Start,
        _ if message.chat.is_private() || command.bot.is_some() => {
            Ask::Unknown { command: command.name.clone() }
        }
        // Somebody else's bot may know it.
        _ => return None,
    })
}

/// The file that a message is about: its own, or that of the message it replies to, here or in another chat.
fn file(message: &Message) -> Option<Attachment> {
    let replied = || attachment(&message.reply_to_message.as_ref()?.media);
    let elsewhere = || attachment(message.external_reply.as_ref()?);
    attachment(&message.media).or_else(replied).or_else(elsewhere)
}

pub(super) fn attachment(media: &Media) -> Option<Attachment> {
    let largest = media.photo.iter().flatten().max_by_key(|size| size.width);
    // An animation comes as a document too.
    let (file, kind) = [
        (media.video.as_ref(), Kind::Video),
        (media.animation.as_ref(), Kind::Animation),
        (media.video_note.as_ref(), Kind::VideoNote),
        (media.document.as_ref(), Kind::File),
        (media.audio.as_ref(), Kind::Audio),
        (media.voice.as_ref(), Kind::Voice),
        (media.sticker.as_ref(), Kind::Sticker),
        (largest, Kind::Photo),
    ]
    .into_iter()
    .find_map(|(file, kind)| Some((file?, kind)))?;
    Some(Attachment {
        platform: Platform::Telegram,
        source: file.file_id.clone(),
        name: file.file_name.clone().unwrap_or_else(|| unnamed(kind).to_owned()),
        bytes: file.file_size,
        content_type: file.mime_type.clone(),
        kind,
    })
}

fn unnamed(kind: Kind) -> &'static str {
    match kind {
        Kind::Video => "video",
        Kind::Animation => "animation",
        Kind::VideoNote => "round video",
        Kind::File => "file",
        Kind::Photo => "photo",
        Kind::Voice => "voice message",
        Kind::Audio => "audio",
        Kind::Sticker => "sticker",
        Kind::Upload => "video",
    }
}

fn person(user: &User) -> Person {
    // Anybody can take another's first and last name; a user name is one person's.
    let name = match (&user.username, &user.last_name) {
        (Some(username), _) => format!("@{username}"),
        (None, last) => {
            let full = [Some(&user.first_name), last.as_ref()].into_iter().flatten();
            let full = full.map(String::as_str).collect::<Vec<_>>().join(" ");
            format!("{} (no user name)", full.replace(['@', '＠', '﹫'], ""))
        }
    };
    Person { platform: Platform::Telegram, id: user.id.to_string(), name }
}

/// Whoever writes in a group, or presses a button there, is in it.
fn groups(message: &Message) -> Vec<Group> {
    match message.chat.is_private() {
        true => Vec::new(),
        false => vec![Group::TelegramChat(message.chat.id.to_string())],
    }
}

fn place(message: &Message, asker: &User) -> Place {
    // Outside forums a thread is a mere chain of replies, and cannot be written to.
    let topic = message.message_thread_id.filter(|_| message.is_topic_message);
    Place {
        platform: Platform::Telegram,
        chat: message.chat.id.to_string(),
        thread: topic.map(|topic| topic.to_string()),
        message: Some(message.message_id.to_string()),
        person: asker.id.to_string(),
        private: message.chat.is_private(),
        interaction: None,
    }
}

#[cfg(test)]
mod tests;

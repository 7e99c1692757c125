//! From a Telegram update to what a person asks.

use super::wire::{CallbackQuery, Message, Update, User};
use crate::{
    account::{Group, Person, Place, Platform},
    chat::{Ask, Incoming},
    post::{Attachment, Kind, Options},
};

/// What `update` asks of the bot named `me`, if it asks anything of it.
///
/// Only people ask: bots, channels and anonymous administrators are not somebody who could have
/// linked an account. Only their own words count: a forwarded command is somebody else's.
pub(super) fn understand(update: &Update, me: &str) -> Option<Incoming> {
    match update {
        Update { message: Some(message), .. } => from_message(message, me),
        Update { callback_query: Some(query), .. } => from_press(query),
        _ => None,
    }
}

fn from_message(message: &Message, me: &str) -> Option<Incoming> {
    let sender = message.from.as_ref().filter(|user| !user.is_bot)?;
    if message.sender_chat.is_some() || message.chat.kind == "channel" {
        return None;
    }
    let words = message.text.as_ref().or(message.caption.as_ref());
    let own = message.forward_origin.is_none() && message.via_bot.is_none();
    let ask = match words.and_then(|words| command(words)).filter(|_| own) {
        Some(command) => ask(&command, message, me)?,
        // An album is one message per picture, and the first carries the words.
        None if message.media_group_id.is_some() && words.is_none() => return None,
        // What the service itself writes, such as that a message was pinned, has neither.
        None if words.is_none() && attachment(message).is_none() => return None,
        None if message.chat.is_private() => Ask::Help,
        None => return None,
    };
    Some(Incoming { from: person(sender), at: place(message, sender), ask, groups: groups(message) })
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
    let (head, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (name, bot) = match head.split_once('@') {
        Some((name, bot)) => (name, Some(bot)),
        None => (head, None),
    };
    let is_name =
        (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then(|| Command { name: name.to_ascii_lowercase(), bot, rest: rest.trim() })
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
            file: attachment(message).or_else(|| attachment(message.reply_to_message.as_ref()?)),
            dedupe_key: format!("telegram:{}:{}", message.chat.id, message.message_id),
        },
        "posts" => Ask::Posts,
        "accounts" => Ask::Accounts,
        "disconnect" => Ask::Disconnect { what: rest },
        "cancel" => Ask::Cancel,
        "upload" => Ask::Upload,
        "token" => Ask::Token,
        "help" => Ask::Help,
        "start" => Ask::Start,
        _ if message.chat.is_private() || command.bot.is_some() => {
            Ask::Unknown { command: command.name.clone() }
        }
        // Somebody else's bot may know it.
        _ => return None,
    })
}

fn attachment(message: &Message) -> Option<Attachment> {
    let largest = message.photo.iter().flatten().max_by_key(|size| size.width);
    // An animation comes as a document too.
    let (file, kind) = [
        (message.video.as_ref(), Kind::Video),
        (message.animation.as_ref(), Kind::Animation),
        (message.video_note.as_ref(), Kind::VideoNote),
        (message.document.as_ref(), Kind::File),
        (message.audio.as_ref(), Kind::Audio),
        (message.voice.as_ref(), Kind::Voice),
        (message.sticker.as_ref(), Kind::Sticker),
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

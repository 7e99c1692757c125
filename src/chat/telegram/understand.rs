//! From a Telegram update to what a person asks.

use teloxide::types::{
    CallbackQuery, Chat, FileMeta, MaybeInaccessibleMessage, Message, MessageKind, Update, UpdateKind, User,
};

use crate::{
    account::{Person, Place, Platform},
    chat::{Ask, Incoming},
    post::{Attachment, Kind},
};

/// What `update` asks of the bot named `me`, if it asks anything of it.
///
/// Only people ask: bots, channels and anonymous administrators are not somebody who could have
/// linked an account. Only their own words count: a forwarded command is somebody else's.
pub(super) fn understand(update: &Update, me: &str) -> Option<Incoming> {
    match &update.kind {
        UpdateKind::Message(message) => from_message(message, me),
        UpdateKind::CallbackQuery(query) => from_press(query),
        _ => None,
    }
}

fn from_message(message: &Message, me: &str) -> Option<Incoming> {
    let sender = message.from.as_ref().filter(|user| !user.is_bot)?;
    let MessageKind::Common(common) = &message.kind else {
        return None;
    };
    if message.sender_chat.is_some() || message.chat.is_channel() {
        return None;
    }
    let private = message.chat.is_private();
    let words = message.text().or(message.caption()).unwrap_or_default();
    let own = common.forward_origin.is_none() && message.via_bot.is_none();
    let ask = match command(words).filter(|_| own) {
        Some(command) => ask(&command, message, me)?,
        // An album is one message per picture, and the first carries the words.
        None if message.media_group_id().is_some() && words.is_empty() => return None,
        None if private => Ask::Help,
        None => return None,
    };
    let thread = message.thread_id.filter(|_| message.is_topic_message);
    Some(Incoming {
        from: person(sender),
        at: Place {
            thread: thread.map(|thread| thread.0.to_string()),
            message: Some(message.id.to_string()),
            ..place(&message.chat, sender)
        },
        ask,
    })
}

fn from_press(query: &CallbackQuery) -> Option<Incoming> {
    let deed = query.data.as_deref()?.parse().ok()?;
    let message = query.message.as_ref()?;
    let thread = match message {
        MaybeInaccessibleMessage::Regular(message) if message.is_topic_message => message.thread_id,
        _ => None,
    };
    Some(Incoming {
        from: person(&query.from),
        at: Place {
            thread: thread.map(|thread| thread.0.to_string()),
            message: Some(message.id().to_string()),
            ..place(message.chat(), &query.from)
        },
        ask: Ask::Press(deed),
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
            file: attachment(message).or_else(|| attachment(message.reply_to_message()?)),
            dedupe_key: format!("telegram:{}:{}", message.chat.id, message.id),
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
    let (file, name, kind, mime) = if let Some(it) = message.video() {
        (&it.file, it.file_name.as_ref(), Kind::Video, it.mime_type.as_ref())
    } else if let Some(it) = message.animation() {
        (&it.file, it.file_name.as_ref(), Kind::Animation, it.mime_type.as_ref())
    } else if let Some(it) = message.video_note() {
        (&it.file, None, Kind::VideoNote, None)
    } else if let Some(it) = message.document() {
        (&it.file, it.file_name.as_ref(), Kind::File, it.mime_type.as_ref())
    } else if let Some(it) = message.audio() {
        (&it.file, it.file_name.as_ref(), Kind::Audio, it.mime_type.as_ref())
    } else if let Some(it) = message.voice() {
        (&it.file, None, Kind::Voice, it.mime_type.as_ref())
    } else if let Some(it) = message.sticker() {
        (&it.file, None, Kind::Sticker, None)
    } else {
        let largest = message.photo()?.iter().max_by_key(|size| size.width)?;
        (&largest.file, None, Kind::Photo, None)
    };
    Some(Attachment {
        platform: Platform::Telegram,
        source: file.id.0.clone(),
        name: name.map_or_else(|| unnamed(kind).to_owned(), String::clone),
        // teloxide's word for a size that Telegram did not give.
        bytes: (file.size != u32::MAX).then_some(u64::from(file.size)),
        content_type: mime.map(ToString::to_string),
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
    Person { platform: Platform::Telegram, id: user.id.to_string(), name: user.full_name() }
}

fn place(chat: &Chat, asker: &User) -> Place {
    Place {
        platform: Platform::Telegram,
        chat: chat.id.to_string(),
        thread: None,
        message: None,
        person: asker.id.to_string(),
        private: chat.is_private(),
        interaction: None,
    }
}

#[cfg(test)]
mod tests;

//! Albums: Telegram sends each of their files in a message of its own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    understand::attachment,
    wire::{Message, Update},
};
use crate::{
    chat::{Ask, Incoming},
    post::{Attachment, Kind},
};

/// How long the files of an album may follow the one with the words.
pub(super) const ALBUM_IS_WHOLE: Duration = Duration::from_secs(1);
/// How many albums are remembered.
const REMEMBERED: usize = 128;

/// The albums that this process has seen lately. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Albums(Arc<Mutex<VecDeque<Album>>>);

struct Album {
    chat: i64,
    id: String,
    /// By message id.
    files: Vec<(i64, Attachment)>,
}

impl Albums {
    /// Remembers the file of a message that is part of an album.
    pub(super) fn note(&self, update: &Update) {
        let Some(message) = &update.message else { return };
        let (Some(id), Some(file)) = (&message.media_group_id, attachment(&message.media)) else { return };
        let mut albums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = albums.iter().position(|album| album.chat == message.chat.id && album.id == *id);
        let album = match known {
            Some(at) => &mut albums[at],
            None => {
                if albums.len() == REMEMBERED {
                    albums.pop_front();
                }
                albums.push_back(Album { chat: message.chat.id, id: id.clone(), files: Vec::new() });
                let last = albums.len() - 1;
                &mut albums[last]
            }
        };
        album.files.retain(|(of, _)| *of != message.message_id);
        album.files.push((message.message_id, file));
        album.files.sort_by_key(|(of, _)| *of);
    }

    /// Puts the video of an album in place of its picture, for the words may be those of any of its messages. Returns how
    /// many files of the album are left out.
    pub(super) fn complete(&self, update: &Update, incoming: &mut Incoming) -> usize {
        let (Some(message), Ask::Post { file, .. }) = (&update.message, &mut incoming.ask) else { return 0 };
        let Some((chat, id)) = album_of(message) else { return 0 };
        let albums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(album) = albums.iter().find(|album| album.chat == chat && album.id == id) else { return 0 };
        let files = || album.files.iter().map(|(_, file)| file);
        if file.as_ref().is_none_or(|file| file.kind != Kind::Video) {
            let video = files().find(|file| file.kind == Kind::Video);
            let maybe = files().find(|file| file.kind.may_be_video());
            *file = video.or(maybe).cloned().or(file.take());
        }
        // Without a video nothing is posted, and the refusal says so.
        match file {
            Some(file) if file.kind.may_be_video() => files().count().saturating_sub(1),
            _ => 0,
        }
    }
}

/// Whether a message asks for a post with an album, whose other messages may still be on their way.
pub(super) fn album_of(message: &Message) -> Option<(i64, &str)> {
    let replied = || message.reply_to_message.as_ref().filter(|_| attachment(&message.media).is_none());
    let id = match &message.media_group_id {
        Some(id) => Some(id),
        None => replied().and_then(|replied| replied.media_group_id.as_ref()),
    };
    Some((message.chat.id, id?))
}

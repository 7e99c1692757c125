//! Albums: Telegram sends each of their files in a message of its own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    parse::{attachment, understand},
    wire::{Message, Update},
};
use crate::{
    chat::{Ask, Incoming},
    post::{Attachment, Kind},
};

/// Number of albums that are remembered.
const REMEMBERED: usize = 128;

/// The albums that this process received lately. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Albums(Arc<Mutex<VecDeque<Album>>>);

struct Album {
    chat: i64,
    id: String,
    /// By message id.
    files: Vec<(i64, Attachment)>,
    /// A `/post` that waits for the album's video.
    held: Option<Update>,
}

impl Albums {
    /// Remembers the file of a message that is part of an album.
    pub(super) fn note(&self, update: &Update) {
        let Some((message, id)) = part_of_album(update) else { return };
        let Some(file) = attachment(&message.media) else { return };
        let mut albums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = albums.iter().position(|album| album.is(message, id));
        let at = known.unwrap_or_else(|| {
            if albums.len() == REMEMBERED {
                albums.pop_front();
            }
            let (chat, id) = (message.chat.id, id.to_owned());
            albums.push_back(Album { chat, id, files: Vec::new(), held: None });
            albums.len() - 1
        });
        let files = &mut albums[at].files;
        files.retain(|(of, _)| *of != message.message_id);
        files.push((message.message_id, file));
        files.sort_by_key(|(of, _)| *of);
    }

    /// Keeps a `/post` of an album that was noted, until [`Albums::take`].
    pub(super) fn hold(&self, update: Update) {
        let mut albums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let album = part_of_album(&update).and_then(|(message, id)| {
            let mut albums = albums.iter_mut();
            albums.find(|album| album.is(message, id))
        });
        if let Some(album) = album {
            album.held = Some(update);
        }
    }

    /// The `/post` that is held for an album, if it still is.
    pub(super) fn take(&self, chat: i64, id: &str) -> Option<Update> {
        let mut albums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let album = albums.iter_mut().find(|album| album.chat == chat && album.id == id)?;
        album.held.take()
    }

    /// Replaces the picture of a post by its album's video, since the caption may be under any of the files. Returns
    /// whether files of the album are left out.
    pub(super) fn complete(&self, update: &Update, incoming: &mut Incoming) -> bool {
        let (Some(message), Ask::Post { file, .. }) = (&update.message, &mut incoming.ask) else {
            return false;
        };
        let replied = || message.reply_to_message.as_ref().filter(|_| attachment(&message.media).is_none());
        let id = match &message.media_group_id {
            Some(id) => Some(id),
            None => replied().and_then(|replied| replied.media_group_id.as_ref()),
        };
        let Some(id) = id else { return false };
        let albums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(album) = albums.iter().find(|album| album.is(message, id)) else { return false };
        let files = || album.files.iter().map(|(_, file)| file);
        if file.as_ref().is_none_or(|file| file.kind != Kind::Video) {
            let video = files().find(|file| file.kind == Kind::Video);
            let maybe = files().find(|file| file.kind.may_be_video());
            *file = video.or(maybe).cloned().or(file.take());
        }
        // An album has two files or more. Without a video nothing is posted, and the refusal says so.
        file.as_ref().is_some_and(|file| file.kind.may_be_video())
    }
}

impl Album {
    fn is(&self, message: &Message, id: &str) -> bool {
        self.chat == message.chat.id && self.id == id
    }
}

/// The message of an update that is part of an album, and the album's id.
pub(super) fn part_of_album(update: &Update) -> Option<(&Message, &str)> {
    let message = update.message.as_ref()?;
    Some((message, message.media_group_id.as_deref()?))
}

/// Whether an update brings a video of an album.
pub(super) fn brings_video(update: &Update) -> bool {
    let file = part_of_album(update).and_then(|(message, _)| attachment(&message.media));
    file.is_some_and(|file| file.kind == Kind::Video)
}

/// Whether an update asks for something with an album whose video may be in a later update.
pub(super) fn lacks_video(update: &Update, me: &str) -> bool {
    part_of_album(update).is_some() && !brings_video(update) && understand(update, me).is_some()
}

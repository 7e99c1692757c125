//! The chat of a terminal: what `toall demo` speaks through, and what tests read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt};
use tokio::{fs::File, sync::watch};
use tokio_util::io::ReaderStream;

use super::{Audience, ChatError, Download};
use crate::{
    account::{MessageRef, Place},
    post::Attachment,
    words::Message,
};

/// A chat kept in memory. Clones show the same messages.
#[derive(Clone, Default)]
pub struct Console(Arc<Inner>);

#[derive(Default)]
struct Inner {
    messages: Mutex<Vec<Shown>>,
    changes: watch::Sender<u64>,
    faults: Mutex<Vec<ChatError>>,
}

/// A message as it stands.
#[derive(Clone, Debug)]
pub struct Shown {
    pub at: MessageRef,
    pub audience: Audience,
    pub message: Message,
    /// Every text it ever showed, oldest first.
    pub history: Vec<Message>,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Console {
    /// Everything said so far, in order.
    pub fn messages(&self) -> Vec<Shown> {
        held(&self.0.messages).clone()
    }

    /// Changes with every message and edit.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Takes a message away, as a person may.
    pub fn delete(&self, at: &MessageRef) {
        held(&self.0.messages).retain(|shown| shown.at != *at);
    }

    /// Has the next calls fail, one each, in this order.
    pub fn fail_next(&self, errors: impl IntoIterator<Item = ChatError>) {
        let mut faults = held(&self.0.faults);
        faults.extend(errors);
    }

    fn fault(&self) -> Result<(), ChatError> {
        let mut faults = held(&self.0.faults);
        if faults.is_empty() { Ok(()) } else { Err(faults.remove(0)) }
    }

    pub(super) fn say(
        &self,
        to: &Place,
        audience: Audience,
        message: &Message,
    ) -> Result<MessageRef, ChatError> {
        self.fault()?;
        let mut messages = held(&self.0.messages);
        let number =
            messages.iter().filter_map(|shown| shown.at.message.parse::<u64>().ok()).max().unwrap_or(0) + 1;
        let at = MessageRef { chat: to.chat.clone(), message: number.to_string() };
        messages.push(Shown {
            at: at.clone(),
            audience,
            message: message.clone(),
            history: vec![message.clone()],
        });
        drop(messages);
        self.0.changes.send_modify(|count| *count += 1);
        Ok(at)
    }

    pub(super) fn edit(&self, at: &MessageRef, message: &Message) -> Result<MessageRef, ChatError> {
        self.fault()?;
        let mut messages = held(&self.0.messages);
        let shown = messages
            .iter_mut()
            .find(|shown| shown.at == *at)
            .ok_or_else(|| ChatError::Gone("the message was deleted".to_owned()))?;
        shown.message = message.clone();
        shown.history.push(message.clone());
        drop(messages);
        self.0.changes.send_modify(|count| *count += 1);
        Ok(at.clone())
    }

    /// Reads a file of this machine: `source` is its path.
    pub(super) async fn fetch(&self, file: &Attachment) -> Result<Download, ChatError> {
        self.fault()?;
        let opened = File::open(&file.source).await.map_err(|error| ChatError::Gone(error.to_string()))?;
        let bytes = opened.metadata().await.map_err(|error| ChatError::Trouble(error.to_string()))?.len();
        let body = ReaderStream::with_capacity(opened, 256 * 1024)
            .map_err(|error| ChatError::Trouble(error.to_string()))
            .boxed();
        Ok(Download { bytes: Some(bytes), body })
    }
}

//! The chat of a terminal: what `toall demo` speaks through, and what tests read.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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
    faults: Mutex<Vec<(Call, Fault)>>,
    /// Ids of people who left the groups that tests put them in.
    left: Mutex<Vec<String>>,
}

/// What the console is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Say,
    Edit,
    Fetch,
    IsMember,
}

/// What goes wrong with one call, to see what follows.
#[derive(Debug)]
pub enum Fault {
    Fail(ChatError),
    /// Never answers, and does nothing.
    Hang,
    /// Does what was asked and never answers.
    ActThenHang,
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

    /// Has the next call of this kind go wrong; several wait their turn.
    pub fn order(&self, call: Call, fault: Fault) {
        held(&self.0.faults).push((call, fault));
    }

    /// Says from now on that this person is in no group.
    pub fn leave_groups(&self, person: &str) {
        held(&self.0.left).push(person.to_owned());
    }

    pub(super) async fn is_member(&self, person: &str) -> Result<bool, ChatError> {
        let member = async || Ok(!held(&self.0.left).iter().any(|left| left == person));
        self.under_fault(Call::IsMember, member).await
    }

    /// Ordered faults that have yet to strike.
    pub fn ordered(&self) -> usize {
        held(&self.0.faults).len()
    }

    /// Does what was asked, under the fault that waits for it, if one does.
    async fn under_fault<T>(
        &self,
        call: Call,
        act: impl AsyncFnOnce() -> Result<T, ChatError>,
    ) -> Result<T, ChatError> {
        let fault = {
            let mut faults = held(&self.0.faults);
            let at = faults.iter().position(|(wanted, _)| *wanted == call);
            at.map(|at| faults.remove(at).1)
        };
        if fault.is_some() {
            self.changed();
        }
        match fault {
            None => act().await,
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::Hang) => pending().await,
            Some(Fault::ActThenHang) => {
                let _ = act().await;
                pending().await
            }
        }
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    pub(super) async fn say(
        &self,
        to: &Place,
        audience: Audience,
        message: &Message,
    ) -> Result<MessageRef, ChatError> {
        self.under_fault(Call::Say, async || Ok(self.add(to, audience, message))).await
    }

    fn add(&self, to: &Place, audience: Audience, message: &Message) -> MessageRef {
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
        self.changed();
        at
    }

    pub(super) async fn edit(&self, at: &MessageRef, message: &Message) -> Result<MessageRef, ChatError> {
        self.under_fault(Call::Edit, async || self.replace(at, message)).await
    }

    fn replace(&self, at: &MessageRef, message: &Message) -> Result<MessageRef, ChatError> {
        let mut messages = held(&self.0.messages);
        let shown = messages
            .iter_mut()
            .find(|shown| shown.at == *at)
            .ok_or_else(|| ChatError::Gone("the message was deleted".to_owned()))?;
        shown.message = message.clone();
        shown.history.push(message.clone());
        drop(messages);
        self.changed();
        Ok(at.clone())
    }

    /// Reads a file of this machine: `source` is its path.
    pub(super) async fn fetch(&self, file: &Attachment) -> Result<Download, ChatError> {
        self.under_fault(Call::Fetch, async || read(file).await).await
    }
}

async fn read(file: &Attachment) -> Result<Download, ChatError> {
    let opened = File::open(&file.source).await.map_err(|error| ChatError::Gone(error.to_string()))?;
    let bytes = opened.metadata().await.map_err(|error| ChatError::Trouble(error.to_string()))?.len();
    let body = ReaderStream::with_capacity(opened, 256 * 1024)
        .map_err(|error| ChatError::Trouble(error.to_string()))
        .boxed();
    Ok(Download { bytes: Some(bytes), body })
}

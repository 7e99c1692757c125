//! Decides who may use the bot, before anything else is done.
//!
//! Where the operator names groups, a member who uses a command there is admitted. A private chat, an API token and a
//! browser show no membership: what the group last showed is kept, and the chat is asked again when that grows old.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::{Intake, IntakeError};
use crate::{
    account::{Person, Platform},
    chat::{Ask, Incoming},
    store::{Membership, StoreError},
    ticket::{NoRandomness, Ticket},
    words::{self, Deed, Message},
};

/// A membership younger than this is not verified again.
const FRESH_MS: i64 = 60 * 60_000;
/// While the chat cannot verify a membership, the last verdict holds this long.
const UNVERIFIED_MS: i64 = 24 * 60 * 60_000;
/// A chat that could not verify a membership is left alone this long.
const VERIFY_AGAIN_MS: i64 = 60_000;
/// A chat that does not verify a membership within this time cannot.
const VERIFY_WITHIN: Duration = Duration::from_secs(5);
/// A person on Telegram who is not admitted gets one answer within this time.
const REFUSE_AGAIN_MS: i64 = 60 * 60_000;
/// A person may try one claim code within this time.
const GUESS_AGAIN_MS: i64 = 15_000;
/// How long a claim code can be used.
const CLAIM_LIFE_MS: i64 = 60 * 60_000;
/// People remembered at once in each of the maps below.
const REMEMBERED: usize = 10_000;

/// Requests of one person at once, after which they come back one by one.
const BURST: NonZeroU32 = NonZeroU32::new(120).unwrap();
/// Requests that come back each minute.
const PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// A person on Telegram who asks too much is told so once within this time.
const SLOW_DOWN_AGAIN_MS: i64 = 60_000;

/// What admission remembers of each person: how much they ask for, and the answers, guesses and failed checks that it
/// does not repeat too soon. Clones share it.
#[derive(Clone)]
pub struct Admission {
    asks: Arc<DefaultKeyedRateLimiter<String>>,
    memory: Arc<Mutex<Memory>>,
}

impl Default for Admission {
    fn default() -> Self {
        let quota = Quota::per_minute(PER_MINUTE).allow_burst(BURST);
        Admission { asks: Arc::new(RateLimiter::keyed(quota)), memory: Arc::default() }
    }
}

#[derive(Default)]
struct Memory {
    refused: Pauses,
    slowed_down: Pauses,
    guessed: Pauses,
    unverified: Pauses,
}

/// The moments until which something is not repeated.
#[derive(Default)]
struct Pauses(HashMap<String, i64>);

impl Pauses {
    fn lasts(&self, key: &str, now: i64) -> bool {
        self.0.get(key).is_some_and(|until| *until > now)
    }

    /// Begins a pause. False while one lasts, and when there are too many to remember another.
    fn begin(&mut self, key: String, span: i64, now: i64) -> bool {
        if self.lasts(&key, now) {
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, until| *until > now);
        }
        let room = self.0.len() < REMEMBERED;
        if room {
            self.0.insert(key, now + span);
        }
        room
    }
}

impl Admission {
    fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> T {
        act(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes one request off those that a person may make. False when none is left.
    fn takes(&self, person: &Person) -> bool {
        if self.asks.len() >= REMEMBERED {
            self.asks.retain_recent();
        }
        self.asks.check_key(&key(person)).is_ok()
    }
}

fn key(person: &Person) -> String {
    format!("{}:{}", person.platform.as_str(), person.id)
}

impl Intake {
    /// The answer to a person who asks for too much at once; `None` when they may go on. On Telegram an answer is a
    /// message, so there only what would else be lost without a word has one each time.
    pub(super) fn slow_down(&self, incoming: &Incoming) -> Option<Option<Message>> {
        if self.admission.takes(&incoming.from) {
            return None;
        }
        let brings = matches!(incoming.ask, Ask::Post { .. } | Ask::Filled { .. } | Ask::Edit { .. });
        let told = incoming.from.platform != Platform::Telegram
            || brings
            || self.admission.with(|memory| {
                memory.slowed_down.begin(key(&incoming.from), SLOW_DOWN_AGAIN_MS, self.clock.now_ms())
            });
        Some(told.then(words::slow_down))
    }

    /// Decides whether what came in may be answered, and keeps what a group shows of its sender.
    pub(super) async fn admits_here(&self, incoming: &Incoming) -> Result<bool, IntakeError> {
        let Incoming { from, groups, ask, .. } = incoming;
        if self.access.blocks(from) {
            return Ok(false);
        }
        if self.is_known(from).await? {
            return Ok(true);
        }
        let Some(place) = groups.first() else { return Ok(self.admits(from).await?) };
        let via = self.access.admitting(groups);
        // Telegram delivers presses from people who merely see a public group's messages.
        if matches!(ask, Ask::Press(_)) && via.is_some() {
            return Ok(self.admits(from).await?);
        }
        self.store.seen(from, place, via, self.clock.now_ms()).await?;
        Ok(via.is_some())
    }

    /// Decides whether a person may use the bot where nothing shows their memberships.
    pub async fn admits(&self, person: &Person) -> Result<bool, StoreError> {
        if self.access.blocks(person) {
            return Ok(false);
        }
        if self.is_known(person).await? {
            return Ok(true);
        }
        let now = self.clock.now_ms();
        for membership in self.store.memberships(person).await? {
            if !self.access.groups.contains(&membership.via) {
                continue;
            }
            if membership.seen_at + FRESH_MS > now || self.verify(person, &membership, now).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True for people who are admitted whatever groups they are in.
    async fn is_known(&self, person: &Person) -> Result<bool, StoreError> {
        Ok(self.access.open || self.access.names(person) || self.store.is_operator(person).await?)
    }

    /// Asks the chat whether a membership still holds, and keeps the answer. Without one, the last answer counts for a
    /// while.
    async fn verify(&self, person: &Person, membership: &Membership, now: i64) -> Result<bool, StoreError> {
        let Membership { place, via, seen_at } = membership;
        let holds = seen_at + UNVERIFIED_MS > now;
        let key = format!("{} {place}", key(person));
        if self.admission.with(|memory| memory.unverified.lasts(&key, now)) {
            return Ok(holds);
        }
        let asked = tokio::time::timeout(VERIFY_WITHIN, self.chats.is_member(person, place, via)).await;
        match asked {
            Ok(Ok(member)) => {
                self.store.seen(person, place, member.then_some(via), now).await?;
                Ok(member)
            }
            Ok(Err(error)) => {
                tracing::warn!(group = %via, %error, "a membership could not be verified");
                self.admission.with(|memory| memory.unverified.begin(key, VERIFY_AGAIN_MS, now));
                Ok(holds)
            }
            Err(_) => {
                tracing::warn!(group = %via, "a membership was not verified in time");
                self.admission.with(|memory| memory.unverified.begin(key, VERIFY_AGAIN_MS, now));
                Ok(holds)
            }
        }
    }

    /// Tells a person who is not admitted how to get in. On Telegram an answer is a message, and a person gets one an hour;
    /// on Discord only the asker sees it.
    pub(super) async fn refuse(&self, person: &Person) -> Result<Option<Message>, StoreError> {
        let now = self.clock.now_ms();
        if person.platform == Platform::Telegram
            && !self.admission.with(|memory| memory.refused.begin(key(person), REFUSE_AGAIN_MS, now))
        {
            return Ok(None);
        }
        if self.access.blocks(person) {
            return Ok(Some(words::blocked()));
        }
        let claimable = self.access.operators.is_empty() && self.store.operators().await?.is_empty();
        Ok(Some(words::not_admitted(&key(person), !self.access.groups.is_empty(), claimable)))
    }

    /// Makes the code that lets its holder become an operator; the one before no longer works. `None` once there is an
    /// operator.
    ///
    /// # Errors
    /// When the database does not answer, or the system gives no randomness.
    pub async fn offer_claim(&self) -> Result<Option<Ticket>, IntakeError> {
        if !self.access.operators.is_empty() || !self.store.operators().await?.is_empty() {
            self.store.drop_claims().await?;
            return Ok(None);
        }
        let code = Ticket::draw().map_err(|NoRandomness| IntakeError::Ticket(NoRandomness))?;
        self.store.keep_claim(&code, self.clock.now_ms() + CLAIM_LIFE_MS).await?;
        Ok(Some(code))
    }

    /// `/claim CODE`: makes the sender an operator if the code is right.
    pub(super) async fn claim(&self, from: &Person, code: &str) -> Result<Option<Message>, IntakeError> {
        let now = self.clock.now_ms();
        if self.access.blocks(from) {
            return Ok(self.refuse(from).await?);
        }
        if !self.admission.with(|memory| memory.guessed.begin(key(from), GUESS_AGAIN_MS, now)) {
            let told = from.platform != Platform::Telegram;
            return Ok(told.then(words::claim_later));
        }
        let claimed = match Ticket::shown(code) {
            Some(code) => self.store.claim_bot(&code, from, now).await?,
            None => false,
        };
        if claimed {
            tracing::warn!(
                operator = key(from),
                "somebody claimed this bot with its code and is an operator now"
            );
        }
        Ok(Some(if claimed { words::claimed() } else { words::claim_refused() }))
    }
}

/// True for requests that only take back what their sender began. Somebody who loses access must still be able to stop
/// their posts, and to end their tokens, sessions and connections.
pub(super) fn undoes(ask: &Ask) -> bool {
    match ask {
        Ask::Disconnect { .. } | Ask::Cancel | Ask::Tokens => true,
        Ask::Press(deed) => deed.undoes(),
        _ => false,
    }
}

impl Deed {
    /// True for buttons that only take back what their person began.
    pub fn undoes(&self) -> bool {
        matches!(
            self,
            Deed::Cancel(_)
                | Deed::ItIsThere(_)
                | Deed::Disconnect(_)
                | Deed::AskEndOthers(_)
                | Deed::EndOthers(_)
                | Deed::RevokeToken(_)
                | Deed::SignOut(_)
        )
    }
}

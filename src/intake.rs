//! What people ask for: one function per thing. Each checks, writes rows, and answers.

mod access;
mod budget;
mod edits;
mod forms;
mod inviting;
mod linking;
mod posting;
mod status;
mod tokens;
mod uploads;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;
use url::Url;
use uuid::Uuid;

use crate::{
    account::{Account, AccountId, AccountState, Person, Place, Platform},
    caption::{self, Caption},
    chat::{Ask, Audience, ChatError, Chats, Delivery, Incoming},
    clock::Clock,
    config,
    post::{Attachment, NewPost, Options, PostId, State},
    staging::Staging,
    store::{Accepted, Answered, Scope, Store, StoreError},
    ticket::NoRandomness,
    twitter::X,
    video::MAX_BYTES,
    words::{self, Deed, Message},
};

pub use access::Admission;
pub use inviting::INVITATION_LIFE_MS;
pub use linking::{LINK_LIFE_MS, LinkError, LinkOffer, RefusedLink};
pub use posting::{PostRequest, Posted};
pub use status::{PostStatus, Progress};
pub use tokens::TOKEN_PREFIX;
pub use uploads::{Begun, Sent, Signed, SignedPart, UploadError, Wanted};

/// How many posts `/posts` shows.
const RECENT: u32 = 5;
/// Questions of one platform that are handled at once.
const PARALLEL: usize = 64;
/// How long a chat may take to show an answer before the answer is kept for a later try.
const CHAT_TAKES: Duration = Duration::from_secs(8);
/// Delay before a kept answer is tried again, in milliseconds, unless the chat names one.
const ANSWER_AGAIN_MS: i64 = 2_000;
/// After how long a post is written down again when the database did not say that it was.
const ACCEPT_AGAIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(750)];

/// What intake works with. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    pub store: Store,
    pub chats: Chats,
    pub staging: Staging,
    pub x: X,
    pub clock: Clock,
    /// How browsers reach the web part.
    pub public_url: Url,
    pub access: config::Access,
    pub limits: config::Limits,
    pub admission: Admission,
}

/// Why something asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ticket(#[from] NoRandomness),
}

/// What a person wants posted with a file, and where.
struct Wish {
    caption: String,
    options: Options,
    /// The user name of a linked account; empty for the preferred one.
    account: String,
}

/// A linked account that its person disconnected.
#[derive(Debug)]
pub struct Disconnected {
    pub account: Account,
    /// Others linked it too, so its tokens live on.
    pub others: bool,
    /// X has ended the tokens. When false and there are no others, they are merely forgotten here.
    pub revoked: bool,
}

impl Intake {
    /// Answers what comes in by one platform's inbox until `stop`, and then what had come in by then. A platform whose
    /// answers hang fills its own slots and inbox only.
    pub async fn run(self, mut inbox: mpsc::Receiver<Delivery>, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(PARALLEL));
        loop {
            let delivery = tokio::select! {
                delivery = inbox.recv() => delivery,
                () = stop.cancelled(), if !inbox.is_closed() => {
                    inbox.close();
                    continue;
                }
            };
            let Some(Delivery { incoming, done }) = delivery else { break };
            let Ok(slot) = slots.clone().acquire_owned().await else { break };
            let intake = self.clone();
            let span = tracing::info_span!(
                "ask",
                platform = incoming.from.platform.as_str(),
                from = incoming.from.id
            );
            tasks.spawn(
                async move {
                    // A message that panics once would panic on every redelivery.
                    if AssertUnwindSafe(intake.handle(incoming)).catch_unwind().await.is_err() {
                        tracing::error!("what was asked could not be handled");
                    }
                    let _ = done.send(());
                    drop(slot);
                }
                .instrument(span),
            );
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Does what was asked and answers in the chat.
    async fn handle(&self, incoming: Incoming) {
        if let Some(answer) = self.slow_down(&incoming) {
            tracing::info!("a person asks for too much at once");
            if let Some(message) = answer {
                self.say(&incoming.at, Audience::Asker, &message, None).await;
            }
            return;
        }
        if incoming.ask == Ask::Anonymous {
            // Nobody can be admitted who is not known.
            return self.say(&incoming.at, Audience::Everyone, &words::anonymous(), None).await;
        }
        let claims = matches!(incoming.ask, Ask::Claim { .. });
        let admitted = match claims || access::undoes(&incoming.ask) {
            true => Ok(true),
            false => self.admits_here(&incoming).await,
        };
        let Incoming { from, at, ask, .. } = incoming;
        // An open form is all the answer there can be; what stands against it is said when it is sent.
        let answered_already = matches!(ask, Ask::Form { .. });
        let answer = match admitted {
            Ok(true) => self.answer(&from, &at, ask).await,
            Ok(false) => {
                tracing::info!("a request by somebody who is not admitted");
                let refusal = self.refuse(&from).await.map_err(IntakeError::from);
                refusal.map(|message| message.map(|message| (Audience::Asker, message)))
            }
            Err(error) => Err(error),
        };
        let answer = answer.unwrap_or_else(|error| {
            tracing::error!(error = %error, "could not do what was asked");
            Some((Audience::Asker, words::our_fault()))
        });
        if let Some((audience, message)) = answer.filter(|_| !answered_already) {
            self.say(&at, audience, &message, None).await;
        }
    }

    /// Gives an answer, or keeps it until the chat takes it. An API token that the answer shows ends when nobody can see
    /// it.
    async fn say(&self, at: &Place, audience: Audience, message: &Message, api_token: Option<Uuid>) {
        let error = match self.try_say(at, audience, message).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let wait = match &error {
            ChatError::SlowDown(wait) => i64::try_from(wait.as_millis()).unwrap_or(ANSWER_AGAIN_MS),
            ChatError::Trouble(_) => ANSWER_AGAIN_MS,
            _ => {
                tracing::warn!(%error, "the answer could not be given");
                self.withdraw(api_token).await;
                // A group that is gone refuses the hint with the same error.
                if matches!(error, ChatError::NeedsPrivateChat) && audience == Audience::Asker {
                    let link = self.chats.private_chat_link(at.platform);
                    let hint = words::open_private_chat(link.as_deref());
                    Box::pin(self.say(at, Audience::Everyone, &hint, None)).await;
                }
                return;
            }
        };
        tracing::warn!(%error, "the answer is kept until the chat takes it");
        let due_at = self.clock.now_ms().saturating_add(wait);
        if let Err(error) = self.store.keep_answer(at, (audience, message), api_token, due_at).await {
            tracing::error!(%error, "the answer could not be kept");
            self.withdraw(api_token).await;
        }
    }

    async fn try_say(&self, at: &Place, audience: Audience, message: &Message) -> Result<(), ChatError> {
        let told = self.chats.say(at, audience, message, None);
        match tokio::time::timeout(CHAT_TAKES, told).await {
            Ok(told) => told.map(drop),
            Err(_) => Err(ChatError::Trouble("no answer in time".to_owned())),
        }
    }

    async fn answer(
        &self,
        from: &Person,
        at: &Place,
        ask: Ask,
    ) -> Result<Option<(Audience, Message)>, IntakeError> {
        let private = |message| Ok(Some((Audience::Asker, message)));
        match ask {
            Ask::Connect { what } => private(self.connect(from, at, &what).await?),
            Ask::Post { caption, options, account, file, dedupe_key } => {
                let wish = Wish { caption, options, account };
                let refusal = self.post(from, at, wish, file, dedupe_key).await?;
                Ok(refusal.map(|message| (refused_to(from), message)))
            }
            Ask::SomebodyElses => private(words::somebody_elses()),
            Ask::Anonymous => Ok(None),
            Ask::RestOfAlbum => Ok(Some((Audience::Everyone, words::rest_of_album()))),
            Ask::Edit { caption, dedupe_key } => self.edit_caption(from, caption, &dedupe_key).await,
            Ask::Form { key, file } => {
                self.keep_form(from, &key, &file).await?;
                Ok(None)
            }
            Ask::Filled { key, caption, dedupe_key } => {
                self.post_filled(from, at, &key, caption, dedupe_key).await
            }
            Ask::Posts => private(self.posts(from).await?),
            Ask::Accounts => private(words::accounts(&self.store.accounts(from).await?)),
            Ask::Disconnect { what } => private(self.disconnect(from, &what).await?),
            Ask::Cancel => private(self.cancel_latest(from).await?),
            Ask::Upload => private(self.upload_link(from, at).await?),
            Ask::Web => private(words::web(self.invite(from, at, Scope::Manage).await?.as_str())),
            Ask::Token { name } => {
                self.make_token(from, at, &name).await?;
                Ok(None)
            }
            Ask::Tokens => private(self.tokens_and_browsers(from).await?),
            Ask::Help => private(words::help(from.platform)),
            Ask::Claim { code } => {
                Ok(self.claim(from, &code).await?.map(|message| (Audience::Asker, message)))
            }
            Ask::Start => private(words::start(from.platform)),
            Ask::Press(deed) => {
                Ok(self.press(from, at, deed).await?.map(|message| (Audience::Asker, message)))
            }
            Ask::Unknown { command } => private(words::unknown(&command)),
        }
    }

    async fn connect(&self, from: &Person, at: &Place, what: &str) -> Result<Message, IntakeError> {
        if !["twitter", "x"].contains(&what.to_lowercase().as_str()) {
            return Ok(words::connect_what(what));
        }
        Ok(words::connect(self.offer_link(from, at).await?.url.as_str()))
    }

    /// Writes a post down, or says why not. The status message that follows is the answer to one that is taken.
    async fn post(
        &self,
        from: &Person,
        at: &Place,
        wish: Wish,
        file: Option<Attachment>,
        dedupe_key: String,
    ) -> Result<Option<Message>, IntakeError> {
        let Some(file) = file else { return Ok(Some(words::no_video(from.platform))) };
        if !file.kind.may_be_video() {
            return Ok(Some(words::not_a_video(file.kind)));
        }
        match file.bytes {
            Some(0) => return Ok(Some(words::empty_file())),
            Some(bytes) => {
                if let Some(limit) = self.chats.max_file_bytes(from.platform).filter(|limit| bytes > *limit) {
                    let message = words::too_large_for_chat(from.platform, bytes, limit);
                    return self.offer_upload(from, at, message).await.map(Some);
                }
                if bytes > MAX_BYTES {
                    return Ok(Some(words::too_large_for_x(bytes, MAX_BYTES)));
                }
            }
            None => {}
        }
        let accounts = self.store.accounts(from).await?;
        let account = match wish.account.trim_start_matches('@') {
            "" => preferred(&accounts),
            _ if accounts.is_empty() => None,
            name => match named(&accounts, name) {
                Some(account) => Some(account),
                None => return Ok(Some(words::unknown_account(name, &accounts))),
            },
        };
        let Some(account) = account else { return Ok(Some(words::not_linked())) };
        if account.state == AccountState::ReconnectNeeded {
            return Ok(Some(words::reconnect_first(account)));
        }
        if let Err(error) = Caption::parse(&wish.caption, caption_limit(account, self.clock.now_ms())) {
            return Ok(Some(words::caption_refused(&error, from.platform)));
        }
        if let Err(error) = wish.options.check() {
            return Ok(Some(words::alt_text_refused(error, from.platform)));
        }
        let id = Uuid::now_v7();
        let new = NewPost {
            id: PostId(id),
            request: id,
            dedupe_key,
            person: from.clone(),
            account: account.id.clone(),
            caption: wish.caption,
            options: wish.options,
            attachment: file,
            staged: None,
            place: Some(at.clone()),
        };
        let Some(accepted) = self.accept(&new).await? else { return Ok(Some(words::perhaps_taken())) };
        tracing::info!(post = %new.id, account = %new.account, ?accepted, "post asked for");
        Ok(match accepted {
            Accepted::New => {
                self.watch_budget().await;
                None
            }
            Accepted::Already => None,
            Accepted::NotLinked => Some(words::not_linked()),
            Accepted::Over(over) => {
                self.watch_refusal(&over).await;
                Some(words::over_limit(&over))
            }
        })
    }

    /// Writes a post down; `None` when it is not known whether it was. A write whose answer was lost is made again, which
    /// its `dedupe_key` makes harmless: nobody shall be told to send again what was taken.
    async fn accept(&self, new: &NewPost) -> Result<Option<Accepted>, StoreError> {
        let (mut unknown, mut pauses) = (false, ACCEPT_AGAIN.into_iter());
        loop {
            let error = match self.store.accept(new, &self.limits, self.clock.now_ms()).await {
                Err(error @ StoreError::Unanswered(_)) => error,
                Err(error @ StoreError::Database(_)) if unknown => error,
                accepted => return accepted.map(Some),
            };
            tracing::error!(%error, "whether a post was written down is not known");
            unknown = true;
            let Some(pause) = pauses.next() else { return Ok(None) };
            tokio::time::sleep(pause).await;
        }
    }

    async fn upload_link(&self, from: &Person, at: &Place) -> Result<Message, IntakeError> {
        Ok(words::upload(self.invite(from, at, Scope::Upload).await?.as_str()))
    }

    /// Adds the way to the upload page: the link itself where only its person reads, else a button that asks for it.
    async fn offer_upload(
        &self,
        from: &Person,
        at: &Place,
        message: Message,
    ) -> Result<Message, IntakeError> {
        Ok(match at.private {
            true => words::with_upload_link(message, self.invite(from, at, Scope::Upload).await?.as_str()),
            false => words::with_upload_button(message),
        })
    }

    async fn posts(&self, from: &Person) -> Result<Message, IntakeError> {
        let listed = self.recent_posts(from, None, RECENT).await?;
        let listed: Vec<_> = listed.into_iter().map(|one| (one.post, one.account, one.link)).collect();
        Ok(words::posts(&listed, self.clock.now_ms()))
    }

    async fn disconnect(&self, from: &Person, what: &str) -> Result<Message, IntakeError> {
        let accounts = self.store.accounts(from).await?;
        let wanted = what.trim_start_matches('@');
        let account = match (accounts.as_slice(), wanted) {
            ([], _) => return Ok(words::nothing_linked()),
            ([only], "") => only,
            (_, "") => return Ok(words::disconnect_which(&accounts)),
            (all, _) => match named(all, wanted) {
                Some(account) => account,
                None => return Ok(words::unknown_account(wanted, &accounts)),
            },
        };
        self.unlink(from, account.id.clone()).await
    }

    async fn unlink(&self, from: &Person, id: AccountId) -> Result<Message, IntakeError> {
        Ok(match self.disconnect_account(from, &id).await? {
            Some(done) => words::disconnected(&done.account, done.others, done.revoked),
            None => words::nothing_linked(),
        })
    }

    async fn ask_end_others(&self, from: &Person, id: &AccountId) -> Result<Message, IntakeError> {
        let accounts = self.store.accounts(from).await?;
        let Some(account) = accounts.iter().find(|account| account.id == *id) else {
            return Ok(words::not_the_owner());
        };
        if account.others_to_end > 0 {
            return Ok(words::end_others_question(account));
        }
        let alone = self.store.connected(id).await?.len() <= 1;
        Ok(if alone { words::others_ended(account, 0) } else { words::not_the_owner() })
    }

    async fn end_others(&self, from: &Person, id: &AccountId) -> Result<Message, IntakeError> {
        let Some(account) = self.store.account(id).await? else { return Ok(words::nothing_linked()) };
        let told = words::connection_ended(&account.username, &account.name);
        let ended = self.store.end_others(from, &account, &told, self.clock.now_ms()).await?;
        Ok(match ended {
            Some(ended) => {
                tracing::info!(account = %id, ended, "the owner ended other people's connections");
                words::others_ended(&account, ended)
            }
            None => words::not_the_owner(),
        })
    }

    /// Takes a person's link to an account away, and at X the tokens when nobody else needs them.
    /// `None` when the person has not linked it.
    pub async fn disconnect_account(
        &self,
        from: &Person,
        id: &AccountId,
    ) -> Result<Option<Disconnected>, StoreError> {
        let Some(unlinked) = self.store.unlink(from, id, self.clock.now_ms()).await? else {
            return Ok(None);
        };
        tracing::info!(account = %id, "account disconnected");
        let revoked = match &unlinked.tokens {
            None => false,
            Some(tokens) => match self.x.revoke(tokens).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(account = %id, %error, "the tokens could not be revoked at X");
                    false
                }
            },
        };
        Ok(Some(Disconnected { account: unlinked.account, others: unlinked.others, revoked }))
    }

    async fn cancel_latest(&self, from: &Person) -> Result<Message, IntakeError> {
        let posts = self.store.posts_of(from, 100).await?;
        let under_way = posts.iter().find(|post| {
            !post.state.is_over() && (post.intent_at.is_none() || post.state == State::NeedsUser)
        });
        let Some(post) = under_way else { return Ok(words::nothing_to_cancel()) };
        let answered = self.store.cancel(from, post.id, self.clock.now_ms()).await?;
        Ok(match answered {
            Answered::Done => words::cancelled(&post.attachment.name, post.intent_at.is_some()),
            Answered::TooLate | Answered::NotYours | Answered::NotLinked | Answered::Over(_) => {
                words::nothing_to_cancel()
            }
        })
    }

    /// A pressed button. What changes a post shows in its status; only refusals are said.
    pub async fn press(&self, from: &Person, at: &Place, deed: Deed) -> Result<Option<Message>, IntakeError> {
        let now = self.clock.now_ms();
        let answered = match deed {
            Deed::Cancel(id) => self.store.cancel(from, id, now).await?,
            Deed::Retry(id) => {
                let answered = self.store.retry(from, id, &self.limits, now).await?;
                match &answered {
                    Answered::Done => self.watch_budget().await,
                    Answered::Over(over) => self.watch_refusal(over).await,
                    Answered::TooLate | Answered::NotYours | Answered::NotLinked => {}
                }
                answered
            }
            Deed::PostAgain(id) => self.store.post_again(from, id, now).await?,
            Deed::ItIsThere(id) => self.store.vouch(from, id, now).await?,
            Deed::Connect => return self.connect(from, at, "twitter").await.map(Some),
            Deed::Upload => return self.upload_link(from, at).await.map(Some),
            Deed::Disconnect(id) => return self.unlink(from, id).await.map(Some),
            Deed::AskEndOthers(id) => return self.ask_end_others(from, &id).await.map(Some),
            Deed::EndOthers(id) => return self.end_others(from, &id).await.map(Some),
            Deed::RevokeToken(id) => return self.revoke_token(from, id).await.map(Some),
            Deed::SignOut(id) => return self.sign_out_of(from, id).await.map(Some),
            Deed::Prefer(id) => {
                if !self.store.prefer(from, &id).await? {
                    return Ok(Some(words::nothing_linked()));
                }
                return Ok(self.store.account(&id).await?.map(|account| words::preferred(&account)));
            }
        };
        Ok(match answered {
            Answered::Done => None,
            Answered::TooLate => Some(words::too_late()),
            Answered::NotYours => Some(words::not_yours()),
            Answered::NotLinked => Some(words::not_linked()),
            Answered::Over(over) => Some(words::over_limit(&over)),
        })
    }
}

/// Who reads why a post was refused. On Discord an answer for the asker alone needs no private chat.
fn refused_to(person: &Person) -> Audience {
    match person.platform {
        Platform::Discord => Audience::Asker,
        Platform::Telegram | Platform::Console => Audience::Everyone,
    }
}

/// Where a person's `/post` goes: the account they chose, else the one linked last.
fn preferred(accounts: &[Account]) -> Option<&Account> {
    accounts.iter().find(|account| account.preferred).or(accounts.last())
}

/// The account with this user name, without the `@`.
fn named<'a>(accounts: &'a [Account], name: &str) -> Option<&'a Account> {
    accounts.iter().find(|account| account.username.eq_ignore_ascii_case(name))
}

/// How many weighted characters an account's caption may have. Premium may have been bought since X was last asked: then
/// the worker asks X before it refuses.
fn caption_limit(account: &Account, now: i64) -> u32 {
    match account.may_have_changed(now) {
        true => caption::PREMIUM_LIMIT,
        false => caption::limit_for(account.tier),
    }
}

//! The queue: lanes are claimed, one step is done, what it found is written down under the lease.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::store::{
    Store, StoreError, Topics,
    db::engine::{Sql, Tx, locking, query},
    posts::{rows::PostRow, status_outbox},
};
use crate::{
    account::AccountId,
    post::{Post, PostId, State, Waiting},
};

/// How long a lane is held without a heartbeat.
pub const LEASE: Duration = Duration::from_secs(60);

/// How long a row is left alone that a later version wrote.
pub(crate) const UNREADABLE_PAUSE_MS: i64 = 10 * 60_000;

/// Claims of one post without anything written down, after which it is suspected of killing its process: it runs alone.
const SUSPECT: i64 = 3;
/// Such claims after which it has died alone often enough to be given up.
const CRASH_LOOP: i64 = 5;

/// Errors in a row after which a post yields its turn, so that other posts of the account go on.
const YIELDS_AFTER: i64 = 3;

/// Kinds of steps. Each has slots of its own, so that short calls never wait behind long transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// Moves a whole file: from the chat into staging, or from staging to X.
    Transfer,
    /// A few requests.
    Call,
}

impl StepKind {
    /// Of a step that begins in `state`, with a file whose digests are known or not: those that a person sent to storage
    /// themselves are read as a whole once, when they are looked into.
    fn of(state: State, hashed: bool) -> StepKind {
        let hashes = state == State::Inspecting && !hashed;
        if state.is_transfer() || hashes { StepKind::Transfer } else { StepKind::Call }
    }
}

/// The steps that a worker has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    pub kind: StepKind,
    /// The user who has their share of the transfer slots. While a slot is free there is at most one, since a share is
    /// half of them.
    pub without: &'a str,
    /// Only lanes with a post that may have killed its process.
    pub suspects: bool,
}

/// A shorter wait of one post is over before those behind it could read of it, in milliseconds.
pub(crate) const WORTH_TELLING_MS: i64 = 60_000;

/// Outcome of a claim.
#[derive(Debug)]
pub enum Claimed {
    Lease(Box<Lease>),
    /// The row of this post cannot be read. It was put off, and holds up nobody.
    Unreadable(String),
    /// Nothing was claimed. A step that there is room for is due then, in Unix milliseconds; in the past if others were
    /// at its lane just now.
    Nothing {
        due: Option<i64>,
    },
}

// What every claim asks. Each is answered by an index of what is due, however much is finished.
pub(crate) const NEXT_LANE_DUE: &str = "SELECT min(due_at) FROM x_accounts WHERE due_at IS NOT NULL";
pub(crate) const NEXT_CALL_DUE: &str = "SELECT due_at FROM x_accounts WHERE transfer_user IS NULL AND due_at IS NOT NULL ORDER BY due_at LIMIT 1";
pub(crate) const NEXT_TRANSFER_DUE: &str = "SELECT due_at FROM x_accounts
      WHERE transfer_user IS NOT NULL AND transfer_user <> $1 AND due_at IS NOT NULL ORDER BY due_at LIMIT 1";

/// A claim of lanes that meet a condition. A lane that somebody else is claiming or writing to at this moment is passed
/// over on PostgreSQL, not waited for.
macro_rules! claim_lane {
    ($which:literal) => {
        Sql {
            sqlite: concat!(
                "UPDATE x_accounts SET due_at = $2, lease_owner = $3, epoch = epoch + 1
                  WHERE id = (SELECT id FROM x_accounts WHERE ",
                $which,
                " AND due_at <= $1 ORDER BY due_at LIMIT 1) RETURNING id, epoch, current_post_id"
            ),
            postgres: concat!(
                "UPDATE x_accounts SET due_at = $2, lease_owner = $3, epoch = epoch + 1
                  WHERE id = (SELECT id FROM x_accounts WHERE ",
                $which,
                " AND due_at <= $1 ORDER BY due_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
                RETURNING id, epoch, current_post_id"
            ),
        }
    };
}
pub(crate) const CLAIM_CALL: Sql = claim_lane!("transfer_user IS NULL");
pub(crate) const CLAIM_TRANSFER: Sql = claim_lane!("transfer_user IS NOT NULL AND transfer_user <> $4");
/// The same for posts that are suspected of killing their process. Rare, so that no index serves it.
pub(crate) const CLAIM_SUSPECT: Sql = claim_lane!(
    "CASE WHEN transfer_user IS NULL THEN 0 ELSE 1 END = CAST($4 AS BIGINT) AND EXISTS (SELECT 1 FROM posts
          WHERE account_id = x_accounts.id AND due_at IS NOT NULL AND claims >= 3)"
);
pub(crate) const NEXT_POST: &str =
    "SELECT * FROM posts WHERE account_id = $1 AND due_at <= $2 ORDER BY due_at, id LIMIT 1";
pub(crate) const NEXT_POST_DUE: &str = "SELECT due_at, state, sha256, user_id FROM posts
      WHERE account_id = $1 AND due_at IS NOT NULL ORDER BY due_at, id LIMIT 1";

/// The right to do one step for one account. Whoever writes to a claimed post shows one.
#[derive(Debug)]
pub struct Lease {
    pub account: AccountId,
    /// The post whose turn it is, as it stood when claimed.
    pub post: Post,
    /// Claims of the post without anything written down, with this one.
    claims: i64,
    /// Something was stored that a repetition of the step builds on.
    pub(crate) progressed: AtomicBool,
    pub(crate) epoch: i64,
    renewed: Mutex<Renewed>,
}

#[derive(Clone, Copy, Debug)]
struct Renewed {
    until: i64,
    /// The wall clock may be set back; this one not.
    at: Instant,
}

impl Lease {
    /// Tells whether the post died often enough alone to be given up.
    pub fn crash_loop(&self) -> bool {
        self.claims > CRASH_LOOP
    }

    /// Tells whether the post may be what kills the process.
    pub fn is_suspect(&self) -> bool {
        self.claims > SUSPECT
    }

    /// Tells whether the step has stored progress.
    pub fn has_progressed(&self) -> bool {
        self.progressed.load(Relaxed)
    }

    /// Whether the lease surely still holds for `span` from `now` on.
    pub fn holds_for(&self, span: Duration, now: i64) -> bool {
        let renewed = *self.renewed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        now + span_ms(span) <= renewed.until && renewed.at.elapsed() + span <= LEASE
    }
}

fn span_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Store {
    /// Leases whatever has been due longest, of either kind. `None` when nothing is due.
    pub async fn claim(&self, now: i64) -> Result<Option<Lease>, StoreError> {
        let mut kinds = [StepKind::Call, StepKind::Transfer];
        let first = self.next_step_due(kinds[0], "").await?;
        if first > self.next_step_due(kinds[1], "").await? {
            kinds.reverse();
        }
        for kind in kinds {
            let room = Room { kind, without: "", suspects: false };
            if let Claimed::Lease(lease) = self.claim_step(&room, now).await? {
                return Ok(Some(*lease));
            }
        }
        Ok(None)
    }

    /// Leases the lane that has been due longest of those there is room for, with the post whose turn it is.
    pub async fn claim_step(&self, room: &Room<'_>, now: i64) -> Result<Claimed, StoreError> {
        // Measured from before the claim: a lease must never seem younger than it is.
        let at = Instant::now();
        let until = now + span_ms(LEASE);
        // Asked of a reader first: most wake-ups find nothing, and the writer has better things to do.
        let due = self.next_step_due(room.kind, room.without).await?;
        if due.is_none_or(|due| due > now) {
            return Ok(Claimed::Nothing { due });
        }
        loop {
            let mut tx = self.begin().await?;
            let claim = match (room.suspects, room.kind) {
                (true, _) => query(CLAIM_SUSPECT),
                (false, StepKind::Call) => query(CLAIM_CALL),
                (false, StepKind::Transfer) => query(CLAIM_TRANSFER),
            };
            let claim = claim.bind(now).bind(until).bind(&*self.node);
            let claim = match (room.suspects, room.kind) {
                (true, kind) => claim.bind(i64::from(kind == StepKind::Transfer)),
                (false, StepKind::Call) => claim,
                (false, StepKind::Transfer) => claim.bind(room.without),
            };
            let lane: Option<(String, i64, Option<String>)> = claim.fetch_optional(&mut tx).await?;
            let Some((account, epoch, current)) = lane else { return Ok(Claimed::Nothing { due }) };
            let account = AccountId(account);
            let row: Option<PostRow> = match &current {
                // A post that has begun keeps its turn until it is over, or yields.
                Some(current) => {
                    query("SELECT * FROM posts WHERE id = $1 AND due_at <= $2")
                        .bind(current)
                        .bind(now)
                        .fetch_optional(&mut tx)
                        .await?
                }
                None => query(NEXT_POST).bind(&account.0).bind(now).fetch_optional(&mut tx).await?,
            };
            let Some(row) = row else {
                release(&mut tx, &account, now).await?;
                self.commit_about(Topics::QUEUE, tx).await?;
                continue;
            };
            let id = row.id.clone();
            let post = match Post::try_from(row) {
                Ok(post) => post.known_by(now),
                Err(error) => {
                    // One row that cannot be read must not keep everybody else waiting.
                    tracing::error!(post = id, %error, "a post cannot be read and is put off");
                    query("UPDATE posts SET due_at = $1 WHERE id = $2")
                        .bind(now + UNREADABLE_PAUSE_MS)
                        .bind(&id)
                        .execute(&mut tx)
                        .await?;
                    query("UPDATE x_accounts SET current_post_id = NULL WHERE id = $1")
                        .bind(&account.0)
                        .execute(&mut tx)
                        .await?;
                    release(&mut tx, &account, now).await?;
                    self.commit_about(Topics::QUEUE, tx).await?;
                    return Ok(Claimed::Unreadable(id));
                }
            };
            if StepKind::of(post.state, post.sha256.is_some()) != room.kind {
                // Its person has changed what comes next since the lane was let go.
                release(&mut tx, &account, now).await?;
                self.commit_about(Topics::QUEUE, tx).await?;
                continue;
            }
            let claims: i64 = query("UPDATE posts SET claims = claims + 1 WHERE id = $1 RETURNING claims")
                .bind(post.id.to_string())
                .fetch_value(&mut tx)
                .await?;
            query("UPDATE x_accounts SET current_post_id = $1 WHERE id = $2")
                .bind(post.id.to_string())
                .bind(&account.0)
                .execute(&mut tx)
                .await?;
            // Not announced as a change: a claim makes nothing due and shows nothing new.
            tx.commit().await?;
            return Ok(Claimed::Lease(Box::new(Lease {
                account,
                post,
                claims,
                progressed: AtomicBool::new(false),
                epoch,
                renewed: Mutex::new(Renewed { until, at }),
            })));
        }
    }

    /// Takes a claim back, as if it had not been made.
    pub async fn unclaim(&self, lease: &Lease, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        query("UPDATE posts SET claims = claims - 1 WHERE id = $1")
            .bind(lease.post.id.to_string())
            .execute(&mut tx)
            .await?;
        release(&mut tx, &lease.account, now).await?;
        Ok(self.commit_about(Topics::QUEUE, tx).await?)
    }

    /// Tells when a step of this kind is due next, in Unix milliseconds.
    pub async fn next_step_due(&self, kind: StepKind, without: &str) -> Result<Option<i64>, StoreError> {
        Ok(match kind {
            StepKind::Call => query(NEXT_CALL_DUE).fetch_value_optional(&self.read).await?,
            StepKind::Transfer => {
                query(NEXT_TRANSFER_DUE).bind(without).fetch_value_optional(&self.read).await?
            }
        })
    }

    /// Prolongs a lease; call it well within [`LEASE`].
    pub async fn renew(&self, lease: &Lease, now: i64) -> Result<(), StoreError> {
        let at = Instant::now();
        let until = now + span_ms(LEASE);
        let done =
            query("UPDATE x_accounts SET due_at = $1 WHERE id = $2 AND epoch = $3 AND lease_owner = $4")
                .bind(until)
                .bind(&lease.account.0)
                .bind(lease.epoch)
                .bind(&*self.node)
                .execute(&self.write)
                .await?;
        if done == 0 {
            return Err(StoreError::LeaseLost);
        }
        *lease.renewed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Renewed { until, at };
        Ok(())
    }

    /// Lets a lane go with nothing found: the same step is due again at once.
    pub async fn give_back(&self, lease: &Lease, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx, lease).await?;
        query("UPDATE posts SET claims = 0 WHERE id = $1")
            .bind(lease.post.id.to_string())
            .execute(&mut tx)
            .await?;
        release(&mut tx, &lease.account, now).await?;
        Ok(self.commit_about(Topics::QUEUE, tx).await?)
    }

    /// When a lane is due next, in Unix milliseconds.
    pub async fn next_lane_due(&self) -> Result<Option<i64>, StoreError> {
        Ok(query(NEXT_LANE_DUE).fetch_value(&self.read).await?)
    }

    /// How many lanes are leased at this moment.
    pub async fn leased(&self) -> Result<i64, StoreError> {
        Ok(query("SELECT count(*) FROM x_accounts WHERE lease_owner IS NOT NULL")
            .fetch_value(&self.read)
            .await?)
    }

    /// Ends every lease: for a process that owns the whole database, so that whoever held one is dead.
    pub(crate) async fn void_leases(&self, now: i64) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        query(
            "UPDATE x_accounts SET lease_owner = NULL, epoch = epoch + 1, due_at = $1 WHERE lease_owner IS NOT NULL",
        )
        .bind(now)
        .execute(&mut tx)
        .await?;
        status_outbox::void(&mut tx).await?;
        tx.commit().await
    }

    /// Goes on only for the lane's present holder and a post that is still to be worked on, and keeps it so until the
    /// transaction ends.
    pub(crate) async fn fence(&self, tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
        let holds: Option<i64> = query(locking!(
            "SELECT epoch FROM x_accounts WHERE id = $1 AND epoch = $2 AND lease_owner = $3 AND current_post_id = $4"
        ))
        .bind(&lease.account.0)
        .bind(lease.epoch)
        .bind(&*self.node)
        .bind(lease.post.id.to_string())
        .fetch_value_optional(&mut *tx)
        .await?;
        holds.map(|_| ()).ok_or(StoreError::LeaseLost)
    }
}

/// Has a post's status message written anew, no sooner than its chat may be edited again.
pub(crate) async fn show(tx: &mut Tx, id: PostId, now: i64) -> Result<(), sqlx::Error> {
    query(
        "UPDATE posts SET status_want = status_want + 1, status_attempts = 0,
                status_due_at = CASE WHEN place_sealed IS NULL THEN NULL WHEN status_not_before > $1 THEN status_not_before ELSE $1 END
          WHERE id = $2",
    )
    .bind(now)
    .bind(id.to_string())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Adds to a post's audit trail.
pub(crate) async fn event(
    tx: &mut Tx,
    store: &Store,
    id: PostId,
    epoch: Option<i64>,
    kind: &str,
    detail: Option<&str>,
    now: i64,
) -> Result<(), sqlx::Error> {
    query("INSERT INTO post_events (post_id, at, node, epoch, kind, detail) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(id.to_string())
        .bind(now)
        .bind(&*store.node)
        .bind(epoch)
        .bind(kind)
        .bind(detail)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Makes a lane due when its posts are, unless somebody holds it: then letting it go will.
pub(crate) async fn rearm(tx: &mut Tx, account: &AccountId, now: i64) -> Result<(), sqlx::Error> {
    let owner: Option<Option<String>> = query(locking!("SELECT lease_owner FROM x_accounts WHERE id = $1"))
        .bind(&account.0)
        .fetch_value_optional(&mut *tx)
        .await?;
    match owner {
        Some(None) => release(tx, account, now).await,
        _ => Ok(()),
    }
}

/// Takes a post that people decided about off its lane. A worker that holds the lane for it loses its lease.
pub(crate) async fn drop_from_lane(
    tx: &mut Tx,
    account: &AccountId,
    id: PostId,
    now: i64,
) -> Result<(), sqlx::Error> {
    let held = query(
        "UPDATE x_accounts SET epoch = epoch + 1, current_post_id = NULL WHERE id = $1 AND current_post_id = $2",
    )
    .bind(&account.0)
    .bind(id.to_string())
    .execute(&mut *tx)
    .await?;
    match held {
        1 => release(tx, account, now).await,
        _ => rearm(tx, account, now).await,
    }
}

/// Lets a lane go: due when its present post is, or else its next; never before `now`, so that lanes take turns.
/// A lane whose tokens are refused rests until its account is linked again.
///
/// The lane is locked by now: only then does this see every post that another transaction has put on it.
pub(crate) async fn release(tx: &mut Tx, account: &AccountId, now: i64) -> Result<(), sqlx::Error> {
    let current: Option<(String, i64, String, Option<String>, String)> = query(
        "SELECT p.id, p.due_at, p.state, p.sha256, p.user_id FROM x_accounts a JOIN posts p ON p.id = a.current_post_id
          WHERE a.id = $1 AND p.due_at IS NOT NULL AND p.state <> $2 AND p.attempt < $3",
    )
    .bind(&account.0)
    .bind(State::NeedsUser.as_str())
    .bind(YIELDS_AFTER)
    .fetch_optional(&mut *tx)
    .await?;
    let (current, next) = match current {
        Some((id, due, state, sha256, user)) => (Some(id), Some((due, state, sha256, user))),
        None => (None, query(NEXT_POST_DUE).bind(&account.0).fetch_optional(&mut *tx).await?),
    };
    let next: Option<(i64, String, Option<String>, String)> = next;
    let due = next.as_ref().map(|(due, ..)| *due);
    // A row that a later version wrote counts as a call: the claim reads it, and puts it off.
    let transfer_user = next.and_then(|(_, state, sha256, user)| {
        let kind = StepKind::of(state.parse().ok()?, sha256.is_some());
        (kind == StepKind::Transfer).then_some(user)
    });
    query(
        "UPDATE x_accounts SET lease_owner = NULL, current_post_id = $1,
                due_at = CASE WHEN token_state = 'broken' THEN NULL ELSE CAST($2 AS BIGINT) END,
                transfer_user = $4
          WHERE id = $3",
    )
    .bind(current)
    .bind(due.map(|due| due.max(now)))
    .bind(&account.0)
    .bind(transfer_user)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Has the posts that have not begun say what the post before them waits for, since they wait for the same.
pub(crate) async fn tell_those_behind(
    tx: &mut Tx,
    lease: &Lease,
    waiting: Option<String>,
    now: i64,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE posts SET waiting = $1, status_want = status_want + 1, status_attempts = 0,
                status_due_at = CASE WHEN place_sealed IS NULL THEN NULL
                                     WHEN status_not_before > $2 THEN status_not_before ELSE $2 END
          WHERE account_id = $3 AND id <> $4 AND due_at IS NOT NULL AND state IN ('staging', 'inspecting')
            AND attempt = 0 AND COALESCE(waiting, '') <> COALESCE(CAST($1 AS TEXT), '')",
    )
    .bind(&waiting)
    .bind(now)
    .bind(&lease.account.0)
    .bind(lease.post.id.to_string())
    .execute(tx)
    .await?;
    Ok(())
}

/// What the post whose turn it is makes all posts of an account wait for, as it is stored.
pub(crate) async fn wait_of_lane(
    tx: &mut Tx,
    account: &AccountId,
    now: i64,
) -> Result<Option<String>, sqlx::Error> {
    let waiting: Option<String> = query(
        "SELECT p.waiting FROM x_accounts a JOIN posts p ON p.id = a.current_post_id
          WHERE a.id = $1 AND a.due_at >= $2 AND p.waiting IS NOT NULL",
    )
    .bind(&account.0)
    .bind(now + WORTH_TELLING_MS)
    .fetch_value_optional(tx)
    .await?;
    let for_all =
        |text: &String| serde_json::from_str(text).is_ok_and(|waiting: Waiting| waiting.is_for_the_account());
    Ok(waiting.filter(for_all))
}

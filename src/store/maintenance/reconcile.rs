//! After a restore, or a failover that lost commits: what the rows say may be less than what happened. Every post that
//! could be on X already is put in doubt, so that the worker looks before anything is sent.

use crate::store::{
    Store, StoreError,
    db::{
        engine::{Tx, query},
        locks,
    },
    posts::{lease::release, rows::clean_at},
};
use crate::{account::AccountId, post::State};

/// How much of what happened the database may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Hours, as after a restore from a backup: a post may have come all the way to X.
    Long,
    /// Seconds, as after a failover: a post of which no upload had begun cannot have.
    Seconds,
}

/// What [`Store::reconcile`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Unfinished posts that the worker looks for at X before it goes on.
    pub look: u64,
    /// Unfinished posts that cannot be told on X, so that their people are asked.
    pub asked: u64,
    /// Failed posts that are looked for if their people try them again.
    pub if_retried: u64,
}

// Each is answered by an index, however much is finished: a test asks both engines. What is not over is due at some time,
// which the schema checks.
pub(crate) const UNFINISHED: &str = "SELECT account_id FROM posts WHERE due_at IS NOT NULL
      UNION SELECT account_id FROM posts WHERE state = 'needs_user' ORDER BY account_id";
pub(crate) const FAILED: &str =
    "SELECT DISTINCT account_id FROM posts WHERE state = 'failed' ORDER BY account_id";
pub(crate) const RECORD: &str = "INSERT INTO post_events (post_id, at, node, kind, detail)
     SELECT id, $1, $2, 'reconciled', state FROM posts
      WHERE id IN (SELECT id FROM posts WHERE account_id = $3 AND due_at IS NOT NULL
                    UNION SELECT id FROM posts WHERE account_id = $3 AND state = 'needs_user')
      ORDER BY id";
pub(crate) const LOOK_FIRST: &str = "UPDATE posts SET
            state = CASE WHEN state IN ('staging', 'inspecting') THEN state ELSE 'publishing' END,
            media_id = CASE WHEN state = 'uploading' THEN NULL ELSE media_id END,
            segments_done = CASE WHEN state = 'uploading' THEN 0 ELSE segments_done END,
            intent_at = $1, first_intent_at = created_at, billed_at = $1, resend = 0, looks = 0, attempt = 0,
            claims = 0, due_at = $1, updated_at = $1
      WHERE account_id = $2 AND due_at IS NOT NULL
        AND state NOT IN ('posted', 'canceled', 'failed', 'needs_user')
        AND (intent_at IS NOT NULL OR EXISTS (SELECT 1 FROM post_media WHERE post_id = posts.id))";
pub(crate) const LOOK_ONCE_MORE: &str = "UPDATE posts SET
            first_intent_at = created_at, looks = 0, attempt = 0, claims = 0, due_at = $1, updated_at = $1
      WHERE account_id = $2 AND state = 'needs_user'
        AND EXISTS (SELECT 1 FROM post_media WHERE post_id = posts.id)";
pub(crate) const LOOK_IF_RETRIED: &str =
    "UPDATE posts SET first_intent_at = created_at WHERE account_id = $1 AND state = 'failed'";
pub(crate) const ASK: &str = "UPDATE posts SET
            state = 'needs_user', intent_at = $1, first_intent_at = created_at, billed_at = $1, resend = 0, looks = 0,
            attempt = 0, claims = 0, waiting = NULL, due_at = NULL, clean_at = $3, updated_at = $1,
            status_want = status_want + 1, status_attempts = 0,
            status_due_at = CASE WHEN place_sealed IS NULL THEN NULL ELSE CAST($1 AS BIGINT) END
      WHERE account_id = $2 AND due_at IS NOT NULL
        AND state NOT IN ('posted', 'canceled', 'failed', 'needs_user') AND intent_at IS NULL";

impl Store {
    /// Puts every post in doubt that may be on X unbeknown to these rows. Does no harm when done twice, or while
    /// workers run: whoever holds a lane loses it, and one that is sending at this moment is waited for by the look,
    /// which does not give up before the time to settle is over.
    pub async fn reconcile(&self, lost: Lost, now: i64) -> Result<Reconciled, StoreError> {
        let mut done = Reconciled::default();
        for account in query(UNFINISHED).fetch_values(&self.read).await?.into_iter().map(AccountId) {
            let mut tx = self.begin().await?;
            locks::lane(&mut tx, &account).await?;
            self.record(&mut tx, &account, now).await?;
            done.look += look_first(&mut tx, &account, now).await?;
            done.look += look_once_more(&mut tx, &account, now).await?;
            if lost == Lost::Long {
                done.asked += ask(&mut tx, &account, now).await?;
            }
            query("UPDATE x_accounts SET epoch = epoch + 1, current_post_id = NULL WHERE id = $1")
                .bind(&account.0)
                .execute(&mut tx)
                .await?;
            release(&mut tx, &account, now).await?;
            self.commit(tx).await?;
        }
        // Last, since these only matter once a person presses a button.
        for account in query(FAILED).fetch_values(&self.read).await?.into_iter().map(AccountId) {
            let mut tx = self.begin().await?;
            locks::lane(&mut tx, &account).await?;
            done.if_retried += look_if_retried(&mut tx, &account).await?;
            self.commit(tx).await?;
        }
        Ok(done)
    }

    /// Says in the audit trail what each unfinished post was.
    async fn record(&self, tx: &mut Tx, account: &AccountId, now: i64) -> Result<(), sqlx::Error> {
        query(RECORD).bind(now).bind(&*self.node).bind(&account.0).execute(tx).await?;
        Ok(())
    }
}

/// A failed post that its person tries again is one that may have been tried again, and made, already.
async fn look_if_retried(tx: &mut Tx, account: &AccountId) -> Result<u64, sqlx::Error> {
    query(LOOK_IF_RETRIED).bind(&account.0).execute(tx).await
}

/// Posts with an upload: a post on X that carries it is theirs. One whose file is complete looks at once; one that has
/// yet to be copied or looked into does that first, since the file must be there if nothing is found.
///
/// An intent of this moment gives a worker that is just sending time to end. What X has of a file in part is not gone
/// on with: the rows do not know how far that came.
async fn look_first(tx: &mut Tx, account: &AccountId, now: i64) -> Result<u64, sqlx::Error> {
    query(LOOK_FIRST).bind(now).bind(&account.0).execute(tx).await
}

/// Posts that their people were asked about, and may have answered since.
async fn look_once_more(tx: &mut Tx, account: &AccountId, now: i64) -> Result<u64, sqlx::Error> {
    query(LOOK_ONCE_MORE).bind(now).bind(&account.0).execute(tx).await
}

/// Posts without an upload: nothing on X could be told to be theirs.
async fn ask(tx: &mut Tx, account: &AccountId, now: i64) -> Result<u64, sqlx::Error> {
    query(ASK).bind(now).bind(&account.0).bind(clean_at(State::NeedsUser, now)).execute(tx).await
}

//! Who waits for whom. On PostgreSQL others write at the same time; what a transaction decides by, it locks first.
//!
//! Everybody locks in this order, so that nobody waits in a circle:
//!
//! 1. a ticket that is used up, by deleting it;
//! 2. the person, whose limits, links, uploads and repeated requests are counted under their row;
//! 3. an upload that is used up, by deleting it;
//! 4. the installation, when the budget of all people is counted;
//! 5. the pause of the app;
//! 6. lanes, by id. What becomes of a post is decided by who holds its lane;
//! 7. everything else. Several posts at once are changed by who holds their lane only.
//!
//! A statement that waits for a lock goes on with the newest version of that row, but sees other rows as they were when
//! it began to wait. So what depends on other rows is asked in the *next* statement: a lane that is let go while a post
//! comes in would else rest for ever.

use crate::account::AccountId;
use crate::store::db::engine::{Tx, locking, query};

/// Locks a person's row, if there is one.
pub(crate) async fn person(tx: &mut Tx, user: &str) -> Result<(), sqlx::Error> {
    query(locking!("SELECT id FROM users WHERE id = $1"))
        .bind(user)
        .fetch_value_optional::<String>(tx)
        .await?;
    Ok(())
}

/// Locks what is counted for all people together.
pub(crate) async fn installation(tx: &mut Tx) -> Result<(), sqlx::Error> {
    query(locking!("SELECT id FROM installation")).fetch_values::<String>(tx).await?;
    Ok(())
}

/// Locks a lane, if there is one.
pub(crate) async fn lane(tx: &mut Tx, account: &AccountId) -> Result<(), sqlx::Error> {
    query(locking!("SELECT id FROM x_accounts WHERE id = $1"))
        .bind(&account.0)
        .fetch_value_optional::<String>(tx)
        .await?;
    Ok(())
}

/// Locks several lanes, each once.
pub(crate) async fn lanes<'a>(
    tx: &mut Tx,
    accounts: impl Iterator<Item = &'a AccountId>,
) -> Result<(), sqlx::Error> {
    let mut accounts: Vec<&AccountId> = accounts.collect();
    accounts.sort_by(|a, b| a.0.cmp(&b.0));
    accounts.dedup();
    for account in accounts {
        lane(tx, account).await?;
    }
    Ok(())
}

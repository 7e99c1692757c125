//! What one process at a time does for all, by name; and which processes live.
//!
//! A name that nobody prolongs is free after [`HOLD`]. Times are those of the processes' own clocks, which differ: so
//! whoever holds a name lets go of it well before (see [`crate::store::cluster::leader`]), and nothing is done under a name that two
//! could not do for a moment without harm ([decision 19](../../docs/decisions/0019-leases-by-name.md)).

use std::time::Duration;

use crate::store::{Store, StoreError, Topics, db::engine::query};

/// How long a name is held without a sign of life.
pub const HOLD: Duration = Duration::from_secs(12);
/// Names that were free for this long are forgotten: those of processes are never taken again.
const KEEP_MS: i64 = 3_600_000;

/// A name that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What comes after the prefix that was asked for.
    pub name: String,
    pub ours: bool,
}

impl Store {
    /// Takes a name that is free, or prolongs it if it is held by `owner`. `None` while another holds it, else its
    /// epoch, which rises whenever the owner changes.
    pub(crate) async fn hold(&self, name: &str, owner: &str, now: i64) -> Result<Option<i64>, StoreError> {
        let held: Option<i64> = query(
            "INSERT INTO leases (name, owner, epoch, due_at) VALUES ($1, $2, 1, $3)
             ON CONFLICT (name) DO UPDATE SET
                 epoch = leases.epoch + CASE WHEN leases.owner = excluded.owner THEN 0 ELSE 1 END,
                 owner = excluded.owner, due_at = excluded.due_at
              WHERE leases.owner = excluded.owner OR leases.owner IS NULL OR leases.due_at <= $4
             RETURNING epoch",
        )
        .bind(name)
        .bind(owner)
        .bind(now + i64::try_from(HOLD.as_millis()).unwrap_or(i64::MAX / 2))
        .bind(now)
        .fetch_value_optional(&self.write)
        .await?;
        Ok(held)
    }

    /// Whether a name could be taken now: asked before, since reading is cheap and nearly always enough.
    pub(crate) async fn is_free(&self, name: &str, owner: &str, now: i64) -> Result<bool, StoreError> {
        let held: Option<i64> = query(
            "SELECT due_at FROM leases WHERE name = $1 AND owner IS NOT NULL AND owner <> $2 AND due_at > $3",
        )
        .bind(name)
        .bind(owner)
        .bind(now)
        .fetch_value_optional(&self.read)
        .await?;
        Ok(held.is_none())
    }

    /// Gives a name back, unless it is another's by now; others take it at once.
    pub(crate) async fn give_up(&self, name: &str, owner: &str, epoch: i64) -> Result<(), StoreError> {
        let done =
            query("UPDATE leases SET owner = NULL, due_at = 0 WHERE name = $1 AND owner = $2 AND epoch = $3")
                .bind(name)
                .bind(owner)
                .bind(epoch)
                .execute(&self.write)
                .await?;
        if done > 0 {
            self.changed(Topics::LEASES);
        }
        Ok(())
    }

    /// Says that this process goes by `thing`, as every other must that says so under the same `name`. Returns what the
    /// others go by where that is something else. It is forgotten [`HOLD`] after the last of them said it.
    pub async fn agree(&self, name: &str, thing: &str, now: i64) -> Result<Option<String>, StoreError> {
        if self.hold(name, thing, now).await?.is_some() {
            return Ok(None);
        }
        let theirs: Option<Option<String>> =
            query("SELECT owner FROM leases WHERE name = $1 AND owner <> $2")
                .bind(name)
                .bind(thing)
                .fetch_value_optional(&self.write)
                .await?;
        Ok(theirs.flatten())
    }

    /// The names held at this moment that begin with `prefix`, which is of letters and colons.
    pub async fn holdings(&self, prefix: &str, now: i64) -> Result<Vec<Holding>, StoreError> {
        let rows: Vec<(String, String)> = query(
            "SELECT name, owner FROM leases WHERE name LIKE $1 AND owner IS NOT NULL AND due_at > $2 ORDER BY name",
        )
        .bind(format!("{prefix}%"))
        .bind(now)
        .fetch_all(&self.read)
        .await?;
        let holding = |(name, owner): (String, String)| Holding {
            name: name.strip_prefix(prefix).unwrap_or_default().to_owned(),
            ours: owner == *self.node,
        };
        Ok(rows.into_iter().map(holding).collect())
    }

    /// Forgets names that nobody holds any more.
    pub async fn prune_leases(&self, now: i64) -> Result<(), StoreError> {
        query("DELETE FROM leases WHERE due_at < $1").bind(now - KEEP_MS).execute(&self.write).await?;
        Ok(())
    }
}

//! Changing the encryption key: every sealed value is opened once more and sealed anew.

use crate::account::AccountId;
use crate::store::{
    Store, StoreError, Vault, VaultError,
    db::engine::{Pool, query},
    people::x_tokens,
};

/// Values read at once; on SQLite also sealed anew in one transaction.
const BATCH: i64 = 200;

/// A column that the vault sealed.
pub(crate) struct Sealed {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    /// Finds those that another key sealed, a batch after a row.
    pub(crate) select: &'static str,
    /// Replaces one, unless it has changed meanwhile.
    pub(crate) update: &'static str,
    /// What the value is sealed for, from what names the row.
    owner: fn(&str) -> String,
}

macro_rules! sealed {
    ($table:literal, $id:literal, $column:literal, $owner:expr) => {
        Sealed {
            table: $table,
            column: $column,
            select: concat!(
                "SELECT ",
                $id,
                ", ",
                $column,
                " FROM ",
                $table,
                " WHERE ",
                $column,
                " IS NOT NULL AND substr(",
                $column,
                ", 1, CAST(CAST($1 AS BIGINT) AS INTEGER)) <> $2 AND ",
                $id,
                " > $3 ORDER BY ",
                $id,
                " LIMIT $4"
            ),
            update: concat!(
                "UPDATE ",
                $table,
                " SET ",
                $column,
                " = $1 WHERE ",
                $id,
                " = $2 AND ",
                $column,
                " = $3"
            ),
            owner: $owner,
        }
    };
}

/// Every column named `*_sealed`; a test holds this list against the schema. The mark comes last: a key that opens it
/// opens all.
pub(crate) const SEALED: [Sealed; 7] = [
    sealed!("x_accounts", "id", "tokens_sealed", |id| x_tokens::owner(&AccountId(id.to_owned()))),
    sealed!("posts", "id", "place_sealed", str::to_owned),
    sealed!("tickets", "hash", "payload_sealed", str::to_owned),
    sealed!("sessions", "hash", "payload_sealed", str::to_owned),
    sealed!("notices", "id", "place_sealed", str::to_owned),
    sealed!("notices", "id", "message_sealed", str::to_owned),
    sealed!("installation", "id", "mark_sealed", str::to_owned),
];

/// What [`Store::reseal`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Values that are now sealed with the new key.
    pub values: u64,
    /// Values that no key opens; they stay as they were.
    pub damaged: u64,
}

impl Store {
    /// Seals everything with `vault`'s own key that is not yet, a batch at a time, and then leaves no trace of what
    /// other keys sealed. May be stopped anywhere and called again. The store goes on with the vault it was opened
    /// with: close it afterwards.
    ///
    /// # Errors
    /// [`VaultError::OtherKey`] when a value was sealed with a key that `vault` does not have.
    pub async fn reseal(&self, vault: &Vault) -> Result<Resealed, StoreError> {
        let mut done = Resealed::default();
        for sealed in &SEALED {
            let mut after = String::new();
            while let Some(last) = self.reseal_batch(sealed, vault, &after, BATCH, &mut done).await? {
                after = last;
            }
        }
        // What was deleted or replaced stays readable in free pages and in the log until they are written over.
        match &self.write {
            Pool::Sqlite(pool) => {
                sqlx::query("VACUUM").execute(pool).await?;
                sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
            }
            // Its log and its copies are the server's: README, "Changing the key".
            Pool::Postgres(pool) => {
                let mut connection = pool.acquire().await?.detach();
                sqlx::query("SET statement_timeout = 0").execute(&mut connection).await?;
                sqlx::query("VACUUM x_accounts, posts, tickets, notices, installation")
                    .execute(&mut connection)
                    .await?;
            }
        }
        Ok(done)
    }

    /// Seals up to `batch` values anew, from the row after `after` on; returns the last row of the batch, if any.
    async fn reseal_batch(
        &self,
        sealed: &Sealed,
        vault: &Vault,
        after: &str,
        batch: i64,
        done: &mut Resealed,
    ) -> Result<Option<String>, StoreError> {
        let Sealed { table, column, owner, .. } = sealed;
        let mark = vault.mark();
        let rows: Vec<(String, Vec<u8>)> = query(sealed.select)
            .bind(i64::try_from(mark.len()).unwrap_or(i64::MAX))
            .bind(&mark[..])
            .bind(after)
            .bind(batch)
            .fetch_all(&self.read)
            .await?;
        // On PostgreSQL each by itself, so that none is held while the next is waited for: they are of many lanes.
        let mut tx = match &self.write {
            Pool::Sqlite(_) => Some(self.begin().await?),
            Pool::Postgres(_) => None,
        };
        for (row, value) in &rows {
            let plain = match vault.open(value, &owner(row)) {
                Ok(plain) => plain,
                Err(VaultError::Damaged) => {
                    tracing::warn!(table, column, row, "a sealed value is damaged and stays as it is");
                    done.damaged += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let anew = vault.seal(&plain, &owner(row))?;
            // One that another process has replaced is sealed by that one's key, and found again if that is not ours.
            let update = query(sealed.update).bind(anew).bind(row).bind(&value[..]);
            done.values += match &mut tx {
                Some(tx) => update.execute(tx).await?,
                None => update.execute(&self.write).await?,
            };
        }
        if let Some(tx) = tx {
            tx.commit().await?;
        }
        Ok(rows.into_iter().next_back().map(|(row, _)| row))
    }
}

#[cfg(test)]
mod tests;

//! Changing the encryption key: every sealed value is opened once more and sealed anew.

use sqlx::AssertSqlSafe;

use super::{Store, StoreError, Vault, VaultError, tokens};
use crate::account::AccountId;

/// Values sealed anew in one transaction.
const BATCH: i64 = 200;

/// A column that the vault sealed.
struct Sealed {
    table: &'static str,
    /// Names the row.
    id: &'static str,
    column: &'static str,
    /// What the value is sealed for, from the row's id.
    owner: fn(&str) -> String,
}

/// Every column named `*_sealed`; a test holds this list against the schema.
const SEALED: [Sealed; 5] = [
    Sealed {
        table: "x_accounts",
        id: "id",
        column: "tokens_sealed",
        owner: |id| tokens::owner(&AccountId(id.to_owned())),
    },
    Sealed { table: "posts", id: "id", column: "place_sealed", owner: str::to_owned },
    Sealed { table: "tickets", id: "hash", column: "payload_sealed", owner: str::to_owned },
    Sealed { table: "notices", id: "id", column: "place_sealed", owner: str::to_owned },
    Sealed { table: "notices", id: "id", column: "message_sealed", owner: str::to_owned },
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
        sqlx::query("VACUUM").execute(&self.write).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.write).await?;
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
        let Sealed { table, id, column, owner } = sealed;
        let mark = vault.mark();
        let mut tx = self.begin().await?;
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {id}, {column} FROM {table}
              WHERE {column} IS NOT NULL AND substr({column}, 1, $1) <> $2 AND {id} > $3 ORDER BY {id} LIMIT $4"
        )))
        .bind(i64::try_from(mark.len()).unwrap_or(i64::MAX))
        .bind(&mark[..])
        .bind(after)
        .bind(batch)
        .fetch_all(&mut *tx)
        .await?;
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
            sqlx::query(AssertSqlSafe(format!("UPDATE {table} SET {column} = $1 WHERE {id} = $2")))
                .bind(anew)
                .bind(row)
                .execute(&mut *tx)
                .await?;
            done.values += 1;
        }
        tx.commit().await?;
        Ok(rows.into_iter().next_back().map(|(row, _)| row))
    }
}

#[cfg(test)]
mod tests;

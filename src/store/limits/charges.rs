//! Connections of accounts that X charges for.

use uuid::Uuid;

use crate::store::{
    Store, StoreError, Topics,
    db::{engine::query, locks},
    limits::user_limits::{lock, spent},
    people::accounts::upsert_user,
};
use crate::{account::Person, clock::Month, config::Limits, post::CONNECTION_PRICE};

const HOUR_MS: i64 = 3_600_000;

/// Outcome of [`Store::reserve_connection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Counted; the id takes it back.
    Charge(Uuid),
    /// The person has begun as many connections within an hour as they may.
    TooMany,
    /// The rest of the month's budget does not pay for it.
    OverBudget,
}

impl Store {
    /// Counts a connection towards its person's hour and the month's budget before X is asked for it, if there is room.
    pub async fn reserve_connection(
        &self,
        person: &Person,
        limits: &Limits,
        now: i64,
    ) -> Result<Reserved, StoreError> {
        let mut tx = self.begin().await?;
        let user = upsert_user(&mut tx, person, now).await?;
        locks::person(&mut tx, &user).await?;
        lock(&mut tx, limits).await?;
        if let Some(most) = limits.connections_per_person_per_hour {
            let begun: i64 = query("SELECT count(*) FROM charges WHERE user_id = $1 AND at > $2")
                .bind(&user)
                .bind(now - HOUR_MS)
                .fetch_value(&mut tx)
                .await?;
            if begun >= i64::from(most) {
                return Ok(Reserved::TooMany);
            }
        }
        if let Some(budget) = limits.monthly_budget
            && spent(&mut tx, &Month::of(now)).await?.0 + CONNECTION_PRICE.0 > budget.0
        {
            return Ok(Reserved::OverBudget);
        }
        let id = Uuid::now_v7();
        query("INSERT INTO charges (id, user_id, price, at) VALUES ($1, $2, $3, $4)")
            .bind(id.to_string())
            .bind(user)
            .bind(i64::try_from(CONNECTION_PRICE.0).unwrap_or(i64::MAX))
            .bind(now)
            .execute(&mut tx)
            .await?;
        self.commit_about(Topics::NONE, tx).await?;
        Ok(Reserved::Charge(id))
    }

    /// Takes a charge back: X gave no tokens, so that nothing was asked that it charges for.
    pub async fn release_charge(&self, id: Uuid) -> Result<(), StoreError> {
        self.change(query("DELETE FROM charges WHERE id = $1").bind(id.to_string())).await?;
        Ok(())
    }

    /// Forgets charges from before `before`.
    pub async fn prune_charges(&self, before: i64) -> Result<(), StoreError> {
        query("DELETE FROM charges WHERE at < $1").bind(before).execute(&self.write).await?;
        Ok(())
    }
}

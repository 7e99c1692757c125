//! Operators who claimed the bot with its code; the configuration names others.

use crate::store::{
    Store, StoreError,
    db::engine::{On, query},
    people::accounts::{upsert_user, user_id},
};
use crate::{
    account::{Person, PersonRef},
    ticket::Ticket,
};

const CLAIM: &str = "claim";

impl Store {
    /// The people who claimed the bot.
    pub async fn operators(&self) -> Result<Vec<PersonRef>, StoreError> {
        operators(&self.read).await
    }

    /// True for a person who claimed the bot.
    pub async fn is_operator(&self, person: &Person) -> Result<bool, StoreError> {
        let found: Option<i64> = query("SELECT claimed_at FROM operators WHERE user_id = $1")
            .bind(user_id(person))
            .fetch_value_optional(&self.read)
            .await?;
        Ok(found.is_some())
    }

    /// Keeps the hash of a claim code until `expires_at`, in place of an earlier one.
    pub async fn keep_claim(&self, code: &Ticket, expires_at: i64) -> Result<(), StoreError> {
        self.drop_claims().await?;
        self.keep_ticket(CLAIM, code, &(), expires_at).await
    }

    /// Makes claim codes void.
    pub async fn drop_claims(&self) -> Result<(), StoreError> {
        query("DELETE FROM tickets WHERE kind = $1").bind(CLAIM).execute(&self.write).await?;
        Ok(())
    }

    /// Makes a person an operator and uses the code up. False when the code is wrong, late or used.
    pub async fn claim_bot(&self, code: &Ticket, person: &Person, now: i64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if self.take::<()>(&mut tx, CLAIM, code, now).await?.is_none() {
            return Ok(false);
        }
        let user = upsert_user(&mut tx, person, now).await?;
        query("INSERT INTO operators (user_id, claimed_at) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING")
            .bind(user)
            .bind(now)
            .execute(&mut tx)
            .await?;
        self.commit(tx).await?;
        Ok(true)
    }

    /// Takes the operators' rights from people whom the configuration blocks.
    pub async fn depose(&self, blocked: &[PersonRef]) -> Result<(), StoreError> {
        for person in blocked {
            query("DELETE FROM operators WHERE user_id = $1")
                .bind(person.to_string())
                .execute(&self.write)
                .await?;
        }
        Ok(())
    }
}

pub(crate) async fn operators(on: impl Into<On<'_>>) -> Result<Vec<PersonRef>, StoreError> {
    let ids: Vec<String> =
        query("SELECT user_id FROM operators ORDER BY claimed_at, user_id").fetch_values(on).await?;
    ids.iter().map(|id| id.parse().map_err(|_| StoreError::Unreadable("operator"))).collect()
}

//! Requests that a program may send twice: the second is answered as the first was.

use uuid::Uuid;

use crate::account::Person;
use crate::store::{
    Store, StoreError,
    db::engine::{Tx, query},
    people::accounts,
    posts::uploads::{Handed, Repeatable},
};

impl Store {
    /// What is known of a request with this key; `None` when it is new.
    pub async fn repeated(
        &self,
        person: &Person,
        repeatable: &Repeatable,
        now: i64,
    ) -> Result<Option<Handed>, StoreError> {
        let mut tx = self.begin().await?;
        known(&mut tx, &accounts::user_id(person), repeatable, now).await
    }

    /// Forgets requests that are past their time.
    pub async fn prune_idempotency(&self, now: i64) -> Result<(), StoreError> {
        query("DELETE FROM idempotency WHERE expires_at <= $1").bind(now).execute(&self.write).await?;
        Ok(())
    }
}

pub(crate) async fn known(
    tx: &mut Tx,
    user: &str,
    repeatable: &Repeatable,
    now: i64,
) -> Result<Option<Handed>, StoreError> {
    let row: Option<(String, String)> = query(
        "SELECT body_hash, request_id FROM idempotency WHERE user_id = $1 AND key = $2 AND expires_at > $3",
    )
    .bind(user)
    .bind(&repeatable.key)
    .bind(now)
    .fetch_optional(&mut *tx)
    .await?;
    row.map(|(hash, request)| {
        let request: Uuid = request.parse().map_err(|_| StoreError::Unreadable("request id"))?;
        Ok(if hash == repeatable.body_hash { Handed::Repeated(request) } else { Handed::Conflict })
    })
    .transpose()
}

pub(crate) async fn remember(
    tx: &mut Tx,
    user: &str,
    repeatable: &Repeatable,
    request: Uuid,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO idempotency (user_id, key, body_hash, request_id, expires_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id, key) DO UPDATE SET body_hash = excluded.body_hash,
             request_id = excluded.request_id, expires_at = excluded.expires_at",
    )
    .bind(user)
    .bind(&repeatable.key)
    .bind(&repeatable.body_hash)
    .bind(request.to_string())
    .bind(repeatable.expires_at)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

//! Messages to people that no post row carries, kept until a chat has them. Any process may send one; one at a time does.

use super::{
    Store, StoreError,
    engine::{Sql, Tx, query},
    queue::UNREADABLE_PAUSE_MS,
    status::Turn,
};
use crate::{account::Place, words::Message};

/// A message to a person that no post row carries.
#[derive(Debug)]
pub struct Notice {
    pub id: String,
    pub place: Place,
    pub message: Message,
    pub attempts: u32,
    pub turn: Turn,
    taken_until: i64,
}

pub(super) const TAKE_NOTICES: Sql = Sql {
    sqlite: "UPDATE notices SET taken_until = $2
              WHERE id IN (SELECT id FROM notices WHERE due_at <= $1 AND taken_until <= $1 ORDER BY due_at LIMIT $3)
          RETURNING id, place_sealed, message_sealed, attempts",
    postgres: "UPDATE notices SET taken_until = $2
                WHERE id IN (SELECT id FROM notices WHERE due_at <= $1 AND taken_until <= $1 ORDER BY due_at LIMIT $3
                                FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id, place_sealed, message_sealed, attempts",
};

impl Store {
    /// Keeps a message until its chat has it.
    pub(super) async fn notify(
        &self,
        tx: &mut Tx,
        place: &Place,
        message: &Message,
        now: i64,
    ) -> Result<(), StoreError> {
        let id = uuid::Uuid::now_v7().to_string();
        let place = self.seal_place(place, &id)?;
        let plain = serde_json::to_vec(message).map_err(|_| StoreError::Unreadable("message"))?;
        let message = self.vault.seal(&plain, &id)?;
        query("INSERT INTO notices (id, place_sealed, message_sealed, due_at) VALUES ($1, $2, $3, $4)")
            .bind(&id)
            .bind(place)
            .bind(message)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        Ok(())
    }

    /// Takes notices that are to be sent now: nobody else sends them for a while.
    pub async fn due_notices(&self, now: i64, limit: u32) -> Result<Vec<Notice>, StoreError> {
        // Asked of a reader first: there is hardly ever one.
        let due: Option<i64> = query("SELECT min(due_at) FROM notices").fetch_value(&self.read).await?;
        if due.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let (turn, until) = Turn::begin(now);
        let rows: Vec<(String, Vec<u8>, Vec<u8>, i64)> =
            query(TAKE_NOTICES).bind(now).bind(until).bind(i64::from(limit)).fetch_all(&self.write).await?;
        let open = |id: String, place: &[u8], message: &[u8], tries| -> Result<Notice, StoreError> {
            let place = self.open_place(place, &id)?;
            let plain = self.vault.open(message, &id)?;
            let message = serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("message"))?;
            Ok(Notice {
                id,
                place,
                message,
                attempts: u32::try_from(tries).unwrap_or(u32::MAX),
                turn,
                taken_until: until,
            })
        };
        let mut notices = Vec::with_capacity(rows.len());
        for (id, place, message, tries) in rows {
            match open(id.clone(), &place, &message, tries) {
                Ok(notice) => notices.push(notice),
                Err(error) => {
                    tracing::error!(notice = id, %error, "a notice is put off");
                    self.put_off(&id, until, now + UNREADABLE_PAUSE_MS).await?;
                }
            }
        }
        // Their ids tell in which order they were written.
        notices.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(notices)
    }

    /// Forgets a notice that was sent or can never be.
    pub async fn notice_done(&self, id: &str) -> Result<(), StoreError> {
        let change = query("DELETE FROM notices WHERE id = $1").bind(id);
        self.change(change).await?;
        Ok(())
    }

    /// Tries a notice again at `due_at`, unless another process has taken it since.
    pub async fn notice_later(&self, notice: &Notice, due_at: i64) -> Result<(), StoreError> {
        self.put_off(&notice.id, notice.taken_until, due_at).await
    }

    async fn put_off(&self, id: &str, taken_until: i64, due_at: i64) -> Result<(), StoreError> {
        let change = query(
            "UPDATE notices SET due_at = $1, taken_until = 0, attempts = attempts + 1 WHERE id = $2 AND taken_until = $3",
        )
        .bind(due_at)
        .bind(id)
        .bind(taken_until);
        self.change(change).await?;
        Ok(())
    }
}

//! Messages to people that no post row carries, kept until a chat has them. Any process may send one; one at a time does.

use sqlx::FromRow;
use uuid::Uuid;

use crate::store::{
    Store, StoreError, Topics,
    db::engine::{Sql, Tx, query},
    posts::{lease::UNREADABLE_PAUSE_MS, status_outbox::Turn},
};
use crate::{
    account::{Audience, Place, Platform},
    words::Message,
};

/// A message to a person that no post row carries.
#[derive(Debug)]
pub struct Notice {
    pub id: String,
    pub place: Place,
    pub audience: Audience,
    pub message: Message,
    /// The API token that the message shows.
    pub api_token: Option<Uuid>,
    pub attempts: u32,
    pub turn: Turn,
    taken_until: i64,
}

#[derive(FromRow)]
struct NoticeRow {
    id: String,
    place_sealed: Vec<u8>,
    message_sealed: Vec<u8>,
    attempts: i64,
    audience: String,
    api_token: Option<String>,
}

pub(crate) const TAKE_NOTICES: Sql = Sql {
    sqlite: "UPDATE notices SET taken_until = $2
              WHERE id IN (SELECT id FROM notices WHERE platform = $4 AND due_at <= $1 AND taken_until <= $1
                           ORDER BY due_at LIMIT $3)
          RETURNING id, place_sealed, message_sealed, attempts, audience, api_token",
    postgres: "UPDATE notices SET taken_until = $2
                WHERE id IN (SELECT id FROM notices WHERE platform = $4 AND due_at <= $1 AND taken_until <= $1
                             ORDER BY due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id, place_sealed, message_sealed, attempts, audience, api_token",
};

impl Store {
    /// Keeps a message until its chat has it.
    pub(crate) async fn notify(
        &self,
        tx: &mut Tx,
        place: &Place,
        message: &Message,
        now: i64,
    ) -> Result<(), StoreError> {
        self.insert_notice(tx, place, (Audience::Asker, message), None, now).await
    }

    /// Keeps an answer that its chat did not take, until it does. `api_token` is the token that the answer shows.
    pub async fn keep_answer(
        &self,
        place: &Place,
        answer: (Audience, &Message),
        api_token: Option<Uuid>,
        due_at: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        self.insert_notice(&mut tx, place, answer, api_token, due_at).await?;
        Ok(self.commit_about(Topics::messages(place.platform), tx).await?)
    }

    async fn insert_notice(
        &self,
        tx: &mut Tx,
        place: &Place,
        (audience, message): (Audience, &Message),
        api_token: Option<Uuid>,
        due_at: i64,
    ) -> Result<(), StoreError> {
        let id = Uuid::now_v7().to_string();
        let platform = place.platform;
        let place = self.seal_place(place, &id)?;
        let plain = serde_json::to_vec(message).map_err(|_| StoreError::Unreadable("message"))?;
        let message = self.vault.seal(&plain, &id)?;
        query(
            "INSERT INTO notices (id, platform, audience, api_token, place_sealed, message_sealed, due_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(platform.as_str())
        .bind(audience.as_str())
        .bind(api_token.map(|token| token.to_string()))
        .bind(place)
        .bind(message)
        .bind(due_at)
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    /// Takes notices that are due on a platform: nobody else sends them until the turn ends.
    pub async fn due_notices(
        &self,
        platform: Platform,
        now: i64,
        limit: u32,
    ) -> Result<Vec<Notice>, StoreError> {
        // There is hardly ever one, so a reader looks first.
        let due: Option<i64> = query("SELECT min(due_at) FROM notices WHERE platform = $1")
            .bind(platform.as_str())
            .fetch_value(&self.read)
            .await?;
        if due.is_none_or(|due| due > now) {
            return Ok(Vec::new());
        }
        let (turn, until) = Turn::begin(now);
        let rows: Vec<NoticeRow> = query(TAKE_NOTICES)
            .bind(now)
            .bind(until)
            .bind(i64::from(limit))
            .bind(platform.as_str())
            .fetch_all(&self.write)
            .await?;
        let open = |row: NoticeRow| -> Result<Notice, StoreError> {
            let id = row.id;
            let place = self.open_place(&row.place_sealed, &id)?;
            let plain = self.vault.open(&row.message_sealed, &id)?;
            let message = serde_json::from_slice(&plain).map_err(|_| StoreError::Unreadable("message"))?;
            Ok(Notice {
                id,
                place,
                audience: Audience::from_stored(&row.audience),
                message,
                api_token: row.api_token.and_then(|token| token.parse().ok()),
                attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
                turn,
                taken_until: until,
            })
        };
        let mut notices = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id.clone();
            match open(row) {
                Ok(notice) => notices.push(notice),
                Err(error) => {
                    tracing::error!(notice = id, %error, "a notice is put off");
                    self.put_off(platform, &id, until, now + UNREADABLE_PAUSE_MS).await?;
                }
            }
        }
        // Their ids tell in which order they were written.
        notices.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(notices)
    }

    /// Forgets a notice that was sent.
    pub async fn notice_done(&self, notice: &Notice) -> Result<(), StoreError> {
        let change = query("DELETE FROM notices WHERE id = $1").bind(&notice.id);
        self.change_about(Topics::messages(notice.place.platform), change).await?;
        Ok(())
    }

    /// Gives a notice up, and with it the API token that nobody has seen.
    pub async fn notice_given_up(&self, notice: &Notice) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        query("DELETE FROM notices WHERE id = $1").bind(&notice.id).execute(&mut tx).await?;
        if let Some(token) = notice.api_token {
            query("DELETE FROM api_tokens WHERE id = $1").bind(token.to_string()).execute(&mut tx).await?;
        }
        Ok(self.commit_about(Topics::messages(notice.place.platform), tx).await?)
    }

    /// Tries a notice again at `due_at`, unless another process has taken it since.
    pub async fn notice_later(&self, notice: &Notice, due_at: i64) -> Result<(), StoreError> {
        self.put_off(notice.place.platform, &notice.id, notice.taken_until, due_at).await
    }

    /// Puts a notice off because its chat has no room, which is no failed try.
    pub async fn notice_not_before(&self, notice: &Notice, due_at: i64) -> Result<(), StoreError> {
        let change =
            query("UPDATE notices SET due_at = $1, taken_until = 0 WHERE id = $2 AND taken_until = $3")
                .bind(due_at)
                .bind(&notice.id)
                .bind(notice.taken_until);
        self.change_about(Topics::messages(notice.place.platform), change).await?;
        Ok(())
    }

    async fn put_off(
        &self,
        platform: Platform,
        id: &str,
        taken_until: i64,
        due_at: i64,
    ) -> Result<(), StoreError> {
        let change = query(
            "UPDATE notices SET due_at = $1, taken_until = 0, attempts = attempts + 1 WHERE id = $2 AND taken_until = $3",
        )
        .bind(due_at)
        .bind(id)
        .bind(taken_until);
        self.change_about(Topics::messages(platform), change).await?;
        Ok(())
    }
}

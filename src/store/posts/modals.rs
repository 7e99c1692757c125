//! What the forms are about that people have open in a chat. Whichever process the filled form comes to knows it, and
//! only for who opened it.

use sha2::{Digest, Sha256};

use crate::store::{Store, StoreError, db::engine::query, people::accounts::user_id};
use crate::{account::Person, post::Attachment, ticket::hex};

const FORM: &str = "form";

impl Store {
    /// Keeps what a person's form is about until `expires_at`.
    pub async fn keep_form(
        &self,
        person: &Person,
        key: &str,
        file: &Attachment,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        let hash = hash(person, key);
        let plain = serde_json::to_vec(file).map_err(|_| StoreError::Unreadable("form"))?;
        let sealed = self.vault.seal(&plain, &hash)?;
        query(
            "INSERT INTO tickets (hash, kind, payload_sealed, expires_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (hash) DO NOTHING",
        )
        .bind(hash)
        .bind(FORM)
        .bind(sealed)
        .bind(expires_at)
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// What a person's form is about, if it is known still. It stays known: the chat may deliver it again.
    pub async fn form(&self, person: &Person, key: &str, now: i64) -> Result<Option<Attachment>, StoreError> {
        self.peek_hashed(FORM, &hash(person, key), now).await
    }
}

fn hash(person: &Person, key: &str) -> String {
    hex(&Sha256::digest(format!("{FORM}:{}:{key}", user_id(person))))
}

//! What only the operator can mend, told once until it is over.

use crate::store::{
    Store, StoreError,
    db::engine::{Tx, query},
};
use crate::{
    account::PersonRef,
    words::{Message, Span},
};

/// The incident that X does not accept the app's own credentials.
pub const CLIENT_REJECTED: &str = "client_rejected";

/// An incident that nobody ended is forgotten after this long; its name has a date in it by then.
const KEEP_MS: i64 = 40 * 24 * 3_600_000;

impl Store {
    /// Tells the operators of something that began, unless they were told of it under this name before.
    pub async fn begin_incident(
        &self,
        name: &str,
        operators: &[PersonRef],
        message: &Message,
        now: i64,
    ) -> Result<(), StoreError> {
        let known: Option<i64> = query("SELECT since FROM incidents WHERE name = $1")
            .bind(name)
            .fetch_value_optional(&self.read)
            .await?;
        if known.is_some() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        raise(self, &mut tx, name, operators, message, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// Tells the operators that something is over, if they were told that it began.
    pub async fn end_incident(
        &self,
        name: &str,
        operators: &[PersonRef],
        message: &Message,
        now: i64,
    ) -> Result<(), StoreError> {
        let known: Option<i64> = query("SELECT since FROM incidents WHERE name = $1")
            .bind(name)
            .fetch_value_optional(&self.read)
            .await?;
        if known.is_none() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        end(self, &mut tx, &[name], operators, message, now).await?;
        Ok(self.commit(tx).await?)
    }

    /// Forgets incidents of long ago.
    pub async fn prune_incidents(&self, now: i64) -> Result<(), StoreError> {
        query("DELETE FROM incidents WHERE since < $1").bind(now - KEEP_MS).execute(&self.write).await?;
        Ok(())
    }
}

pub(crate) async fn raise(
    store: &Store,
    tx: &mut Tx,
    name: &str,
    operators: &[PersonRef],
    message: &Message,
    now: i64,
) -> Result<(), StoreError> {
    let begun = query("INSERT INTO incidents (name, since) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    if begun == 1 {
        tracing::error!(incident = name, "{}", plain(message));
        metrics::counter!("toall_incidents_total", "kind" => kind(name).to_owned()).increment(1);
        tell(store, tx, operators, message, now).await?;
    }
    Ok(())
}

pub(crate) async fn end(
    store: &Store,
    tx: &mut Tx,
    names: &[&str],
    operators: &[PersonRef],
    message: &Message,
    now: i64,
) -> Result<(), StoreError> {
    let mut ended = 0;
    for name in names {
        let done = query("DELETE FROM incidents WHERE name = $1").bind(*name).execute(&mut *tx).await?;
        ended += done;
    }
    if ended > 0 {
        tracing::info!(incidents = ?names, "{}", plain(message));
        tell(store, tx, operators, message, now).await?;
    }
    Ok(())
}

/// In a private message to each, and to those who claimed the bot.
async fn tell(
    store: &Store,
    tx: &mut Tx,
    operators: &[PersonRef],
    message: &Message,
    now: i64,
) -> Result<(), StoreError> {
    let claimed = crate::store::people::operators::operators(&mut *tx).await?;
    let claimed = claimed.iter().filter(|operator| !operators.contains(operator));
    for operator in operators.iter().chain(claimed) {
        store.notify(tx, &operator.private_place(), message, now).await?;
    }
    Ok(())
}

/// What comes before the month or day in a name.
fn kind(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

fn plain(message: &Message) -> String {
    let text = |span: &Span| match span {
        Span::Text(text) | Span::Link(text) | Span::Code(text) => text.clone(),
        Span::Time(at) => jiff::Timestamp::from_millisecond(*at).unwrap_or_default().to_string(),
    };
    message.text.iter().map(text).collect()
}

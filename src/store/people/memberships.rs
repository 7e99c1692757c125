//! Where people were last seen in a group that may use the bot.

use crate::account::{Group, Person};
use crate::store::{Store, StoreError, db::engine::query, people::accounts::user_id};

/// Membership of a group that admits its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The server or chat that showed it.
    pub place: Group,
    /// The server, role or chat that admits.
    pub via: Group,
    /// When it was last seen or verified, in Unix milliseconds.
    pub seen_at: i64,
}

/// A membership that is seen again is written only once it is this old.
const REFRESH_MS: i64 = 60 * 60_000;

impl Store {
    /// Keeps what a group's place says of a person: that they are in `via`, which admits them, or that nothing does.
    pub async fn seen(
        &self,
        person: &Person,
        place: &Group,
        via: Option<&Group>,
        now: i64,
    ) -> Result<(), StoreError> {
        let (user, place) = (user_id(person), place.to_string());
        let known: Option<(String, i64)> =
            query("SELECT via, seen_at FROM admissions WHERE user_id = $1 AND place = $2")
                .bind(&user)
                .bind(&place)
                .fetch_optional(&self.read)
                .await?;
        match (via.map(Group::to_string), known) {
            (None, None) => {}
            (Some(via), Some((known, seen_at))) if known == via && seen_at + REFRESH_MS > now => {}
            (Some(via), _) => {
                query(
                    "INSERT INTO admissions (user_id, place, via, seen_at) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (user_id, place) DO UPDATE SET via = excluded.via, seen_at = excluded.seen_at",
                )
                .bind(user)
                .bind(place)
                .bind(via)
                .bind(now)
                .execute(&self.write)
                .await?;
            }
            (None, Some(_)) => {
                query("DELETE FROM admissions WHERE user_id = $1 AND place = $2")
                    .bind(user)
                    .bind(place)
                    .execute(&self.write)
                    .await?;
            }
        }
        Ok(())
    }

    /// The groups that admitted a person, newest first.
    pub async fn memberships(&self, person: &Person) -> Result<Vec<Membership>, StoreError> {
        let rows: Vec<(String, String, i64)> = query(
            "SELECT place, via, seen_at FROM admissions WHERE user_id = $1 ORDER BY seen_at DESC, place",
        )
        .bind(user_id(person))
        .fetch_all(&self.read)
        .await?;
        let group = |text: &str| text.parse().map_err(|_| StoreError::Unreadable("group"));
        let membership = |(place, via, seen_at): (String, String, i64)| {
            Ok(Membership { place: group(&place)?, via: group(&via)?, seen_at })
        };
        rows.into_iter().map(membership).collect()
    }

    /// Forgets sights from before `before`.
    pub async fn prune_admissions(&self, before: i64) -> Result<(), StoreError> {
        query("DELETE FROM admissions WHERE seen_at < $1").bind(before).execute(&self.write).await?;
        Ok(())
    }
}

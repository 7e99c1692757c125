//! Captions that change before the post is made.

use crate::store::{
    Answered, Store, StoreError,
    db::{engine::query, locks},
    limits::user_limits,
    people::accounts,
    posts::{
        lease,
        rows::{PostRow, price},
        user_actions::own,
    },
};
use crate::{
    account::Person,
    config::Limits,
    post::{Mills, Post, PostId, State},
};

impl Store {
    /// The post of this person's that a message asked for.
    pub async fn asked_by(&self, person: &Person, dedupe_key: &str) -> Result<Option<Post>, StoreError> {
        let row: Option<PostRow> = query("SELECT * FROM posts WHERE dedupe_key = $1 AND user_id = $2")
            .bind(dedupe_key)
            .bind(accounts::user_id(person))
            .fetch_optional(&self.read)
            .await?;
        row.map(Post::try_from).transpose()
    }

    /// Puts another caption on a post, unless it may already be on X. A dearer one needs room in the budget.
    pub async fn change_caption(
        &self,
        person: &Person,
        id: PostId,
        caption: &str,
        limits: &Limits,
        now: i64,
    ) -> Result<Answered, StoreError> {
        let mut tx = self.begin().await?;
        locks::person(&mut tx, &accounts::user_id(person)).await?;
        user_limits::lock(&mut tx, limits).await?;
        let Some(post) = own(&mut tx, person, id).await? else { return Ok(Answered::NotYours) };
        if post.intent_at.is_some() || matches!(post.state, State::Posted | State::Canceled) {
            return Ok(Answered::TooLate);
        }
        let (before, after) = (price(&post.caption), price(caption));
        if after > before {
            let wanted =
                user_limits::Wanted { user: &post.user, bytes: None, price: Mills(after.0 - before.0) };
            // The post itself was counted when it was asked for.
            let budget_only = Limits {
                posts_per_person_per_day: None,
                bytes_per_person_per_day: None,
                in_flight_per_person: None,
                connections_per_person_per_hour: None,
                ..limits.clone()
            };
            if let Some(over) = user_limits::room(&mut tx, &budget_only, &wanted, now).await? {
                return Ok(Answered::Over(over));
            }
        }
        query("UPDATE posts SET caption = $1, price = $2, updated_at = $3 WHERE id = $4")
            .bind(caption)
            .bind(i64::try_from(after.0).unwrap_or(i64::MAX))
            .bind(now)
            .bind(id.to_string())
            .execute(&mut tx)
            .await?;
        lease::show(&mut tx, id, now).await?;
        lease::event(&mut tx, self, id, None, "edited", None, now).await?;
        self.commit(tx).await?;
        Ok(Answered::Done)
    }
}

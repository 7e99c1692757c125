//! Captions that people edit in the chat after they asked for the post.

use super::{Intake, IntakeError, caption_limit};
use crate::{
    account::Person,
    caption::Caption,
    chat::Audience,
    store::Answered,
    words::{self, Message},
};

impl Intake {
    /// Puts another caption on the post that a message asked for, if there is one. Says nothing where nothing changes.
    pub(super) async fn edit_caption(
        &self,
        from: &Person,
        caption: String,
        dedupe_key: &str,
    ) -> Result<Option<(Audience, Message)>, IntakeError> {
        let Some(post) = self.store.asked_by(from, dedupe_key).await? else { return Ok(None) };
        if post.caption == caption {
            return Ok(None);
        }
        let Some(account) = self.store.account(&post.account).await? else { return Ok(None) };
        let now = self.clock.now_ms();
        if let Err(error) = Caption::parse(&caption, caption_limit(&account, now)) {
            return Ok(Some((super::refused_to(from), words::caption_refused(&error, from.platform))));
        }
        let answered = self.store.change_caption(from, post.id, &caption, &self.limits, now).await?;
        tracing::info!(post = %post.id, ?answered, "caption edited");
        Ok(match answered {
            Answered::Done => Some((Audience::Everyone, words::caption_changed())),
            Answered::Over(over) => Some((super::refused_to(from), words::over_limit(&over))),
            Answered::TooLate => Some((Audience::Everyone, words::caption_too_late())),
            Answered::NotYours | Answered::NotLinked => None,
        })
    }
}

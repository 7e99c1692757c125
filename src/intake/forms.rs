//! Posts whose caption is asked for by a form: *Post to X* in a message's menu.

use super::{Intake, IntakeError, Wish};
use crate::{
    account::{Person, Place},
    chat::Audience,
    post::{Attachment, Options},
    words::{self, Message},
};

/// How long a form may be filled in.
const FORM_LIFE_MS: i64 = 60 * 60_000;

impl Intake {
    /// Keeps what a form is about until it is sent.
    pub(super) async fn keep_form(
        &self,
        from: &Person,
        key: &str,
        file: &Attachment,
    ) -> Result<(), IntakeError> {
        Ok(self.store.keep_form(from, key, file, self.clock.now_ms() + FORM_LIFE_MS).await?)
    }

    /// Posts what a form was about, or says why not.
    pub(super) async fn post_filled(
        &self,
        from: &Person,
        at: &Place,
        key: &str,
        caption: String,
        dedupe_key: String,
    ) -> Result<Option<(Audience, Message)>, IntakeError> {
        let Some(file) = self.store.form(from, key, self.clock.now_ms()).await? else {
            return Ok(Some((Audience::Asker, words::form_out_of_date())));
        };
        let wish = Wish { caption, options: Options::default(), account: String::new() };
        let refusal = self.post(from, at, wish, Some(file), dedupe_key).await?;
        Ok(refusal.map(|message| (super::refused_to(from), message)))
    }
}

//! *Post to X* in the menu of a message: a form asks for the caption, then the video of the message is posted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use serenity::model::{
    application::{ActionRowComponent, CommandInteraction, ModalInteraction, ResolvedTarget},
    channel::Message,
    id::{InteractionId, UserId},
};

use crate::{
    chat::Ask,
    post::{Attachment, Options},
    words,
};

use super::{interaction::attachment, render};

/// The name of the command, as the menu shows it.
pub(super) const NAME: &str = "Post to X";
/// Characters that a text field of a form holds (Discord's developer documentation, "Text Input").
const FIELD_LIMIT: usize = 4_000;
/// Forms that are remembered while people fill them in; the oldest makes room for the next.
const OPEN_FORMS: usize = 500;
/// Forms that are remembered for one person, so that nobody takes those of the others away.
const OPEN_FORMS_EACH: usize = 5;
/// What the id of our forms begins with; the interaction that opened one follows.
const FORM: &str = "post:";
const CAPTION: &str = "caption";

/// The forms that people have open. A form cannot carry what it is about: Discord gives 100 characters for that, and a
/// bot without the message intent cannot read the message again.
#[derive(Clone, Default)]
pub(super) struct Forms(Arc<Mutex<VecDeque<Form>>>);

struct Form {
    opened_by: InteractionId,
    user: UserId,
    file: Attachment,
}

/// What follows from choosing *Post to X*.
pub(super) enum Chosen {
    /// The form to open, as the body of the callback (type 9).
    Form(Value),
    /// There is no video to ask about: what is asked is answered with why not.
    Ask(Ask),
}

impl Forms {
    /// Asks for the caption, with the message's own text in the field.
    pub(super) fn open(&self, command: &CommandInteraction) -> Chosen {
        let Some(ResolvedTarget::Message(message)) = command.data.target() else {
            return Chosen::Ask(ask(String::new(), None, command.id));
        };
        match file_of(message) {
            Some(file) if file.kind.may_be_video() => {
                let form = Form { opened_by: command.id, user: command.user.id, file };
                keep(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), form);
                Chosen::Form(form_for(command.id, message.content.trim()))
            }
            file => Chosen::Ask(ask(String::new(), file, command.id)),
        }
    }

    /// What a form that was sent asks for; `None` when nobody knows any more what it was about. It stays known: Discord
    /// may deliver it again.
    pub(super) fn sent(&self, modal: &ModalInteraction) -> Option<Ask> {
        let opened_by = modal.data.custom_id.strip_prefix(FORM)?;
        let forms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A client can send any id: whoever opened a form sends it.
        let form = forms
            .iter()
            .find(|form| form.opened_by.to_string() == opened_by && form.user == modal.user.id)?;
        let mut fields = modal.data.components.iter().flat_map(|row| &row.components);
        let caption = fields.find_map(|field| match field {
            ActionRowComponent::InputText(field) if field.custom_id == CAPTION => field.value.as_deref(),
            _ => None,
        });
        let caption = caption.unwrap_or_default().trim().to_owned();
        Some(ask(caption, Some(form.file.clone()), modal.id))
    }
}

/// Remembers a form; the oldest of its person's, or of all, makes room for it.
fn keep(forms: &mut VecDeque<Form>, form: Form) {
    let mut theirs = forms.iter().enumerate().filter(|(_, open)| open.user == form.user);
    let oldest = theirs.next().map(|(index, _)| index);
    if let Some(oldest) = oldest
        && theirs.count() + 1 >= OPEN_FORMS_EACH
    {
        forms.remove(oldest);
    } else if forms.len() >= OPEN_FORMS {
        forms.pop_front();
    }
    forms.push_back(form);
}

/// The body of the callback (type 4) to a form that nobody knows any more.
pub(super) fn out_of_date() -> Value {
    let mut data = render::body(&words::form_out_of_date());
    data["flags"] = json!(render::SUPPRESS_EMBEDS | render::EPHEMERAL);
    json!({ "type": 4, "data": data })
}

fn ask(caption: String, file: Option<Attachment>, id: InteractionId) -> Ask {
    let dedupe_key = format!("discord:{id}");
    Ask::Post { caption, options: Options::default(), account: String::new(), file, dedupe_key }
}

/// The first file that may be a video, videos before files of no known kind; else whatever is attached.
fn file_of(message: &Message) -> Option<Attachment> {
    let forwarded = message.message_snapshots.iter().flat_map(|snapshot| &snapshot.attachments);
    let files: Vec<Attachment> = message.attachments.iter().chain(forwarded).map(attachment).collect();
    let video = files.iter().find(|file| file.kind == crate::post::Kind::Video);
    let maybe = files.iter().find(|file| file.kind.may_be_video());
    video.or(maybe).or(files.first()).cloned()
}

fn form_for(opened_by: InteractionId, text: &str) -> Value {
    // Types 1 and 4, style 2: a row with a text input of several lines.
    let mut field = json!({
        "type": 4, "custom_id": CAPTION, "label": words::FORM_CAPTION, "style": 2,
        "required": false, "max_length": FIELD_LIMIT,
    });
    // What the field cannot hold whole is for the person to shorten, not for us.
    if !text.is_empty() && text.encode_utf16().count() <= FIELD_LIMIT {
        field["value"] = json!(text);
    }
    json!({
        "type": 9,
        "data": {
            "custom_id": format!("{FORM}{opened_by}"),
            "title": NAME,
            "components": [{ "type": 1, "components": [field] }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{account::Platform, post::Kind};

    #[test]
    fn many_forms_of_one_person_take_no_room_from_others() {
        let form = |id: u64, user: u64| Form {
            opened_by: InteractionId::new(id),
            user: UserId::new(user),
            file: Attachment {
                platform: Platform::Discord,
                source: String::new(),
                name: String::new(),
                bytes: None,
                content_type: None,
                kind: Kind::Video,
            },
        };
        let mut forms = VecDeque::new();
        keep(&mut forms, form(1, 7));
        for id in 2..2_000 {
            keep(&mut forms, form(id, 8));
        }
        let left: Vec<u64> = forms.iter().map(|form| form.opened_by.get()).collect();
        assert_eq!(left, [1, 1_995, 1_996, 1_997, 1_998, 1_999]);
        for id in 2_000..3_000 {
            keep(&mut forms, form(id, id));
        }
        assert_eq!(forms.len(), OPEN_FORMS);
    }
}

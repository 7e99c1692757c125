//! *Post to X* in the menu of a message: a form asks for the caption, then the video of the message is posted.

use serde_json::{Value, json};
use serenity::model::{
    application::{ActionRowComponent, CommandInteraction, ModalInteraction, ResolvedTarget},
    channel::Message,
    id::InteractionId,
};

use crate::{
    chat::Ask,
    post::{Attachment, Options},
    words,
};

use super::interaction::attachment;

/// The name of the command, as the menu shows it.
pub(super) const NAME: &str = "Post to X";
/// Characters that a text field of a form holds (Discord's developer documentation, "Text Input").
const FIELD_LIMIT: usize = 4_000;
/// What the id of our forms begins with; the interaction that opened one follows.
const FORM: &str = "post:";
const CAPTION: &str = "caption";

/// What follows from choosing *Post to X*.
pub(super) enum Chosen {
    /// The form to open, as the body of the callback (type 9), and what to remember of it: a form cannot carry what it is
    /// about, for Discord gives 100 characters for that, and a bot without the message intent cannot read the message again.
    Form(Value, Ask),
    /// There is no video to ask about: what is asked is answered with why not.
    Ask(Ask),
}

/// Asks for the caption, with the message's own text in the field.
pub(super) fn chosen(command: &CommandInteraction) -> Chosen {
    let Some(ResolvedTarget::Message(message)) = command.data.target() else {
        return Chosen::Ask(ask(String::new(), None, command.id));
    };
    match file_of(message) {
        Some(file) if file.kind.may_be_video() => {
            let opened = Ask::Form { key: key(&command.id.to_string()), file };
            Chosen::Form(form_for(command.id, message.content.trim()), opened)
        }
        file => Chosen::Ask(ask(String::new(), file, command.id)),
    }
}

/// What a form that was sent asks for. A client can send any id: it is looked for among those of its person.
pub(super) fn sent(modal: &ModalInteraction) -> Ask {
    let opened_by = modal.data.custom_id.strip_prefix(FORM).unwrap_or_default();
    let mut fields = modal.data.components.iter().flat_map(|row| &row.components);
    let caption = fields.find_map(|field| match field {
        ActionRowComponent::InputText(field) if field.custom_id == CAPTION => field.value.as_deref(),
        _ => None,
    });
    let caption = caption.unwrap_or_default().trim().to_owned();
    Ask::Filled { key: key(opened_by), caption, dedupe_key: format!("discord:{}", modal.id) }
}

fn key(opened_by: &str) -> String {
    format!("discord:{opened_by}")
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

//! *Post to X* in the menu of a message: a form asks for the caption, then the video of the message is posted.

use serde_json::{Value, json};
use serenity::model::{
    application::{ActionRowComponent, CommandInteraction, ModalInteraction, ResolvedTarget},
    channel::Message,
    id::InteractionId,
    user::User,
};

use crate::{
    chat::Ask,
    post::{Attachment, Options},
    words,
};

use super::{
    interaction::{attachment, display_name},
    shown::{Names, as_shown, with_names},
};

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
pub(super) fn chosen(command: &CommandInteraction, now_ms: i64) -> Chosen {
    let Some(ResolvedTarget::Message(message)) = command.data.target() else {
        return Chosen::Ask(ask(String::new(), None, command.id));
    };
    if !may_post(command, message) {
        return Chosen::Ask(Ask::SomebodyElses);
    }
    match file_of(message) {
        Some(file) if file.kind.may_be_video() => {
            let opened = Ask::Form { key: key(&command.id.to_string()), file };
            Chosen::Form(form_for(command.id, &text_of(message, now_ms)), opened)
        }
        file => Chosen::Ask(ask(String::new(), file, command.id)),
    }
}

/// Whether a person may publish a message: their own, or any where they moderate. Discord says so with the interaction.
fn may_post(command: &CommandInteraction, message: &Message) -> bool {
    let moderates = || {
        let permissions = command.member.as_ref().and_then(|member| member.permissions);
        permissions.is_some_and(|may| may.manage_messages() || may.administrator())
    };
    message.author.id == command.user.id || moderates()
}

/// The text of a message, or of what it forwards, as people see it.
fn text_of(message: &Message, now_ms: i64) -> String {
    let forwarded = message.message_snapshots.first().filter(|_| message.content.is_empty());
    let (text, mentions) = match forwarded {
        Some(snapshot) => (&snapshot.content, &snapshot.mentions),
        None => (&message.content, &message.mentions),
    };
    let nick = |user: &User| user.member.as_ref().and_then(|member| member.nick.clone());
    let users = mentions.iter().map(|user| (user.id.get(), display_name(user, nick(user).as_deref())));
    let channels = message.mention_channels.iter().map(|channel| (channel.id.get(), channel.name.clone()));
    // Discord names no roles here.
    let names = Names { users: users.collect(), channels: channels.collect(), ..Names::default() };
    as_shown(text, &names, now_ms)
}

/// What a form that was sent asks for. Its text was plain when it was opened, so nothing in it is taken for markup. A client can send any id: it is looked for among those of its person.
pub(super) fn sent(modal: &ModalInteraction, now_ms: i64) -> Ask {
    let opened_by = modal.data.custom_id.strip_prefix(FORM).unwrap_or_default();
    let mut fields = modal.data.components.iter().flat_map(|row| &row.components);
    let caption = fields.find_map(|field| match field {
        ActionRowComponent::InputText(field) if field.custom_id == CAPTION => field.value.as_deref(),
        _ => None,
    });
    let caption = with_names(caption.unwrap_or_default(), &Names::default(), now_ms);
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

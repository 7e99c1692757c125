//! From a Discord interaction to what was asked, and how it is acknowledged.

use serde_json::{Value, json};
use serenity::model::{
    Permissions,
    application::{
        CommandDataOptionValue, CommandInteraction, ComponentInteraction, Interaction as DiscordInteraction,
        InteractionContext, ModalInteraction,
    },
    channel::{Attachment as DiscordAttachment, ChannelType, PartialChannel},
    id::{ApplicationId, ChannelId, GuildId, InteractionId, MessageId, RoleId},
    user::User,
};

use crate::{
    account::{Group, Interaction, Person, Place, Platform},
    chat::{Ask, Incoming},
    post::{Attachment, Kind, Options, Replies, Sensitive},
    words::Deed,
};

use super::{
    menu::{self, Chosen},
    render,
    shown::{Names, as_shown, with_line_breaks},
};

/// How long an interaction token is taken, in milliseconds
/// (Discord's developer documentation, "Receiving and Responding to Interactions").
pub(super) const TOKEN_LIFE_MS: i64 = 15 * 60 * 1000;

/// An interaction, read.
pub(super) struct Heard {
    pub(super) id: InteractionId,
    pub(super) token: String,
    /// The body of the callback, which has to come within 3 seconds.
    pub(super) callback: Value,
    /// What is to be done.
    pub(super) incoming: Incoming,
}

/// How an interaction is acknowledged before anything is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// An answer that everyone sees will follow.
    Public,
    /// An answer that the asker alone sees will follow.
    Ephemeral,
    /// The message under which a button was pressed may change.
    Update,
}

impl Acknowledgement {
    /// The body of the callback: types 5 (deferred message) and 6 (deferred update).
    pub(super) fn body(self) -> Value {
        match self {
            Acknowledgement::Public => json!({ "type": 5 }),
            Acknowledgement::Ephemeral => {
                json!({ "type": 5, "data": { "flags": render::EPHEMERAL } })
            }
            Acknowledgement::Update => json!({ "type": 6 }),
        }
    }
}

/// Reads an interaction that came at `now_ms`; `None` for kinds that this bot never causes.
pub(super) fn read(interaction: DiscordInteraction, now_ms: i64) -> Option<Heard> {
    match interaction {
        DiscordInteraction::Command(command) if command.data.name == menu::NAME => {
            Some(read_choice(command, now_ms))
        }
        DiscordInteraction::Command(command) => {
            let ask = asked_by(&command, now_ms);
            let acknowledgement = match ask {
                Ask::Post { .. } => Acknowledgement::Public,
                _ => Acknowledgement::Ephemeral,
            };
            Some(read_command(command, ask, acknowledgement, now_ms))
        }
        DiscordInteraction::Component(press) => Some(read_press(press, now_ms)),
        DiscordInteraction::Modal(modal) => Some(read_form(modal, now_ms)),
        _ => None,
    }
}

/// *Post to X* in a message's menu. What stands against it is nobody else's business.
fn read_choice(command: CommandInteraction, now_ms: i64) -> Heard {
    match menu::chosen(&command, now_ms) {
        Chosen::Form(callback, ask) => {
            Heard { callback, ..read_command(command, ask, Acknowledgement::Ephemeral, now_ms) }
        }
        Chosen::Ask(ask) => read_command(command, ask, Acknowledgement::Ephemeral, now_ms),
    }
}

fn asked_by(command: &CommandInteraction, now_ms: i64) -> Ask {
    let word = |name: &str| {
        let option = command.data.options.iter().find(|o| o.name == name);
        match option.map(|option| &option.value) {
            Some(CommandDataOptionValue::String(text)) => text.trim().to_owned(),
            _ => String::new(),
        }
    };
    let names = names(command);
    let text = |name: &str| as_shown(&with_line_breaks(&word(name)), &names, now_ms);
    let ticked = |name: &str| {
        let option = command.data.options.iter().find(|o| o.name == name);
        matches!(option.map(|option| &option.value), Some(CommandDataOptionValue::Boolean(true)))
    };
    match command.data.name.as_str() {
        "connect" => Ask::Connect { what: word("platform") },
        "post" => Ask::Post {
            caption: text("caption"),
            options: Options {
                alt_text: Some(text("alt_text")).filter(|text| !text.is_empty()),
                ..options(&word, &ticked)
            },
            account: word("account"),
            file: command
                .data
                .options
                .iter()
                .find_map(|option| match option.value {
                    CommandDataOptionValue::Attachment(id) => command.data.resolved.attachments.get(&id),
                    _ => None,
                })
                .map(attachment),
            dedupe_key: format!("discord:{}", command.id),
        },
        "accounts" => Ask::Accounts,
        "disconnect" => Ask::Disconnect { what: word("account") },
        "posts" => Ask::Posts,
        "upload" => Ask::Upload,
        "web" => Ask::Web,
        "token" => Ask::Token { name: word("name") },
        "tokens" => Ask::Tokens,
        "claim" => Ask::Claim { code: word("code") },
        "help" => Ask::Help,
        other => Ask::Unknown { command: other.to_owned() },
    }
}

/// The names of what the options of a command mention.
fn names(command: &CommandInteraction) -> Names {
    let resolved = &command.data.resolved;
    let member = |id| resolved.members.get(id).and_then(|member| member.nick.as_deref());
    let users = resolved.users.iter().map(|(id, user)| (id.get(), display_name(user, member(id))));
    let channels = resolved.channels.values().chain(command.channel.as_ref());
    Names {
        users: users.collect(),
        roles: resolved.roles.iter().map(|(id, role)| (id.get(), role.name.clone())).collect(),
        channels: channels.filter_map(|channel| Some((channel.id.get(), channel.name.clone()?))).collect(),
    }
}

/// A person's name as a server shows it.
pub(super) fn display_name(user: &User, nick: Option<&str>) -> String {
    nick.or(user.global_name.as_deref()).unwrap_or(&user.name).to_owned()
}

fn read_command(
    command: CommandInteraction,
    ask: Ask,
    acknowledgement: Acknowledgement,
    now_ms: i64,
) -> Heard {
    let envelope = Envelope {
        application: command.application_id,
        token: &command.token,
        channel: command.channel_id,
        bot_may_write: bot_may_write(command.app_permissions, command.channel.as_ref()),
        in_guild: command.guild_id.is_some(),
        context: command.context,
        message: None,
    };
    let groups = groups(command.guild_id, command.member.as_deref().map_or(&[], |member| &member.roles));
    let incoming = envelope.incoming(&command.user, groups, ask, acknowledgement, now_ms);
    let callback = acknowledgement.body();
    Heard { id: command.id, token: command.token, callback, incoming }
}

/// The form that *Post to X* opened was sent.
fn read_form(modal: ModalInteraction, now_ms: i64) -> Heard {
    let ask = menu::sent(&modal, now_ms);
    let envelope = Envelope {
        application: modal.application_id,
        token: &modal.token,
        channel: modal.channel_id,
        bot_may_write: bot_may_write(modal.app_permissions, modal.channel.as_ref()),
        in_guild: modal.guild_id.is_some(),
        context: None,
        message: None,
    };
    let acknowledgement = Acknowledgement::Public;
    let groups = groups(modal.guild_id, modal.member.as_ref().map_or(&[], |member| &member.roles));
    let incoming = envelope.incoming(&modal.user, groups, ask, acknowledgement, now_ms);
    Heard { id: modal.id, token: modal.token, callback: acknowledgement.body(), incoming }
}

/// The options of `/post`; what was left out is the default.
fn options(word: &impl Fn(&str) -> String, ticked: &impl Fn(&str) -> bool) -> Options {
    let sensitive = word("sensitive");
    Options {
        replies: Replies::from_word(&word("replies")),
        alt_text: None,
        sensitive: Sensitive {
            adult_content: sensitive == "adult_content",
            graphic_violence: sensitive == "graphic_violence",
            other: sensitive == "other",
        },
        made_with_ai: ticked("made_with_ai"),
        paid_partnership: ticked("paid_partnership"),
    }
}

fn read_press(press: ComponentInteraction, now_ms: i64) -> Heard {
    // A button that another version made: say what this one can do.
    let ask = press.data.custom_id.parse().map_or(Ask::Help, |deed: Deed| Ask::Press(deed));
    let acknowledgement = match &ask {
        Ask::Press(Deed::Cancel(_) | Deed::Retry(_) | Deed::PostAgain(_) | Deed::ItIsThere(_)) => {
            Acknowledgement::Update
        }
        _ => Acknowledgement::Ephemeral,
    };
    let envelope = Envelope {
        application: press.application_id,
        token: &press.token,
        channel: press.channel_id,
        bot_may_write: bot_may_write(press.app_permissions, press.channel.as_ref()),
        in_guild: press.guild_id.is_some(),
        context: press.context,
        message: Some(press.message.id),
    };
    let groups = groups(press.guild_id, press.member.as_ref().map_or(&[], |member| &member.roles));
    let incoming = envelope.incoming(&press.user, groups, ask, acknowledgement, now_ms);
    let callback = acknowledgement.body();
    Heard { id: press.id, token: press.token, callback, incoming }
}

/// What commands, forms and presses have in common about where they happened.
struct Envelope<'a> {
    application: ApplicationId,
    token: &'a str,
    channel: ChannelId,
    bot_may_write: bool,
    in_guild: bool,
    context: Option<InteractionContext>,
    message: Option<MessageId>,
}

impl Envelope<'_> {
    fn incoming(
        self,
        user: &User,
        groups: Vec<Group>,
        ask: Ask,
        acknowledgement: Acknowledgement,
        now_ms: i64,
    ) -> Incoming {
        let from = person(user);
        let at = self.place(&from, acknowledgement, now_ms);
        Incoming { from, at, ask, groups }
    }

    fn place(self, from: &Person, acknowledgement: Acknowledgement, now_ms: i64) -> Place {
        let private = match self.context {
            Some(context) => context == InteractionContext::BotDm,
            None => !self.in_guild,
        };
        Place {
            platform: Platform::Discord,
            chat: self.channel.to_string(),
            thread: None,
            message: self.message.map(|message| message.to_string()),
            person: from.id.clone(),
            private,
            interaction: Some(Interaction {
                application: self.application.to_string(),
                token: self.token.into(),
                expires_at: now_ms.saturating_add(super::LIVES_MS),
                bot_may_write: private || (self.in_guild && self.bot_may_write),
                ephemeral: acknowledgement == Acknowledgement::Ephemeral,
            }),
        }
    }
}

/// Whether the bot itself may send messages to the channel; threads have a permission of their own.
fn bot_may_write(permissions: Option<Permissions>, channel: Option<&PartialChannel>) -> bool {
    let thread = channel.is_some_and(|channel| {
        matches!(
            channel.kind,
            ChannelType::PublicThread | ChannelType::PrivateThread | ChannelType::NewsThread
        )
    });
    let send = if thread { Permissions::SEND_MESSAGES_IN_THREADS } else { Permissions::SEND_MESSAGES };
    permissions
        .is_some_and(|allowed| allowed.administrator() || allowed.contains(Permissions::VIEW_CHANNEL | send))
}

fn person(user: &User) -> Person {
    Person {
        platform: Platform::Discord,
        id: user.id.to_string(),
        // The user name is unique; a display name could be set to that of the person to be deceived
        // on the page that asks to whom an account is linked.
        name: user.tag(),
    }
}

fn groups(server: Option<GuildId>, roles: &[RoleId]) -> Vec<Group> {
    let Some(server) = server else { return Vec::new() };
    let roles = roles.iter().map(|role| Group::DiscordRole(role.to_string()));
    std::iter::once(Group::DiscordServer(server.to_string())).chain(roles).collect()
}

/// A file as Discord describes it.
pub(super) fn attachment(file: &DiscordAttachment) -> Attachment {
    let kind = match file.content_type.as_deref() {
        Some(kind) if kind.starts_with("video/") => Kind::Video,
        Some(kind) if kind.starts_with("image/") => Kind::Photo,
        Some(kind) if kind.starts_with("audio/") => Kind::Audio,
        _ => Kind::File,
    };
    Attachment {
        platform: Platform::Discord,
        source: file.url.clone(),
        name: file.filename.clone(),
        bytes: Some(u64::from(file.size)),
        content_type: file.content_type.clone(),
        kind,
    }
}

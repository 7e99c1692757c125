//! Answers to what people ask: help, refusals, lists.

use super::{Message, size, state_line};
use crate::{
    account::{Account, Platform},
    caption::CaptionError,
    post::{ALT_TEXT_LIMIT, AltTextTooLong, Kind, Post},
};

/// `/help`
pub fn help(platform: Platform) -> Message {
    let post = match platform {
        Platform::Discord => "/post  with a video and a caption: publishes it",
        _ => "/post your caption  under a video, or as a reply to one: publishes it",
    };
    // On Discord the button under the status does it.
    let cancel = match platform {
        Platform::Discord => "",
        _ => "/cancel  stops the latest post\n",
    };
    Message::text(format!(
        "I publish your videos to X.\n\n\
         /connect twitter  links your X account\n\
         {post}\n\
         /upload  takes a video of up to 8 GB in your browser\n\
         /posts  shows your latest posts\n\
         {cancel}\
         /accounts  shows your linked accounts, and where /post goes\n\
         /disconnect  unlinks an account\n\
         /web  shows your accounts and posts in your browser\n\
         /token  gives programs a key to act as you here\n\
         /tokens  lists those keys, to end one\n\
         /help  shows this\n\n\
         A post costs whoever runs me $0.015 at X, one with a link in its text $0.20; an alternative text or \
         a content warning adds $0.005."
    ))
}

/// `/start`
pub fn start(platform: Platform) -> Message {
    let mut message = help(platform);
    message.text.insert(0, super::Span::Text("Hello. ".to_owned()));
    message
}

/// A command nobody taught us, or no command at all.
pub fn unknown(command: &str) -> Message {
    let command: String = command.chars().filter(|c| c.is_alphanumeric() || *c == '_').take(32).collect();
    match command.as_str() {
        "" => Message::text(
            "To publish a video, send it with /post and your caption. /help shows what else I can do.",
        ),
        command => Message::text(format!("I do not know /{command}. /help shows what I can do.")),
    }
}

/// `/post` without a file.
pub fn no_video(platform: Platform) -> Message {
    Message::text(match platform {
        Platform::Discord => "There is no video. Use /post and attach one.",
        _ => {
            "There is no video. Send one with /post and your caption under it, \
             or reply to a video with /post and your caption."
        }
    })
}

/// `/post` with something that cannot be a video.
pub fn not_a_video(kind: Kind) -> Message {
    let what = match kind {
        Kind::Photo => "a photo",
        Kind::Voice => "a voice message",
        Kind::Audio => "an audio file",
        Kind::Sticker => "a sticker",
        Kind::Video | Kind::Animation | Kind::VideoNote | Kind::File | Kind::Upload => "no video",
    };
    Message::text(format!("That is {what}; I publish videos. Send the video with /post and your caption."))
}

/// The chat says that the file is empty.
pub fn empty_file() -> Message {
    Message::text("That file is empty. Send the video again.")
}

/// The file is larger than the chat gives to bots.
pub fn too_large_for_chat(platform: Platform, bytes: u64, limit: u64) -> Message {
    Message::text(match platform {
        Platform::Telegram => format!("That video is {}. {}", size(bytes), telegram_serves(limit)),
        platform => format!(
            "That video is {}. {} serves files of up to {} only. Send a smaller version.",
            size(bytes),
            platform.title(),
            size(limit)
        ),
    })
}

/// What Telegram's limit is, and what lifts it.
pub(super) fn telegram_serves(limit: u64) -> String {
    format!("Telegram gives bots files of up to {} MB only. Send a smaller version.", limit / (1 << 20))
}

/// The file is larger than X takes.
pub fn too_large_for_x(bytes: u64, limit: u64) -> Message {
    Message::text(format!(
        "That file is {}. X takes at most {}. Send a smaller version.",
        size(bytes),
        size(limit)
    ))
}

/// A caption that X would not take.
pub fn caption_refused(error: &CaptionError, platform: Platform) -> Message {
    let again = again(platform);
    Message::text(match error {
        CaptionError::TooLong { weighted, limit } => format!(
            "That caption is {weighted} of {limit} characters as X counts them (links count 23, emoji and CJK 2). \
             Shorten it by {} and {again}.",
            weighted - limit
        ),
        CaptionError::Cashtags(count) => format!(
            "The caption has {count} cashtags, and X allows one per post. Keep one $ symbol and {again}."
        ),
        CaptionError::Refused { position, .. } => format!(
            "That caption holds an invisible character that X does not accept (character {position}). \
             Remove it and {again}."
        ),
    })
}

/// An alternative text that X would not take.
pub fn alt_text_refused(error: AltTextTooLong, platform: Platform) -> Message {
    Message::text(format!(
        "That alternative text is {} of {ALT_TEXT_LIMIT} characters. Shorten it by {} and {}.",
        error.characters,
        error.characters.saturating_sub(usize::from(ALT_TEXT_LIMIT)),
        again(platform),
    ))
}

/// How to send a post once more.
fn again(platform: Platform) -> &'static str {
    match platform {
        Platform::Discord => "use /post again",
        _ => "send it again as a reply to the video",
    }
}

/// The account's tokens no longer work, and posts wait for it to be connected again.
pub fn reconnect_first(account: &Account) -> Message {
    Message::text(format!(
        "X no longer lets me post to @{}. Connect it again, then send the video once more.",
        account.username
    ))
    .button("Reconnect", super::Deed::Connect)
}

/// `/posts`
pub fn posts(posts: &[(Post, Account, Option<String>)], now: i64) -> Message {
    if posts.is_empty() {
        return Message::text("You have not posted anything yet.");
    }
    let mut message = Message::text("Your latest posts:");
    for (post, account, link) in posts {
        message = message.then(format!("\n{}", state_line(post, account, now)));
        if let Some(link) = link {
            message = message.then(" ").link(link.clone());
        }
    }
    message
}

/// Closes a message that goes on in private.
pub fn moved() -> Message {
    Message::text("This goes on in a direct message.")
}

/// A button of a message that is too old to be understood.
pub const BUTTON_OUT_OF_DATE: &str = "This button is out of date.";

/// The label of the field in the form that *Post to X* opens.
pub const FORM_CAPTION: &str = "Caption";

/// A form that was open for so long that nobody knows which video it was about.
pub fn form_out_of_date() -> Message {
    Message::text("I no longer know which video that was. Choose Post to X in the menu of the message again.")
}

/// *Post to X* on a message of somebody else's.
pub fn somebody_elses() -> Message {
    Message::text(
        "You can post only your own messages to X. People with the permission Manage Messages may post any.",
    )
}

/// A command of an anonymous administrator, or of somebody who writes as a channel.
pub fn anonymous() -> Message {
    Message::text(
        "I can't see who you are while you write in the name of a group or channel. Switch to your own name, or write \
         to me in private.",
    )
}

/// Only the video of an album is posted.
pub fn rest_of_album() -> Message {
    Message::text("A post takes one video, so I left out the rest of the album.")
}

/// The caption of a message was edited in time.
pub fn caption_changed() -> Message {
    Message::text("I'll use the new caption.")
}

/// The caption of a message was edited too late.
pub fn caption_too_late() -> Message {
    Message::text("It is too late to change the caption of this post.")
}

/// A button or command that comes too late.
pub fn too_late() -> Message {
    Message::text("That no longer applies: the post has moved on.")
}

/// After `/cancel`.
pub fn cancelled(name: &str, in_doubt: bool) -> Message {
    let name = super::file_name(name);
    Message::text(match in_doubt {
        false => format!("Cancelled. {name} will not be posted."),
        true => format!("I leave {name} as it is. X did not say whether it posted it; the account shows it."),
    })
}

/// Nothing to cancel.
pub fn nothing_to_cancel() -> Message {
    Message::text("You have no post under way that could be cancelled.")
}

/// A post of somebody else.
pub fn not_yours() -> Message {
    Message::text("Only the person who sent that post can do this.")
}

/// `/upload`
pub fn upload(url: &str) -> Message {
    Message::text(
        "Upload a video of up to 8 GB in your browser. The link is yours alone, works once, and lasts an hour. \
         What you post there shows its progress here too.",
    )
    .open("Upload a video", url)
}

/// `/web`
pub fn web(url: &str) -> Message {
    Message::text("Your accounts and posts. The link is yours alone, works once, and lasts an hour.")
        .open("Open in the browser", url)
}

/// Adds the way out to a refusal for size, where only the asker reads.
pub fn with_upload_link(message: Message, url: &str) -> Message {
    message
        .then("\nOr upload it in your browser: the link is yours alone, works once, and lasts an hour.")
        .open("Upload it there", url)
}

/// The same where others read: the link comes in private, to whoever presses.
pub fn with_upload_button(message: Message) -> Message {
    message
        .then("\nOr upload it in your browser: press the button for a link of your own.")
        .button("Upload it there", super::Deed::Upload)
}

/// Something of ours did not work, and a post may have been taken all the same.
pub fn perhaps_taken() -> Message {
    Message::text(
        "Something went wrong on my side, and I do not know whether I have your post. Before you send it again, look at /posts in a \
         minute.",
    )
}

/// Something of ours did not work.
pub fn our_fault() -> Message {
    Message::text("Something went wrong on my side, and nothing was changed. Please try again in a minute.")
}

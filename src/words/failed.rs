//! Why a post failed, and what to do about it.

use super::{
    Deed, Message, file_name, size,
    status::{Links, warned},
};
use crate::{
    account::{Account, Platform},
    post::{Failure, Party, Post},
    video::MAX_BYTES,
};

pub(super) fn failed(post: &Post, account: &Account, links: Links<'_>) -> Message {
    let name = file_name(&post.attachment.name);
    let (why, remedy) = match &post.failure {
        Some(Failure::FileTooLarge { limit }) if post.attachment.platform == Platform::Telegram => {
            (super::telegram_serves(*limit), Remedy::SendAnother)
        }
        Some(failure) => explain(failure, account),
        None => ("Something went wrong.".to_owned(), Remedy::TryAgain),
    };
    let message = Message::text(format!("{name} was not posted to @{}.\n{why}", account.username));
    let message = match post.failure {
        Some(
            Failure::MediaRejected { .. }
            | Failure::ProcessingTooLong
            | Failure::TooLongForAccount { .. }
            | Failure::Refused { .. },
        ) => warned(message, post),
        _ => message,
    };
    match remedy {
        Remedy::SendAnother if matches!(post.failure, Some(Failure::FileTooLarge { limit }) if limit < MAX_BYTES) => {
            super::with_upload_button(message)
        }
        Remedy::SendAnother => message,
        Remedy::TryAgain => message.button("Try again", Deed::Retry(post.id)),
        Remedy::Reconnect => {
            message.button("Reconnect", Deed::Connect).button("Try again", Deed::Retry(post.id))
        }
        Remedy::OpenX => message.open("Open X", links.profile).button("Try again", Deed::Retry(post.id)),
    }
}

/// Why a post failed and what to do about it, for programs.
pub fn failure(failure: &Failure, account: &Account) -> (String, &'static str) {
    let (why, remedy) = explain(failure, account);
    let remedy = match remedy {
        Remedy::SendAnother => "Upload another file or change the text, and post it anew.",
        Remedy::TryAgain => "Try it again with /api/social/posts/{id}/retry.",
        Remedy::Reconnect => {
            "Link the account again by GET /api/social/connect/twitter, then try it again with \
             /api/social/posts/{id}/retry."
        }
        Remedy::OpenX => "Look at the account on X, then try it again with /api/social/posts/{id}/retry.",
    };
    (why, remedy)
}

/// Whether trying the same post again can help.
pub fn may_retry(failure: &Failure, account: &Account) -> bool {
    !matches!(explain(failure, account).1, Remedy::SendAnother)
}

/// What mends a failure.
pub(super) enum Remedy {
    /// Nothing about this post; another one has to be made.
    SendAnother,
    TryAgain,
    Reconnect,
    OpenX,
}

/// Why, in a sentence or two, and what mends it.
pub(super) fn explain(failure: &Failure, account: &Account) -> (String, Remedy) {
    use Remedy::{OpenX, Reconnect, SendAnother, TryAgain};
    let (why, remedy) = match failure {
        Failure::FileGone => ("The chat no longer has the file. Send it again.", SendAnother),
        Failure::FileEmpty => ("The file is empty. Send the video again.", SendAnother),
        Failure::FileTooLarge { limit } => {
            return (format!("The file is larger than {}. Send a smaller one.", size(*limit)), SendAnother);
        }
        Failure::DayFull { limit } => {
            return (
                format!(
                    "It is more than you have left of the {} that one person may send here a day. Try again tomorrow, \
                     or send a smaller one.",
                    size(*limit)
                ),
                TryAgain,
            );
        }
        Failure::LargerThanADay { limit } => {
            return (
                format!(
                    "It is more than the {} that one person may send here a day. Send a smaller one.",
                    size(*limit)
                ),
                SendAnother,
            );
        }
        Failure::VideoRefused { reason } => return (reason.clone(), SendAnother),
        Failure::ForeignFile => (
            "The file is not on the chat's own servers, so I did not fetch it. Upload it in the chat.",
            SendAnother,
        ),
        Failure::StagingLost => {
            ("My copy of the video was lost or damaged. Send the video again.", SendAnother)
        }
        Failure::MediaRejected { reason } if reason.is_empty() => {
            ("X could not read this video. Send it as MP4 with H.264 video and AAC sound.", TryAgain)
        }
        // A fault of X's own, whatever the video is.
        Failure::MediaRejected { reason } if reason.contains("InternalError") => (
            "X had a problem of its own with this video (InternalError). Nothing is wrong with your file: try again \
             in a few minutes.",
            TryAgain,
        ),
        Failure::MediaRejected { reason } => {
            return (
                format!(
                    "X could not use this video ({reason}). Send it as MP4 with H.264 video and AAC sound, \
                     or try once more."
                ),
                TryAgain,
            );
        }
        Failure::ProcessingTooLong => {
            ("X did not finish processing the video in time. Try again later.", TryAgain)
        }
        Failure::CaptionTooLong { weighted, limit } => {
            return (
                format!(
                    "The caption is {weighted} of {limit} characters as X counts them for @{}. Shorten it by {} and \
                     send the video again.",
                    account.username,
                    weighted.saturating_sub(*limit)
                ),
                SendAnother,
            );
        }
        Failure::Duplicate => (
            "X says that this account has posted the same text already. Look there first, then change the text.",
            OpenX,
        ),
        Failure::TooLongForAccount { minutes: Some(minutes) } => {
            return (
                format!(
                    "The video is too long: @{} may post at most {minutes} minutes. Shorten it.",
                    account.username
                ),
                SendAnother,
            );
        }
        Failure::TooLongForAccount { minutes: None } => {
            ("The video is too long for this X account. Shorten it.", SendAnother)
        }
        Failure::AccountRestricted => {
            ("X keeps this account from posting. Open X, answer the notice there, then try again.", OpenX)
        }
        Failure::MissingPermission => (
            "The permission to upload videos is missing. Connect the account again and leave every box ticked.",
            Reconnect,
        ),
        Failure::LinkRefused => {
            ("X does not allow a link in the text. Send the video again without it.", SendAnother)
        }
        Failure::TooManyCashtags => {
            ("X allows one $ symbol such as $ABC in a post. Keep one and send the video again.", SendAnother)
        }
        Failure::WarningNotTaken => (
            "X did not take the content warning, and I do not post the video without it. Try again later, \
             or send the video without the warning and mark it on X.",
            TryAgain,
        ),
        Failure::PartsTooLarge { bytes } if *bytes <= 1 << 20 => {
            ("X doesn't accept any part of this video right now, however small. Try again later.", TryAgain)
        }
        Failure::PartsTooLarge { bytes } => {
            return (
                format!(
                    "X only accepts parts of less than {} right now, and a video this large doesn't fit into the 1,000 \
                     parts that X allows. Send a smaller version, or try again later.",
                    size(*bytes)
                ),
                TryAgain,
            );
        }
        Failure::Refused { detail } if detail.is_empty() => (
            "X refused this post without saying why. Check its length and mentions, then try again.",
            TryAgain,
        ),
        Failure::Refused { detail } => {
            return (
                format!(
                    "X refused this post: {detail}\nThat usually concerns the text: check its length, links and \
                     mentions. If they are fine, try again later."
                ),
                TryAgain,
            );
        }
        Failure::Blocked => {
            ("The person who runs this bot has blocked you, so your posts were stopped.", SendAnother)
        }
        Failure::Disconnected => ("The account was disconnected before the post's turn came.", SendAnother),
        Failure::Internal => (
            "Something went wrong on my side, and trying again by myself would not help. The person who runs this bot \
             has been told.",
            TryAgain,
        ),
        Failure::GaveUp { on: Party::X } => ("X had a problem for too long. Try again later.", TryAgain),
        Failure::GaveUp { on: Party::Chat } => {
            ("The file could not be fetched from the chat for too long. Send the video again.", TryAgain)
        }
        Failure::GaveUp { on: Party::Staging } => {
            ("The storage of this service had a problem for too long. Try again later.", TryAgain)
        }
        Failure::Unknown => ("Something went wrong. Try again.", TryAgain),
        Failure::CrashLoop => {
            ("This video stopped the service several times, so I put it aside. Try another file.", TryAgain)
        }
    };
    (why.to_owned(), remedy)
}

//! The status message of a post, from *waiting* to the link.

use super::{
    Deed, Message,
    failed::{explain, failed},
    file_name, length, size, span,
};
use crate::{
    account::{Account, AccountState},
    caption,
    post::{Media, Note, Party, Post, State, Waiting},
};

/// Where a transfer stood when it was first seen, to say how fast it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Unix milliseconds.
    pub at: i64,
    pub bytes: u64,
}

/// Where things open in a browser.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    /// The account on X.
    pub profile: &'a str,
    /// The post on X, once it is there.
    pub post: Option<&'a str>,
}

/// Cells of a progress bar.
const BAR: u64 = 16;

/// How many bytes of the present transfer are done; `None` when nothing is being transferred.
pub fn bytes_done(post: &Post) -> Option<u64> {
    match (post.state, &post.media, post.bytes) {
        (State::Staging, _, bytes) => bytes,
        (State::Uploading, Some(media), Some(total)) => Some(uploaded(media, total)),
        _ => None,
    }
}

fn uploaded(media: &Media, total: u64) -> u64 {
    (u64::from(media.segments_done) * media.chunk_bytes).min(total)
}

/// The status of a post as it stands at `now` (Unix milliseconds).
pub fn status(post: &Post, account: &Account, links: Links<'_>, pace: Option<Pace>, now: i64) -> Message {
    match post.state {
        State::Posted => without_alt_text(posted(account, links), post),
        State::NeedsUser => unsure(post, account, links),
        State::Failed => failed(post, account, links),
        State::Canceled if post.intent_at.is_some() => Message::text(format!(
            "Left as it is. X did not say whether it posted {}; the account shows it.\n",
            file_name(&post.attachment.name)
        ))
        .link(links.profile),
        State::Canceled => {
            Message::text(format!("Cancelled. {} was not posted.", file_name(&post.attachment.name)))
        }
        _ => under_way(post, account, pace, now),
    }
}

/// A post in one line as it stands at `now` (Unix milliseconds), for lists.
pub fn state_line(post: &Post, account: &Account, now: i64) -> String {
    let state = match post.state {
        _ if let Some(waiting) = waits_for(post, account, now) => waiting_line(waiting),
        State::Staging if post.bytes.is_none() => "waiting for its turn",
        State::Staging => "being received",
        State::Inspecting => "being checked",
        State::Uploading => "uploading",
        State::Processing => "being processed by X",
        State::Describing | State::Publishing => "being posted",
        State::Posted => "posted",
        State::NeedsUser => "waiting for your answer",
        State::Failed => "not posted",
        State::Canceled => "cancelled",
    };
    format!("{} to @{}: {state}", file_name(&post.attachment.name), account.username)
}

fn posted(account: &Account, links: Links<'_>) -> Message {
    match links.post {
        Some(link) => {
            Message::text(format!("Posted to @{}\n", account.username)).link(link).open("Open on X", link)
        }
        None => Message::text(format!("Posted to @{}, as you say.\n", account.username))
            .link(links.profile)
            .open("Open X", links.profile),
    }
}

/// The word on a post that X turns out to have twice: an attempt that seemed lost was made after all.
pub fn posted_twice(name: &str, username: &str, first: &str, second: &str) -> Message {
    Message::text(format!(
        "{} is on @{username} twice. X made the post when it was first asked, and said so only after it was posted \
         again.\n",
        file_name(name)
    ))
    .link(first)
    .then("\n")
    .link(second)
    .then("\nDelete the one you do not want on X.")
}

/// Says of a post that is there what it lacks.
fn without_alt_text(message: Message, post: &Post) -> Message {
    match post.notes.contains(&Note::AltTextNotTaken) {
        true => message.then("\nX did not take the alternative text, so the post is there without it."),
        false => message,
    }
}

/// Adds what X may mind about the video, or may have.
pub(super) fn warned(message: Message, post: &Post) -> Message {
    post.notes.iter().fold(message, |message, note| match note {
        Note::Video { warning } => message.then(format!("\n{warning}")),
        Note::AltTextNotTaken | Note::Unknown => message,
    })
}

fn unsure(post: &Post, account: &Account, links: Links<'_>) -> Message {
    let name = file_name(&post.attachment.name);
    let why = match &post.failure {
        Some(failure) => format!("\nOf the last attempt: {}", explain(failure, account).0),
        None => String::new(),
    };
    Message::text(format!(
        "X did not say whether it posted {name} to @{}, and I have not found it there.{why}\n\
         Please look at the account: is it there?\n",
        account.username,
    ))
    .link(links.profile)
    .open("Open X", links.profile)
    .button("It is there", Deed::ItIsThere(post.id))
    .button("Post it again", Deed::PostAgain(post.id))
    .button("Leave it", Deed::Cancel(post.id))
}

fn under_way(post: &Post, account: &Account, pace: Option<Pace>, now: i64) -> Message {
    let mut head = format!("@{} · {}", account.username, file_name(&post.attachment.name));
    if let Some(bytes) = total(post) {
        head += &format!(" · {}", size(bytes));
    }
    if let Some(ms) = post.duration_ms {
        head += &format!(" · {}", length(ms));
    }
    let message = match (waits_for(post, account, now), post.state) {
        (Some(waiting), _) => wait(post, waiting, &head),
        (None, State::Staging) if post.bytes.is_none() => {
            Message::text(format!("Waiting for its turn · {head}"))
        }
        (None, State::Staging) => {
            let done = post.bytes.unwrap_or(0);
            Message::text(format!(
                "Receiving for {head}\n{}",
                progress(done, post.attachment.bytes, pace, now)
            ))
        }
        (None, State::Inspecting) => Message::text(format!("Checking the video for {head}")),
        (None, State::Uploading) => {
            let done = bytes_done(post).unwrap_or(0);
            Message::text(format!("Uploading to {head}\n{}", progress(done, post.bytes, pace, now)))
        }
        (None, State::Processing) => {
            let percent =
                post.processing_percent.map(|percent| format!(" · {percent} %")).unwrap_or_default();
            Message::text(format!("X is processing the video{percent}\n{head}"))
        }
        (None, _) => Message::text(format!("Posting to {head}")),
    };
    let message = match caption::count(&post.caption).links {
        0 => message,
        _ => {
            let more = match post.options.describe_video() {
                true => " The alternative text or the content warning adds $0.005.",
                false => "",
            };
            message.then(format!(
                "\nThe text has a link, so X charges $0.20 for this post instead of $0.015.{more}"
            ))
        }
    };
    let message = warned(message, post);
    match post.intent_at {
        None => message.button("Cancel", Deed::Cancel(post.id)),
        Some(_) => message,
    }
}

/// What a post waits for at `now` (Unix milliseconds), apart from its turn.
pub fn waits_for<'a>(post: &'a Post, account: &Account, now: i64) -> Option<&'a Waiting> {
    match account.state {
        _ if post.state.is_over() || post.state == State::NeedsUser => None,
        // Connecting the account helps in either case, but the reasons differ.
        _ if post.waiting == Some(Waiting::ConnectionEnded) => post.waiting.as_ref(),
        AccountState::ReconnectNeeded => Some(&Waiting::Reconnect),
        AccountState::Active => post.waiting.as_ref().filter(|waiting| lasts(waiting, now)),
    }
}

/// Why a post waits, for lists.
fn waiting_line(waiting: &Waiting) -> &'static str {
    match waiting {
        Waiting::RateLimit { .. } => "waiting, X limits posts just now",
        Waiting::DailyLimit { .. } => "waiting, the account has reached X's daily limit",
        Waiting::PostCap { .. } => "paused, the monthly cap on posts at X is reached",
        Waiting::Trouble { with: Party::X, .. } => "waiting, X has a problem",
        Waiting::Trouble { with: Party::Chat, .. } | Waiting::FileNotFound { .. } => {
            "waiting, the chat does not hand over the file"
        }
        Waiting::Trouble { with: Party::Staging, .. } => "waiting, the storage has a problem",
        Waiting::Credits { .. } => "paused, the X credits are used up",
        Waiting::SpendCap { .. } => "paused, the spending limit at X is reached",
        Waiting::NotEnrolled { .. } => "paused, X does not let this bot post",
        Waiting::Reconnect => "waiting until you reconnect the account",
        Waiting::ConnectionEnded => "waiting until you connect the account again",
        Waiting::Looking => "waiting, I am looking whether X has it",
        Waiting::Unknown => "waiting",
    }
}

/// Whether a post to an account that works still waits at `now`: a step says so only once it is over.
fn lasts(waiting: &Waiting, now: i64) -> bool {
    match waiting {
        Waiting::RateLimit { until }
        | Waiting::Trouble { until, .. }
        | Waiting::FileNotFound { until, .. }
        | Waiting::Credits { until }
        | Waiting::SpendCap { until }
        | Waiting::NotEnrolled { until }
        | Waiting::PostCap { until }
        | Waiting::DailyLimit { until } => *until > now,
        Waiting::Reconnect => false,
        Waiting::ConnectionEnded | Waiting::Looking | Waiting::Unknown => true,
    }
}

fn total(post: &Post) -> Option<u64> {
    match post.state {
        State::Staging => post.attachment.bytes,
        _ => post.bytes,
    }
}

/// `▓▓▓▓▓▓▓▓░░░░░░░░ 51 %  43 of 84 MB · about 6 s left`
fn progress(done: u64, total: Option<u64>, pace: Option<Pace>, now: i64) -> String {
    let Some(total) = total.filter(|total| *total > 0) else { return size(done) };
    let done = done.min(total);
    let filled = usize::try_from(done * BAR / total).unwrap_or(0);
    let bar: String = (0..BAR as usize).map(|cell| if cell < filled { '▓' } else { '░' }).collect();
    let left = pace.and_then(|pace| {
        let moved = u128::from(done.checked_sub(pace.bytes).filter(|moved| *moved > 0)?);
        let took = u128::from(u64::try_from(now - pace.at).ok().filter(|took| *took >= 1_000)?);
        i64::try_from(u128::from(total - done) * took / moved).ok()
    });
    let left =
        left.filter(|left| *left > 0).map(|left| format!(" · about {} left", span(left))).unwrap_or_default();
    format!("{bar} {} %  {}{left}", done * 100 / total, part(done, total))
}

/// `43 of 84 MB`; both units where they differ.
fn part(done: u64, total: u64) -> String {
    let (done, total) = (size(done), size(total));
    match (done.split_once(' '), total.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {total}"),
        _ => format!("{done} of {total}"),
    }
}

fn wait(post: &Post, waiting: &Waiting, head: &str) -> Message {
    match waiting {
        Waiting::RateLimit { until } => {
            Message::text(format!("X asks for a pause · {head}\nIt goes on by itself at ")).time(*until).then(".")
        }
        Waiting::Trouble { with, until } => Message::text(format!(
            "{} · {head}\nNothing is lost. The next try is at ",
            match with {
                Party::X => "X has a problem at the moment",
                Party::Chat => "The file cannot be fetched from the chat at the moment",
                Party::Staging => "The storage of this service has a problem at the moment",
            }
        ))
        .time(*until)
        .then("."),
        Waiting::FileNotFound { until, .. } => Message::text(format!(
            "The chat does not find the file just now · {head}\nThat often passes. The next try is at "
        ))
        .time(*until)
        .then("."),
        Waiting::Credits { until } => Message::text(format!(
            "This service has used up its X credits · {head}\nWhoever runs it has to buy more at console.x.com. \
             The post is kept; the next try is at "
        ))
        .time(*until)
        .then("."),
        Waiting::SpendCap { until } => Message::text(format!(
            "This service has reached its spending limit at X · {head}\nWhoever runs it can raise it at \
             console.x.com. The post is kept; the next try is at "
        ))
        .time(*until)
        .then("."),
        Waiting::NotEnrolled { until } => Message::text(format!(
            "X does not let this service post · {head}\nWhoever runs it has to set its app to Pay-per-use and \
             Production at console.x.com. The post is kept; the next try is at "
        ))
        .time(*until)
        .then("."),
        Waiting::PostCap { until } => Message::text(format!(
            "This bot has made as many posts as its X plan allows this month · {head}\nThe person who runs it has been \
             told. The post is kept; the next try is at "
        ))
        .time(*until)
        .then("."),
        Waiting::DailyLimit { until } => Message::text(format!(
            "X's daily limit for posts is reached · {head}\nThe post is kept; I'll try again at "
        ))
        .time(*until)
        .then("."),
        Waiting::Reconnect => Message::text(format!(
            "X no longer lets me post to this account · {head}\nConnect it again and the post goes on by itself."
        ))
        .button("Reconnect", Deed::Connect),
        Waiting::ConnectionEnded => Message::text(format!(
            "The owner of this account ended your connection to it · {head}\nThe post is kept. Connect the account again \
             and it goes on by itself."
        ))
        .button("Connect again", Deed::Connect),
        Waiting::Unknown => Message::text(format!("Waiting · {head}")),
        Waiting::Looking => Message::text(format!(
            "X did not answer when it was asked to post {}. I am looking at the account before I try again, \
             so that it is not posted twice.\n{head}",
            file_name(&post.attachment.name)
        )),
    }
}

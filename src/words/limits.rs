//! Kind refusals: of people whom the operator has not let in, and of posts over the operator's limits.

use super::{Message, size};
use crate::post::{OverLimit, PRICE};

/// To somebody who is not admitted: how to get in. `id` is what the operator's lists name them by.
pub fn not_admitted(id: &str, has_groups: bool, claimable: bool) -> Message {
    let mut text = "This bot is private.".to_owned();
    if has_groups {
        text += " If you're in one of its groups, use a command there first.";
    }
    text += &format!(" The person who runs it can let you in; your id is {id}.");
    if claimable {
        text += " Do you run it? Send /claim and the code that toall showed when it started.";
    }
    Message::text(text)
}

/// To somebody whom the operator blocked.
pub fn blocked() -> Message {
    Message::text("The person who runs this bot has blocked you.")
}

/// After a right `/claim CODE`.
pub fn claimed() -> Message {
    Message::text(
        "You run this bot now. I'll tell you here when something needs you, such as spent credits. /connect connects \
         your X account; [access] in the configuration says who else may use me.",
    )
}

/// After a `/claim` with a wrong, late or used code.
pub fn claim_refused() -> Message {
    Message::text(
        "That code doesn't work. A code works once and for an hour, and only while this bot has no operator: restart \
         toall for a new one.",
    )
}

/// After more requests at once than one person may make.
pub fn slow_down() -> Message {
    Message::text("That was a lot at once, so I left this one out. Wait a minute, then send it again.")
}

/// After a `/claim` too soon after another.
pub fn claim_later() -> Message {
    Message::text("Wait 15 seconds, then try the code again.")
}

/// A post that is over a limit of the operator's.
pub fn over_limit(over: &OverLimit) -> Message {
    match *over {
        OverLimit::InFlight { limit } => Message::text(format!(
            "You have {limit} {} under way, which is as many as one person may have here at once. Send this one again \
             when one of them is done; /posts shows how far they are.",
            posts(limit)
        )),
        OverLimit::Posts { limit, frees_at } => Message::text(format!(
            "You have sent {limit} {} within a day, which is as many as one person may here. Send this one again at ",
            posts(limit)
        ))
        .time(frees_at)
        .then(" or later."),
        OverLimit::Bytes { limit, left, frees_at } => {
            let message = Message::text(format!(
                "One person may send {} a day here, and you have {} left. Send a smaller video",
                size(limit),
                size(left)
            ));
            match frees_at {
                Some(frees_at) => message.then(", or this one again at ").time(frees_at).then(" or later."),
                None => message.then("."),
            }
        }
        OverLimit::Budget { left, frees_at } => {
            let message = match left >= PRICE {
                true => Message::text(format!(
                    "What is left of this month's budget here does not pay for a post with a link. Send it again \
                     without the link, which costs {PRICE}, or "
                )),
                false => Message::text("This month's budget for posts is used up here. "),
            };
            match (frees_at, left >= PRICE) {
                (Some(frees_at), true) => {
                    message.then("at ").time(frees_at).then(" or later; or ask whoever runs me.")
                }
                (Some(frees_at), false) => {
                    message.then("Send it again at ").time(frees_at).then(" or later; or ask whoever runs me.")
                }
                (None, true) => message.then("ask whoever runs me."),
                (None, false) => message.then("No month's budget pays for a post like this one; ask whoever runs me."),
            }
        }
    }
}

fn posts(count: u32) -> &'static str {
    if count == 1 { "post" } else { "posts" }
}

//! Kind refusals: of people whom the operator has not let in, and of posts over the operator's limits.

use super::{Message, size};
use crate::post::{OverLimit, PRICE};

/// To somebody who may not use the bot.
pub fn not_admitted() -> Message {
    Message::text(
        "I work for the members of certain servers and groups only, and do not know you as one of them. Write to me \
         from there, or ask whoever runs me to let you in.",
    )
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

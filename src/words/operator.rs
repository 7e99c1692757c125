//! What whoever runs the service is told: what only they can mend, once, and when it is over.

use super::Message;
use crate::post::{Mills, Pause};

/// X refuses everything, and nothing is posted until that is mended.
pub fn operator_paused(why: Pause) -> Message {
    let (what, mend, again) = match why {
        Pause::Credits => (
            "Your X app has used up its credits.",
            "Buy more at console.x.com, or switch automatic recharge on there.",
            "10 minutes",
        ),
        Pause::SpendCap => (
            "Your X app has reached its spending limit for this billing cycle.",
            "Raise it at console.x.com, or wait for the next cycle.",
            "hour",
        ),
        Pause::PostCap => (
            "Your X app has made as many posts as its plan allows this month.",
            "Choose a larger plan at console.x.com, or wait for the next month.",
            "hour",
        ),
        Pause::NotEnrolled | Pause::RateLimit | Pause::DailyLimit => (
            "X does not let your app use its API.",
            "At console.x.com, put the app into the Pay-per-use package and the Production environment.",
            "hour",
        ),
    };
    Message::text(format!(
        "{what} Nothing is posted until that is mended; what people send is kept.\n{mend} I try again every {again}, \
         and tell you when it goes on."
    ))
}

/// X takes requests again.
pub fn operator_resumed() -> Message {
    Message::text("X lets your app post again. What was waiting goes on now.")
}

/// X does not accept the app's own credentials.
pub fn operator_client_rejected() -> Message {
    Message::text(
        "X does not accept the client id and secret of your app, so accounts can be neither linked nor kept signed in. \
         Posts are kept and wait.\nCopy twitter.client_id and twitter.client_secret again from console.x.com and \
         restart me; `toall check` says whether they are right.",
    )
}

/// X accepts the app's credentials again.
pub fn operator_client_accepted() -> Message {
    Message::text("X accepts your app's client id and secret again.")
}

/// A chat rejects the bot's token.
pub fn operator_chat_rejected(chat: &str) -> Message {
    let place = match chat {
        "Telegram" => "from @BotFather into telegram.token",
        _ => "from the developer portal (your application, Bot) into discord.token",
    };
    Message::text(format!(
        "{chat} rejects the bot's token, so I can't be reached there. Everything else goes on, and posts from there are \
         kept.\nCopy the token again {place} and restart me; `toall check` says whether it is right."
    ))
}

/// A chat accepts the bot's token again.
pub fn operator_chat_accepted(chat: &str) -> Message {
    Message::text(format!("{chat} accepts the bot's token again."))
}

/// The app may read no more posts.
pub fn operator_read_cap() -> Message {
    Message::text(
        "Your X app has read as many posts as its plan allows. Posting goes on; but when X leaves open whether it made \
         a post, I cannot look for it and have to ask the person who sent it.\nconsole.x.com shows the cap.",
    )
}

/// X keeps one request from the app that posts can go without.
pub fn operator_call_closed(call: &str) -> Message {
    Message::text(format!(
        "X does not let your app make the request {call}. Posting goes on without what that request is for; a video \
         that needs it for its content warning is not posted.\nAt console.x.com, put the app into the Pay-per-use \
         package and the Production environment."
    ))
}

/// Most of the month's budget is spent or spoken for.
pub fn operator_budget_near(spent: Mills, budget: Mills) -> Message {
    Message::text(format!(
        "{spent} of this month's {budget} are spent or spoken for by posts under way. At {budget} I take no more posts \
         until next month. limits.monthly_budget_usd in the config changes that."
    ))
}

/// A post was refused, because what is left of the month's budget pays for none.
pub fn operator_budget_spent(budget: Mills) -> Message {
    Message::text(format!(
        "This month's budget of {budget} is used up, so I take no more posts until next month (UTC). Posts under way \
         are finished. limits.monthly_budget_usd in the config changes that."
    ))
}

/// Videos can be neither stored nor read.
pub fn operator_storage() -> Message {
    Message::text(
        "The storage for videos has not worked for ten minutes. Posts are kept, and I keep trying for 7 days.\n\
         Check the disk (is it full?) or the bucket: `toall check` says what is wrong.",
    )
}

/// Videos can be stored and read again.
pub fn operator_storage_works() -> Message {
    Message::text("The storage for videos works again. Waiting posts continue.")
}

/// The row of a post cannot be read.
pub fn operator_unreadable_post(post: &str) -> Message {
    Message::text(format!(
        "Post {post} cannot be read from the database. Other posts continue. If a newer version of toall ran here \
         before, start that one again; otherwise restore a backup, or report this with the log."
    ))
}

/// The database refuses what a post needs stored.
pub fn operator_result_rejected(post: &str) -> Message {
    Message::text(format!(
        "The database refused what post {post} needs stored, so I ended that post and told its sender. Other posts \
         continue. Please report this with the log."
    ))
}

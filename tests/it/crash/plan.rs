//! What happens in one round, drawn from a seed.

use std::time::Duration;

use fastrand::Rng;

use super::{
    people::{ALICE, EVERYBODY, Person},
    site::film,
    wire::{Moment, Order},
};

/// A round before it runs.
pub struct Plan {
    /// Somebody else's bucket instead of the embedded one.
    pub bucket: bool,
    /// A channel on Discord instead of private chats on Telegram, and whether the bot may write there.
    pub discord: Option<bool>,
    /// Access tokens that have to be refreshed every moment.
    pub short_tokens: bool,
    /// X takes small parts only, and says so when it gets larger ones.
    pub small_chunks: bool,
    /// X has to be asked twice how far it is.
    pub processing: bool,
    pub posts: Vec<Film>,
    pub kills: Vec<Kill>,
}

/// A video that somebody sends.
pub struct Film {
    pub person: Person,
    pub name: String,
    pub caption: String,
    pub bytes: Vec<u8>,
    /// It is no video, so that the post must fail and say why.
    pub broken: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Kill {
    /// This long after it was started, or after the videos were sent.
    Between(Duration),
    On(Order),
}

/// Requests worth dying at, the more telling ones oftener.
const REQUESTS: [(&str, u32); 23] = [
    ("X create", 0),
    ("X create", 0),
    ("X create", 0),
    ("X create", 1),
    ("X append", 0),
    ("X append", 1),
    ("X append", 2),
    ("X initialize", 0),
    ("X initialize", 1),
    ("X finalize", 0),
    ("X finalize", 1),
    ("X status", 0),
    ("chat getUpdates", 0),
    ("chat getUpdates", 1),
    ("chat sendMessage", 0),
    ("chat sendMessage", 1),
    ("chat editMessageText", 0),
    ("chat editMessageText", 2),
    ("chat editMessageText", 4),
    ("chat getFile", 0),
    ("chat download", 0),
    ("chat download", 1),
    ("X token", 0),
];
const OF_A_BUCKET: [(&str, u32); 8] = [
    ("S3 put", 0),
    ("S3 open", 0),
    ("S3 part", 0),
    ("S3 part", 1),
    ("S3 complete", 0),
    ("S3 read", 0),
    ("S3 read", 3),
    ("S3 delete", 0),
];

impl Plan {
    /// The plan of one round of the run with this seed.
    pub fn draw(seed: u64, round: u64) -> Plan {
        let rng = &mut Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(round));
        let bucket = rng.u8(..4) == 0;
        let short_tokens = rng.u8(..4) == 0;
        let small_chunks = rng.u8(..4) == 0;
        let processing = rng.bool();
        let posts = (0..rng.usize(2..=4)).map(|number| {
            let broken = rng.u8(..12) == 0;
            let bytes = match rng.u8(..8) {
                _ if broken => (0..20_000).map(|_| rng.u8(..)).collect(),
                0 => film(9_000_000, rng),
                1 | 2 => film(4_500_000, rng),
                3 | 4 => film(2_300_000, rng),
                _ => film(0, rng),
            };
            Film {
                person: if rng.bool() { ALICE } else { EVERYBODY[number % 2] },
                name: format!("film-{number}.mp4"),
                caption: format!("Film {number} of round {round}"),
                bytes,
                broken,
            }
        });
        let posts = posts.collect();
        let mut kills = Vec::new();
        for _ in 0..rng.usize(1..=3) {
            let kill = kill(rng, bucket, short_tokens);
            kills.push(kill);
            // What only a creation in doubt brings about.
            if matches!(kill, Kill::On(Order { kind: "X create", .. })) && rng.bool() {
                let kind = if rng.bool() { "X look" } else { "chat answerCallbackQuery" };
                kills.push(on(rng, kind, 0));
            }
        }
        let discord = (round % 4 == 1).then_some(round % 8 == 1);
        if discord.is_some() {
            kills.iter_mut().for_each(on_discord);
        }
        Plan { bucket, discord, short_tokens, small_chunks, processing, posts, kills }
    }
}

fn kill(rng: &mut Rng, bucket: bool, short_tokens: bool) -> Kill {
    if rng.u8(..4) == 0 {
        return Kill::Between(Duration::from_millis(rng.u64(..1_500)));
    }
    let (kind, after) = loop {
        let drawn = match bucket && rng.u8(..3) == 0 {
            true => OF_A_BUCKET[rng.usize(..OF_A_BUCKET.len())],
            false => REQUESTS[rng.usize(..REQUESTS.len())],
        };
        if drawn.0 != "X token" || short_tokens {
            break drawn;
        }
    };
    on(rng, kind, after)
}

fn on(rng: &mut Rng, kind: &'static str, after: u32) -> Kill {
    let (moment, longest) = match rng.u8(..4) {
        // A poll that arrives late is one that nobody waits for.
        1 if kind != "chat getUpdates" => (Moment::Late, 400),
        0 | 1 => (Moment::Unseen, 0),
        2 => (Moment::Done, 0),
        _ => (Moment::Answered, 5),
    };
    Kill::On(Order { kind, after, moment, delay: Duration::from_millis(rng.u64(..=longest)) })
}

/// The request of Discord's that comes closest to one of Telegram's.
fn on_discord(kill: &mut Kill) {
    let Kill::On(order) = kill else { return };
    order.kind = match order.kind {
        "chat getUpdates" | "chat getFile" | "chat answerCallbackQuery" => "chat callback",
        "chat sendMessage" => "chat original",
        "chat editMessageText" => "chat edit",
        kind => kind,
    };
}

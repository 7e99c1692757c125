//! When a shard may begin a session: Discord counts how many begin at a time, and how many in a day.

use std::{collections::HashMap, time::Duration};

use serenity::{
    http::{LightMethod, Route},
    model::gateway::{BotGateway, SessionStartLimit},
};
use tokio::sync::Mutex;

use crate::{chat::ChatError, clock::Clock};

use super::rest::Rest;

/// Shards of one group begin this far apart, in milliseconds: Discord asks for 5 seconds (Gateway documentation,
/// "Sharding", `max_concurrency`), and the rest is for the way.
const APART_MS: i64 = 5_500;
/// How long Discord's word on how many sessions are left is believed, in milliseconds.
const FRESH_MS: i64 = 30_000;

/// Why a shard may not begin.
pub(super) enum NoTurn {
    /// Not yet: [`ChatError::SlowDown`] when no session is left for today, else Discord could not be asked.
    Yet(ChatError),
    /// Discord recommends more shards by now, and may not take these any more.
    TooFew,
}

/// Gives out turns to begin a session, for all shards of this process.
pub(super) struct Turns {
    rest: Rest,
    clock: Clock,
    /// Of how many shards these are.
    total: u32,
    state: Mutex<State>,
}

struct State {
    url: String,
    limit: SessionStartLimit,
    asked_at: i64,
    /// When the next of each group may begin.
    next: HashMap<u64, i64>,
}

impl Turns {
    /// Begins with what Discord said just now.
    pub(super) fn new(rest: &Rest, clock: &Clock, gateway: BotGateway, total: u32) -> Turns {
        let state = State {
            url: gateway.url,
            limit: gateway.session_start_limit,
            asked_at: clock.now_ms(),
            next: HashMap::new(),
        };
        Turns { rest: rest.clone(), clock: clock.clone(), total, state: Mutex::new(state) }
    }

    /// Waits for a shard's turn, and returns the gateway's address.
    pub(super) async fn take(&self, shard: u32) -> Result<String, NoTurn> {
        let (begin_at, url) = {
            let mut state = self.state.lock().await;
            let now = self.clock.now_ms();
            if state.limit.remaining == 0 || now - state.asked_at > FRESH_MS {
                let gateway = ask(&self.rest).await.map_err(NoTurn::Yet)?;
                if self.total < gateway.shards {
                    return Err(NoTurn::TooFew);
                }
                (state.url, state.limit, state.asked_at) = (gateway.url, gateway.session_start_limit, now);
            }
            if state.limit.remaining == 0 {
                return Err(NoTurn::Yet(ChatError::SlowDown(Duration::from_millis(state.limit.reset_after))));
            }
            state.limit.remaining -= 1;
            let group = u64::from(shard) % state.limit.max_concurrency.max(1);
            let next = state.next.entry(group).or_insert(now);
            let begin_at = now.max(*next);
            *next = begin_at + APART_MS;
            (begin_at, state.url.clone())
        };
        self.clock.sleep_until(begin_at).await;
        Ok(url)
    }
}

/// Where the gateway is, how many shards Discord recommends, and how many sessions are left.
pub(super) async fn ask(rest: &Rest) -> Result<BotGateway, ChatError> {
    Ok(rest.json(Route::GatewayBot, LightMethod::Get, None).await?)
}

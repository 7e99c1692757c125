//! A channel on Discord in which people post, and how a request of theirs is lost there.
//!
//! Discord gives a new process none of what it told the one before. Who sees that a request of theirs came to nothing
//! makes it again.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use toall::clock::Clock;
use url::Url;

use super::{
    people::{Line, Person},
    requests, wire,
    wire::Trap,
};
use crate::discord::{Discord, File, Posted, TOKEN, World};

const CHANNEL: &str = "films";
/// How long Discord waits for an acknowledgement before it tells the person that there was none.
const ACKNOWLEDGED: Duration = Duration::from_secs(3);
/// The flag of a message that "is thinking" (Discord's documentation, message flags).
const LOADING: u64 = 1 << 7;

pub struct Channel {
    pub discord: Discord,
    /// The service's end of the wire.
    api: Url,
    /// How often the bot had come online before the last start.
    before: AtomicU32,
}

impl Channel {
    pub async fn open(bot_may_write: bool, trap: &Trap) -> Channel {
        let discord = Discord::start(Clock::system()).await;
        discord.world().let_bot_write(CHANNEL, bot_may_write);
        let api = wire::lay(discord.settings().api_url.as_str(), requests::of_discord, trap).await;
        Channel { discord, api, before: AtomicU32::new(0) }
    }

    /// The lines of the service's configuration.
    pub fn config(&self) -> String {
        let (host, port) = (self.api.host_str().unwrap(), self.api.port().unwrap());
        format!(
            "[discord]\ntoken = \"{TOKEN}\"\napi_url = \"{}\"\nmedia_hosts = [\"{host}:{port}\"]\n",
            self.api
        )
    }

    pub fn before_a_start(&self) {
        self.before.store(self.discord.world().gateway.identified, Ordering::SeqCst);
    }

    /// Whether the bot has come online since the last start.
    pub fn is_online(&self) -> bool {
        self.discord.world().gateway.identified > self.before.load(Ordering::SeqCst)
    }

    /// Asks for a link to connect an account, and once more when Discord says that nobody took that.
    pub async fn ask_for_link(&self, person: Person) {
        loop {
            let asked = self
                .discord
                .slash(person.user.name, CHANNEL, "connect", &[("platform", "twitter")], None)
                .await;
            let taken = |world: &World| world.interactions[&asked].acknowledged.map(drop);
            let taken = self.discord.wait_for("an acknowledgement", taken);
            if tokio::time::timeout(ACKNOWLEDGED, taken).await.is_ok() {
                return;
            }
        }
    }

    /// Sends a video; the number of the interaction.
    pub async fn post(&self, person: Person, name: &str, bytes: &[u8], caption: &str) -> i64 {
        let mut file = self.discord.attach(name, "video/mp4", File::Bytes(bytes.to_vec().into()));
        let mut url: Url = file.url.parse().unwrap();
        url.set_port(self.api.port()).unwrap();
        file.url = url.into();
        let caption = [("caption", caption)];
        number(self.discord.slash(person.user.name, CHANNEL, "post", &caption, Some(&file)).await)
    }

    pub async fn press(&self, person: Person, message: i64, label: &str) -> i64 {
        number(self.discord.press(person.user.name, message.unsigned_abs(), label).await)
    }

    /// Whether Discord has told the person that nobody took this.
    pub fn is_refused(&self, interaction: i64) -> bool {
        let world = self.discord.world();
        let interaction = &world.interactions[&interaction.unsigned_abs()];
        interaction.acknowledged.is_none() && interaction.sent.elapsed() > ACKNOWLEDGED
    }

    /// What the person reads, in the channel and in private; not yet what "is thinking".
    pub fn said(&self, person: Person) -> Vec<Line> {
        let name = person.user.name;
        let everywhere =
            [self.discord.messages(CHANNEL), self.discord.ephemeral(name), self.discord.dms(name)].concat();
        everywhere
            .iter()
            .filter(|posted| posted.flags & LOADING == 0)
            .map(|posted| self.line(posted))
            .collect()
    }

    fn line(&self, posted: &Posted) -> Line {
        let world = self.discord.world();
        let mut asked = world.interactions.iter();
        let asked = asked.find(|(_, interaction)| interaction.original == Some(posted.id));
        let link = posted.buttons().find_map(|button| button["url"].as_str());
        Line {
            id: number(posted.id),
            text: posted.shown(),
            buttons: posted.labels().into_iter().map(str::to_owned).collect(),
            link: link.and_then(|link| link.parse().ok()),
            answers: asked.map(|(id, _)| number(*id)),
        }
    }

    /// What "is thinking" for ever though nobody's request was lost, and what Discord found wrong with requests.
    pub fn blemishes(&self, lost: &BTreeSet<i64>) -> Vec<String> {
        let world = self.discord.world();
        let mut found = world.refusals.clone();
        for posted in world.messages.values().filter(|posted| posted.flags & LOADING != 0) {
            let its = |id: &u64| world.interactions[id].original == Some(posted.id);
            if !lost.iter().map(|id| id.unsigned_abs()).any(|id| its(&id)) {
                found.push(format!("it is still thinking: {posted:?}"));
            }
        }
        found
    }
}

fn number(snowflake: u64) -> i64 {
    i64::try_from(snowflake).unwrap()
}

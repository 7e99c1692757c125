//! One round: people post, the service dies, again and again, and in the end it is let run to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use fastrand::Rng;
use toall::sandbox::Processing;

use super::{
    check,
    plan::{Kill, Plan},
    site::{EVERYBODY, Ground, Person, Row, Site},
};
use crate::world::PATIENCE;

/// What a round came to.
#[derive(Default)]
pub struct Report {
    pub posts: usize,
    /// How often the service was killed, by the request and how far that was.
    pub kills: BTreeMap<(&'static str, &'static str), usize>,
    pub restarts: usize,
    /// Kills that were to come at a request that never came.
    pub spared: usize,
    /// Questions that people were asked and answered.
    pub asked: usize,
    /// Accounts that had to be linked again, because a pair of tokens died with the service.
    pub linked_again: usize,
    /// Videos that were refused while an account was not linked, and sent again.
    pub sent_again: usize,
    /// Posts that ended with a reason.
    pub failed: usize,
    pub canceled: usize,
    pub findings: Vec<Finding>,
}

/// What ought not to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Lost,
    Doubled,
    Silent,
    Other,
}

#[derive(Debug)]
pub struct Finding {
    pub fault: Fault,
    pub what: String,
}

/// How a video is refused whose account must be linked again.
pub const LINK_FIRST: &str = "Connect it again, then send the video once more.";

/// Runs one round of the run with this seed.
pub async fn run(seed: u64, number: u64) -> Report {
    let plan = Plan::draw(seed, number);
    let site = ground(&plan).await;
    site.start().await;
    for person in EVERYBODY {
        site.link(person).await;
    }
    if plan.short_tokens {
        site.x.expire_access_tokens();
    }
    let mut round = Round {
        site,
        // Of its own, so that what people answer does not hang on how the plan was drawn.
        rng: Rng::with_seed(seed ^ number),
        answered: BTreeSet::new(),
        sent: Vec::new(),
        armed: false,
        report: Report { posts: plan.posts.len(), ..Report::default() },
    };
    for kill in &plan.kills {
        round.send(&plan);
        round.kill(*kill, &plan).await;
    }
    while round.sent.len() < plan.posts.len() {
        round.send(&plan);
    }
    round.rest(&plan).await;
    round.site.stop().await;
    let Round { site, mut report, .. } = round;
    check::check(&site, &plan, &mut report).await;
    report
}

async fn ground(plan: &Plan) -> Site {
    let site = Site::new(Ground {
        bucket: plan.bucket,
        x: match plan.short_tokens {
            // Less than a quarter of an hour left is reason enough to refresh.
            true => |settings| settings.token_life = Duration::from_secs(901),
            false => |_| {},
        },
        ..Ground::default()
    })
    .await;
    site.x.set_processing(Processing { steps: u32::from(plan.processing), check_after_secs: 0 });
    if plan.small_chunks {
        site.x.set_max_chunk(1_100_000);
    }
    site
}

struct Round {
    site: Site,
    rng: Rng,
    /// Questions that were answered: the post, and which state of its message asked.
    answered: BTreeSet<(String, i64)>,
    /// The messages with the videos sent so far, in the order of the plan.
    sent: Vec<i64>,
    /// Whether the trap waits for a request, or has just caught it.
    armed: bool,
    report: Report,
}

impl Round {
    /// Somebody sends the next video; now and then two at once.
    fn send(&mut self, plan: &Plan) {
        for _ in 0..self.rng.usize(1..=2) {
            let Some(film) = plan.posts.get(self.sent.len()) else { return };
            self.sent.push(self.site.post(film.person, &film.name, &film.bytes, &film.caption));
        }
    }

    /// Lets the service run until its moment comes, kills it, and starts it again.
    async fn kill(&mut self, kill: Kill, plan: &Plan) {
        let moment = match kill {
            Kill::Between(delay) => {
                tokio::time::sleep(delay).await;
                assert!(self.site.child.kill(), "it died by itself: {}", self.site.child.said());
                (self.site.trap.latest(), "some time after")
            }
            Kill::On(order) => {
                self.site.trap.arm(order);
                self.armed = true;
                let started = Instant::now();
                while !self.site.trap.sprung() {
                    let at_rest = self.tend(plan).await;
                    if at_rest && self.sent.len() < plan.posts.len() {
                        self.send(plan);
                    } else if at_rest && self.site.trap.disarm().is_some() {
                        self.report.spared += 1;
                        self.armed = false;
                        return;
                    }
                    // A poll that the trap caught is answered when Telegram has something to say, or after 25 s.
                    assert!(started.elapsed() < PATIENCE * 2, "never at rest: {}", self.picture().await);
                }
                (order.kind, order.moment.word())
            }
        };
        *self.report.kills.entry(moment).or_default() += 1;
        self.armed = false;
        self.site.child.start();
        self.site.trap.started();
        self.report.restarts += 1;
    }

    /// Lets the service run until nothing is left to do.
    async fn rest(&mut self, plan: &Plan) {
        let started = Instant::now();
        while !self.tend(plan).await {
            assert!(started.elapsed() < PATIENCE, "never at rest: {}", self.picture().await);
        }
        // Before that it could not be asked to stop.
        self.site.child.until_ready().await;
    }

    /// Gives the service a moment and people a look at their chats; whether all is done.
    async fn tend(&mut self, plan: &Plan) -> bool {
        tokio::time::sleep(Duration::from_millis(15)).await;
        if let Some(status) = self.site.child.ended() {
            panic!("it died by itself ({status}): {}", self.site.child.said());
        }
        let rows = self.site.rows().await.unwrap_or_default();
        // Nobody who looks at X can tell what is still to come there.
        if !self.site.trap.on_its_way() {
            for row in rows.iter().filter(|row| row.is_shown()) {
                self.answer(row).await;
            }
        }
        self.send_again(plan).await;
        self.site.is_at_rest(self.sent.len()).await
    }

    /// Who was told to link the account first and to send the video then does so.
    async fn send_again(&mut self, plan: &Plan) {
        const BROKEN: &str = "SELECT count(*) FROM x_accounts WHERE token_state = 'broken'";
        for (film, message) in plan.posts.iter().zip(&mut self.sent) {
            let said = self.site.telegram.said(film.person.user.id);
            let mut answers = said.iter().filter(|shown| shown.reply_to == Some(*message));
            if answers.any(|shown| shown.text.ends_with(LINK_FIRST))
                && self.site.count(BROKEN).await == Some(0)
            {
                *message = self.site.post(film.person, &film.name, &film.bytes, &film.caption);
                self.report.sent_again += 1;
            }
        }
    }

    /// What a person does about a message with a question, once.
    async fn answer(&mut self, row: &Row) {
        let Some(shown) = self.site.status(row) else { return };
        let has = |label: &str| shown.buttons.iter().any(|button| button.label == label);
        let asks = has("It is there") || has("Reconnect");
        if !asks || !self.answered.insert((row.id.clone(), row.status_want)) {
            return;
        }
        let person = EVERYBODY.into_iter().find(|person| person.account == row.username).unwrap();
        if has("Reconnect") {
            if !self.link_again(person).await {
                self.answered.remove(&(row.id.clone(), row.status_want));
            }
            return;
        }
        self.report.asked += 1;
        let is_there = self.site.x.posts().iter().any(|post| post.text == row.caption);
        let label = match self.rng.u8(..4) {
            0 => "Leave it",
            // Also when it is there: the service looks once more before it believes that.
            1 => "Post it again",
            _ if is_there => "It is there",
            _ => "Post it again",
        };
        self.site.telegram.private(person.user).press(shown.id, label);
    }

    /// Goes to the browser and back, which no kill is to cut short; false when one is just coming.
    async fn link_again(&mut self, person: Person) -> bool {
        let order = self.site.trap.disarm();
        if order.is_none() && self.armed {
            return false;
        }
        self.report.linked_again += 1;
        self.site.link(person).await;
        if let Some(order) = order {
            self.site.trap.arm(order);
        }
        true
    }

    /// What a tester needs to see of a round that hangs.
    async fn picture(&self) -> String {
        let chats: Vec<_> = EVERYBODY.iter().map(|person| self.site.telegram.said(person.user.id)).collect();
        format!("{:#?}\n{chats:#?}\n{}", self.site.rows().await, self.site.child.said())
    }
}

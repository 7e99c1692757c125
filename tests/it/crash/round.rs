//! One round: people post, the service dies, again and again, and in the end it is let run to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use fastrand::Rng;
use toall::sandbox::Processing;

use super::{
    check,
    people::{EVERYBODY, Person, Request},
    plan::{Kill, Plan},
    site::{Ground, Row, Site},
};

/// How long nothing at all may move before a round is given up: the service itself waits up to 24 s before its third
/// try of something, and 48 s before its fourth.
const STILL: Duration = Duration::from_secs(90);

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
    /// Requests that nobody took on Discord, and that were made once more.
    pub asked_again: usize,
    /// Messages that a kill left behind on Telegram, because it came between sending and noting.
    pub left_behind: usize,
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
        answered: BTreeMap::new(),
        linked_for: BTreeSet::new(),
        sent: Vec::new(),
        lost: BTreeSet::new(),
        latest: (String::new(), Instant::now()),
        armed: false,
        report: Report { posts: plan.posts.len(), ..Report::default() },
    };
    for kill in &plan.kills {
        round.send(&plan).await;
        round.kill(*kill, &plan).await;
    }
    while round.sent.len() < plan.posts.len() {
        round.send(&plan).await;
    }
    round.rest(&plan).await;
    round.site.stop().await;
    let Round { site, lost, mut report, .. } = round;
    check::check(&site, &plan, &lost, &mut report).await;
    report
}

async fn ground(plan: &Plan) -> Site {
    let site = Site::new(Ground {
        bucket: plan.bucket,
        discord: plan.discord,
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
    /// Answers to questions, by the post and by which state of its message asked.
    answered: BTreeMap<(String, i64), Request>,
    /// Questions that had an account linked again.
    linked_for: BTreeSet<(String, i64)>,
    /// The requests with the videos sent so far, in the order of the plan; none while nobody hears it.
    sent: Vec<Option<Request>>,
    /// Requests that came to nothing.
    lost: BTreeSet<i64>,
    /// What was last to be seen, and since when.
    latest: (String, Instant),
    /// Whether the trap waits for a request, or has just caught it.
    armed: bool,
    report: Report,
}

impl Round {
    /// Somebody sends the next video; now and then two at once.
    async fn send(&mut self, plan: &Plan) {
        for _ in 0..self.rng.usize(1..=2) {
            let Some(film) = plan.posts.get(self.sent.len()) else { return };
            let request = match self.site.is_online() {
                true => Some(self.site.post(film.person, &film.name, &film.bytes, &film.caption).await),
                false => None,
            };
            self.sent.push(request);
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
                loop {
                    let stir = self.site.listen();
                    if self.site.trap.sprung() {
                        break;
                    }
                    let at_rest = self.tend(plan).await;
                    if at_rest && self.sent.len() < plan.posts.len() {
                        self.send(plan).await;
                    } else if at_rest && self.site.trap.disarm().is_some() {
                        self.report.spared += 1;
                        self.armed = false;
                        return;
                    } else {
                        stir.felt().await;
                    }
                }
                (order.kind, order.moment.word())
            }
        };
        *self.report.kills.entry(moment).or_default() += 1;
        self.armed = false;
        self.site.restart();
        self.report.restarts += 1;
    }

    /// Lets the service run until nothing is left to do.
    async fn rest(&mut self, plan: &Plan) {
        loop {
            let stir = self.site.listen();
            if self.tend(plan).await {
                break;
            }
            stir.felt().await;
        }
        // Before that it could not be asked to stop.
        self.site.child.until_ready().await;
    }

    /// Gives people a look at their chats, and has them do what they do then; whether all is done.
    async fn tend(&mut self, plan: &Plan) -> bool {
        if let Some(status) = self.site.child.ended() {
            panic!("it died by itself ({status}): {}", self.site.child.said());
        }
        self.see_that_it_moves().await;
        // Before the database is looked at: what a dead service did not write down, it never will.
        let online = self.site.is_online();
        let Some(rows) = self.site.rows().await else { return false };
        // Nobody who looks at X can tell what is still to come there.
        if online && !self.site.trap.on_its_way() {
            for row in rows.iter().filter(|row| row.is_shown()) {
                self.answer(row).await;
            }
        }
        if online {
            self.send_again(plan, &rows).await;
        }
        self.site.is_at_rest(self.sent.len()).await
    }

    async fn see_that_it_moves(&mut self) {
        let seen = self.seen().await;
        if seen != self.latest.0 {
            self.latest = (seen, Instant::now());
        }
        assert!(
            self.latest.1.elapsed() < STILL,
            "never at rest: {}\n{}",
            self.latest.0,
            self.site.child.said()
        );
    }

    /// Who was told to link the account first and to send the video then does so, and so does who was not heard.
    async fn send_again(&mut self, plan: &Plan, rows: &[Row]) {
        const BROKEN: &str = "SELECT count(*) FROM x_accounts WHERE token_state = 'broken'";
        for at in 0..self.sent.len() {
            let film = &plan.posts[at];
            if rows.iter().any(|row| row.caption == film.caption) {
                continue;
            }
            if let Some(request) = self.sent[at] {
                let said = self.site.said(film.person);
                let mut answers = said.iter().filter(|line| line.answers == Some(request.id));
                if answers.any(|line| line.text.ends_with(LINK_FIRST)) {
                    if self.site.count(BROKEN).await != Some(0) {
                        continue;
                    }
                    self.report.sent_again += 1;
                } else if self.site.is_lost(request) {
                    self.lost.insert(request.id);
                    self.report.asked_again += 1;
                } else {
                    continue;
                }
            }
            let request = self.site.post(film.person, &film.name, &film.bytes, &film.caption).await;
            self.sent[at] = Some(request);
        }
    }

    /// What a person does about a message with a question, once.
    async fn answer(&mut self, row: &Row) {
        let Some(shown) = self.site.status(row) else { return };
        let has = |label: &str| shown.buttons.iter().any(|button| button == label);
        let asks = has("It is there") || has("Reconnect");
        let question = (row.id.clone(), row.status_want);
        let answered = self.answered.get(&question).copied();
        if !asks || answered.is_some_and(|answer| !self.site.is_lost(answer)) {
            return;
        }
        let person = EVERYBODY.into_iter().find(|person| person.account == row.username).unwrap();
        if has("Reconnect") {
            if !self.linked_for.contains(&question) && self.link_again(person).await {
                self.linked_for.insert(question);
            }
            return;
        }
        match answered {
            Some(_) => self.report.asked_again += 1,
            None => self.report.asked += 1,
        }
        let is_there = self.site.x.posts().iter().any(|post| post.text == row.caption);
        let label = match self.rng.u8(..4) {
            0 => "Leave it",
            // Also when it is there: the service looks once more before it believes that.
            1 => "Post it again",
            _ if is_there => "It is there",
            _ => "Post it again",
        };
        let answer = self.site.press(person, shown.id, label).await;
        self.answered.insert(question, answer);
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

    /// What there is to see of a round, which a tester needs when it hangs.
    async fn seen(&self) -> String {
        let said = EVERYBODY.map(|person| self.site.said(person));
        let (unheard, trap) = (self.site.telegram.unconfirmed(), self.site.trap.picture());
        let (rows, open) = (self.site.rows().await, self.site.open_ends().await);
        format!("{rows:#?}\n{said:#?}\n{unheard} unheard, {open:?} of {} at rest; {}", self.sent.len(), trap)
    }
}

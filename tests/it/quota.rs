//! The operator's limits: kept before anything is fetched, said kindly, and never in the way of what was accepted.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use toall::{
    chat::Ask,
    clock::Month,
    config::Limits,
    post::{Failure, Mills, State},
    sandbox::{Answer, Call, Effect, Fault},
    words::Deed,
};

use crate::world::{NOON, Page, World, moments, named, person, sample};

const HOUR: Duration = Duration::from_secs(3_600);

async fn limited(limits: Limits) -> World {
    let world = World::with(|_, config| {
        config.limits = limits;
        config.access.operators = vec![named("olga")];
    })
    .await
    .and_linked()
    .await;
    // Only the tests of connections count what connecting the account has cost.
    world.execute("DELETE FROM charges", "DELETE FROM charges").await;
    world
}

fn unlimited() -> Limits {
    Limits::default()
}

impl World {
    async fn rows(&self) -> usize {
        self.app().store.posts_of(&person("alice"), 99).await.unwrap().len()
    }

    async fn spent(&self) -> Mills {
        self.app().store.spent(&Month::of(self.now())).await.unwrap()
    }

    fn without_size(&self, caption: &str) -> Ask {
        let mut ask = self.post_of(caption, &sample());
        if let Ask::Post { file: Some(file), .. } = &mut ask {
            file.bytes = None;
        }
        ask
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_of_a_day_are_counted_until_they_are_a_day_old() {
    let mut world = limited(Limits { posts_per_person_per_day: Some(2), ..unlimited() }).await;
    world.post("alice", "first", &sample()).await;
    world.settle().await;
    world.pass(HOUR);
    // Failed ones do not count.
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::forbidden_because("Something new."))));
    world.post("alice", "failed", &sample()).await;
    world.settle().await;
    let failed = world.last("alice");
    world.post("alice", "second", &sample()).await;
    world.settle().await;
    world.kill().await;
    world.boot().await;

    let third = world.post_of("third", &sample());
    world.ask("alice", third.clone()).await;
    let said = world.last_text("alice");
    let frees = moments(&said)[0];
    assert_eq!(
        said,
        format!(
            "You have sent 2 posts within a day, which is as many as one person may here. \
             Send this one again at <{frees}> or later."
        )
    );
    assert!((24 * 3_600..24 * 3_600 + 60).contains(&frees), "when the first is a day old: {frees}");
    assert_eq!(world.rows().await, 3, "nothing is stored");
    world.press("alice", &failed, "Try again").await;
    assert_eq!(world.last_text("alice"), said, "trying again counts as well");
    // Nobody else's posts count.
    world.link("bob", "alice_makes").await;
    world.post("bob", "mine", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 3);

    world.pass(Duration::from_secs(u64::try_from(frees - (world.now() - NOON) / 1_000).unwrap()));
    world.ask("alice", third.clone()).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 4);
    // The chat delivers the accepted one once more: it is no new post, and refused nothing.
    let messages = world.said("alice").len();
    world.ask("alice", third).await;
    world.settle().await;
    assert_eq!((world.said("alice").len(), world.x.posts().len()), (messages, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_do_not_slip_through() {
    for limits in [
        Limits { posts_per_person_per_day: Some(3), ..unlimited() },
        Limits { in_flight_per_person: Some(3), ..unlimited() },
        Limits { monthly_budget: Some(Mills(50)), ..unlimited() },
        Limits { bytes_per_person_per_day: Some(3 * 239_000 + 10_000), ..unlimited() },
    ] {
        let world = limited(limits).await;
        let file = sample();
        join_all((0..8).map(|_| world.post("alice", "me too", &file))).await;
        assert_eq!(world.rows().await, 3);
        world.settle().await;
        assert_eq!(world.x.posts().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_under_way_are_counted_until_they_are_over() {
    let world = limited(Limits { in_flight_per_person: Some(1), ..unlimited() }).await;
    world.post("alice", "first", &sample()).await;
    world.post("alice", "second", &sample()).await;
    assert!(world.said("alice").iter().any(|shown| {
        crate::world::read(&shown.message)
            == "You have 1 post under way, which is as many as one person may have here at once. \
                Send this one again when one of them is done; /posts shows how far they are."
    }));
    world.settle().await;
    world.post("alice", "second", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_counted_as_the_chat_says_and_as_received() {
    let size = std::fs::metadata(sample()).unwrap().len();
    let limit = size * 3 / 2;
    let world = limited(Limits { bytes_per_person_per_day: Some(limit), ..unlimited() }).await;
    world.post("alice", "first", &sample()).await;
    world.settle().await;
    world.post("alice", "second", &sample()).await;
    let said = world.last_text("alice");
    let frees = moments(&said)[0];
    assert_eq!(
        said,
        format!(
            "One person may send 359 kB a day here, and you have 119 kB left. \
             Send a smaller video, or this one again at <{frees}> or later."
        )
    );
    assert!((24 * 3_600..24 * 3_600 + 60).contains(&frees), "{frees}");
    assert_eq!(world.rows().await, 1);

    // The chat does not say how large it is: found out while it is received.
    world.ask("alice", world.without_size("third")).await;
    world.settle().await;
    let row = world.row("alice").await;
    assert_eq!((row.state, row.failure), (State::Failed, Some(Failure::DayFull { limit })));
    assert_eq!(
        world.last_text("alice"),
        "sample.mp4 was not posted to @alice_makes.\nIt is more than you have left of the 359 kB that one person may \
         send here a day. Try again tomorrow, or send a smaller one. [Try again]"
    );
    let failed = world.last("alice");
    world.press("alice", &failed, "Try again").await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1, "no better the same day");
    world.pass(24 * HOUR);
    let failed = world.last("alice");
    world.press("alice", &failed, "Try again").await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_let_in_is_not_put_off() {
    let size = std::fs::metadata(sample()).unwrap().len();
    let world = limited(Limits {
        bytes_per_person_per_day: Some(size - 1),
        monthly_budget: Some(Mills(100)),
        ..unlimited()
    })
    .await;
    world.post("alice", "too large for any day", &sample()).await;
    let said = world.last_text("alice");
    assert!(said.ends_with(" left. Send a smaller video."), "{said}");
    world.ask("alice", world.without_size("see example.com")).await;
    assert_eq!(
        world.last_text("alice"),
        "What is left of this month's budget here does not pay for a post with a link. Send it again without the \
         link, which costs $0.015, or ask whoever runs me."
    );
    // The chat does not say how large it is: found out while it is received.
    world.ask("alice", world.without_size("third")).await;
    world.settle().await;
    let failure = Failure::LargerThanADay { limit: size - 1 };
    assert_eq!(world.row("alice").await.failure, Some(failure));
    assert!(world.last_text("alice").ends_with("Send a smaller one."), "{}", world.last_text("alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_unknown_size_are_not_both_let_in() {
    let size = std::fs::metadata(sample()).unwrap().len();
    let world = limited(Limits { bytes_per_person_per_day: Some(size * 3 / 2), ..unlimited() }).await;
    world.x.add_user("alice_second", "Alice", toall::sandbox::Subscription::None);
    world.link("alice", "alice_second").await;
    let first = world.app().store.accounts(&person("alice")).await.unwrap().remove(0).id;
    // On two lanes, so that they are received together.
    world.ask("alice", world.without_size("one")).await;
    world.press_deed("alice", Deed::Prefer(first)).await;
    world.ask("alice", world.without_size("two")).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_counts_what_is_spent_and_what_is_under_way_and_begins_anew_with_the_month() {
    let mut world = limited(Limits { monthly_budget: Some(Mills(260)), ..unlimited() }).await;
    // Under way, it counts; refused by X, it does not.
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::forbidden_because("Something new."))));
    world.post("alice", "see example.com", &sample()).await;
    assert_eq!(world.spent().await, Mills(200));
    world.settle().await;
    assert_eq!(world.spent().await, Mills(0));
    world.post("alice", "see example.com", &sample()).await;
    world.settle().await;
    assert_eq!((world.spent().await, world.x.posts().len()), (Mills(200), 1));
    assert_eq!(world.told("olga").len(), 0, "77 % is not worth a word");

    world.post("alice", "see example.com", &sample()).await;
    let december = (Month::of(NOON).ends - NOON) / 1_000;
    assert_eq!(
        world.last_text("alice"),
        format!(
            "What is left of this month's budget here does not pay for a post with a link. Send it again without \
             the link, which costs $0.015, or at <{december}> or later; or ask whoever runs me."
        )
    );
    for caption in ["one", "two", "three", "four"] {
        world.post("alice", caption, &sample()).await;
        world.settle().await;
    }
    assert_eq!((world.spent().await, world.x.posts().len()), (Mills(260), 5));
    world.kill().await;
    world.boot().await;
    for _ in 0..2 {
        world.post("alice", "too many", &sample()).await;
    }
    assert_eq!(
        world.last_text("alice"),
        format!(
            "This month's budget for posts is used up here. Send it again at <{december}> or later; \
             or ask whoever runs me."
        )
    );
    world.settle().await;
    let told = world.told("olga");
    assert_eq!(told.len(), 2, "once each: {told:?}");
    assert!(told[0].starts_with("$0.215 of this month's $0.26 are spent or spoken for"), "{told:?}");
    assert!(told[1].starts_with("This month's budget of $0.26 is used up"), "{told:?}");

    world.clock.set(Month::of(NOON).ends);
    assert_eq!(world.spent().await, Mills(0));
    world.post("alice", "december", &sample()).await;
    world.settle().await;
    assert_eq!((world.spent().await, world.x.posts().len()), (Mills(15), 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_waits_into_the_next_month_counts_there_and_doubt_counts_too() {
    let world = limited(Limits { monthly_budget: Some(Mills(30)), ..unlimited() }).await;
    world.clock.set(Month::of(NOON).ends - 300_000);
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::credits_depleted())));
    world.post("alice", "waits", &sample()).await;
    world.until("the pause", |world| world.last_text("alice").starts_with("This service has used up")).await;
    world.clock.set(Month::of(NOON).ends);
    assert_eq!(world.spent().await, Mills(15), "still under way");
    world.settle().await;
    assert_eq!((world.spent().await, world.x.posts().len()), (Mills(15), 1), "charged in december");

    // In doubt and made again: never refused for money, and counted once.
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
    world.post("alice", "doubtful", &sample()).await;
    world.until("the question", |world| world.last_text("alice").contains("is it there?")).await;
    assert_eq!(world.spent().await, Mills(30));
    world.press("alice", &world.last("alice"), "Post it again").await;
    world.settle().await;
    assert_eq!((world.spent().await, world.x.posts().len()), (Mills(30), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_hears_of_a_spent_budget_when_a_post_is_refused_and_again_of_a_new_one() {
    let mut world = limited(Limits { monthly_budget: Some(Mills(15)), ..unlimited() }).await;
    world.post("alice", "one", &sample()).await;
    world.settle().await;
    let told = world.told("olga");
    assert!(told.len() == 1 && told[0].starts_with("$0.015 of this month's $0.015 are spent"), "{told:?}");
    world.post("alice", "two", &sample()).await;
    world.settle().await;
    assert!(world.told("olga")[1].starts_with("This month's budget of $0.015 is used up"));

    world.stop().await;
    world.config.limits.monthly_budget = Some(Mills(30));
    world.boot().await;
    for caption in ["two", "three"] {
        world.post("alice", caption, &sample()).await;
        world.settle().await;
    }
    let told = world.told("olga");
    assert!(told[2].starts_with("$0.03 of this month's $0.03 are spent"), "{told:?}");
    assert!(told[3].starts_with("This month's budget of $0.03 is used up"), "{told:?}");
}

/// A page after X's, where nothing was connected and X was asked for no tokens.
async fn refused_connection(world: &World, name: &str, x_user: &str) -> Page {
    let before = world.requests(Call::Token).len();
    let page = Page::open(&world.authorise(&world.connect_link(name).await, x_user, "authorize").await).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "{}", page.text());
    assert_eq!(world.requests(Call::Token).len(), before, "X is not asked");
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited_within_an_hour() {
    let limits = Limits { connections_per_person_per_hour: Some(2), ..unlimited() };
    let world = World::with(|_, config| config.limits = limits).await;
    // X gave nothing, so it does not count.
    world.x.order(Fault::on(Call::Token, Effect::Refuse(Answer::html(503))));
    let failed = world.authorise(&world.connect_link("alice").await, "alice_makes", "authorize").await;
    assert!(Page::open(&failed).await.status.is_server_error());
    world.link("alice", "alice_makes").await;
    // A question that nobody answers does.
    world.question(&world.connect_link("alice").await, "bob_films").await;
    let page = refused_connection(&world, "alice", "bob_films").await;
    assert!(
        page.text().contains("You have begun as many connections within an hour as this bot allows"),
        "{}",
        page.text()
    );
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
    // Others are not held up, and an hour later there is room again.
    world.link("bob", "bob_films").await;
    world.pass(Duration::from_secs(3_601));
    world.link("alice", "bob_films").await;
    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes", "bob_films"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_counts_in_the_budget() {
    let limits = Limits { monthly_budget: Some(Mills(25)), ..unlimited() };
    let world = World::with(|_, config| config.limits = limits).await.and_linked().await;
    assert_eq!(world.spent().await, Mills(10));
    world.post("alice", "all that is left", &sample()).await;
    world.settle().await;
    assert_eq!((world.spent().await, world.x.posts().len()), (Mills(25), 1));
    let page = refused_connection(&world, "bob", "bob_films").await;
    assert!(page.text().contains("X charges $0.01 for a connection"), "{}", page.text());
    assert_eq!(world.accounts(&person("bob")).await, [""; 0]);
    world.pass(Duration::from_secs(40 * 24 * 3_600));
    world.link("bob", "bob_films").await;
    assert_eq!(world.spent().await, Mills(10));
}

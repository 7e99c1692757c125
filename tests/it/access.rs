//! Access: operators only by default, the people and groups on the lists, or everyone.

use std::time::Duration;

use reqwest::StatusCode;
use toall::{
    account::{AccountId, Group, Place},
    chat::{
        Ask, ChatError,
        console::{self, Fault},
    },
    post::{Failure, PostId, State},
    sandbox::{self, Answer, Call, Effect},
    ticket::Ticket,
    words::Deed,
};
use uuid::Uuid;

use crate::world::{World, browser, named, person, place, read, sample};

/// The answer to `name` where there are groups and an operator.
fn refused(name: &str) -> String {
    format!(
        "This bot is private. If you're in one of its groups, use a command there first. The person who runs it can let \
         you in; your id is console:id-{name}."
    )
}
const SLOW_DOWN: &str = "That was a lot at once, so I left this one out. Wait a minute, then send it again.";
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn server() -> Group {
    Group::DiscordServer("1180".to_owned())
}

fn other_server() -> Group {
    Group::DiscordServer("666".to_owned())
}

fn role() -> Group {
    Group::DiscordRole("1181".to_owned())
}

/// A world for whoever has the role, for bob, and for olga who runs it.
async fn world() -> World {
    World::with(|_, config| {
        config.access.open = false;
        config.access.groups = vec![role()];
        config.access.people = vec![named("bob")];
        config.access.operators = vec![named("olga")];
    })
    .await
}

fn group_chat(name: &str) -> Place {
    Place { private: false, ..place(name) }
}

impl World {
    async fn ask_from(&self, name: &str, groups: &[Group], ask: Ask) -> String {
        self.ask_in(person(name), group_chat(name), groups.to_vec(), ask).await;
        self.last_text(name)
    }

    async fn ask_privately(&self, name: &str) -> String {
        self.ask(name, Ask::Accounts).await;
        self.last_text(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_on_no_list_gets_a_kind_answer_to_everything_and_nothing_is_stored() {
    let world = world().await;
    let what = || "twitter".to_owned();
    let asks = [
        Ask::Connect { what: what() },
        world.post_of("hello", &sample()),
        Ask::Posts,
        Ask::Accounts,
        Ask::Upload,
        Ask::Token { name: String::new() },
        Ask::Help,
        Ask::Start,
        Ask::Unknown { command: "pots".to_owned() },
        Ask::Press(Deed::Connect),
        Ask::Press(Deed::Retry(PostId(Uuid::now_v7()))),
        Ask::Press(Deed::PostAgain(PostId(Uuid::now_v7()))),
        Ask::Press(Deed::Prefer(AccountId("1".to_owned()))),
    ];
    for groups in [vec![], vec![server()], vec![other_server(), Group::DiscordRole("9".to_owned())]] {
        for ask in &asks {
            assert_eq!(world.ask_from("mallory", &groups, ask.clone()).await, refused("mallory"), "{ask:?}");
        }
    }
    assert_eq!(world.said("mallory").len(), 3 * asks.len());
    assert_eq!(world.app().store.posts_of(&person("mallory"), 9).await.unwrap().len(), 0);
    assert_eq!(world.accounts(&person("mallory")).await, [""; 0]);
    assert_eq!(world.x.exchanges().len(), 0);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_without_end() {
    let world = World::new().await;
    for _ in 0..160 {
        world.ask("mallory", Ask::Unknown { command: "pots".to_owned() }).await;
    }
    let said = world.said("mallory");
    let slowed = said.iter().filter(|shown| read(&shown.message) == SLOW_DOWN).count();
    assert!((20..=40).contains(&slowed), "{slowed}");
    assert!(world.ask_privately("alice").await.starts_with("You have not linked"), "others are answered");
    // A video is not dropped without a word.
    world.ask("mallory", world.post_of("hello", &sample())).await;
    assert_eq!(world.last_text("mallory"), SLOW_DOWN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_admitted_in_private_as_long_as_the_chat_says_so() {
    let world = world().await;
    assert_eq!(world.ask_privately("carol").await, refused("carol"), "not seen yet");
    let answer = world.ask_from("carol", &[server(), role()], Ask::Accounts).await;
    assert_ne!(answer, refused("carol"));
    assert_ne!(world.ask_privately("carol").await, refused("carol"));
    // A place that admits nobody says nothing about the other.
    assert_eq!(world.ask_from("carol", &[other_server()], Ask::Accounts).await, refused("carol"));
    assert_ne!(world.ask_privately("carol").await, refused("carol"));
    // The very place says that she has the role no more.
    assert_eq!(world.ask_from("carol", &[server()], Ask::Accounts).await, refused("carol"));
    assert_eq!(world.ask_privately("carol").await, refused("carol"));

    world.ask_from("carol", &[server(), role()], Ask::Accounts).await;
    world.pass(29 * DAY);
    assert_ne!(world.ask_privately("carol").await, refused("carol"), "verified again");
    world.console.leave_groups("id-carol");
    world.pass(Duration::from_secs(59 * 60));
    assert_ne!(world.ask_privately("carol").await, refused("carol"), "verified within the hour");
    world.pass(Duration::from_secs(2 * 60));
    assert_eq!(world.ask_privately("carol").await, refused("carol"), "no longer a member");
}

/// A chat that cannot say leaves the last verdict valid for a day.
#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_membership_ends_after_a_day() {
    let world = world().await;
    world.ask_from("carol", &[server(), role()], Ask::Accounts).await;
    let silent = || Fault::Fail(ChatError::Trouble("away".to_owned()));
    world.console.order(console::Call::IsMember, silent());
    world.pass(DAY - Duration::from_secs(1));
    assert_ne!(world.ask_privately("carol").await, refused("carol"));
    world.console.order(console::Call::IsMember, silent());
    world.pass(Duration::from_secs(61));
    assert_eq!(world.ask_privately("carol").await, refused("carol"));
    // Once the chat answers again, so does the bot.
    world.pass(Duration::from_secs(61));
    assert_ne!(world.ask_privately("carol").await, refused("carol"));
    assert_eq!(world.console.ordered(), 0);
}

/// Telegram delivers presses of people who only preview a public group.
#[tokio::test(flavor = "multi_thread")]
async fn pressing_a_button_admits_nobody() {
    let world = world().await;
    let press = || Ask::Press(Deed::Connect);
    assert_eq!(world.ask_from("carol", &[server(), role()], press()).await, refused("carol"));
    assert_eq!(world.ask_privately("carol").await, refused("carol"));
    world.ask_from("carol", &[server(), role()], Ask::Accounts).await;
    assert_ne!(world.ask_from("carol", &[server(), role()], press()).await, refused("carol"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_admitted_by_default() {
    let world = World::with(|_, config| config.access = toall::config::Access::default()).await;
    assert_eq!(
        world.ask_privately("mallory").await,
        "This bot is private. The person who runs it can let you in; your id is console:id-mallory. Do you run it? Send \
         /claim and the code that toall showed when it started."
    );
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_operator_claims_the_bot_once() {
    let mut world = World::with(|_, config| config.access = toall::config::Access::default()).await;
    let hour = Duration::from_secs(3_600);
    let (late, code) = (Ticket::draw().unwrap(), Ticket::draw().unwrap());
    let expires_at = |world: &World| world.now() + i64::try_from(hour.as_millis()).unwrap();
    world.app().store.keep_claim(&late, expires_at(&world)).await.unwrap();
    let claim = |code: &str| Ask::Claim { code: code.to_owned() };
    let refused = "That code doesn't work.";
    for wrong in ["", "abc", Ticket::draw().unwrap().expose()] {
        world.ask("olga", claim(wrong)).await;
        assert!(world.last_text("olga").starts_with(refused), "{}", world.last_text("olga"));
        world.ask("olga", claim(late.expose())).await;
        assert_eq!(world.last_text("olga"), "Wait 15 seconds, then try the code again.");
        world.pass(Duration::from_secs(16));
    }
    world.pass(hour);
    world.ask("olga", claim(late.expose())).await;
    assert!(world.last_text("olga").starts_with(refused), "an hour is over");

    world.app().store.keep_claim(&code, expires_at(&world)).await.unwrap();
    world.ask("mallory", claim(late.expose())).await;
    assert!(world.last_text("mallory").starts_with(refused), "the earlier code is void");
    world.pass(Duration::from_secs(16));
    world.ask("olga", claim(code.expose())).await;
    assert!(world.last_text("olga").starts_with("You run this bot now."), "{}", world.last_text("olga"));
    world.pass(Duration::from_secs(16));
    world.ask("mallory", claim(code.expose())).await;
    assert!(world.last_text("mallory").starts_with(refused), "a code works once");

    // She is admitted, and told what only the operator can fix.
    world.stop().await;
    world.boot().await;
    world.link("olga", "alice_makes").await;
    world.x.order(sandbox::Fault::on(Call::Initialize, Effect::Refuse(Answer::credits_depleted())));
    world.post("olga", "hello", &sample()).await;
    world.until_row("olga", "parked", |row| row.waiting.is_some()).await;
    world.settle().await;
    assert_eq!(world.told("olga").len(), 2, "{:?}", world.told("olga"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_person_loses_everything_at_once() {
    let mut world = World::with(|_, config| config.access.operators = vec![named("carol")]).await;
    world.link("carol", "alice_makes").await;
    world.ask("carol", Ask::Token { name: String::new() }).await;
    let token = world.last_text("carol").lines().nth(1).unwrap().to_owned();
    world.ask("carol", Ask::Web).await;
    let web = world.offered_link("carol");
    world.x.order(sandbox::Fault::on(Call::Initialize, Effect::Refuse(Answer::credits_depleted())));
    world.post("carol", "waits", &sample()).await;
    world.until_row("carol", "parked", |row| row.waiting.is_some()).await;

    world.stop().await;
    world.config.access.blocked = vec![named("carol")];
    world.boot().await;
    let row = world.row("carol").await;
    assert_eq!((row.state, row.failure), (State::Failed, Some(Failure::Blocked)));
    world.settle().await;
    let said: Vec<_> = world.said("carol").iter().map(|shown| crate::world::read(&shown.message)).collect();
    assert!(said.iter().any(|text| text.contains("has blocked you, so your posts were stopped")), "{said:?}");
    assert_eq!(world.x.posts().len(), 0);
    assert_eq!(world.ask_privately("carol").await, "The person who runs this bot has blocked you.");
    let accounts = world.config.public_url.join("api/social/accounts").unwrap();
    let listed = browser().get(accounts).bearer_auth(&token).send().await.unwrap();
    assert_eq!(listed.status(), StatusCode::FORBIDDEN);
    let entered = browser().post(web).send().await.unwrap();
    assert_eq!(entered.status(), StatusCode::FORBIDDEN);
    // She can still end her connections.
    world.ask("carol", Ask::Disconnect { what: String::new() }).await;
    assert_eq!(world.accounts(&person("carol")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn named_people_and_operators_are_let_in_wherever_they_are() {
    let world = world().await;
    for name in ["bob", "olga"] {
        assert_ne!(world.ask_privately(name).await, refused(name));
        assert_ne!(world.ask_from(name, &[other_server()], Ask::Accounts).await, refused(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_access_loses_buttons_the_api_and_links_begun_and_keeps_what_was_accepted() {
    let mut world = world().await;
    let member = [server(), role()];
    world.ask_from("carol", &member, Ask::Accounts).await;
    world.link("carol", "alice_makes").await;
    world.ask("carol", Ask::Token { name: String::new() }).await;
    let token = world.last_text("carol").lines().nth(1).unwrap().to_owned();
    let accounts = world.config.public_url.join("api/social/accounts").unwrap();
    let listed = async || browser().get(accounts.clone()).bearer_auth(&token).send().await.unwrap();
    assert_eq!(listed().await.status(), StatusCode::OK);
    let link = world.connect_link("carol").await;
    world.ask_from("carol", &member, world.post_of("accepted", &sample())).await;

    // The operator takes the role off the list.
    world.stop().await;
    world.config.access.groups = vec![Group::TelegramChat("-5".to_owned())];
    world.boot().await;
    let denied = listed().await;
    assert_eq!(denied.status(), StatusCode::FORBIDDEN);
    assert_eq!(denied.json::<serde_json::Value>().await.unwrap()["code"], "not_admitted");
    let back = crate::world::Page::open(&world.authorise(&link, "alice_makes", "authorize").await).await;
    assert_eq!(back.status, StatusCode::FORBIDDEN);
    let row = world.row("carol").await;
    world.press_deed("carol", Deed::Retry(row.id)).await;
    assert_eq!(world.last_text("carol"), refused("carol"));
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1, "what was accepted is finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_access_can_still_stop_posts_and_disconnect() {
    let mut world = world().await;
    let member = [server(), role()];
    world.ask_from("carol", &member, Ask::Accounts).await;
    for username in ["alice_makes", "bob_films"] {
        world.link("carol", username).await;
    }
    world.ask("carol", Ask::Token { name: String::new() }).await;
    let token = world.last_text("carol").lines().nth(1).unwrap().to_owned();
    world.x.order(sandbox::Fault::on(Call::Initialize, Effect::Refuse(Answer::credits_depleted())));
    world.ask_from("carol", &member, world.post_of("waits", &sample())).await;
    world.until_row("carol", "parked", |row| row.waiting.is_some()).await;

    world.stop().await;
    world.config.access.groups = vec![Group::TelegramChat("-5".to_owned())];
    world.boot().await;
    let row = world.row("carol").await;
    let cancel = world.config.public_url.join(&format!("api/social/posts/{}/cancel", row.id)).unwrap();
    let done = browser().post(cancel).bearer_auth(&token).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    assert_eq!(world.row("carol").await.state, State::Canceled);
    world.press_deed("carol", Deed::Cancel(row.id)).await;
    assert_ne!(world.last_text("carol"), refused("carol"));
    world.ask("carol", Ask::Cancel).await;
    assert_ne!(world.last_text("carol"), refused("carol"));
    let mut left = world.app().store.accounts(&person("carol")).await.unwrap();
    assert_eq!(left.len(), 2);
    let last = left.remove(1);
    let url = world.config.public_url.join(&format!("api/social/accounts/twitter:{}", last.id)).unwrap();
    let done = browser().delete(url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    world.ask("carol", Ask::Disconnect { what: String::new() }).await;
    assert_eq!(world.accounts(&person("carol")).await, [""; 0]);
    let [made] = &world.app().store.api_tokens(&person("carol")).await.unwrap()[..] else {
        panic!("one token")
    };
    world.press_deed("carol", Deed::RevokeToken(made.id)).await;
    assert_eq!(world.app().store.api_tokens(&person("carol")).await.unwrap().len(), 0);
    world.settle().await;
    assert_eq!(world.x.posts().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_bot_admits_everyone_and_keeps_no_memberships() {
    let world = World::new().await;
    assert_ne!(world.ask_from("carol", &[other_server()], Ask::Accounts).await, refused("carol"));
    assert_eq!(world.app().store.memberships(&person("carol")).await.unwrap(), []);
}

//! Who may use the bot: everybody by default, else those whom the operator's lists let in.

use std::time::Duration;

use reqwest::StatusCode;
use toall::{
    account::{AccountId, Group, Place},
    chat::Ask,
    post::{PostId, State},
    sandbox::{Answer, Call, Effect, Fault},
    words::Deed,
};
use uuid::Uuid;

use crate::world::{World, browser, named, person, place, sample};

const REFUSED: &str = "I work for the members of certain servers and groups only, and do not know you as one of them. \
                       Write to me from there, or ask whoever runs me to let you in.";
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
            assert_eq!(world.ask_from("mallory", &groups, ask.clone()).await, REFUSED, "{ask:?}");
        }
    }
    assert_eq!(world.said("mallory").len(), 3 * asks.len());
    assert_eq!(world.app().store.posts_of(&person("mallory"), 9).await.unwrap().len(), 0);
    assert_eq!(world.accounts(&person("mallory")).await, [""; 0]);
    assert_eq!(world.x.exchanges().len(), 0);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_let_in_and_known_in_private_for_a_month() {
    let world = world().await;
    assert_eq!(world.ask_privately("carol").await, REFUSED, "not seen yet");
    let answer = world.ask_from("carol", &[server(), role()], Ask::Accounts).await;
    assert_ne!(answer, REFUSED);
    assert_ne!(world.ask_privately("carol").await, REFUSED);
    // A place that admits nobody says nothing about the other.
    assert_eq!(world.ask_from("carol", &[other_server()], Ask::Accounts).await, REFUSED);
    assert_ne!(world.ask_privately("carol").await, REFUSED);
    // The very place says that she has the role no more.
    assert_eq!(world.ask_from("carol", &[server()], Ask::Accounts).await, REFUSED);
    assert_eq!(world.ask_privately("carol").await, REFUSED);

    world.ask_from("carol", &[server(), role()], Ask::Accounts).await;
    world.pass(29 * DAY);
    assert_ne!(world.ask_privately("carol").await, REFUSED);
    world.pass(2 * DAY);
    assert_eq!(world.ask_privately("carol").await, REFUSED, "not seen for a month");
}

#[tokio::test(flavor = "multi_thread")]
async fn named_people_and_operators_are_let_in_wherever_they_are() {
    let world = world().await;
    for name in ["bob", "olga"] {
        assert_ne!(world.ask_privately(name).await, REFUSED);
        assert_ne!(world.ask_from(name, &[other_server()], Ask::Accounts).await, REFUSED);
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
    let refused = listed().await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(refused.json::<serde_json::Value>().await.unwrap()["code"], "not_admitted");
    let back = crate::world::Page::open(&world.authorise(&link, "alice_makes", "authorize").await).await;
    assert_eq!(back.status, StatusCode::FORBIDDEN);
    let row = world.row("carol").await;
    world.press_deed("carol", Deed::Retry(row.id)).await;
    assert_eq!(world.last_text("carol"), REFUSED);
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
    world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::credits_depleted())));
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
    assert_ne!(world.last_text("carol"), REFUSED);
    world.ask("carol", Ask::Cancel).await;
    assert_ne!(world.last_text("carol"), REFUSED);
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
async fn without_lists_everybody_is_let_in_and_nothing_is_kept_of_where() {
    let world = World::new().await;
    assert_ne!(world.ask_from("carol", &[other_server()], Ask::Accounts).await, REFUSED);
    assert_eq!(world.app().store.admitted_by(&person("carol"), 0).await.unwrap(), [""; 0]);
}

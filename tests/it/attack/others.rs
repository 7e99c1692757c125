//! Reaching for what belongs to somebody else.

use reqwest::{Method, StatusCode};
use toall::{
    account::{Person, Platform},
    chat::Ask,
    post::{PostId, State},
    sandbox::{Answer, Call, Effect, Fault},
    words::Deed,
};
use uuid::Uuid;

use crate::world::{World, browser, person, place, sample};

/// What can be pressed about a post. Whoever adds a deed meets this list.
fn deeds(post: PostId) -> Vec<Deed> {
    let deeds = vec![Deed::Cancel(post), Deed::Retry(post), Deed::PostAgain(post), Deed::ItIsThere(post)];
    for deed in &deeds {
        match deed {
            Deed::Cancel(_) | Deed::Retry(_) | Deed::PostAgain(_) | Deed::ItIsThere(_) => {}
            // About an account, a token (see `api::tokens`) or nothing.
            Deed::Connect
            | Deed::Upload
            | Deed::Disconnect(_)
            | Deed::AskEndOthers(_)
            | Deed::EndOthers(_)
            | Deed::Prefer(_)
            | Deed::RevokeToken(_)
            | Deed::SignOut(_) => unreachable!(),
        }
    }
    deeds
}

/// A post of alice's that waits, that X may have, that failed, that is posted.
async fn post_of_alice(world: &World, state: State) -> PostId {
    match state {
        State::Uploading => {
            world.x.order(Fault::on(Call::Initialize, Effect::Refuse(Answer::too_many_requests())));
        }
        State::NeedsUser => {
            world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
        }
        State::Failed => {
            world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::duplicate_content())));
        }
        _ => {}
    }
    world.post("alice", "hers", &sample()).await;
    match state {
        State::Uploading => {
            world.until_row("alice", "waiting", |post| post.waiting.is_some()).await;
        }
        _ => world.settle().await,
    }
    let row = world.row("alice").await;
    assert_eq!(row.state, state);
    row.id
}

#[tokio::test(flavor = "multi_thread")]
async fn no_button_reaches_another_persons_post_in_any_state() {
    // The same id and name in another chat is another person.
    let namesake = Person { platform: Platform::Telegram, ..person("alice") };
    for state in [State::Uploading, State::NeedsUser, State::Failed, State::Posted] {
        let world = World::linked().await;
        world.link("bob", "bob_films").await;
        let id = post_of_alice(&world, state).await;
        let before = format!("{:?}", world.row("alice").await);
        let shown = world.said("alice").len();
        for (thief, deed) in [person("bob"), namesake.clone(), person("nobody")]
            .into_iter()
            .flat_map(|thief| deeds(id).into_iter().map(move |deed| (thief.clone(), deed)))
        {
            world.ask_as(thief.clone(), place("lair"), Ask::Press(deed.clone())).await;
            let said = world.last_text("lair");
            assert_eq!(said, "Only the person who sent that post can do this.", "{thief:?} {deed:?}");
        }
        assert_eq!(format!("{:?}", world.row("alice").await), before, "{state:?}");
        assert_eq!(world.said("alice").len(), shown);

        // A post that never was is refused in the same words: nobody learns which ids there are.
        for deed in deeds(PostId(Uuid::now_v7())) {
            world.ask_as(person("bob"), place("lair"), Ask::Press(deed)).await;
            assert_eq!(world.last_text("lair"), "Only the person who sent that post can do this.");
        }
        world.ask_as(person("bob"), place("lair"), Ask::Cancel).await;
        assert_eq!(world.last_text("lair"), "You have no post under way that could be cancelled.");
        world.ask_as(person("bob"), place("lair"), Ask::Posts).await;
        assert!(!world.last_text("lair").contains("sample.mp4"), "{}", world.last_text("lair"));
        assert_eq!(format!("{:?}", world.row("alice").await), before, "{state:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_button_command_or_route_reaches_another_persons_account() {
    let world = World::linked().await;
    let id = world.app().store.accounts(&person("alice")).await.unwrap()[0].id.clone();
    for deed in [Deed::Disconnect(id.clone()), Deed::Prefer(id.clone())] {
        world.press_deed("bob", deed).await;
        assert_eq!(
            world.last_text("bob"),
            "You have no linked X account, so there is nothing to disconnect."
        );
    }
    world.link("bob", "bob_films").await;
    world.press_deed("bob", Deed::EndOthers(id.clone())).await;
    assert!(world.last_text("bob").starts_with("Only the person who connected this account last can"));
    world.press_deed("bob", Deed::Disconnect(id.clone())).await;
    world.press_deed("bob", Deed::Prefer(id.clone())).await;
    world.ask("bob", Ask::Disconnect { what: "@alice_makes".to_owned() }).await;
    assert_eq!(world.last_text("bob"), "You have not linked @alice_makes. Linked: @bob_films.");
    world.ask("bob", Ask::Accounts).await;
    assert!(!world.last_text("bob").contains("alice"), "{}", world.last_text("bob"));
    let mut to_hers = world.post_of("not his", &sample());
    if let Ask::Post { account, .. } = &mut to_hers {
        "alice_makes".clone_into(account);
    }
    world.ask("bob", to_hers).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 0, "{}", world.last_text("bob"));
    world.post("bob", "his", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts()[0].username, "bob_films", "preferring hers did nothing");

    world.ask("bob", Ask::Token { name: String::new() }).await;
    let said = world.last_text("bob");
    let token = &said[said.find("toall_").unwrap()..][..49];
    let accounts = world.config.public_url.join("/api/social/accounts").unwrap();
    for path in
        [format!("twitter:{id}"), id.to_string(), format!("twitter:{id}%00"), format!("x/../twitter:{id}")]
    {
        let url = format!("{accounts}/{path}");
        let answer = browser().request(Method::DELETE, url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let listed = browser().get(accounts).bearer_auth(token).send().await.unwrap().text().await.unwrap();
    assert!(listed.contains("bob_films") && !listed.contains("alice"), "{listed}");

    assert_eq!(world.accounts(&person("alice")).await, ["alice_makes"]);
    assert_eq!(world.requests(Call::Revoke).len(), 0);
    world.post("alice", "still hers", &sample()).await;
    world.settle().await;
    assert_eq!(world.x.posts()[1].username, "alice_makes");
}

use reqwest::StatusCode;

use super::{CALLBACK, START, World, alice, person, shown};
use crate::{
    intake::LINK_LIFE_MS,
    sandbox::{Answer, Call, Effect, Fault, Gate},
    store::Unconfirmed,
    twitter::XError,
    words,
};

#[tokio::test]
async fn a_person_sees_what_is_linked_to_whom_and_then_links_it() {
    let world = World::start().await;
    let page = world.get(world.agreed(&alice(), "alice_makes").await).await;
    page.says(200, "Link @alice_makes (Alice) to Discord user alice?");
    page.says(200, "Posts sent with /post will be published there.");
    page.says(200, "id 80351110224678912");
    let avatar = format!("{}/avatar/alice_makes.svg", world.sandbox.url());
    assert!(page.body.contains(&format!("<img src=\"{avatar}\"")), "{}", page.body);
    assert_eq!(world.linked(&alice()).await, [""; 0], "nothing is linked before the answer");

    let (action, ticket) = page.forms().swap_remove(0);
    assert_eq!((action.as_str(), ticket.len()), (CALLBACK, 43));
    let result = world.press(&page, 0).await;
    result.says(200, "Linked @alice_makes (Alice)");
    result.says(200, "linked to Discord user alice");
    assert_eq!(world.linked(&alice()).await, ["alice_makes"]);
    let notices = world.intake.store.due_notices(crate::account::Platform::Discord, START, 10).await.unwrap();
    let account = &world.intake.store.accounts(&alice()).await.unwrap()[0];
    assert_eq!(notices.len(), 1, "the chat is told once");
    assert_eq!(notices[0].place.person, alice().id);
    assert!(format!("{:?}", notices[0].message).contains(&words::name(&account.username, &account.name)));
}

#[tokio::test]
async fn the_answer_counts_once() {
    let world = World::start().await;
    let page = world.get(world.agreed(&alice(), "alice_makes").await).await;
    world.press(&page, 0).await.says(200, "Linked");
    world.press(&page, 0).await.says(410, "This link no longer works");
    world.press(&page, 1).await.says(410, "Send /accounts in your chat");
    assert_eq!(world.linked(&alice()).await, ["alice_makes"]);
    assert_eq!(world.calls(Call::Revoke), [], "a late Not me revokes nothing");
}

#[tokio::test]
async fn a_state_counts_once_and_for_ten_minutes() {
    let world = World::start().await;
    let url = world.agreed(&alice(), "alice_makes").await;
    let page = world.get(url.clone()).await;
    page.says(200, "Link @alice_makes");
    let again = world.get(url.clone()).await;
    again.says(200, "Link @alice_makes");
    assert_eq!(again.forms(), page.forms(), "a page that is loaded again asks the same");
    assert_eq!(world.calls(Call::Token).len(), 1, "X is asked once");
    let mut other = url.clone();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    other.query_pairs_mut().clear().append_pair("state", &state).append_pair("code", "guessed");
    world.get(other).await.says(410, "/connect twitter");
    world.press(&again, 1).await.says(200, "Nothing was linked");
    world.get(url).await.says(410, "/connect twitter");

    let consent = world.offer(&alice()).await;
    world.clock.set(START + LINK_LIFE_MS);
    let late = world.at_x(consent, "alice_makes", "authorize").await;
    world.get(late).await.says(410, "too old");
    assert_eq!(world.calls(Call::Token).len(), 1, "X is not asked about a late or used link");

    let page = world.get(world.agreed(&alice(), "alice_makes").await).await;
    world.clock.set(START + 2 * LINK_LIFE_MS);
    world.press(&page, 0).await.says(410, "This link no longer works");
    assert_eq!(world.linked(&alice()).await, [""; 0]);
}

#[tokio::test]
async fn a_prefetch_uses_nothing_up() {
    let world = World::start().await;
    let url = world.agreed(&alice(), "alice_makes").await;
    for (name, value) in
        [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch"), ("x-moz", "Prefetch")]
    {
        shown(world.http.get(url.clone()).header(name, value)).await.says(503, "Not yet");
    }
    assert_eq!(world.calls(Call::Token).len(), 0);
    world.get(url).await.says(200, "Link @alice_makes");
}

#[tokio::test]
async fn a_late_code_is_told_from_a_broken_service() {
    let world = World::start().await;
    let url = world.agreed(&alice(), "alice_makes").await;
    world.clock.set(START + 31_000);
    world.get(url).await.says(400, "it lives 30 seconds");
}

#[tokio::test]
async fn who_says_no_at_x_is_told_so_and_the_state_is_used_up() {
    let world = World::start().await;
    let consent = world.offer(&alice()).await;
    let url = world.at_x(consent.clone(), "alice_makes", "cancel").await;
    assert!(url.query().unwrap().contains("error=access_denied"));
    world.get(url.clone()).await.says(200, "Nothing was linked");
    world.get(url).await.says(410, "This link no longer works");
    let again = world.at_x(consent, "alice_makes", "authorize").await;
    world.get(again).await.says(410, "This link no longer works");
}

#[tokio::test]
async fn not_me_gives_the_permission_back() {
    let world = World::start().await;
    let page = world.get(world.agreed(&alice(), "alice_makes").await).await;
    world.press(&page, 1).await.says(200, "X has taken the permission back");
    assert_eq!(world.calls(Call::Revoke), [Some(200), Some(200)]);
    world.press(&page, 0).await.says(410, "This link no longer works");
    assert_eq!(world.linked(&alice()).await, [""; 0]);

    // The same again with the tokens in sight, to see that they are dead.
    let url = world.agreed(&alice(), "alice_makes").await;
    let query = |name: &str| url.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
    let (pending, ticket) = world.intake.authorised(&query("state"), query("code").into()).await.unwrap();
    let refuse = world.at("/api/social/callback/refuse");
    shown(world.http.post(refuse).form(&[("ticket", ticket.expose())])).await.says(200, "Nothing was linked");
    let dead = world.intake.x.me(&pending.tokens.access).await.unwrap_err();
    assert!(matches!(dead, XError::SignedOut), "{dead:?}");
}

#[tokio::test]
async fn not_me_is_honest_when_x_cannot_be_told() {
    let world = World::start().await;
    let page = world.get(world.agreed(&alice(), "alice_makes").await).await;
    world.sandbox.order(Fault::on(Call::Revoke, Effect::Drop).times(2));
    world.press(&page, 1).await.says(200, "X could not be told just now");
}

#[tokio::test]
async fn trouble_at_x_is_named_with_what_to_do() {
    let world = World::start().await;
    for (call, effect, status, text) in [
        (Call::Token, Effect::Drop, 502, "X is not answering"),
        (Call::Token, Effect::Refuse(Answer::html(503)), 502, "Wait a few minutes"),
        (Call::Token, Effect::Refuse(Answer::html(403)), 502, "X is not answering"),
        (Call::Token, Effect::Refuse(Answer::empty(400)), 502, "X is not answering"),
        (Call::Me, Effect::Refuse(Answer::html(403)), 502, "X is not answering"),
        (Call::Token, Effect::Garble, 502, "X is not answering"),
        (
            Call::Token,
            Effect::Refuse(Answer::oauth(401, "unauthorized_client", "")),
            502,
            "X app needs attention",
        ),
        (Call::Me, Effect::Refuse(Answer::html(500)), 502, "X is not answering"),
        (Call::Me, Effect::Refuse(Answer::too_many_requests()), 503, "X asks us to wait"),
    ] {
        world.sandbox.order(Fault::on(call, effect));
        world.get(world.agreed(&alice(), "alice_makes").await).await.says(status, text);
    }
    world.sandbox.set_suspended("alice_makes", true);
    world.get(world.agreed(&alice(), "alice_makes").await).await.says(403, "X restricts this account");
    assert_eq!(world.linked(&alice()).await, [""; 0]);
}

#[tokio::test]
async fn a_permission_left_out_is_named() {
    let world = World::start().await;
    let mut consent = world.offer(&alice()).await;
    let pairs: Vec<(String, String)> = consent.query_pairs().into_owned().collect();
    consent.query_pairs_mut().clear().extend_pairs(pairs.into_iter().map(|(name, value)| {
        let value = if name == "scope" { value.replace(" media.write", "") } else { value };
        (name, value)
    }));
    let url = world.at_x(consent, "alice_makes", "authorize").await;
    world.get(url).await.says(403, "A permission is missing");
}

#[tokio::test]
async fn two_people_may_link_one_account_and_each_sees_their_own() {
    let world = World::start().await;
    let bob = person("2", "bob");
    world.link(&alice(), "alice_makes").await;
    let page = world.get(world.agreed(&bob, "bob_films").await).await;
    let result = world.press(&page, 0).await;
    result.says(200, "Linked @bob_films (Bob)");
    assert!(!result.body.contains("alice_makes"), "{}", result.body);
    world.clock.set(START + 1);
    world.link(&bob, "alice_makes").await;
    assert_eq!(world.linked(&bob).await, ["bob_films", "alice_makes"]);
}

#[tokio::test]
async fn a_browser_that_leaves_does_not_leave_half_a_link() {
    let world = World::start().await;
    let url = world.agreed(&alice(), "alice_makes").await;
    let gate = Gate::closed();
    let held = world.sandbox.order(Fault::on(Call::Token, Effect::Hold(gate.clone())));
    let mut changes = world.sandbox.changes();
    let browser = tokio::spawn(world.http.get(url).send());
    while held.fired() == 0 {
        changes.changed().await.unwrap();
    }
    browser.abort();
    assert!(browser.await.unwrap_err().is_cancelled());

    world.stop.cancel();
    gate.open();
    world.served.await.unwrap();
    let kept = world.intake.store.expired_pending(START + LINK_LIFE_MS).await.unwrap();
    assert_eq!(kept.len(), 1, "what X granted is known, so that it can be revoked");
    let Unconfirmed::Pending(pending) = &kept[0].1 else { panic!("{kept:?}") };
    assert_eq!(pending.profile.username, "alice_makes");
}

#[tokio::test]
async fn an_answer_under_way_at_the_stop_is_given() {
    let world = World::start().await;
    let url = world.agreed(&alice(), "alice_makes").await;
    let gate = Gate::closed();
    let held = world.sandbox.order(Fault::on(Call::Me, Effect::Hold(gate.clone())));
    let mut changes = world.sandbox.changes();
    let browser = tokio::spawn(world.http.get(url).send());
    while held.fired() == 0 {
        changes.changed().await.unwrap();
    }
    world.stop.cancel();
    gate.open();
    assert_eq!(browser.await.unwrap().unwrap().status(), StatusCode::OK);
    let health = world.at("/healthz");
    world.served.await.unwrap();
    assert!(world.http.get(health).send().await.is_err(), "the door is closed");
}

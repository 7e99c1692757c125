use reqwest::{
    StatusCode,
    header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE},
};

use super::{START, Shown, World, alice, person, private_chat, shown};
use crate::{
    account::Person,
    intake::INVITATION_LIFE_MS,
    store::{SESSION_LIFE_MS, Scope},
};

impl World {
    /// The path of a one-use link for somebody.
    async fn invited(&self, person: &Person, scope: Scope) -> String {
        self.intake.invite(person, &private_chat(person), scope).await.unwrap().path().to_owned()
    }

    async fn enter(&self, path: &str) -> Shown {
        shown(self.http.post(self.at(path))).await
    }

    /// The cookie of a browser that followed a link.
    async fn cookie(&self, person: &Person, scope: Scope) -> String {
        let entered = self.enter(&self.invited(person, scope).await).await;
        assert_eq!(entered.status, StatusCode::SEE_OTHER, "{entered:?}");
        entered.cookie()
    }

    async fn open(&self, path: &str, cookie: &str) -> Shown {
        shown(self.http.get(self.at(path)).header(COOKIE, cookie)).await
    }

    /// The form token of this browser's pages.
    async fn token(&self, cookie: &str) -> String {
        let (page, start) = match cookie.contains("toall_web") {
            true => ("/accounts", "name=\"form\" value=\""),
            false => ("/upload", "data-form=\""),
        };
        let page = self.open(page, cookie).await;
        let (_, rest) = page.body.split_once(start).unwrap_or_else(|| panic!("{page:?}"));
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// Presses a button of the accounts page, with the form token of the page of `of`.
    async fn deed(&self, cookie: &str, of: &str, deed: &str) -> Shown {
        let form = [("deed", deed), ("form", of)];
        shown(self.http.post(self.at("/accounts")).header(COOKIE, cookie).form(&form)).await
    }
}

impl Shown {
    fn cookie(&self) -> String {
        let cookie = self.headers[SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_preview_leaves_the_link_and_the_first_browser_uses_it_up() {
    let world = World::start().await;
    let path = world.invited(&alice(), Scope::Upload).await;
    for _ in 0..2 {
        let door = world.get(world.at(&path)).await;
        door.says(200, "Discord user alice");
        assert!(!door.headers.contains_key(SET_COOKIE), "looking signs nobody in");
    }
    let entered = world.enter(&path).await;
    assert_eq!(
        (entered.status, entered.headers[LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, &*path)
    );
    let cookie = entered.headers[SET_COOKIE].to_str().unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Max-Age=2592000", "Path=/"] {
        assert!(cookie.contains(attribute), "{attribute}: {cookie}");
    }
    world.open(&path, &entered.cookie()).await.says(200, "Upload a video");
    world.enter(&path).await.says(410, "Send /upload again in your chat");
    world.get(world.at(&path)).await.says(410, "It works once, in one browser");
    world.get(world.at("/upload/nonsense")).await.says(410, "This link no longer works");
}

#[tokio::test]
async fn links_and_sessions_end_with_their_time() {
    let world = World::start().await;
    let path = world.invited(&alice(), Scope::Upload).await;
    let cookie = world.cookie(&alice(), Scope::Manage).await;
    world.clock.set(START + INVITATION_LIFE_MS);
    world.enter(&path).await.says(410, "too old");
    world.open("/accounts", &cookie).await.says(200, "Accounts of Discord user alice");
    // It was used when the first link was too old, and lasts a whole life from then.
    world.clock.set(START + SESSION_LIFE_MS);
    let renewed = world.open("/accounts", &cookie).await;
    renewed.says(200, "Accounts of Discord user alice");
    assert!(renewed.headers[SET_COOKIE].to_str().unwrap().contains("Max-Age=2592000"));
    world.clock.set(START + 2 * SESSION_LIFE_MS);
    world.open("/accounts", &cookie).await.says(401, "Send /web in your chat");
}

#[tokio::test]
async fn a_link_to_upload_does_not_open_the_accounts() {
    let world = World::start().await;
    world.link(&alice(), "alice_makes").await;
    let cookie = world.cookie(&alice(), Scope::Upload).await;
    // Nor does the same key under the other name.
    for cookie in [cookie.clone(), cookie.replace("toall_upload", "toall_web")] {
        world.open("/accounts", &cookie).await.says(401, "This browser is not signed in");
        let id = world.intake.store.accounts(&alice()).await.unwrap()[0].id.clone();
        world.deed(&cookie, "", &format!("disconnect:{id}")).await.says(401, "not signed in");
    }
    let path = world.invited(&alice(), Scope::Upload).await;
    world.enter(&path.replace("/upload/", "/accounts/")).await.says(410, "no longer works");
    assert_eq!(world.linked(&alice()).await, ["alice_makes"]);
}

#[tokio::test]
async fn what_another_site_or_another_persons_page_sends_is_not_done() {
    let world = World::start().await;
    world.link(&alice(), "alice_makes").await;
    let id = world.intake.store.accounts(&alice()).await.unwrap()[0].id.clone();
    let cookie = world.cookie(&alice(), Scope::Manage).await;
    let deed = format!("disconnect:{id}");
    let token = world.token(&cookie).await;
    let form = [("deed", deed.as_str()), ("form", &token)];
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let request = world.http.post(world.at("/accounts")).header(COOKIE, &cookie).header(name, value);
        shown(request.form(&form)).await.says(403, "Another site's page sent this");
        let path = world.invited(&alice(), Scope::Manage).await;
        shown(world.http.post(world.at(&path)).header(name, value)).await.says(403, "another site");
    }
    let bobs = world.cookie(&person("2", "bob"), Scope::Manage).await;
    world.deed(&cookie, &world.token(&bobs).await, &deed).await.says(400, "reload the page");
    assert_eq!(world.linked(&alice()).await, ["alice_makes"]);

    let ours = world.url.origin().ascii_serialization();
    let request = world.http.post(world.at("/accounts")).header(COOKIE, &cookie).header(ORIGIN, ours);
    shown(request.form(&form)).await.says(200, "Disconnected @alice_makes");
    assert_eq!(world.linked(&alice()).await, [""; 0]);
}

#[tokio::test]
async fn a_page_calls_the_api_as_its_own_person_only() {
    let world = World::start().await;
    world.link(&alice(), "alice_makes").await;
    let bob = person("2", "bob");
    let cookie = world.cookie(&alice(), Scope::Upload).await;
    let token = world.token(&cookie).await;
    let bobs = world.cookie(&bob, Scope::Upload).await;
    let list = || world.http.get(world.at("/api/social/accounts")).header(COOKIE, &cookie);
    let named = shown(list().header("x-toall-form", &token)).await;
    assert_eq!(named.json()["accounts"][0]["username"], "alice_makes");
    // A foreign page cannot name the person; a page made for bob must not act as alice.
    assert_eq!(shown(list()).await.status, StatusCode::UNAUTHORIZED);
    let other = shown(list().header("x-toall-form", world.token(&bobs).await)).await;
    assert_eq!(other.json()["code"], "session_ended");
    let id = named.json()["accounts"][0]["account_id"].as_str().unwrap().to_owned();
    let delete = world.http.delete(world.at(&format!("/api/social/accounts/{id}"))).header(COOKIE, &cookie);
    let refused = shown(delete.header("x-toall-form", &token)).await;
    assert_eq!(refused.json()["code"], "sign_in_needed", "{refused:?}");
    assert_eq!(world.linked(&alice()).await, ["alice_makes"]);
}

#[tokio::test]
async fn a_token_is_listed_and_ended_by_its_person_alone() {
    let world = World::start().await;
    let token = world.api_token(&alice()).await;
    let bob = person("2", "bob");
    let alices = world.cookie(&alice(), Scope::Manage).await;
    let bobs = world.cookie(&bob, Scope::Manage).await;
    world.open("/accounts", &alices).await.says(200, &token[token.len() - 4..]);
    world.open("/accounts", &bobs).await.says(200, "None. ");

    let id = world.intake.store.api_tokens(&alice()).await.unwrap()[0].id;
    let ask = || shown(world.http.get(world.at("/api/social/accounts")).bearer_auth(&token));
    let deed = format!("revoke:{id}");
    world.deed(&bobs, &world.token(&bobs).await, &deed).await.says(200, "None. ");
    assert_eq!(ask().await.status, StatusCode::OK);
    let ended = world.deed(&alices, &world.token(&alices).await, &deed).await;
    ended.says(200, "The token is ended.");
    ended.says(200, "None. ");
    assert_eq!(ask().await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn signing_out_ends_the_session_itself() {
    let world = World::start().await;
    let cookie = world.cookie(&alice(), Scope::Manage).await;
    let out = world.http.post(world.at("/sign-out")).header(COOKIE, &cookie);
    shown(out).await.says(200, "Signed out");
    world.open("/accounts", &cookie).await.says(401, "not signed in");
}

#[tokio::test]
async fn linking_signs_nobody_in_and_shows_the_accounts_to_who_is() {
    let world = World::start().await;
    let page = world.get(world.agreed(&alice(), "alice_makes").await).await;
    let linked = world.press(&page, 0).await;
    linked.says(200, "Linked @alice_makes (Alice)");
    assert!(!linked.headers.contains_key(SET_COOKIE), "who agreed at X may be somebody else");

    // alice herself, who came from /web, is back among her accounts.
    let cookie = world.cookie(&alice(), Scope::Manage).await;
    let page = world.get(world.agreed(&alice(), "bob_films").await).await;
    let form = world.http.post(world.at("/api/social/callback")).header(COOKIE, &cookie);
    let (_, ticket) = page.forms().swap_remove(0);
    let linked = shown(form.form(&[("ticket", ticket)])).await;
    linked.says(200, "@bob_films");
    linked.says(200, "Recent posts");
}

#[tokio::test]
async fn scripts_are_kept_for_good_under_a_name_that_changes_with_them() {
    let world = World::start().await;
    world.link(&alice(), "alice_makes").await;
    let cookie = world.cookie(&alice(), Scope::Upload).await;
    let page = world.open("/upload", &cookie).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'; connect-src 'self';"), "{policy}");
    assert!(policy.contains("media-src blob:") && !policy.contains("unsafe"), "{policy}");
    let (_, rest) = page.body.split_once("type=\"module\" src=\"").unwrap();
    let script = rest.split_once('"').unwrap().0;
    let answer = world.get(world.at(script)).await;
    assert_eq!(answer.headers["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(answer.headers["cache-control"], "public, max-age=31536000, immutable");
    world.get(world.at("/assets/0000000000000000/upload.js")).await.says(404, "Nothing here");
}

#[tokio::test]
async fn another_persons_session_is_replaced_only_when_they_agree() {
    let world = World::start().await;
    let cookie = world.cookie(&alice(), Scope::Manage).await;
    let path = world.invited(&person("2", "bob"), Scope::Upload).await;
    let door = world.open(&path, &cookie).await;
    door.says(200, "This browser is signed in as Discord user alice.");
    assert!(!door.body.contains("<script"), "nothing presses the button: {}", door.body);
    let enter = || world.http.post(world.at(&path)).header(COOKIE, &cookie);
    // The script of an older page sends no field.
    shown(enter()).await.says(409, "Continue as Discord user bob");
    shown(enter().form(&[("replaces", "guessed")])).await.says(409, "Continue as Discord user bob");
    world.open("/accounts", &cookie).await.says(200, "Accounts of Discord user alice");

    let (_, rest) = door.body.split_once("name=\"replaces\" value=\"").unwrap();
    let replaces = rest.split_once('"').unwrap().0;
    let entered = shown(enter().form(&[("replaces", replaces)])).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{entered:?}");
    let cookies: Vec<_> =
        entered.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
    assert!(cookies.iter().any(|cookie| cookie.starts_with("toall_web=; ")), "{cookies:?}");
    assert!(cookies.iter().any(|cookie| cookie.starts_with("toall_upload=")), "{cookies:?}");
    world.open("/accounts", &cookie).await.says(401, "not signed in");
}

#[tokio::test]
async fn form_tokens_are_random_and_outlast_a_second_link() {
    let world = World::start().await;
    let first = world.cookie(&alice(), Scope::Manage).await;
    let token = world.token(&first).await;
    assert_eq!(token.len(), 43);
    let elsewhere = world.cookie(&alice(), Scope::Manage).await;
    assert_ne!(world.token(&elsewhere).await, token, "another browser of the same person");
    // The same browser, by another link: its open pages go on.
    let path = world.invited(&alice(), Scope::Upload).await;
    let second = shown(world.http.post(world.at(&path)).header(COOKIE, &first)).await;
    assert_eq!(world.token(&second.cookie()).await, token);
}

#[tokio::test]
async fn browsers_are_listed_and_signed_out_one_by_one() {
    let world = World::start().await;
    let path = world.invited(&alice(), Scope::Manage).await;
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";
    let here = shown(world.http.post(world.at(&path)).header("user-agent", agent)).await.cookie();
    let there = world.cookie(&alice(), Scope::Upload).await;
    let page = world.open("/accounts", &here).await;
    page.says(200, "Firefox on Linux this browser");
    page.says(200, "a browser uploads only");
    let listed = world.intake.store.signed_in(&alice(), START).await.unwrap();
    let other = listed.iter().find(|one| one.scope == Scope::Upload).unwrap();
    // Nobody else signs it out.
    let bobs = world.cookie(&person("2", "bob"), Scope::Manage).await;
    let deed = format!("sign_out:{}", other.id);
    world.deed(&bobs, &world.token(&bobs).await, &deed).await;
    world.open("/upload", &there).await.says(200, "Upload a video");
    let token = world.token(&here).await;
    world.deed(&here, &token, &deed).await.says(200, "That browser is signed out.");
    world.open("/upload", &there).await.says(401, "not signed in");
    let this = listed.iter().find(|one| one.scope == Scope::Manage).unwrap();
    world.deed(&here, &token, &format!("sign_out:{}", this.id)).await;
    world.open("/accounts", &here).await.says(401, "not signed in");
}

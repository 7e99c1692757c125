use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use reqwest::{
    Method, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{CALLBACK, Shown, World, alice, person, shown};
use crate::{
    sandbox::{Call, Subscription},
    ticket::Ticket,
};

#[track_caller]
fn is_guarded(page: &Shown) {
    let header = |name: &str| page.headers.get(name).map_or("", |value| value.to_str().unwrap());
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(header(name), value, "{page:?}");
    }
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header("x-request-id").len(), 36, "{page:?}");
    let ours = |tag: &str| tag.starts_with(" type=\"module\" src=\"/assets/");
    assert!(page.body.split("<script").skip(1).all(ours), "{}", page.body);
    assert!(!page.body.contains(" style="), "{}", page.body);
}

#[tokio::test]
async fn every_answer_carries_the_guards() {
    let world = World::start().await;
    let question = world.get(world.agreed(&alice(), "alice_makes").await).await;
    let policy = question.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains(&format!("img-src {};", world.sandbox.url())), "{policy}");
    assert!(policy.contains("form-action 'self'"), "{policy}");
    let (_, style) = question.body.split_once("<style>").unwrap();
    let style = STANDARD.encode(Sha256::digest(style.split_once("</style>").unwrap().0));
    assert!(policy.contains(&format!("style-src 'sha256-{style}';")), "{policy}");
    is_guarded(&question);
    is_guarded(&world.press(&question, 0).await);
    is_guarded(&world.press(&question, 1).await);
    for path in ["/", "/healthz", "/readyz", "/nothing", CALLBACK, "/api/social/accounts", "/api/nothing"] {
        is_guarded(&world.get(world.at(path)).await);
    }
}

#[tokio::test]
async fn a_callback_that_x_would_not_send_is_refused_with_what_to_do() {
    let world = World::start().await;
    let url = world.agreed(&alice(), "alice_makes").await;
    let good = url.query().unwrap();
    let forged = Ticket::draw().unwrap();
    for (query, status) in [
        (String::new(), 400),
        ("code=abc".into(), 400),
        ("error=access_denied".into(), 400),
        (format!("state={}", forged.expose()), 400),
        (format!("{good}&error=access_denied"), 400),
        (format!("{good}&code=another"), 400),
        (format!("{good}&state="), 400),
        (format!("{good}{}", "0".repeat(4096)), 400),
        (format!("code=abc&state={}", forged.expose()), 410),
        (format!("error=access_denied&state={}", forged.expose()), 410),
        ("code=abc&state=%ff%00%27".into(), 410),
    ] {
        let mut url = world.at(CALLBACK);
        url.set_query(Some(&query));
        let page = world.get(url).await;
        page.says(status, "/connect twitter");
    }
    world.get(url).await.says(200, "Link @alice_makes");
}

#[tokio::test]
async fn a_form_without_the_field_changes_nothing() {
    let world = World::start().await;
    let page = world.get(world.agreed(&alice(), "alice_makes").await).await;
    let forged = Ticket::draw().unwrap();
    for path in [CALLBACK, "/api/social/callback/refuse"] {
        let post = || world.http.post(world.at(path));
        shown(post()).await.says(400, "/connect twitter");
        shown(post().form(&[("other", "field")])).await.says(400, "/connect twitter");
        shown(post().form(&[("ticket", "")])).await.says(410, "/connect twitter");
        shown(post().form(&[("ticket", forged.expose())])).await.says(410, "/connect twitter");
        shown(post().json(&[forged.expose()])).await.says(400, "/connect twitter");
        shown(post().header(CONTENT_TYPE, "application/x-www-form-urlencoded").body("ticket=%FF%FE"))
            .await
            .says(410, "/connect twitter");
        shown(post().form(&[("ticket", "x".repeat(20_000))])).await.says(413, "/connect twitter");
    }
    assert_eq!(world.linked(&alice()).await, [""; 0]);
    world.press(&page, 0).await.says(200, "Linked");
}

#[tokio::test]
async fn chosen_names_stay_text() {
    let world = World::start().await;
    world.sandbox.add_user("mallory", "<script>alert(1)</script>\u{202e}", Subscription::None);
    let mallory = person("\"><b>7", "<img src=x onerror=alert(1)>\u{2066}\u{7}& co");
    let page = world.get(world.agreed(&mallory, "mallory").await).await;
    is_guarded(&page);
    assert!(page.body.contains("&lt;script&gt;"), "{}", page.body);
    assert!(page.body.contains("Discord user &lt;img src=x onerror=alert(1)&gt;&amp; co"), "{}", page.body);
    assert!(!page.body.contains("<img src=x"), "{}", page.body);
    let turning = |page: &Shown| page.body.contains(['\u{202e}', '\u{2066}', '\u{7}']);
    assert!(!turning(&page), "{}", page.body);
    let result = world.press(&page, 0).await;
    is_guarded(&result);
    assert!(!turning(&result), "{}", result.body);
}

#[tokio::test]
async fn looking_without_reading_uses_nothing_up() {
    let world = World::start().await;
    let url = world.agreed(&alice(), "alice_makes").await;
    let head = world.http.head(url.clone()).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.calls(Call::Token), []);
    world.get(url).await.says(200, "Link @alice_makes");
}

#[tokio::test]
async fn a_wrong_address_or_verb_is_named() {
    let world = World::start().await;
    world.get(world.at("/nothing?code=1")).await.says(404, "Nothing here");
    let page = shown(world.http.put(world.at(CALLBACK))).await;
    page.says(405, "That is not how this address is used");
    assert!(page.headers[ALLOW].to_str().unwrap().contains("POST"), "{page:?}");
    for (method, path, status, code) in [
        (Method::GET, "/api/nothing", 404, "not_found"),
        (Method::POST, "/api/social/accounts", 405, "method_not_allowed"),
        (Method::GET, "/api/social/accounts/twitter:1", 405, "method_not_allowed"),
    ] {
        let problem = shown(world.http.request(method, world.at(path))).await;
        assert_eq!(problem.status, status);
        assert_eq!(problem.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(problem.json()["code"], code);
        assert_eq!(problem.json()["status"], status);
    }
}

#[tokio::test]
async fn no_generated_callback_breaks_anything() {
    let world = World::start().await;
    let state = || "[A-Za-z0-9_-]{43}";
    let value =
        prop_oneof![state(), "\\PC{0,60}", ".{0,20}", "[a-z%&=+;#]{0,40}", "(%[0-9a-fA-Z]{0,2}){0,20}"];
    let pair = ("(code|state|error|[a-z]{0,6})", value, any::<bool>());
    let queries = prop_oneof![
        3 => prop::collection::vec(pair, 0..6).prop_map(|pairs| {
            let mut query = String::new();
            for (name, value, escaped) in pairs {
                query += &if escaped {
                    url::form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish()
                } else {
                    format!("{name}={value}")
                };
                query.push('&');
            }
            query
        }),
        1 => "\\PC{0,200}",
    ];
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        prop::test_runner::TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha),
    );
    for _ in 0..2_000 {
        let query = queries.new_tree(&mut runner).unwrap().current();
        let mut url = world.at(CALLBACK);
        url.set_query(Some(&query));
        let page = world.get(url).await;
        assert!([400, 410].contains(&page.status.as_u16()), "{query:?}: {page:?}");
        assert!(page.text().contains("/connect twitter"), "{query:?}: {page:?}");
    }
    assert_eq!(world.calls(Call::Token), []);
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let world = World::start().await;
    let mut client = TcpStream::connect(world.url.socket_addrs(|| None).unwrap()[0]).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-long: ").await.unwrap();
    // The service may hang up before all of it is written.
    let _ = client.write_all(&[b'a'; 64 * 1024]).await;
    let mut said = [0; 12];
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 431");
}

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{World, client, json, token, told};
use crate::{
    account::{AccountId, Profile, Tier, Tokens},
    twitter::OAuthError,
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};

const NOW: i64 = 1_800_000_000_000;
const GRANTED: &str = r#"{"token_type":"bearer","expires_in":7200,"access_token":"hush-a2","refresh_token":"hush-r2",
    "scope":"media.write tweet.read tweet.write users.read offline.access"}"#;
const FORM: &str = "application/x-www-form-urlencoded";

fn secret(text: &str) -> SecretString {
    text.into()
}

/// The same stand-in, asked by a public client.
fn public(world: &mut World, url: &str) {
    world.x = client(url, None);
}

async fn exchange(world: &World) -> Result<Tokens, OAuthError> {
    world.x.exchange(secret("hush-code"), secret("hush-verifier"), NOW).await
}

#[test]
fn the_consent_page_gets_what_it_needs() {
    let x = client("https://api.x.com", Some("hush"));
    let authorize = x.authorize("s t&te");
    let query: Vec<(String, String)> = authorize.url.query_pairs().into_owned().collect();
    let get = |name: &str| {
        let mut values = query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = values.next().unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(values.next(), None, "{name} twice");
        value
    };
    let verifier = authorize.verifier.expose_secret();
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));

    assert!(authorize.url.as_str().starts_with("https://x.com/i/oauth2/authorize?"));
    assert_eq!(get("response_type"), "code");
    assert_eq!(get("client_id"), "app:id+1");
    assert_eq!(get("redirect_uri"), "http://127.0.0.1:8080/api/social/callback");
    assert_eq!(get("scope"), "tweet.read tweet.write users.read media.write offline.access");
    assert_eq!(get("state"), "s t&te");
    assert_eq!(get("code_challenge_method"), "S256");
    assert_eq!(get("code_challenge"), challenge);
    assert!((43..=128).contains(&verifier.len()), "RFC 7636 section 4.1");
    assert_ne!(verifier, x.authorize("s").verifier.expose_secret(), "one verifier per attempt");
}

#[tokio::test]
async fn a_confidential_client_signs_with_its_raw_secret() {
    let world = World::new([json(200, GRANTED)]).await;
    let tokens = exchange(&world).await.unwrap();
    assert_eq!(tokens.access.expose_secret(), "hush-a2");
    assert_eq!(tokens.refresh.expose_secret(), "hush-r2");
    assert_eq!(tokens.access_expires_at, NOW + 7_200_000);
    assert_eq!(tokens.scope, "media.write tweet.read tweet.write users.read offline.access");

    let seen = world.one();
    assert_eq!(seen.line, "POST /2/oauth2/token");
    assert_eq!(seen.header("content-type"), Some(FORM));
    let basic = format!("Basic {}", BASE64_STANDARD.encode("app:id+1:hush-sécret+/=:%"));
    assert_eq!(seen.headers.get_all("authorization").iter().collect::<Vec<_>>(), [&basic]);
    assert_eq!(
        seen.form(),
        [
            "code=hush-code",
            "code_verifier=hush-verifier",
            "grant_type=authorization_code",
            "redirect_uri=http://127.0.0.1:8080/api/social/callback",
        ]
    );
}

#[tokio::test]
async fn a_public_client_names_itself_in_the_body() {
    let mut world = World::new([json(200, GRANTED), json(200, GRANTED), json(200, ""), json(200, "")]).await;
    let url = world.x.settings.api_url.to_string();
    public(&mut world, &url);
    exchange(&world).await.unwrap();
    let tokens = world.x.refresh(&secret("hush-r1"), NOW).await.unwrap();
    world.x.revoke(&tokens).await.unwrap();

    let seen = world.seen();
    assert!(seen.iter().all(|seen| seen.header("authorization").is_none()));
    assert_eq!(
        seen[0].form(),
        [
            "client_id=app:id+1",
            "code=hush-code",
            "code_verifier=hush-verifier",
            "grant_type=authorization_code",
            "redirect_uri=http://127.0.0.1:8080/api/social/callback",
        ]
    );
    assert_eq!(seen[1].form(), ["client_id=app:id+1", "grant_type=refresh_token", "refresh_token=hush-r1"]);
    assert_eq!(seen[2].form(), ["client_id=app:id+1", "token=hush-r2", "token_type_hint=refresh_token"]);
}

#[tokio::test]
async fn a_refresh_gives_the_new_pair() {
    let kept = r#"{"token_type":"bearer","access_token":"hush-a3","scope":"tweet.read"}"#;
    let world = World::new([json(200, GRANTED), json(200, kept)]).await;
    let tokens = world.x.refresh(&secret("hush-r1"), NOW).await.unwrap();
    assert_eq!(tokens.refresh.expose_secret(), "hush-r2");
    let seen = world.one();
    assert_eq!(seen.form(), ["grant_type=refresh_token", "refresh_token=hush-r1"]);
    assert!(seen.header("authorization").unwrap().starts_with("Basic "));

    // Not rotated, no lifetime, less scope: still the only live pair, so it is not lost.
    let tokens = world.x.refresh(&secret("hush-r2"), NOW).await.unwrap();
    assert_eq!(tokens.refresh.expose_secret(), "hush-r2");
    assert_eq!(tokens.access_expires_at, NOW + 7_200_000);
    assert_eq!(tokens.scope, "tweet.read");
}

#[tokio::test]
async fn both_tokens_are_revoked_even_if_the_first_fails() {
    let world = World::new([json(503, ""), json(200, r#"{"revoked":true}"#)]).await;
    let tokens = Tokens {
        access: token(),
        refresh: secret("hush-r"),
        issued_at: 0,
        access_expires_at: 0,
        scope: String::new(),
    };
    let error = world.x.revoke(&tokens).await.unwrap_err();
    assert_eq!(told(&error), "X is in trouble (503 Service Unavailable)");
    let seen = world.seen();
    assert_eq!(seen[0].line, "POST /2/oauth2/revoke");
    assert_eq!(seen[0].form(), ["token=hush-r", "token_type_hint=refresh_token"]);
    assert_eq!(seen[1].form(), ["token=hush-access", "token_type_hint=access_token"]);
}

#[tokio::test]
async fn a_grant_that_cannot_publish_is_refused() {
    for (granted, missing) in [
        (GRANTED.replace("media.write ", ""), "media.write"),
        (GRANTED.replace(r#""refresh_token":"hush-r2","#, ""), "offline.access"),
        (GRANTED.replace("media.write tweet.read tweet.write", ""), "tweet.read, tweet.write, media.write"),
    ] {
        let world = World::new([json(200, granted)]).await;
        let error = exchange(&world).await.unwrap_err();
        assert!(matches!(error, OAuthError::MissingScope(_)));
        assert_eq!(told(&error), format!("X did not grant: {missing}"));
    }
}

#[tokio::test]
async fn each_refusal_of_the_token_endpoint_is_told_apart() {
    let said = |error: &str, description: &str| {
        format!(r#"{{"error":"{error}","error_description":"{description} hush-code"}}"#)
    };
    let invalid = |description: &str| said("invalid_request", description);
    for (status, body, at_exchange, at_refresh) in [
        (
            400,
            invalid("Value passed for the authorization code was invalid."),
            "CodeRejected",
            "CodeRejected",
        ),
        (
            400,
            invalid("Value passed for the redirect uri did not match the uri of the authorization code."),
            "RedirectRejected",
            "RedirectRejected",
        ),
        (
            400,
            invalid("Value passed for the code verifier did not match the code challenge."),
            "VerifierRejected",
            "VerifierRejected",
        ),
        (400, invalid("Value passed for the token was invalid."), "CodeRejected", "RefreshRejected"),
        (400, said("invalid_grant", "Gone."), "CodeRejected", "RefreshRejected"),
        (
            401,
            said("unauthorized_client", "Missing valid authorization header"),
            "ClientRejected",
            "ClientRejected",
        ),
        (400, said("invalid_client", "No."), "ClientRejected", "ClientRejected"),
        (
            400,
            invalid("Something else."),
            r#"X(Refused { status: 400, detail: "" })"#,
            r#"X(Refused { status: 400, detail: "" })"#,
        ),
        (
            403,
            said("access_denied", "This account is locked:"),
            r#"X(Refused { status: 403, detail: "" })"#,
            r#"X(Refused { status: 403, detail: "" })"#,
        ),
        (403, r#"{"reason":"client-not-enrolled"}"#.to_owned(), "X(NotEnrolled)", "X(NotEnrolled)"),
        (
            429,
            String::new(),
            r#"X(RateLimited(Limit { call: "POST /2/oauth2/token", account: No, app: No }))"#,
            r#"X(RateLimited(Limit { call: "POST /2/oauth2/token", account: No, app: No }))"#,
        ),
        (503, "<html>hush-code</html>".to_owned(), "X(Trouble(503))", "X(Trouble(503))"),
        // The edge, which neither knows the code nor the client.
        (403, "<html>hush-code</html>".to_owned(), "X(Trouble(403))", "X(Trouble(403))"),
        (401, "<html>hush-code</html>".to_owned(), "X(Trouble(401))", "X(Trouble(401))"),
        (400, "<html>hush-code</html>".to_owned(), "X(Trouble(400))", "X(Trouble(400))"),
        (403, String::new(), "X(Trouble(403))", "X(Trouble(403))"),
        (
            200,
            "<html>hush-code</html>".to_owned(),
            r#"X(Garbled("it holds no tokens"))"#,
            r#"X(Garbled("it holds no tokens"))"#,
        ),
        (
            200,
            r#"{"access_token":["hush-a"]}"#.to_owned(),
            r#"X(Garbled("it holds no tokens"))"#,
            r#"X(Garbled("it holds no tokens"))"#,
        ),
    ] {
        let world = World::new([json(status, &body), json(status, &body)]).await;
        let error = exchange(&world).await.unwrap_err();
        told(&error);
        assert_eq!(format!("{error:?}"), at_exchange, "{body}");
        let error = world.x.refresh(&secret("hush-r"), NOW).await.unwrap_err();
        told(&error);
        assert_eq!(format!("{error:?}"), at_refresh, "{body}");
    }
}

#[tokio::test]
async fn a_token_tells_whose_it_is() {
    let me = r#"{"data":{"id":"1993000000000000001","username":"alice_makes","name":"Ali\u202ece\n","verified":true,
        "profile_image_url":"https://pbs.twimg.com/a.jpg","subscription_type":"Premium"}}"#;
    let bare = r#"{"data":{"id":"7","username":"b","name":"B","profile_image_url":"javascript:hush()","subscription_type":"None"}}"#;
    let world = World::new([json(200, me), json(200, bare)]).await;
    let profile = world.x.me(&token()).await.unwrap();
    assert_eq!(
        profile,
        Profile {
            id: AccountId("1993000000000000001".to_owned()),
            username: "alice_makes".to_owned(),
            name: "Ali ce".to_owned(),
            avatar_url: Some("https://pbs.twimg.com/a.jpg".to_owned()),
            tier: Tier::Premium,
        }
    );
    let seen = world.one();
    assert!(seen.line.starts_with("GET /2/users/me?user.fields="));
    assert_eq!(seen.header("authorization"), Some("Bearer hush-access"));
    let profile = world.x.me(&token()).await.unwrap();
    assert_eq!((profile.tier, profile.avatar_url), (Tier::Free, None));
}

#[tokio::test]
async fn a_profile_that_cannot_be_is_refused() {
    for me in [
        r#"{"data":{"id":"../7","username":"b","name":"B"}}"#,
        r#"{"data":{"id":"7","username":"b/../c","name":"B"}}"#,
        r#"{"data":{"id":"7","username":"","name":"B"}}"#,
    ] {
        let world = World::new([json(200, me)]).await;
        assert!(world.x.me(&token()).await.is_err(), "{me}");
    }
}

/// Handlers and workers spawn these.
#[test]
fn futures_can_move_between_threads() {
    fn check(_: impl Send) {}
    let x = client("https://api.x.com", None);
    check(x.exchange(token(), token(), NOW));
    check(x.refresh(&token(), NOW));
    check(x.append(&token(), "1", 0, 0, futures::stream::empty::<std::io::Result<bytes::Bytes>>()));
}

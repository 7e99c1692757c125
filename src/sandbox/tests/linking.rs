//! Authorize, token, refresh, revoke.

use super::*;

async fn refused(bench: &Bench, name: &str, value: &str) -> String {
    let mut url = bench.authorize_url(SCOPE);
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    let changed = pairs.into_iter().filter_map(|(known, old)| match value {
        "" if known == name => None,
        new if known == name => Some((known, new.to_owned())),
        _ => Some((known, old)),
    });
    url.query_pairs_mut().clear().extend_pairs(changed);
    let press = [("user", "alice_makes"), ("decision", "authorize")];
    let pressed = bench.http.post(url.clone()).form(&press);
    assert_eq!(pressed.send().await.unwrap().status(), 400);
    let response = bench.http.get(url).send().await.unwrap();
    assert_eq!(response.status(), 400, "{name}={value}");
    assert!(!response.headers().contains_key("location"));
    response.text().await.unwrap()
}

#[tokio::test]
async fn the_page_refuses_what_x_refuses() {
    let bench = Bench::start().await;
    let long = "s".repeat(501);
    for (name, value, reason) in [
        ("client_id", "somebody", "not one of a registered app"),
        ("client_id", "", "client_id is missing"),
        ("redirect_uri", "http://127.0.0.1:8080/api/social/callback/", "registered callbacks"),
        ("response_type", "token", "has to be code"),
        ("scope", "tweet.read everything", "scope everything"),
        ("state", "", "state is missing"),
        ("state", &long, "longer than 500"),
        ("code_challenge", "", "code_challenge is missing"),
        ("code_challenge", "short", "not a base64url SHA-256"),
        ("code_challenge_method", "S512", "S256 or plain"),
    ] {
        let page = refused(&bench, name, value).await;
        assert!(page.contains(reason), "{name}={value}: {page}");
    }
}

#[tokio::test]
async fn the_page_names_the_app_and_its_rights_and_both_buttons_lead_back() {
    let bench = Bench::start().await;
    let url = bench.authorize_url(SCOPE);
    let page = bench.http.get(url.clone()).send().await.unwrap();
    let page = page.text().await.unwrap();
    for part in ["sandbox-client", "@alice_makes", "@bob_films", "Authorize app", "Cancel"] {
        assert!(page.contains(part), "{part}");
    }
    let back = bench.decide(url.clone(), "alice_makes", "authorize").await;
    assert!(back.as_str().starts_with(CALLBACK));
    assert_eq!(query(&back, "state").unwrap(), "opaque");
    assert!(query(&back, "code").is_some());
    let back = bench.decide(url, "alice_makes", "cancel").await;
    assert_eq!(query(&back, "error").unwrap(), "access_denied");
    assert_eq!(query(&back, "state").unwrap(), "opaque");
    assert!(query(&back, "code").is_none());
}

#[tokio::test]
async fn a_code_works_once_within_thirty_seconds_and_for_its_own_request() {
    let bench = Bench::start().await;
    let tokens = bench.link("alice_makes", SCOPE).await;
    assert_eq!(tokens["token_type"], "bearer");
    assert_eq!(tokens["expires_in"], 7200);
    assert_eq!(tokens["scope"], SCOPE);
    assert!(tokens["refresh_token"].is_string());
    let online = bench.link("alice_makes", "tweet.read users.read").await;
    assert!(online.get("refresh_token").is_none());

    let invalid = "Value passed for the authorization code was invalid.";
    let code = bench.code("alice_makes", SCOPE).await;
    assert_eq!(answer(bench.exchange(&code)).await.0, 200);
    let (status, body) = answer(bench.exchange(&code)).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    assert_eq!(body["error_description"], invalid);

    let code = bench.code("alice_makes", SCOPE).await;
    bench.pass(30);
    let (status, body) = answer(bench.exchange(&code)).await;
    assert_eq!((status, text(&body["error_description"])), (400, invalid.to_owned()));

    for (redirect, verifier, reason) in [
        ("http://127.0.0.1:8080/", VERIFIER, "redirect uri did not match"),
        (CALLBACK, "another-verifier-of-forty-three-characters-or-so", "code verifier did not match"),
    ] {
        let code = bench.code("alice_makes", SCOPE).await;
        let (status, body) = answer(bench.token_request(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ]))
        .await;
        assert_eq!(status, 400);
        assert!(text(&body["error_description"]).contains(reason), "{body}");
    }
}

#[tokio::test]
async fn a_confidential_app_shows_its_secret_and_a_public_one_its_id() {
    let bench = Bench::start().await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", "x")];
    let token = bench.url("/2/oauth2/token");
    let (status, body) = answer(bench.http.post(&token).form(&form)).await;
    assert_eq!((status, &body["error"]), (401, &json!("unauthorized_client")));

    let public = Bench::with(|settings| settings.client_secret = None).await;
    let code = public.code("alice_makes", SCOPE).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let request = public.http.post(public.url("/2/oauth2/token"));
    let (status, body) = answer(request.form(&form)).await;
    assert_eq!(status, 400);
    assert_eq!(body["error_description"], "Missing required parameter [client_id].");
    let request = public.http.post(public.url("/2/oauth2/token"));
    let with_id = [form.as_slice(), &[("client_id", "sandbox-client")]].concat();
    assert_eq!(answer(request.form(&with_id)).await.0, 200);
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_new_link_ends_the_old_one() {
    let bench = Bench::start().await;
    let first = bench.link("alice_makes", SCOPE).await;
    let spent = text(&first["refresh_token"]);
    let (status, second) = answer(bench.refresh(&spent)).await;
    assert_eq!(status, 200);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let (status, body) = answer(bench.refresh(&spent)).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
    assert_eq!(body["error_description"], "Value passed for the token was invalid.");

    let bob = bench.access("bob_films").await;
    bench.link("alice_makes", SCOPE).await;
    let ended = text(&second["access_token"]);
    assert_eq!(answer(bench.get(&ended, "/2/users/me")).await.0, 401);
    assert_eq!(answer(bench.refresh(&text(&second["refresh_token"]))).await.0, 400);
    assert_eq!(answer(bench.get(&bob, "/2/users/me")).await.0, 200);
}

#[tokio::test]
async fn revoking_needs_the_hint_and_ends_the_token() {
    let bench = Bench::start().await;
    let tokens = bench.link("alice_makes", SCOPE).await;
    let access = text(&tokens["access_token"]);
    let revoke = |form: &[(&str, &str)]| {
        bench
            .http
            .post(bench.url("/2/oauth2/revoke"))
            .basic_auth("sandbox-client", Some("sandbox-secret"))
            .form(form)
    };
    let (status, body) = answer(revoke(&[("token", &access)])).await;
    assert_eq!(status, 400);
    assert_eq!(body["error_description"], "Missing required parameter [token_type_hint].");
    let refresh = text(&tokens["refresh_token"]);
    for (token, hint) in [(&refresh, "refresh_token"), (&access, "access_token")] {
        let (status, body) = answer(revoke(&[("token", token), ("token_type_hint", hint)])).await;
        assert_eq!((status, body), (200, json!({"revoked": true})));
    }
    assert_eq!(answer(bench.get(&access, "/2/users/me")).await.0, 401);
    assert_eq!(answer(bench.refresh(&refresh)).await.0, 400);
}

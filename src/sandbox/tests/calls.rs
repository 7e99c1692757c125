//! Tokens and limits, me, create post, timeline.

use super::*;
use crate::sandbox::{Call, Sent, Subscription};

#[tokio::test]
async fn every_call_wants_a_live_token_with_its_scopes() {
    let bench = Bench::start().await;
    let paths = ["/2/users/me", "/2/users/1/tweets", "/2/media/upload?media_id=1"];
    for path in paths {
        let (status, body) = answer(bench.get("nonsense", path)).await;
        assert_eq!(status, 401, "{path}");
        assert_eq!((&body["type"], &body["title"]), (&json!("about:blank"), &json!("Unauthorized")));
    }
    let tokens = bench.link("alice_makes", "tweet.read users.read").await;
    let token = text(&tokens["access_token"]);
    assert_eq!(answer(bench.get(&token, "/2/users/me")).await.0, 200);
    for request in [
        bench.post(&token, "/2/media/upload/initialize").json(&json!({})),
        bench.append(&token, "1", 0, b"x"),
        bench.finalize(&token, "1"),
        bench.status(&token, "1"),
        bench.create(&token, "hello", &[]),
    ] {
        let (status, body) = answer(request).await;
        let bare = json!({"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "Forbidden"});
        assert_eq!((status, body), (403, bare));
    }
    bench.pass(7_200);
    assert_eq!(answer(bench.get(&token, "/2/users/me")).await.0, 401);
}

#[tokio::test]
async fn a_video_of_one_s_own_is_described_by_what_x_documents() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let id = bench.upload(&token, b"film").await;
    let stranger = bench.access("bob_films").await;
    let metadata = json!({"alt_text": {"text": "A wave"}, "sensitive_media_warning": {"other": true}});
    let describe = |token: &str, id: &str, metadata: &Value| {
        bench.post(token, "/2/media/metadata").json(&json!({"id": id, "metadata": metadata}))
    };
    for (token, id, body, status) in [
        (&token, "12", metadata.clone(), 404),
        (&token, "wave", metadata.clone(), 400),
        (&stranger, &*id, metadata.clone(), 404),
        (&token, &*id, json!({"alt_text": {"text": "a".repeat(1_001)}}), 400),
        (&token, &*id, json!({"alt_text": "A wave"}), 400),
        (&token, &*id, json!({"sensitive_media_warning": {"boring": true}}), 400),
        (&token, &*id, json!({"colour": "blue"}), 400),
    ] {
        assert_eq!(answer(describe(token, id, &body)).await.0, status, "{id} {body}");
    }
    assert_eq!(answer(describe(&token, &id, &metadata)).await.0, 200);
    let options = json!({
        "text": "hello", "media": {"media_ids": [id]},
        "reply_settings": "verified", "made_with_ai": true, "paid_partnership": true,
    });
    let mut everyone = options.clone();
    everyone["reply_settings"] = json!("everyone");
    assert_eq!(answer(bench.post(&token, "/2/tweets").json(&everyone)).await.0, 400);
    assert_eq!(answer(bench.post(&token, "/2/tweets").json(&options)).await.0, 201);
    let post = &bench.sandbox.posts()[0];
    assert_eq!(post.reply_settings.as_deref(), Some("verified"));
    assert_eq!((post.made_with_ai, post.paid_partnership), (true, true));
    assert_eq!(post.media[0].metadata["alt_text"], json!({"text": "A wave"}));
    assert_eq!(post.media[0].metadata["sensitive_media_warning"]["other"], true);
}

#[tokio::test]
async fn expiry_revocation_and_suspension_come_on_demand() {
    let bench = Bench::start().await;
    let tokens = bench.link("alice_makes", SCOPE).await;
    bench.sandbox.expire_access_tokens();
    assert_eq!(answer(bench.get(&text(&tokens["access_token"]), "/2/users/me")).await.0, 401);
    let (status, tokens) = answer(bench.refresh(&text(&tokens["refresh_token"]))).await;
    assert_eq!(status, 200);
    let token = text(&tokens["access_token"]);
    bench.sandbox.set_suspended("alice_makes", true);
    let (status, body) = answer(bench.get(&token, "/2/users/me")).await;
    assert_eq!(status, 403);
    assert!(text(&body["type"]).ends_with("/user-suspended"));
    bench.sandbox.set_suspended("alice_makes", false);
    assert_eq!(answer(bench.get(&token, "/2/users/me")).await.0, 200);
    bench.sandbox.revoke_grant("alice_makes");
    assert_eq!(answer(bench.get(&token, "/2/users/me")).await.0, 401);
    assert_eq!(answer(bench.refresh(&text(&tokens["refresh_token"]))).await.0, 400);
}

#[tokio::test]
async fn limits_are_told_and_kept_per_window() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    for used in 1..=75 {
        let response = bench.get(&token, "/2/users/me").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-rate-limit-limit"], "75");
        let remaining = response.headers()["x-rate-limit-remaining"].to_str().unwrap();
        assert_eq!(remaining, (75 - used).to_string());
    }
    let response = bench.get(&token, "/2/users/me").send().await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("x-rate-limit-reset"));
    bench.pass(15 * 60);
    assert_eq!(answer(bench.get(&token, "/2/users/me")).await.0, 200);
}

#[tokio::test]
async fn me_gives_the_fields_asked_for() {
    let bench = Bench::start().await;
    let token = bench.access("bob_films").await;
    let (_, body) = answer(bench.get(&token, "/2/users/me")).await;
    let id = text(&body["data"]["id"]);
    assert_eq!(body, json!({"data": {"id": id, "name": "Bob", "username": "bob_films"}}));
    assert!(id.parse::<u64>().unwrap() > 1 << 53);
    let path = "/2/users/me?user.fields=verified_type,subscription_type,profile_image_url";
    let (_, body) = answer(bench.get(&token, path)).await;
    assert_eq!(body["data"]["subscription_type"], "Premium");
    assert_eq!(body["data"]["verified_type"], "blue");
    let avatar = bench.http.get(text(&body["data"]["profile_image_url"]));
    let avatar = avatar.send().await.unwrap();
    assert_eq!(avatar.headers()["content-type"], "image/svg+xml");
    for path in ["/2/users/me?fields=id", "/2/users/me?user.fields=shoe_size"] {
        let (status, body) = answer(bench.get(&token, path)).await;
        assert_eq!(status, 400);
        assert!(message(&body).contains("is not one of"));
    }
}

#[tokio::test]
async fn a_post_is_refused_as_x_refuses_it() {
    let bench = Bench::start().await;
    let alice = bench.access("alice_makes").await;
    let bob = bench.access("bob_films").await;
    let foreign = bench.upload(&bob, b"x").await;
    let ids = ["1", "2", "3", "4", "5"];
    for (request, status, reason) in [
        (bench.create(&alice, "", &[]), 400, "text is required"),
        (bench.create(&alice, "mine?", &[&foreign]), 400, "Your media IDs are invalid."),
        (bench.create(&alice, "many", &ids), 400, "maximum of 4 items"),
        (bench.post(&alice, "/2/tweets").json(&json!({"text": "x", "colour": 1})), 400, "colour"),
        (
            bench.post(&alice, "/2/tweets").json(&json!({"text": "x", "reply_settings": "everyone"})),
            400,
            "everyone",
        ),
        (bench.create(&alice, &"a".repeat(281), &[]), 403, "not permitted to perform this action"),
        (bench.create(&alice, "$ONE and $TWO", &[]), 403, "one cashtag"),
        (
            bench.post(&alice, "/2/tweets").json(&json!({"text": "x", "quote_tweet_id": "1"})),
            403,
            "not permitted",
        ),
    ] {
        let (found, body) = answer(request).await;
        assert_eq!(found, status, "{body}");
        assert!(body.to_string().contains(reason), "{reason}: {body}");
    }
    assert!(bench.sandbox.posts().is_empty());
    assert_eq!(answer(bench.create(&bob, &"a".repeat(281), &[])).await.0, 201);
    bench.sandbox.set_subscription("alice_makes", Subscription::Premium);
    assert_eq!(answer(bench.create(&alice, &"a".repeat(281), &[])).await.0, 201);
}

#[tokio::test]
async fn the_same_post_again_is_duplicate_content() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let id = bench.upload(&token, b"x").await;
    let (status, body) = answer(bench.create(&token, "a < b & c", &[&id])).await;
    assert_eq!(status, 201);
    let stored = text(&body["data"]["text"]);
    assert!(stored.starts_with("a &lt; b &amp; c https://t.co/"), "{stored}");
    let (status, body) = answer(bench.create(&token, "a < b & c", &[&id])).await;
    assert_eq!(status, 403);
    assert!(text(&body["detail"]).contains("duplicate content"));
    assert_eq!(bench.sandbox.posts().len(), 1);
    assert_eq!(bench.sandbox.posts()[0].text, "a < b & c");

    let lenient = Bench::with(|settings| settings.duplicate_window = Duration::ZERO).await;
    let token = lenient.access("alice_makes").await;
    for _ in 0..2 {
        assert_eq!(answer(lenient.create(&token, "twice", &[])).await.0, 201);
    }
    assert_eq!(lenient.sandbox.posts().len(), 2);
}

#[tokio::test]
async fn the_timeline_is_newest_first_and_paged() {
    let bench = Bench::start().await;
    let token = bench.access("alice_makes").await;
    let user = text(&answer(bench.get(&token, "/2/users/me")).await.1["data"]["id"]);
    let path = format!("/2/users/{user}/tweets");
    let (status, body) = answer(bench.get(&token, &path)).await;
    assert_eq!((status, body), (200, json!({"meta": {"result_count": 0}})));
    for number in 0..7 {
        bench.pass(1);
        answer(bench.create(&token, &format!("post {number}"), &[])).await;
    }
    let id = bench.upload(&token, b"x").await;
    answer(bench.create(&token, "film", &[&id])).await;
    let full = format!(
        "{path}?max_results=5&expansions=attachments.media_keys&media.fields=type,variants&post.fields=created_at"
    );
    let (_, body) = answer(bench.get(&token, &full)).await;
    assert_eq!(body["meta"]["result_count"], 5);
    let key = &body["data"][0]["attachments"]["media_keys"][0];
    assert_eq!(&body["includes"]["media"][0]["media_key"], key);
    assert_eq!(body["includes"]["media"][0]["type"], "video");
    let since = text(&body["data"][0]["created_at"]);
    let next = text(&body["meta"]["next_token"]);
    let second = format!("{path}?max_results=5&pagination_token={next}");
    let (_, body) = answer(bench.get(&token, &second)).await;
    let texts: Vec<_> = body["data"].as_array().unwrap().iter().map(|post| text(&post["text"])).collect();
    assert_eq!(texts, ["post 2", "post 1", "post 0"]);
    assert!(body["meta"].get("next_token").is_none());
    let (_, body) = answer(bench.get(&token, &format!("{path}?start_time={since}"))).await;
    assert_eq!(body["meta"]["result_count"], 1);
    for bad in ["max_results=4", "max_results=101", "start_time=today", "limit=5"] {
        let (status, body) = answer(bench.get(&token, &format!("{path}?{bad}"))).await;
        assert_eq!(status, 400, "{bad}");
        message(&body);
    }
}

#[tokio::test]
async fn a_new_post_may_take_its_time_to_show() {
    let bench = Bench::start().await;
    bench.sandbox.set_visibility_delay(Duration::from_secs(20));
    let token = bench.access("alice_makes").await;
    let user = text(&answer(bench.get(&token, "/2/users/me")).await.1["data"]["id"]);
    answer(bench.create(&token, "soon", &[])).await;
    let timeline = || answer(bench.get(&token, &format!("/2/users/{user}/tweets")));
    assert_eq!(timeline().await.1["meta"]["result_count"], 0);
    bench.pass(20);
    assert_eq!(timeline().await.1["meta"]["result_count"], 1);
    bench.sandbox.set_visibility_delay(Duration::MAX);
    assert_eq!(timeline().await.1["meta"]["result_count"], 0);
}

#[tokio::test]
async fn the_log_holds_requests_and_answers_but_no_token() {
    let bench = Bench::start().await;
    let mut changes = bench.sandbox.changes();
    changes.mark_unchanged();
    let tokens = bench.link("alice_makes", SCOPE).await;
    assert!(changes.has_changed().unwrap());
    let access = text(&tokens["access_token"]);
    let id = bench.upload(&access, b"abc").await;
    answer(bench.refresh(&text(&tokens["refresh_token"]))).await;
    let exchanges = bench.sandbox.exchanges();
    let calls: Vec<_> = exchanges.iter().filter_map(|exchange| exchange.call).collect();
    assert_eq!(calls, [Call::Token, Call::Initialize, Call::Append, Call::Finalize, Call::Refresh]);
    let Sent::Multipart(parts) = &exchanges[2].sent else { panic!("{:?}", exchanges[2].sent) };
    assert_eq!((parts[0].text.as_deref(), parts[1].bytes), (Some("0"), 3));
    assert_eq!(exchanges[2].path, format!("/2/media/upload/{id}/append"));
    assert_eq!((exchanges[2].status, exchanges[2].faulted), (Some(200), false));
    assert!(exchanges[2].user_id.is_some());
    let log = format!("{exchanges:?}");
    for name in ["access_token", "refresh_token"] {
        assert!(!log.contains(&text(&tokens[name])));
    }
    assert!(!log.contains(VERIFIER));
}

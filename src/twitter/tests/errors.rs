use proptest::prelude::*;
use reqwest::{StatusCode, header::HeaderMap};

use super::{World, json, token, told};
use crate::twitter::{Limit, Reopens, XError, error};

const POST: &str = "POST /2/tweets";
const APPEND: &str = "POST /2/media/upload/{id}/append";
const FINALIZE: &str = "POST /2/media/upload/{id}/finalize";
const TIMELINE: &str = "GET /2/users/{id}/tweets";

fn sorted(call: &'static str, status: u16, body: &str) -> String {
    let status = StatusCode::from_u16(status).unwrap();
    format!("{:?}", error::sort(call, status, &HeaderMap::new(), body.as_bytes()))
}

#[test]
fn each_refusal_is_told_apart() {
    let problem = |title: &str, kind: &str, detail: &str| {
        format!(r#"{{"title":"{title}","type":"{kind}","detail":"{detail}"}}"#)
    };
    let forbidden = |detail: &str| problem("Forbidden", "about:blank", detail);
    let of =
        |kind: &str| problem("A title", &format!("https://api.twitter.com/2/problems/{kind}"), "A detail");
    let invalid = |message: &str| {
        format!(
            r#"{{"errors":[{{"parameters":{{"media.media_ids":["[1]"]}},"message":"{message}"}}],"title":"Invalid Request","detail":"One or more parameters to your request was invalid.","type":"https://api.x.com/2/problems/invalid-request"}}"#
        )
    };
    let table = [
        (POST, 401, problem("Unauthorized", "about:blank", "Unauthorized"), "SignedOut"),
        (POST, 402, problem("CreditsDepleted", "https://api.x.com/2/problems/credits", "No credits."), "OutOfCredits"),
        (POST, 402, of("credits-depleted"), "OutOfCredits"),
        (POST, 402, String::new(), "OutOfCredits"),
        (POST, 403, problem("SpendCapReached", "about:blank", "Cycle."), "SpendCap"),
        (POST, 403, forbidden("Your billing cycle spend cap is reached."), "SpendCap"),
        (POST, 403, of("client-forbidden"), "NotEnrolled"),
        (POST, 403, r#"{"reason":"client-not-enrolled"}"#.to_owned(), "NotEnrolled"),
        (POST, 403, of("unsupported-authentication"), "WrongToken"),
        (APPEND, 403, forbidden("Forbidden"), "MissingScope"),
        (POST, 403, forbidden("You are not allowed to create a Tweet with duplicate content."), "Duplicate"),
        (POST, 403, of("duplicate-rules"), "Duplicate"),
        (POST, 403, forbidden("This user is not allowed to post a video longer than 20 minutes."), "TooLong { minutes: Some(20) }"),
        (POST, 403, forbidden("This user is not allowed to post a video longer than allowed."), "TooLong { minutes: None }"),
        (POST, 403, forbidden("You are not permitted to perform this action."), r#"NotPermitted { detail: "You are not permitted to perform this action." }"#),
        (POST, 403, forbidden("Your account is not permitted to access this feature."), r#"AccountRestricted { detail: "Your account is not permitted to access this feature." }"#),
        (POST, 403, of("user-suspended"), r#"AccountRestricted { detail: "A detail" }"#),
        (POST, 403, forbidden("This account is temporarily locked."), r#"AccountRestricted { detail: "This account is temporarily locked." }"#),
        (POST, 403, forbidden("You have been blocked by the author."), r#"Refused { status: 403, detail: "You have been blocked by the author." }"#),
        (POST, 403, forbidden("The Tweet contains an invalid URL."), "InvalidUrl"),
        (POST, 403, forbidden("A post may have a maximum of one cashtag."), "TooManyCashtags"),
        (POST, 403, r#"{"errors":[{"code":453,"message":"You currently have access to a subset of X API V2 endpoints"}]}"#.to_owned(), "AccessLevel"),
        (TIMELINE, 403, of("not-authorized-for-resource"), "Hidden"),
        (POST, 403, "<html>Attention required</html>".to_owned(), r#"Refused { status: 403, detail: "" }"#),
        (APPEND, 403, forbidden("This category is not for you."), r#"Refused { status: 403, detail: "This category is not for you." }"#),
        (APPEND, 403, "<html>Attention required</html>".to_owned(), r#"Refused { status: 403, detail: "" }"#),
        (POST, 400, invalid("Your media IDs are invalid."), "InvalidMedia"),
        (POST, 400, problem("Invalid Request", "https://api.x.com/2/problems/invalid-request", "Your media IDs are invalid."), "InvalidMedia"),
        (POST, 400, invalid("$.media.media_ids: must have a maximum of 4 items in the array"), r#"Refused { status: 400, detail: "$.media.media_ids: must have a maximum of 4 items in the array" }"#),
        (POST, 400, invalid("$.text: unexpected"), r#"Refused { status: 400, detail: "$.text: unexpected" }"#),
        (FINALIZE, 400, r#"{"error":"Segments do not add up to provided total file size."}"#.to_owned(), "IncompleteUpload"),
        (TIMELINE, 404, of("resource-not-found"), "NotFound"),
        (TIMELINE, 404, String::new(), "Trouble(404)"),
        (TIMELINE, 404, "<html>".to_owned(), "Trouble(404)"),
        (APPEND, 404, String::new(), "UploadGone"),
        (APPEND, 404, of("resource-not-found"), "UploadGone"),
        (POST, 409, of("conflict"), r#"Refused { status: 409, detail: "A detail" }"#),
        (APPEND, 413, String::new(), "TooLarge(413)"),
        (APPEND, 431, "<html>".to_owned(), "TooLarge(431)"),
        (POST, 429, r#"{"errors":[{"code":88,"message":"Rate limit exceeded"}]}"#.to_owned(), r#"RateLimited(Limit { call: "POST /2/tweets", account: No, app: No })"#),
        (POST, 429, of("rate-limit-exceeded"), r#"RateLimited(Limit { call: "POST /2/tweets", account: No, app: No })"#),
        (TIMELINE, 429, of("usage-capped"), "ReadCap"),
        (POST, 429, of("usage-capped"), "PostCap"),
        (POST, 403, of("usage-capped"), "PostCap"),
        (POST, 403, r#"{"errors":[{"code":185,"message":"User is over daily status update limit."}]}"#.to_owned(), r#"DailyLimit(Limit { call: "POST /2/tweets", account: No, app: No })"#),
        (POST, 403, r#"{"title":"Forbidden","detail":"You have reached your daily limit for creating posts.","status":403}"#.to_owned(), r#"DailyLimit(Limit { call: "POST /2/tweets", account: No, app: No })"#),
        (POST, 301, String::new(), "Trouble(301)"),
        (POST, 500, of("internal-error"), "Trouble(500)"),
        (POST, 502, "<html>".to_owned(), "Trouble(502)"),
        (POST, 503, "{}".to_owned(), "Trouble(503)"),
        (POST, 504, String::new(), "Trouble(504)"),
    ];
    for (call, status, body, expected) in table {
        assert_eq!(sorted(call, status, &body), expected, "{call} {status} {body}");
    }
}

#[test]
fn a_detail_is_one_short_line_that_steers_nothing() {
    let body = r#"{"detail":" No\n\n\u001b[31m way,\u0007\u202e sir.\t"}"#;
    assert_eq!(sorted(POST, 400, body), r#"Refused { status: 400, detail: "No [31m way, sir." }"#);
    let XError::Refused { detail, .. } = error::sort(
        POST,
        StatusCode::BAD_REQUEST,
        &HeaderMap::new(),
        format!(r#"{{"detail":"{}"}}"#, "é".repeat(1_000)).as_bytes(),
    ) else {
        panic!("another error");
    };
    assert_eq!(detail, "é".repeat(300));
}

const NOW: i64 = 1_800_000_000_000;

/// Minutes that the account has to wait, and the whole app; 0 when X names no time.
fn waits(headers: &[(&'static str, String)]) -> (Option<f64>, Option<f64>) {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let error = error::sort(POST, StatusCode::TOO_MANY_REQUESTS, &headers.collect(), b"");
    let XError::RateLimited(limit) = error else { panic!("{error:?}") };
    assert_eq!(limit.call, POST);
    let wait = |reopens: Option<Reopens>| {
        reopens.map(|reopens| reopens.at().map_or(0.0, |at| (at - NOW) as f64 / 60_000.0))
    };
    (wait(limit.account(NOW)), wait(limit.app(NOW)))
}

#[test]
fn each_family_of_limits_counts_for_whom_it_concerns() {
    let minutes = |minutes: i64| NOW / 1_000 + minutes * 60;
    let limit = |headers: &[(&'static str, i64)]| {
        waits(&headers.iter().map(|(name, value)| (*name, value.to_string())).collect::<Vec<_>>())
    };
    let quarter = |remaining, reset| [("x-rate-limit-remaining", remaining), ("x-rate-limit-reset", reset)];
    let user = |remaining, reset| {
        [("x-user-limit-24hour-remaining", remaining), ("x-user-limit-24hour-reset", reset)]
    };
    let app =
        |remaining, reset| [("x-app-limit-24hour-remaining", remaining), ("x-app-limit-24hour-reset", reset)];
    assert_eq!(limit(&[]), (None, None));
    assert_eq!(limit(&quarter(0, minutes(4))), (Some(4.0), None));
    assert_eq!(limit(&user(0, minutes(600))), (Some(600.0), None));
    assert_eq!(limit(&app(0, minutes(600))), (None, Some(600.0)));
    // The quarter of an hour has room, the day has none; and the other way round.
    assert_eq!(limit(&[quarter(7, minutes(4)), user(0, minutes(600))].concat()), (Some(600.0), None));
    assert_eq!(limit(&[quarter(0, minutes(4)), user(7, minutes(600))].concat()), (Some(4.0), None));
    // Both of the account: the later. Account and app: each its own.
    assert_eq!(limit(&[quarter(0, minutes(4)), user(0, minutes(600))].concat()), (Some(600.0), None));
    assert_eq!(limit(&[quarter(0, minutes(4)), app(0, minutes(30))].concat()), (Some(4.0), Some(30.0)));
    // None is used up, whatever their resets.
    assert_eq!(limit(&quarter(1, minutes(4))), (None, None));
    // Used up, and no time named, or none that can be read.
    assert_eq!(limit(&[("x-rate-limit-remaining", 0)]), (Some(0.0), None));
    assert_eq!(limit(&[("x-app-limit-24hour-remaining", 0)]), (None, Some(0.0)));
    // Resets that cannot be: past, far away, absurd.
    for (reset, wait) in [
        (minutes(0), 0.0),
        (minutes(-5), 0.0),
        (minutes(10_000), 1_440.0),
        (i64::MAX, 1_440.0),
        (i64::MIN, 0.0),
    ] {
        assert_eq!(limit(&quarter(0, reset)), (Some(wait), None), "{reset}");
    }
}

/// Our clock differs from X's; the wait does not.
#[test]
fn a_reset_is_measured_by_xs_own_clock() {
    for ours_is_ahead in [-600, 0, 600, 86_400 * 30] {
        let xs_now = NOW / 1_000 - ours_is_ahead;
        let date = jiff::Timestamp::from_second(xs_now).unwrap();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
        let limited = |reset: i64| {
            waits(&[
                ("date", date.clone()),
                ("x-rate-limit-remaining", "0".to_owned()),
                ("x-rate-limit-reset", reset.to_string()),
            ])
        };
        assert_eq!(limited(xs_now + 240), (Some(4.0), None), "{date}");
        assert_eq!(limited(xs_now - 240), (Some(0.0), None), "{date}");
    }
    let unreadable = [("date", "today".to_owned()), ("x-rate-limit-remaining", "0".to_owned())];
    assert_eq!(waits(&unreadable), (Some(0.0), None));
}

#[tokio::test]
async fn a_success_may_hold_only_errors() {
    let missing = r#"{"errors":[{"title":"Not Found Error","type":"https://api.x.com/2/problems/resource-not-found","detail":"Could not find it."}]}"#;
    for (body, expected) in [
        (missing, "X does not know what was asked for"),
        (
            r#"{"errors":[{"title":"Forbidden","status":403,"detail":"Not you."}]}"#,
            "X refused (403 Forbidden): Not you.",
        ),
        (r#"{"errors":[{"message":"Odd."}]}"#, "X refused (200 OK): Odd."),
        ("{}", "X gave an answer we cannot use: it holds no data"),
        (r#"{"data":{"id":"hush"}}"#, "X gave an answer we cannot use: it is not of the documented shape"),
        ("", "X gave an answer we cannot use: it is not of the documented shape"),
    ] {
        let world = World::new([json(200, body)]).await;
        assert_eq!(told(&world.x.me(&token()).await.unwrap_err()), expected);
    }
}

#[tokio::test]
async fn no_answer_is_read_without_end() {
    let world = World::new([json(200, "x".repeat(2 << 20)), json(503, "x".repeat(2 << 20))]).await;
    assert_eq!(
        told(&world.x.me(&token()).await.unwrap_err()),
        "X gave an answer we cannot use: it is too long"
    );
    assert_eq!(told(&world.x.me(&token()).await.unwrap_err()), "X is in trouble (503 Service Unavailable)");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut away = json(302, "");
    away.headers_mut().insert("location", "/elsewhere".parse().unwrap());
    let world = World::new([away]).await;
    assert_eq!(told(&world.x.me(&token()).await.unwrap_err()), "X is in trouble (302 Found)");
    assert_eq!(world.seen().len(), 1);
}

proptest! {
    #[test]
    fn no_body_breaks_the_sorting(status in 100u16..600, body in ".{0,300}") {
        sorted(POST, status, &body);
    }

    #[test]
    fn no_json_breaks_the_sorting(status in 400u16..500, detail in ".{0,300}", code in any::<i64>()) {
        let body = serde_json::json!({"type": code, "title": detail, "errors": [{"message": detail, "code": code}, null, 3]});
        sorted(APPEND, status, &body.to_string());
    }

    #[test]
    fn every_wait_is_bounded(now in any::<i64>(), reset in any::<i64>()) {
        let headers = [("x-rate-limit-remaining", 0), ("x-rate-limit-reset", reset)];
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.to_string().parse().unwrap())).collect();
        let reopens = Limit::from_headers(POST, &headers).account(now).unwrap();
        let wait = i128::from(reopens.at().unwrap_or(now)) - i128::from(now);
        prop_assert!((0..=86_400_000).contains(&wait));
    }
}

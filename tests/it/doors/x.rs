use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use proptest::{prelude::*, sample::select};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use toall::{
    account::AccountId,
    config,
    post::{Options, Sensitive},
    twitter::{CreateError, X},
};
use tokio::{net::TcpListener, runtime::Runtime};

use super::{each, mutation::bent, runtime};

const NOW: i64 = 1_800_000_000_000;

#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Answer {
    fn response(self) -> Response {
        let mut response = Response::builder().status(self.status).body(Body::from(self.body)).unwrap();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// A client of an X that gives whatever `answer` makes.
pub fn client(runtime: &Runtime, answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> X {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = |path: &str| format!("http://{}{path}", listener.local_addr().unwrap()).parse().unwrap();
        let settings = config::Twitter {
            client_id: "client".to_owned(),
            client_secret: None,
            authorize_url: at("/authorize"),
            api_url: at(""),
            web_url: at(""),
        };
        let client = X::new(&settings, at("/api/social/callback")).unwrap();
        let router = Router::new().fallback(async move |request: Request| {
            let _ = to_bytes(request.into_body(), 1 << 20).await;
            answer()
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        client
    })
}

/// Calls X, and says what an error says.
async fn call(client: &X, which: usize) -> Option<Box<dyn Error>> {
    fn error<T, E: Error + 'static>(result: Result<T, E>) -> Option<Box<dyn Error>> {
        result.err().map(|error| error.into())
    }
    let access = "hush-access".to_owned().into();
    match which {
        0 => error(client.me(&access).await),
        1 => error(client.initialize(&access, "video/mp4", 7).await),
        2 => {
            let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"segment"))]);
            error(client.append(&access, "1", 0, 7, body).await)
        }
        3 => error(client.finalize(&access, "1").await),
        4 => error(client.status(&access, "1").await),
        5 => error(client.create_post(&access, "text", "1", &Options::default()).await),
        6 => error(client.find_post(&access, &AccountId("1".to_owned()), NOW, &["1"]).await),
        7 => error(client.exchange("hush-code".to_owned().into(), access.clone(), NOW).await),
        8 => error(client.refresh(&access, NOW).await),
        9 => error(client.check_app().await),
        _ => error(client.describe(&access, "1", Some("A wave"), Sensitive::default()).await),
    }
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let problem = json!({
        "title": "Forbidden", "type": "https://api.x.com/2/problems/client-forbidden", "status": 403, "detail": "No.",
        "reason": "client-not-enrolled",
        "errors": [{ "message": "Not permitted", "code": 453, "parameters": { "id": ["1"] }, "status": 400 }],
    });
    let valid = [
        json!({ "data": { "id": "1", "username": "alice", "name": "Alice", "subscription_type": "Premium",
            "profile_image_url": "https://pbs.twimg.com/a.jpg" } }),
        json!({ "data": { "id": "1", "media_key": "13_1", "expires_after_secs": 86_400, "size": 7,
            "processing_info": { "state": "in_progress", "check_after_secs": 5, "progress_percent": 40,
                "error": { "code": 1, "name": "InvalidMedia", "message": "No." } } } }),
        json!({ "data": [{ "id": "1", "text": "a", "attachments": { "media_keys": ["7_1", "13_2"] } }],
            "meta": { "result_count": 1, "next_token": "abc" }, "errors": [problem.clone()] }),
        json!({ "token_type": "bearer", "expires_in": 7200, "access_token": "a", "refresh_token": "r",
            "scope": "tweet.read tweet.write users.read media.write offline.access" }),
        json!({ "error": "invalid_request", "error_description": "Value passed for the token was invalid." }),
        problem,
    ];
    let json = prop_oneof![select(valid.to_vec()).prop_flat_map(bent), select(valid.to_vec())];
    let deep = (1..300_usize).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    prop_oneof![
        8 => json.prop_map(|value: Value| value.to_string().into_bytes()),
        1 => select(vec!["", "null", "{}", "[]", "<html><h1>Bad gateway", "{\"data\":", "\u{feff}{}", "\"data\""])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => deep.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..600),
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    let names = [
        "x-rate-limit-remaining",
        "x-rate-limit-reset",
        "x-user-limit-24hour-remaining",
        "x-user-limit-24hour-reset",
        "x-app-limit-24hour-remaining",
        "x-app-limit-24hour-reset",
        "retry-after",
        "location",
        "content-type",
        "content-encoding",
        "x-transaction-id",
    ];
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        select(vec!["0", "-1", "", "1e9", "gzip", "/elsewhere", "application/json"]).prop_map(Vec::from),
        prop::collection::vec(0x20_u8..0xff, 0..40),
    ];
    let header = (select(names.to_vec()), value).prop_filter_map("a header", |(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::from_bytes(&value).ok()?))
    });
    let status = prop_oneof![
        3 => Just(200_u16),
        3 => select(vec![201, 202, 204, 301, 302, 400, 401, 402, 403, 404, 408, 409, 413, 429, 431]),
        1 => 200..600_u16,
    ];
    (status, prop::collection::vec(header, 0..5), bodies()).prop_map(|(status, headers, body)| Answer {
        status,
        headers,
        body,
    })
}

#[test]
fn any_answer_of_xs_is_used_or_explained() {
    let runtime = runtime();
    let told = Arc::new(Mutex::new(Answer { status: 200, headers: Vec::new(), body: Vec::new() }));
    let client = client(&runtime, {
        let told = told.clone();
        move || told.lock().unwrap().clone().response()
    });
    each(&runtime, 500, 1, &(0..11_usize, answers()), async |(which, answer)| {
        let status = answer.status;
        *told.lock().unwrap() = answer;
        let Some(error) = call(&client, which).await else {
            // `check_app` learns what it wants to know from a refusal.
            prop_assert!((200..300).contains(&status) || which == 9, "{status} was taken for a success");
            return Ok(());
        };
        // What can be done about a post that may be there is another thing than about one that cannot.
        if let Some(error) = error.downcast_ref::<CreateError>() {
            let refused = (400..500).contains(&status) && status != 408;
            prop_assert_eq!(matches!(error, CreateError::Refused(_)), refused);
            prop_assert!(!matches!(error, CreateError::NotSent(_)));
        }
        let chain = std::iter::successors(Some(&*error), |&error| error.source());
        let said: Vec<String> = chain.map(ToString::to_string).collect();
        let said = said.join(": ");
        prop_assert!(!said.is_empty() && said.chars().count() < 600, "{}", said);
        prop_assert!(!said.contains("hush") && !said.contains("127.0.0.1"), "{}", said);
        prop_assert!(!said.chars().any(char::is_control), "{:?}", said);
        Ok(())
    });
}

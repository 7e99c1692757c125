//! Requests that no browser and no program of good will would send, to every route.

use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

use super::{CALLBACK, World, alice, shown};
use crate::sandbox::Call;

#[derive(Clone, Debug)]
struct Request {
    method: Method,
    target: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    /// Whether alice's API token comes along.
    known: bool,
}

fn queries() -> impl Strategy<Value = String> {
    let ticket = "[A-Za-z0-9_-]{43}";
    let value = prop_oneof![
        ticket,
        "\\PC{0,60}",
        ".{0,20}",
        "[a-z%&=+;#]{0,40}",
        "(%[0-9a-fA-Z]{0,2}){0,20}",
        "a{4000,5000}"
    ];
    let pair = ("(code|state|error|[a-z]{0,6})", value, any::<bool>());
    prop_oneof![
        3 => prop::collection::vec(pair, 0..6).prop_map(|pairs| {
            let pairs = pairs.into_iter().map(|(name, value, escaped)| match escaped {
                true => url::form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish(),
                false => format!("{name}={value}"),
            });
            pairs.collect::<Vec<_>>().join("&")
        }),
        1 => "\\PC{0,200}",
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    let paths = vec![
        CALLBACK,
        "/api/social/callback/refuse",
        "/api/social/connect/twitter",
        "/api/social/accounts",
        "/api/social/accounts/twitter:1",
        "/healthz",
        "/",
    ];
    let odd = prop_oneof![
        "/api/social/accounts/(twitter:)?[0-9]{0,30}",
        "/api/social/accounts/\\PC{0,40}",
        "/\\PC{0,60}"
    ];
    let path = prop_oneof![3 => select(paths).prop_map(str::to_owned), 1 => odd];
    let target = (path, prop::option::of(queries()))
        .prop_map(|(path, query)| query.map_or(path.clone(), |query| format!("{path}?{query}")));
    let method = select(vec![
        Method::GET,
        Method::GET,
        Method::POST,
        Method::POST,
        Method::DELETE,
        Method::PUT,
        Method::PATCH,
    ]);
    let names = [
        "authorization",
        "content-type",
        "cookie",
        "origin",
        "host",
        "accept",
        "x-forwarded-for",
        "range",
        "expect",
    ];
    let value = prop_oneof![
        prop::collection::vec(0x20_u8..0xff, 0..60),
        "(Bearer|bearer|Basic) (toall_)?[A-Za-z0-9_-]{0,60}".prop_map(String::into_bytes),
        select(vec![
            "application/x-www-form-urlencoded",
            "application/json",
            "multipart/form-data; boundary=a",
            "text/plain; charset=utf-7"
        ])
        .prop_map(Vec::from),
    ];
    let header = (select(names.to_vec()), value).prop_filter_map("a header", |(name, value)| {
        // `Expect` and `Host` with nonsense are the HTTP library's to refuse.
        let name = (name != "expect" && name != "host").then(|| HeaderName::from_static(name))?;
        Some((name, HeaderValue::from_bytes(&value).ok()?))
    });
    let ticket = prop_oneof!["[A-Za-z0-9_-]{43}", "\\PC{0,80}", ".{0,20}", "a{16000,20000}"];
    let body = prop_oneof![
        Just(Vec::new()),
        ("(ticket|[a-z]{0,6})", ticket).prop_map(|(name, value)| {
            url::form_urlencoded::Serializer::new(String::new())
                .append_pair(&name, &value)
                .finish()
                .into_bytes()
        }),
        "(ticket=[a-z%&=+;]{0,20}){0,4}".prop_map(String::into_bytes),
        "\\{\"ticket\":\\PC{0,30}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..400),
    ];
    (method, target, prop::collection::vec(header, 0..4), body, any::<bool>())
        .prop_map(|(method, target, headers, body, known)| Request { method, target, headers, body, known })
}

/// Sends one, and looks at what comes back.
async fn answered(world: &World, token: &str, request: Request) -> Result<(), TestCaseError> {
    // What cannot be an address of ours is refused before it is sent.
    let Ok(url) = world.url.join(&request.target).and_then(|url| match url.origin() == world.url.origin() {
        true => Ok(url),
        false => Err(url::ParseError::EmptyHost),
    }) else {
        return Ok(());
    };
    let path = url.path().to_owned();
    let mut sent = world.http.request(request.method.clone(), url).body(request.body);
    for (name, value) in request.headers {
        sent = sent.header(name, value);
    }
    if request.known {
        sent = sent.bearer_auth(token);
    } else if request.method == Method::POST {
        sent = sent.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let answer = shown(sent).await;
    prop_assert!(!answer.status.is_server_error(), "{}: {:?}", path, answer);
    prop_assert!(
        answer.headers.contains_key("x-request-id") && answer.headers["cache-control"] == "no-store"
    );
    if answer.status.is_success() {
        return Ok(());
    }
    prop_assert!(answer.status.is_client_error(), "{}: {:?}", path, answer);
    if answer.headers[CONTENT_TYPE] == "application/problem+json" {
        let problem = answer.json();
        prop_assert_eq!(problem["status"].as_u64(), Some(answer.status.as_u16().into()));
        prop_assert!(problem["code"].as_str().is_some_and(|code| !code.is_empty()));
        prop_assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(' ')));
    } else {
        prop_assert!(
            answer.text().contains("in your chat") || answer.status == StatusCode::METHOD_NOT_ALLOWED,
            "{:?}",
            answer
        );
    }
    Ok(())
}

#[test]
fn no_request_breaks_anything() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::start());
    let token = runtime.block_on(async {
        world.link(&alice(), "alice_makes").await;
        world.api_token(&alice()).await
    });
    let asked = world.calls(Call::Token).len();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let held = TestRunner::new(config).run(&requests(), |request| {
        let bounded = async {
            tokio::time::timeout(std::time::Duration::from_secs(20), answered(&world, &token, request)).await
        };
        runtime.block_on(bounded).unwrap_or_else(|_| Err(TestCaseError::fail("it hangs")))
    });
    if let Err(error) = held {
        panic!("{error}");
    }
    assert_eq!(world.calls(Call::Token).len(), asked, "X was asked about a code that nobody authorised");
    let linked = runtime.block_on(world.linked(&alice()));
    assert_eq!(linked, ["alice_makes"]);
}

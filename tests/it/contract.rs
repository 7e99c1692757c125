//! Holds what goes to and comes from the simulated X against X's own description of its API.
//!
//! X publishes it at <https://api.x.com/2/openapi.json>; it is not ours to ship, so the tests read
//! the file that `X_OPENAPI` names and are skipped, saying so, without it.

mod calls;
mod schema;

use std::{io::Write, time::Duration};

use serde_json::{Value, json};
use toall::{
    chat::Ask,
    post::{Options, Replies, Sensitive},
    sandbox::{Call, Effect, Exchange, Fault, Sent},
};

use crate::world::{World, sample};
use schema::Description;

/// Where X's description is known to differ from X's documentation or from what X does:
/// the operation or `*`, how the violation begins, and why it is none.
const GAPS: [(&str, &str, &str); 9] = [
    (
        "getUsersPosts",
        "query tweet.fields",
        "the prose documentation and X's own CLI still use this spelling of post.fields",
    ),
    (
        "getUsersMe",
        "query tweet.fields",
        "the prose documentation and X's own CLI still use this spelling of post.fields",
    ),
    (
        "finalizeMediaUpload",
        "answer /data/processing_info: Additional properties are not allowed ('error' was unexpected)",
        "failed processing comes with an error object that the schema lacks",
    ),
    (
        "getMediaUploadStatus",
        "answer /data/processing_info: Additional properties are not allowed ('error' was unexpected)",
        "failed processing comes with an error object that the schema lacks",
    ),
    ("*", "problem about:blank", "X's bare 401, 403 and 429 have no problem type of their own"),
    ("*", "problem user-suspended", "in use, though not among the types of the schema"),
    (
        "appendMediaUpload",
        "answer 413 is not JSON",
        "X's edge refuses a chunk that is too large with an empty body",
    ),
    ("appendMediaUpload", "answer 404 is not JSON", "an expired session is a 404 with an empty body"),
    ("getMediaUploadStatus", "answer 404 is not JSON", "an expired session is a 404 with an empty body"),
];

/// Every way in which the exchanges leave X's description, apart from the known gaps.
///
/// Requests are always held against it, answers unless an ordered fault made them. The OAuth
/// endpoints are left out: X's description names them only as a security scheme.
pub fn violations(openapi: &Value, exchanges: &[Exchange]) -> Vec<String> {
    let description = Description::of(openapi);
    let mut found = Vec::new();
    for exchange in exchanges {
        if exchange.path.starts_with("/2/oauth2/") {
            continue;
        }
        let Some(operation) = description.operation(&exchange.method, &exchange.path) else {
            found.push(format!("{} {} is not described", exchange.method, exchange.path));
            continue;
        };
        let mut here = operation.query_violations(&exchange.query);
        here.extend(operation.path_violations(&exchange.path));
        here.extend(operation.request_violations(&request_body(&exchange.sent)));
        if let Some(status) = exchange.status.filter(|_| !exchange.faulted) {
            here.extend(operation.answer_violations(status, exchange.answer.as_ref()));
        }
        let name = operation.name();
        let is_gap = |violation: &str| {
            GAPS.iter().any(|(operation, start, _)| {
                (*operation == "*" || *operation == name) && violation.starts_with(start)
            })
        };
        here.retain(|violation| !is_gap(violation));
        found.extend(here.iter().map(|violation| format!("{name}: {violation}")));
    }
    found
}

/// X's description, if the person running the tests has it.
pub fn published() -> Option<Value> {
    let Some(path) = std::env::var_os("X_OPENAPI") else {
        // Past the test harness, which would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "Skipped: set X_OPENAPI to a copy of https://api.x.com/2/openapi.json to hold the simulated X against it."
        );
        return None;
    };
    let text = std::fs::read_to_string(path).expect("the file X_OPENAPI names can be read");
    Some(serde_json::from_str(&text).expect("the file X_OPENAPI names holds JSON"))
}

/// The body as the schema describes it: media bytes as a string, numbers in text parts as numbers.
fn request_body(sent: &Sent) -> Option<Value> {
    match sent {
        Sent::Nothing => None,
        Sent::Json(body) => Some(body.clone()),
        Sent::Form(_) | Sent::Other => Some(Value::Null),
        Sent::Multipart(parts) => {
            let mut body = json!({});
            for part in parts {
                body[&part.name] = match &part.text {
                    None => json!(""),
                    Some(text) => text.parse::<u64>().map_or_else(|_| json!(text), |n| json!(n)),
                };
            }
            Some(body)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_asks_as_x_describes() {
    let Some(openapi) = published() else { return };
    let world = World::new().await;
    world.link("alice", "alice_makes").await;
    world.pass(Duration::from_secs(3 * 3_600));
    world.x.order(Fault::on(Call::CreatePost, Effect::ActThenDrop));

    let mut post = world.post_of("Looked for, and found", &sample());
    if let Ask::Post { options, .. } = &mut post {
        *options = Options {
            replies: Some(Replies::Verified),
            alt_text: Some("A wave".to_owned()),
            sensitive: Sensitive { other: true, ..Sensitive::default() },
            made_with_ai: true,
            paid_partnership: true,
        };
    }
    world.ask("alice", post).await;
    world.settle().await;

    assert_eq!(world.x.posts().len(), 1);
    let exchanges = world.x.exchanges();
    for path in
        ["/2/users/me", "/2/media/upload/initialize", "/2/media/upload", "/2/media/metadata", "/2/tweets"]
    {
        assert!(exchanges.iter().any(|exchange| exchange.path == path), "nothing asked {path}");
    }
    for end in ["/append", "/finalize", "/tweets"] {
        assert!(exchanges.iter().any(|exchange| exchange.path.ends_with(end)), "nothing asked …{end}");
    }
    assert_eq!(violations(&openapi, &exchanges), [""; 0]);
}

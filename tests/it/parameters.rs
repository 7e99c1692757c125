//! Secrets kept in AWS Parameter Store, read by the real program: from a stand-in, and from moto where one runs.

use std::{collections::HashMap, process::Command, sync::Arc};

use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use serde_json::{Value, json};
use tempfile::TempDir;
use toall::sandbox::{Sandbox, Settings};
use tokio::net::TcpListener;

use crate::world::browser;

/// A third-party server that plays AWS; without it the stand-in alone is asked.
const MOTO: &str = "MOTO_SERVER";
const ID: &str = "/toallcreation/twitter/client_id";
const SECRET: &str = "/toallcreation/twitter/client_secret";

/// What the stand-in keeps, and what it was asked.
struct Kept {
    values: HashMap<&'static str, &'static str>,
    refuses: Option<&'static str>,
}

/// Answers as `GetParameters` does (AWS API reference), and only to requests that are signed for it.
async fn stand_in(kept: Kept) -> String {
    async fn answer(
        State(kept): State<Arc<Kept>>,
        headers: HeaderMap,
        body: String,
    ) -> (axum::http::StatusCode, Json<Value>) {
        let asked: Value = serde_json::from_str(&body).unwrap();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-target"), "AmazonSSM.GetParameters");
        assert_eq!(header("content-type"), "application/x-amz-json-1.1");
        let signature = header("authorization");
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=key-id/"), "{signature}");
        assert!(signature.contains("/eu-central-1/ssm/aws4_request"), "{signature}");
        assert!(signature.contains("x-amz-target"), "the target is signed: {signature}");
        assert_eq!(asked["WithDecryption"], true);
        if let Some(kind) = kept.refuses {
            let kind = format!("com.amazonaws.ssm#{kind}");
            return (axum::http::StatusCode::BAD_REQUEST, Json(json!({ "__type": kind, "message": "hush" })));
        }
        let names: Vec<_> = asked["Names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        let found = names.iter().filter_map(|name| {
            Some(json!({ "Name": name, "Type": "SecureString", "Value": kept.values.get(name)? }))
        });
        let missing = names.iter().filter(|name| !kept.values.contains_key(*name));
        let answer = json!({ "Parameters": found.collect::<Vec<_>>(), "InvalidParameters": missing.collect::<Vec<_>>() });
        (axum::http::StatusCode::OK, Json(answer))
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer)).with_state(Arc::new(kept));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Runs `toall check` with the X app's id and secret in the Parameter Store at `store`; returns all it said.
async fn checked(store: &str) -> (bool, String) {
    let folder = TempDir::new().unwrap();
    let x = Sandbox::start(Settings::new(folder.path().join("x"))).await.unwrap();
    let config = folder.path().join("config.toml");
    let text = format!(
        "data_dir = {:?}\n[twitter]\nclient_id = \"ssm:{ID}\"\nclient_secret = \"ssm:{SECRET}\"\napi_url = \"{}\"\n",
        folder.path().join("data"),
        x.url(),
    );
    std::fs::write(&config, text).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_toall"));
    program.args(["check", "--config"]).arg(&config).env_clear().envs([
        ("AWS_ENDPOINT_URL_SSM", store),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "key-id"),
        ("AWS_SECRET_ACCESS_KEY", "key-secret"),
    ]);
    let ran = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    (ran.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_from_the_parameter_store() {
    let values = HashMap::from([(ID, "sandbox-client"), (SECRET, "sandbox-secret")]);
    let (good, said) = checked(&stand_in(Kept { values, refuses: None }).await).await;
    assert!(said.contains("✓ X app       X knows the client id and secret"), "{said}");
    assert!(good, "{said}");

    let wrong = HashMap::from([(ID, "sandbox-client"), (SECRET, "hush")]);
    let (good, said) = checked(&stand_in(Kept { values: wrong, refuses: None }).await).await;
    assert!(said.contains("✗ X app       X does not accept the app."), "{said}");
    assert!(!good && !said.contains("hush"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_cannot_be_read_is_named_with_the_mend() {
    let values = HashMap::from([(ID, "sandbox-client")]);
    let (good, said) = checked(&stand_in(Kept { values, refuses: None }).await).await;
    let missing = format!(
        "twitter.client_secret  is kept in the parameter \"{SECRET}\", which could not be read: \
         there is no such parameter in this account and region."
    );
    assert!(!good && said.contains(&missing), "{said}");

    let kept = Kept { values: HashMap::new(), refuses: Some("AccessDeniedException") };
    let (good, said) = checked(&stand_in(kept).await).await;
    assert!(!good && said.contains("Allow ssm:GetParameters, and kms:Decrypt for its key."), "{said}");
    assert!(!said.contains("hush"), "{said}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (good, said) = checked(&format!("http://{nobody}")).await;
    assert!(!good && said.contains("the Parameter Store does not answer"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parameter_store_of_moto_serves_as_well() {
    let Ok(moto) = std::env::var(MOTO) else {
        eprintln!("{MOTO} is not set: only the stand-in was asked");
        return;
    };
    let http = browser();
    for (name, value) in [(ID, "sandbox-client"), (SECRET, "sandbox-secret")] {
        let put = json!({ "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true });
        let signed = "AWS4-HMAC-SHA256 Credential=key-id/20261122/eu-central-1/ssm/aws4_request, \
                      SignedHeaders=host, Signature=00";
        let request = http
            .post(&moto)
            .header("x-amz-target", "AmazonSSM.PutParameter")
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", signed)
            .body(put.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
    let (good, said) = checked(&moto).await;
    assert!(good && said.contains("✓ X app       X knows the client id and secret"), "{said}");
}
